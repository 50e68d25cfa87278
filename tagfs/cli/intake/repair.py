"""Making tags of what folders and metadata are called. Layer: cli.

The rule (docs/guides/command-line.md): white space and control characters become single spaces, ``/`` becomes ``-``, leading ``-``
and ``@`` go, what is over 255 bytes is cut. What is nothing then, ``.`` or ``..``, is no tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import normalize

from tagfs.model.names import MAX_NAME, fold, tag_fault

MAX_TAGS_BYTES = 40_000
"""Bytes of an ADD line, of 64 KiB, that are for tags."""

_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LEADING = re.compile(r"[-@\s]+")


def repaired_tag(text: str) -> str | None:
    """``text`` as a tag, or None where nothing of it can be one."""
    if tag_fault(text) is None:
        return normalize("NFC", text)
    text = _SURROGATE.sub("\ufffd", text)
    text = _SPACES.sub(" ", normalize("NFC", text)).replace("/", "-")
    text = _cut(_LEADING.sub("", text, count=1) if text[:1] in "-@ " else text)
    return text if tag_fault(text) is None else None


def repaired_tags(texts: Iterable[str]) -> tuple[list[str], list[str]]:
    """The tags of some texts, each once (case does not count), and the texts that are none."""
    tags: dict[str, str] = {}
    refused = []
    for text in texts:
        tag = repaired_tag(text)
        if tag is None:
            refused.append(text)
        else:
            tags.setdefault(fold(tag), tag)
    return list(tags.values()), refused


def within_a_line(tags: list[str]) -> list[str]:
    """As many of the tags as fit into one command line with room to spare."""
    left = MAX_TAGS_BYTES
    for at, tag in enumerate(tags):
        left -= 2 * len(tag.encode()) + 3  # every character may need an escape
        if left < 0:
            return tags[:at]
    return tags


def _cut(text: str) -> str:
    """At most 255 bytes, in every form that counts."""
    text = text.strip()
    while max(len(text.encode()), len(fold(text).encode())) > MAX_NAME:
        over = max(len(text.encode()), len(fold(text).encode())) - MAX_NAME
        text = text[: -max(1, over // 4)].rstrip()
    return text
