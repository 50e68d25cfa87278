"""The lines that nodes exchange (docs/protocols/node.md). Layer: wire, sans-io."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

VERSION = 1
"""The protocol version spoken here."""
STRANGER_LINE_LIMIT = 1024
"""Bytes of a line before its sender has proved that it belongs to the cluster."""
BY_HAND = "-"
"""The tag of who does not care for tags."""

_TAG = re.compile(rb"[A-Za-z0-9._-]{1,16}")
_WORD = re.compile(rb"[\x21-\x7e]+")
_BODY = re.compile(rb"\{(\d{1,12})\}")
_SAFE = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")


class Request(NamedTuple):
    """One request. ``body`` is how many raw bytes follow the line; None where none were announced."""

    tag: str
    verb: str
    arguments: tuple[str, ...]
    options: Mapping[str, str]
    body: int | None


class BadLine(ValueError):
    """A line is no request. ``tag`` is its tag as far as it has one, else :data:`BY_HAND`."""

    def __init__(self, tag: str, text: str) -> None:
        super().__init__(text)
        self.tag = tag


def parse_request(line: bytes) -> Request:
    """The request in a line (without its line end). Raises :class:`BadLine`."""
    words = line.split()
    if not words or not _TAG.fullmatch(words[0]):
        raise BadLine(BY_HAND, "a request is: TAG VERB [argument …] [key=value …]; the tag may be -")
    tag = words[0].decode()
    if len(words) < 2:
        raise BadLine(tag, "the verb is missing; HELP lists the verbs")
    if not all(map(_WORD.fullmatch, words)):
        raise BadLine(tag, "only printable ASCII is taken; percent-encode the rest")
    body = _BODY.fullmatch(words[-1])
    rest = words[2:-1] if body and len(words) > 2 else words[2:]
    options = dict(word.split(b"=", 1) for word in rest if b"=" in word)
    return Request(
        tag,
        words[1].decode().upper(),
        tuple(_decoded(word) for word in rest if b"=" not in word),
        {key.decode(): _decoded(value) for key, value in options.items()},
        int(body[1]) if body else None,
    )


def encode_line(*words: str, **options: object) -> bytes:
    """A line of words and ``key=value``, percent-encoded where needed, with its line end."""
    parts = [quote(word, safe=_SAFE) for word in words]
    parts += [f"{key}={quote(str(value), safe=_SAFE)}" for key, value in options.items()]
    return " ".join(parts).encode("ascii") + b"\n"


def encode_text(tag: str, kind: str, text: str) -> bytes:
    """A line that ends with text for people; line ends in it become spaces."""
    return f"{tag} {kind} {' '.join(text.split())}\n".encode("utf-8", "replace")


def _decoded(word: bytes) -> str:
    return unquote_to_bytes(word).decode("utf-8", "surrogateescape")
