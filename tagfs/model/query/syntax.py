"""The syntax tree of a tag-query. Layer: model.

Every node is a frozen value. Tags, keys and values of tags in it are folded (:func:`tagfs.model.names.fold`), numbers and
times are integers, so that whoever evaluates a tree never looks at text again.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen


@frozen
class Everything:
    """Every entry: the empty query."""


@frozen
class Tag:
    """Entries with exactly this tag; a tag with a value is written ``key=value`` here."""

    tag: str


@frozen
class TagGlob:
    """Entries with a tag that matches the pattern as a whole: ``*`` any characters, ``?`` one, all others themselves
    (so a pattern cannot hold a literal ``*`` or ``?``). ``key=*`` alone is a HasKey."""

    pattern: str


@frozen
class HasKey:
    """Entries with a tag ``key=…`` of any value."""

    key: str


@frozen
class Compare:
    """Entries with some value of ``key`` that stands in the relation ``op`` to ``value``.

    ``op`` is one of ``= != < <= > >=``. Both sides numbers: numeric. Both ISO 8601 dates: by date. Else by text: the rule is
    :func:`tagfs.model.query.meaning.compare`.
    """

    key: str
    op: str
    value: str


@frozen
class Between:
    """Entries with some value of ``key`` from ``low`` to ``high``, both ends included; compared as in Compare."""

    key: str
    low: str
    high: str


@frozen
class Number:
    """Entries whose ``field`` (``size`` in bytes, ``added`` or ``modified`` in milliseconds since 1970, ``copies``)
    is from ``low`` to ``high``, both included; None leaves that side open."""

    field: str
    low: int | None
    high: int | None


@frozen
class Text:
    """Entries whose ``field`` (``name``, ``type``, ``digest`` in hex, ``id``, ``home``, ``node``) is ``pattern``; where ``glob``
    is true, matches it as in TagGlob. Names and homes compare in NFC, case-sensitive; the others are folded."""

    field: str
    pattern: str
    glob: bool = False


@frozen
class Untagged:
    """Entries without any tag."""


@frozen
class InTrash:
    """Entries in the trash. A query that says this anywhere ranges over the trash as well."""


@frozen
class Not:
    """Entries that do not match."""

    item: Query


@frozen
class And:
    """Entries that match all of two or more items; no item is itself an And."""

    items: tuple[Query, ...]


@frozen
class Or:
    """Entries that match any of two or more items; no item is itself an Or."""

    items: tuple[Query, ...]


Query: TypeAlias = (
    Everything | Tag | TagGlob | HasKey | Compare | Between | Number | Text | Untagged | InTrash | Not | And | Or
)

EVERYTHING = Everything()
