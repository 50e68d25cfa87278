"""The cluster as it runs: the membership's decisions over connections, a clock, the catalog and a small file. Layer: node."""
