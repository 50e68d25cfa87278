"""The web endpoint: the API and the page for people."""
