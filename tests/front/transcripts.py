"""Runs the transcripts of the protocol documents: what they are made of is told in docs/protocols/tag.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.front.wire_session import WireSession

_BLOCK = re.compile(r"^```transcript\n(.*?)^```", re.MULTILINE | re.DOTALL)
_HOLE = re.compile(r"…|\{(\w+)\}")


def transcripts(document: Path) -> Iterator[tuple[str, list[str]]]:
    """Each block of a document, with the line it begins at as its name."""
    text = document.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        number = text.count("\n", 0, found.start()) + 1
        yield f"{document.name}:{number}", found[1].splitlines()


def replay(lines: list[str], session: WireSession) -> None:
    """Plays the client's part of a block, and checks the server's."""
    known: dict[str, str] = {}
    sent: list[bytes] = []
    for line in lines:
        mark, text = line[:2], line[3:].replace("⇥", "\t")
        if mark in ("C:", "C<"):
            data = _HOLE.sub(lambda hole: known[hole[1]], text).encode()
            session.send(data + (b"\r\n" if mark == "C:" else b""))
            sent.append(data)
        elif text == "(closed)":
            assert session.closed, f"after {sent[-1:]} the session should be closed"
        elif mark == "S<":
            expected = text.encode()
            assert session.take(len(expected)) == expected
        else:
            assert mark == "S:", line
            _match(text, session.line(), known)
    assert session.rest == b"", f"more was said: {session.rest!r}"


def _match(pattern: str, line: str, known: dict[str, str]) -> None:
    at = 0
    parts = []
    names = []
    for hole in _HOLE.finditer(pattern):
        parts.append(re.escape(pattern[at : hole.start()]))
        if hole[1] is None:
            parts.append(".*")
        elif hole[1] in known:
            parts.append(re.escape(known[hole[1]]))
        else:
            names.append(hole[1])
            parts.append(rf"(?P<{hole[1]}>\S+)")
        at = hole.end()
    parts.append(re.escape(pattern[at:]))
    found = re.fullmatch("".join(parts), line)
    assert found, f"expected {pattern!r}, got {line!r}"
    known.update({name: found[name] for name in names})
