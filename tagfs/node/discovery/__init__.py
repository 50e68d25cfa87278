"""Noticing other nodes by beacons on the networks that this node listens on. Layer: node."""
