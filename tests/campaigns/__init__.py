"""Long fault campaigns: separate commands, with a short share in CI. Each must catch bugs seeded on purpose."""
