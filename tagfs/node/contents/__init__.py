"""Contents between nodes: serving, fetching, reading from afar, who holds what, what is owed. Layer: node."""
