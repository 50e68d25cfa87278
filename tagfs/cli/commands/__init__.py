"""One module per kind of command; each is imported when it is needed."""
