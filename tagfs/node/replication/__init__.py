"""Records between nodes: pushed, pulled, and waited for until enough nodes have them. Layer: node."""
