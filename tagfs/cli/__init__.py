"""The `tagfs` command: click commands over the client."""
