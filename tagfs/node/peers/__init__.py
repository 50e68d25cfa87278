"""Connections between nodes: proof of the cluster's key, requests and answers, both ways. Layer: node."""
