"""Virtual paths as normalised values: no ``.``, no ``..``, no empty part, nothing unprintable. Layer: model."""

from __future__ import annotations

from unicodedata import category

from attrs import frozen

from tagfs.errors import BadRequest

MAX_LENGTH = 16_384
"""Most characters of a path in full: a tag-query of the greatest length and a name still fit."""
MAX_PARTS = 128
"""Most parts of a path. Far deeper than any folder that people or programs make."""


@frozen
class VirtualPath:
    """An absolute path; the top has no parts. ``str()`` gives it as text that begins with a slash."""

    parts: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "/" + "/".join(self.parts)

    @property
    def name(self) -> str:
        """The last part; empty for the top."""
        return self.parts[-1] if self.parts else ""

    @property
    def parent(self) -> VirtualPath:
        """The path without its last part; the top is its own parent."""
        return VirtualPath(self.parts[:-1])

    def child(self, name: str) -> VirtualPath:
        """The path of ``name`` in this directory."""
        return VirtualPath((*self.parts, name))

    def joined(self, text: str) -> VirtualPath:
        """What ``text`` means where this is the current directory; empty text means this directory.

        ``..`` at the top stays there, as in every FTP server. Raises :class:`~tagfs.errors.BadRequest` for control
        characters and for paths over :data:`MAX_LENGTH` characters or :data:`MAX_PARTS` parts.
        """
        if len(text) > MAX_LENGTH:
            raise BadRequest(f"the path is {len(text)} characters long; at most {MAX_LENGTH} are taken")
        if any(category(character) == "Cc" for character in text):
            raise BadRequest(f"the path {text[:80]!r} has control characters in it")
        parts = [] if text.startswith("/") else list(self.parts)
        for part in text.split("/"):
            if part == "..":
                del parts[-1:]
            elif part not in ("", "."):
                parts.append(part)
        if len(parts) > MAX_PARTS:
            raise BadRequest(f"the path has {len(parts)} parts; at most {MAX_PARTS} are taken")
        joined = VirtualPath(tuple(parts))
        if len(str(joined)) > MAX_LENGTH:
            raise BadRequest(f"the path is over {MAX_LENGTH} characters long")
        return joined


TOP = VirtualPath()
