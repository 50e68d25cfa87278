"""Whole clusters of real processes: with faults in them, and checked against what was acknowledged."""
