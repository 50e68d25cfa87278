"""Figures of tagfs on the machine at hand: ``python -m benchmarks`` lists them. Seeded data, medians, tails and spread."""
