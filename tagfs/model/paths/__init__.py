"""Virtual paths: how a tag-based store looks as directories (docs/protocols/ftp.md). Layer: model.

``virtual`` reads paths, ``place`` says which directory a path is, ``selection`` which entries are in it, ``shown`` under
which names, and ``folders`` which directories it has. All of it is pure.
"""

from tagfs.model.entry import home_of
from tagfs.model.paths.folders import MAX_LISTED_LEVEL, child_folder, narrowing
from tagfs.model.paths.place import (
    RECOVERED,
    VIEWS,
    Place,
    QueryFolder,
    Recent,
    Root,
    SavedSearches,
    TagFolder,
    Trash,
    Tree,
    UntaggedView,
    folder,
    is_view,
)
from tagfs.model.paths.selection import RECENT, below, both, holds, home_given, is_exactly, selection, tags_given
from tagfs.model.paths.shown import SHORT, NameStream, denoted, lookalike, shown_names, suffixed
from tagfs.model.paths.virtual import TOP, VirtualPath

__all__ = [
    "MAX_LISTED_LEVEL",
    "RECENT",
    "RECOVERED",
    "SHORT",
    "TOP",
    "VIEWS",
    "NameStream",
    "Place",
    "QueryFolder",
    "Recent",
    "Root",
    "SavedSearches",
    "TagFolder",
    "Trash",
    "Tree",
    "UntaggedView",
    "VirtualPath",
    "below",
    "both",
    "child_folder",
    "denoted",
    "folder",
    "holds",
    "home_given",
    "home_of",
    "is_exactly",
    "is_view",
    "lookalike",
    "narrowing",
    "selection",
    "shown_names",
    "suffixed",
    "tags_given",
]
