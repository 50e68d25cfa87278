"""Directories as FTP shows them: places of :mod:`tagfs.model.paths` filled from a node, and the formats of listings. Layer: front.

``lookup`` finds what a path names, ``listing`` streams a directory, ``formats`` writes rows, ``changes`` stores, moves and
removes, ``folders`` remembers empty folders of the tree.
"""
