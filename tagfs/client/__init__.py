"""A small blocking client of the tag protocol. No Twisted."""
