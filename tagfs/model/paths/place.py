"""Which directory a path is. Layer: model.

Whether the last part of a path is a directory or a file depends on the command: whoever asks for a file takes the
:func:`folder` of the path's parent and looks for its name there.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from tagfs.errors import BadRequest, NotFound
from tagfs.model.names import check_tag, fold, name_key
from tagfs.model.paths.virtual import VirtualPath


@frozen
class Root:
    """``/``: all tags, the entries without tags, and the views."""


@frozen
class TagFolder:
    """``/beach/2024``: entries with all these tags, in the spelling (in NFC) and order of the path, each once."""

    tags: tuple[str, ...]

    @property
    def folded(self) -> frozenset[str]:
        """The tags as they are compared."""
        return frozenset(map(fold, self.tags))


@frozen
class Tree:
    """``/@tree/a/b``: entries whose home is ``a/b`` (in NFC); empty for the top of the tree. ``/@recovered/a`` is one, too."""

    home: str


@frozen
class SavedSearches:
    """``/@query``: the saved searches as directories."""


@frozen
class QueryFolder:
    """``/@query/TEXT``: entries that match a tag-query, or a saved search of that name. It has no directories, so that
    the slashes of ``home:a/b`` belong to the text."""

    text: str


@frozen
class Recent:
    """``/@recent``: the entries added last."""


@frozen
class UntaggedView:
    """``/@untagged``: entries without tags."""


@frozen
class Trash:
    """``/@trash``: what was deleted and can be restored."""


Place: TypeAlias = Root | TagFolder | Tree | SavedSearches | QueryFolder | Recent | UntaggedView | Trash

VIEWS = ("@query", "@recent", "@trash", "@tree", "@untagged")
"""The directories of ``/`` that are no tags, by name. No tag begins with ``@``."""
RECOVERED = "@recovered"
"""The home of what a node had that its cluster forgot: ``/@recovered`` is ``/@tree/@recovered``, and listed where it is not empty."""


def is_view(name: str) -> bool:
    """Whether a name at the top can only be a view."""
    return name.startswith("@")


def folder(path: VirtualPath) -> Place:
    """The directory that a path is. Raises :class:`~tagfs.errors.NotFound` where there can be none.

    Whether its tags or its home exist is not checked: that takes a store.
    """
    if not path.parts:
        return Root()
    first, *rest = path.parts
    if is_view(first):
        return _view(path, first, rest)
    spellings: dict[str, str] = {}
    for part in path.parts:
        try:
            tag = check_tag(part)
        except BadRequest as error:
            raise NotFound(f"{path}: no such directory ({error})") from None
        spellings.setdefault(fold(tag), tag)
    return TagFolder(tuple(spellings.values()))


def _view(path: VirtualPath, first: str, rest: list[str]) -> Place:
    if first == "@tree":
        return Tree(name_key("/".join(rest)))
    if first == "@query":
        return QueryFolder("/".join(rest)) if rest else SavedSearches()
    if first == RECOVERED:
        return Tree(name_key("/".join((RECOVERED, *rest))))
    flat: dict[str, Place] = {"@recent": Recent(), "@untagged": UntaggedView(), "@trash": Trash()}
    if rest or first not in flat:
        raise NotFound(f"{path}: no such directory")
    return flat[first]
