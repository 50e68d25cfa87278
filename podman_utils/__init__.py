"""A cluster in containers: images, networks, a router and nodes on Podman, through its REST API. Imports nothing of tagfs."""
