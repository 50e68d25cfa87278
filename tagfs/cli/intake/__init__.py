"""Importing: a tree of files becomes entries. Layer: cli.

``walk`` finds the files, ``repair`` makes tags of names and keywords, ``manifest`` reads and writes what an export knows of its
entries, ``candidates`` are files read and described, ``storing`` asks the node what is there and stores the rest.
"""
