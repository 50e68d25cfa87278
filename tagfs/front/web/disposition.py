"""How users' files are handed out: under which name, shown or saved, and so that none can act as the site. Pure; layer: front."""

from __future__ import annotations

import re
from urllib.parse import quote

_SHOWN = frozenset(
    {
        *("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp", "image/x-icon"),
        *("audio/mpeg", "audio/ogg", "audio/wav", "audio/x-wav", "audio/flac", "audio/mp4", "audio/webm", "audio/aac"),
        *("video/mp4", "video/webm", "video/ogg", "video/quicktime"),
        "text/plain",
    }
)
"""Types that a browser shows without running anything; all others (HTML, SVG, XML, PDF, scripts, …) are saved."""
_MEDIA_TYPE = re.compile(
    r"[A-Za-z0-9!#$&^_.+-]{1,127}/[A-Za-z0-9!#$&^_.+-]{1,127}"
    r"(?:[ \t]*;[ \t]*[A-Za-z0-9!#$&^_.+-]+=(?:[A-Za-z0-9!#$&'*^_`|~.+-]+|\"[\x20-\x21\x23-\x5b\x5d-\x7e]*\"))*"
)
_PLAIN = re.compile(r"[A-Za-z0-9 ._~+,()\[\]{}@#$&!=^'-]+")
UNKNOWN_TYPE = "application/octet-stream"


def is_media_type(text: str) -> bool:
    """Whether a text is a media type (RFC 9110 section 8.3.1) that can be kept."""
    return len(text) <= 255 and _MEDIA_TYPE.fullmatch(text) is not None


def served_type(kept: str) -> str:
    """The Content-Type of a content whose entry says ``kept``; other doors take any text for it.

    A text that says no encoding is called UTF-8: browsers take it for Windows-1252 else, and are not allowed to guess.
    """
    if kept.lower() == "text/plain":
        return "text/plain; charset=utf-8"
    return kept if is_media_type(kept) else UNKNOWN_TYPE


def disposition(name: str, kind: str, save: bool) -> str:
    """Content-Disposition (RFC 6266): an ASCII name for old clients, the right one by RFC 8187 where they differ."""
    how = "inline" if not save and kind.partition(";")[0].strip().lower() in _SHOWN else "attachment"
    if _PLAIN.fullmatch(name):
        return f'{how}; filename="{name}"'
    plain = re.sub(r'[^\x20-\x7e]|["\\%/]', "_", name)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='!#$&+-.^_`|~')}"
