"""The lines that nodes exchange (docs/protocols/node.md). Layer: wire, sans-io."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes

VERSION: Final = 1
"""The protocol version spoken here."""
STRANGER_LINE_LIMIT: Final = 1024
"""Bytes of a line, its end not counted, before its sender has proved that it belongs to the cluster."""
MEMBER_LINE_LIMIT: Final = 8192
"""Bytes of a line after that."""
BY_HAND: Final = "-"
"""The tag of who does not care for tags."""

_TAG = re.compile(rb"[A-Za-z0-9._-]{1,16}").fullmatch
_PRINTABLE = re.compile(rb"[\x20-\x7e\t]*").fullmatch
_BODY = re.compile(r"\{(\d{1,12})\}").fullmatch
_PRINTED = "".join(map(chr, range(0x21, 0x7F))).replace("%", "")
_SAFE_WORD = _PRINTED.replace("=", "").replace("{", "")
_PLAIN_WORD = re.compile(r"[!-$&-<>-z|}~]+").fullmatch  # all of _SAFE_WORD
_PLAIN_VALUE = re.compile(r"[!-$&-~]*").fullmatch  # all of _PRINTED
_UNSAFE_IN_TEXT = re.compile(r"[\x00-\x08\x0a-\x1f\x7f%]")


class Request(NamedTuple):
    """One request. ``body`` is how many raw bytes follow the line; None where none were announced."""

    tag: str
    verb: str
    arguments: tuple[str, ...]
    options: Mapping[str, str]
    body: int | None


class BadLine(ValueError):
    """A line is no request, or no answer. ``tag`` is its tag as far as it has one, else :data:`BY_HAND`."""

    def __init__(self, tag: str, text: str) -> None:
        super().__init__(text)
        self.tag = tag


def parse_request(line: bytes) -> Request:
    """The request in a line (without its line end). Raises :class:`BadLine`."""
    tag = tag_of(line)
    if tag is None:
        raise BadLine(BY_HAND, "a request is: TAG VERB [argument …] [key=value …]; the tag may be -")
    if not _PRINTABLE(line):
        raise BadLine(tag, "only printable ASCII is taken; percent-encode the rest")
    parts = line.decode("ascii").split()
    if len(parts) < 2:
        raise BadLine(tag, "the verb is missing; HELP lists the verbs")
    body = announced(parts, 2)
    arguments, options = sorted_parts(parts[2:])
    return Request(tag, parts[1].upper(), arguments, options, body)


def tag_of(line: bytes) -> str | None:
    """The tag that a line begins with, or None."""
    first = line.split(None, 1)[:1]
    return first[0].decode("ascii") if first and _TAG(first[0]) else None


def announced(parts: list[str], at: int) -> int | None:
    """Takes the announcement of a body off the end of a line's parts, of which those from ``at`` on may be one."""
    if len(parts) > at and parts[-1][0] == "{" and (found := _BODY(parts[-1])):
        parts.pop()
        return int(found[1])
    return None


def sorted_parts(parts: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Plain words, and what ``key=value`` say, of a line's parts, percent-decoded. Of a key given twice the last counts."""
    words: list[str] = []
    facts: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if equals:
            facts[_decoded(key)] = _decoded(value)
        else:
            words.append(_decoded(key))
    return tuple(words), facts


def encode_parts(words: Iterable[str], facts: Mapping[str, object]) -> str:
    """Words and ``key=value`` as they stand in a line, percent-encoded where needed. No word and no key may be empty."""
    parts = [word if _PLAIN_WORD(word) else _encoded(word, _SAFE_WORD) for word in words]
    for key, value in facts.items():
        text = value if isinstance(value, str) else str(value)
        key = key if _PLAIN_WORD(key) else _encoded(key, _SAFE_WORD)
        parts.append(f"{key}={text if _PLAIN_VALUE(text) else _encoded(text, _PRINTED)}")
    return " ".join(parts)


def encode_line(*words: str, **options: object) -> bytes:
    """A line of words and ``key=value``, with its line end."""
    return encode_parts(words, options).encode("ascii") + b"\n"


def encode_text(tag: str, kind: str, text: str) -> bytes:
    """A line that ends with text for people. Control characters but TAB, and ``%``, are percent-encoded in it."""
    if _UNSAFE_IN_TEXT.search(text):
        text = _UNSAFE_IN_TEXT.sub(lambda found: f"%{ord(found[0]):02X}", text)
    return f"{tag} {kind} {text}\n".encode("utf-8", "surrogateescape")


def decode_text(text: bytes) -> str:
    """The text at the end of a line as it was before :func:`encode_text`."""
    return (unquote_to_bytes(text) if b"%" in text else text).decode("utf-8", "surrogateescape")


def _encoded(text: str, safe: str) -> str:
    assert text
    return quote(text, safe, errors="surrogateescape")


def _decoded(text: str) -> str:
    return unquote_to_bytes(text).decode("utf-8", "surrogateescape") if "%" in text else text
