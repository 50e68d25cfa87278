"""tagfs: a distributed file system in which files carry tags instead of living in one folder."""

__version__ = "0.1.0"
