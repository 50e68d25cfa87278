"""Every error that a user or a peer can be told, with its codes for each door.

Layer: bottom; imports nothing of tagfs. An error's text is shown to people as it is: it says what was
wrong, where, and what to do. Bugs of our own are not here: they are assertions.
"""

from __future__ import annotations


class TagfsError(Exception):
    """Base of all errors meant for the other side.

    ``ftp`` is the three-digit reply of the tag protocol and of FTP (RFC 959 section 4.2), ``http`` the
    status code of the web endpoint, ``wire`` the word that nodes send each other.
    """

    ftp = 451
    http = 500
    wire = "internal"


class BadRequest(TagfsError):
    """An argument is malformed; nothing was done."""

    ftp = 501
    http = 400
    wire = "bad"


class QueryError(BadRequest):
    """A tag-query cannot be read. ``column`` counts characters from 1; ``expected`` says what would fit."""

    def __init__(self, message: str, column: int, expected: str = "") -> None:
        self.message = message
        self.column = column
        self.expected = expected
        text = f"column {column}: {message}"
        super().__init__(f"{text}, expected {expected}" if expected else text)


class NotFound(TagfsError):
    """No such entry, tag, content or name (or the principal may not learn of it)."""

    ftp = 550
    http = 404
    wire = "missing"


class Forbidden(TagfsError):
    """The principal lacks the right for this."""

    ftp = 550
    http = 403
    wire = "forbidden"


class Unwelcome(Forbidden):
    """A cluster does not let this node take part: another process has its id."""

    wire = "refused"


class Forgotten(Unwelcome):
    """A cluster does not let this node take part, nor ever again under its id: it was forgotten."""

    wire = "forgotten"


class Conflict(TagfsError):
    """The thing exists already, or is in a state that does not allow this."""

    ftp = 550
    http = 409
    wire = "conflict"


class TooLarge(TagfsError):
    """A length, count or size is over its bound."""

    ftp = 552
    http = 413
    wire = "too-large"


class StorageFull(TagfsError):
    """No space is left on the device; reads go on."""

    ftp = 452
    http = 507
    wire = "full"


class ReadOnly(TagfsError):
    """The store stopped writing after a failed fsync or by the operator's word; reads go on."""

    ftp = 451
    http = 503
    wire = "read-only"


class Unavailable(TagfsError):
    """Not possible at the moment (too few nodes, starting, stopping, overloaded); trying again later may help."""

    ftp = 451
    http = 503
    wire = "unavailable"


class Throttled(Unavailable):
    """Too many attempts to log in; the text says when to try again."""

    ftp = 530
    http = 429
    wire = "throttled"


class Corrupt(TagfsError):
    """Stored bytes do not match their digest, or a stored structure cannot be read."""

    ftp = 451
    http = 500
    wire = "corrupt"


class NotSupported(TagfsError):
    """This node does not do that (yet, or by its settings)."""

    ftp = 502
    http = 501
    wire = "unsupported"


class StartError(TagfsError):
    """The node cannot start: wrong option, taken port, locked or foreign data directory. One line, exit code 1."""
