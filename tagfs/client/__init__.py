"""A small blocking client of the tag protocol (docs/protocols/tag.md): a socket and nothing else. Layer: client.

>>> from tagfs.client import Client
>>> with Client("127.0.0.1", 2121) as client:                      # doctest: +SKIP
...     stored = client.add("note.txt", b"hello", tags=["note", "year=2024"])
...     for row in client.find("note and year=2024"):
...         print(row.id, row.name, row.tags)
"""

from tagfs.client.address import DEFAULT_ADDRESS, Address, parse_address
from tagfs.client.client import Client
from tagfs.client.errors import (
    BadAddress,
    BadArgument,
    ClientError,
    Closing,
    ConnectionFailed,
    ConnectionLost,
    Missing,
    NoGreeting,
    NoSpace,
    NotLoggedIn,
    NotSupported,
    ProtocolViolation,
    Refused,
    SourceFailed,
    TimedOut,
    TooLarge,
    TryLater,
    Untrusted,
)
from tagfs.client.insistence import insistently
from tagfs.client.pipeline import Body, Command
from tagfs.client.replies import Reply
from tagfs.client.rows import Changed, FoundRow, Information, NodeRow, Stored
from tagfs.client.text import quoted, tags_in, word

__all__ = [
    "DEFAULT_ADDRESS",
    "Address",
    "BadAddress",
    "BadArgument",
    "Body",
    "Changed",
    "Client",
    "ClientError",
    "Closing",
    "Command",
    "ConnectionFailed",
    "ConnectionLost",
    "FoundRow",
    "Information",
    "Missing",
    "NoGreeting",
    "NoSpace",
    "NodeRow",
    "NotLoggedIn",
    "NotSupported",
    "ProtocolViolation",
    "Refused",
    "Reply",
    "SourceFailed",
    "Stored",
    "TimedOut",
    "TooLarge",
    "TryLater",
    "Untrusted",
    "insistently",
    "parse_address",
    "quoted",
    "tags_in",
    "word",
]
