"""What can go wrong between a client and a node, as types. Layer: client.

Three roots under :class:`ClientError`: the connection is not there (any more), the node said no
(:class:`Refused`), or what it said is not the tag protocol (:class:`ProtocolViolation`).
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of all errors of the client; the text is one line for people."""


class BadAddress(ClientError):
    """A server address cannot be read."""


class SourceFailed(ClientError):
    """A file could not be read to its announced end while it was being sent; the connection was given up, so that nothing of
    it is stored. ``body`` is the :class:`~tagfs.client.pipeline.Body` in question."""

    def __init__(self, body: object, text: str) -> None:
        self.body = body
        super().__init__(text)


class ConnectionFailed(ClientError):
    """No connection could be made: nothing listens there, or no route, name or permission."""


class Untrusted(ConnectionFailed):
    """The server's certificate is not one that is trusted; a node's own is trusted by nobody who was not given it."""


class ConnectionLost(ClientError):
    """The connection ended. What was asked and not answered may or may not have been done."""


class TimedOut(ConnectionLost):
    """Nothing moved in either direction for as long as the time-out; the connection is given up."""


class NoGreeting(TimedOut):
    """Something took the connection and did not say the first word, as a node does at once."""


class ProtocolViolation(ClientError):
    """The other side does not speak the tag protocol, or broke a bound of it; the connection is given up."""


class Refused(ClientError):
    """The node answered with an error. ``code`` is the three-digit reply, ``text`` what it said."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        super().__init__(text or f"the server answered {code}")


class BadArgument(Refused):
    """501: a query or an argument cannot be read; the text names the column."""


class NotSupported(Refused):
    """500, 502, 504: this server does not know the command."""


class NotLoggedIn(Refused):
    """530: a user name and password are needed, or were wrong."""


class Missing(Refused):
    """550: no such entry, tag or name, or no right to it."""


class TooLarge(Refused):
    """552: over a bound of the server."""


class NoSpace(Refused):
    """452: the node's disk is full."""


class TryLater(Refused):
    """426, 450, 451: not possible now (too few copies, starting, stopping, an internal fault); later, or elsewhere, it may be."""


class Closing(Refused, ConnectionLost):
    """421: the node ends this connection. What was asked was not done; asking again on a new connection is safe."""


_BY_CODE: dict[int, type[Refused]] = {
    421: Closing,
    426: TryLater,
    450: TryLater,
    451: TryLater,
    452: NoSpace,
    500: NotSupported,
    501: BadArgument,
    502: NotSupported,
    504: NotSupported,
    530: NotLoggedIn,
    550: Missing,
    552: TooLarge,
}


def refusal(code: int, text: str) -> Refused:
    """The error for a reply of 400 or more."""
    return _BY_CODE.get(code, Refused)(code, text)
