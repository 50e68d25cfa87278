"""The tag-query language (docs/protocols/query.md): syntax tree, parser, printer, and the meaning of each node. Layer: model."""

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
