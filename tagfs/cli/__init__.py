"""The `tagfs` command: click commands over the client. Layer: cli; imports errors, model and client, never Twisted.

``main`` is the entry point and names the commands; a module of ``commands`` is imported when one of its commands runs, so that
the start takes a few hundredths of a second.
"""
