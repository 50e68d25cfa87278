"""What one node asks of another, and what it is answered: values, as they are before and after encoding. Layer: wire.

docs/protocols/node.md is the page; :mod:`tagfs.wire.node_lines` has the lines themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

BODY_LIMIT: Final = 1 << 20
"""Most bytes of one body; longer things travel in several requests, so that others get between."""

NO_FACTS: Mapping[str, str] = {}


class Call(NamedTuple):
    """One request: a verb, plain words, ``key=value`` facts, and a body of at most :data:`BODY_LIMIT` bytes."""

    verb: str
    words: tuple[str, ...] = ()
    facts: Mapping[str, str] = NO_FACTS
    body: bytes = b""


class Answer(NamedTuple):
    """A final answer that is no refusal (refusals are errors of :mod:`tagfs.errors`, by their wire code).

    ``partial`` says that there is more than what is in it. ``rows`` are lines for people and programs, ``body`` at
    most :data:`BODY_LIMIT` bytes.
    """

    facts: Mapping[str, str] = NO_FACTS
    rows: tuple[str, ...] = ()
    body: bytes = b""
    partial: bool = False
