"""The tag-query language (docs/protocols/query.md): syntax tree, parser, printer, and the meaning of each node. Layer: model.

Names are handed on when first asked for: the command line wants :mod:`~tagfs.model.query.lexicon` alone, and must not wait
for the rest (together 80 ms).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tagfs.model.query.lexicon import quote_tag
    from tagfs.model.query.meaning import matches
    from tagfs.model.query.parser import parse
    from tagfs.model.query.printer import to_text
    from tagfs.model.query.syntax import (
        EVERYTHING,
        And,
        Between,
        Compare,
        Everything,
        HasKey,
        InTrash,
        Not,
        Number,
        Or,
        Query,
        Tag,
        TagGlob,
        Text,
        Untagged,
    )

__all__ = [
    "EVERYTHING",
    "And",
    "Between",
    "Compare",
    "Everything",
    "HasKey",
    "InTrash",
    "Not",
    "Number",
    "Or",
    "Query",
    "Tag",
    "TagGlob",
    "Text",
    "Untagged",
    "matches",
    "parse",
    "quote_tag",
    "to_text",
]

_ELSEWHERE = {"matches": "meaning", "parse": "parser", "quote_tag": "lexicon", "to_text": "printer"}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found: object = getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'syntax')}"), name)
    globals()[name] = found
    return found
