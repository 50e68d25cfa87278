"""Decisions of the cluster: an event and the time in, a list of effects out. No socket, clock or disk."""
