"""What all sessions of one listener share: the node, the clock, the verbs, the bounds. Layer: front."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from tagfs.front.ftp.tls import TlsContext
from tagfs.front.ftp.verb import Verb
from tagfs.front.tally import Tally
from tagfs.node.interfaces import INode

if TYPE_CHECKING:
    from tagfs.front.ftp.session import Session

DOOR = "ftp"
"""The name of this door where things are counted."""


@dataclass(frozen=True)
class Limits:
    """Bounds of the sessions of one listener. Sizes in bytes."""

    sessions: int = 4096
    """Open sessions in all; one more is told 421."""
    sessions_per_host: int = 2048
    """Open sessions from one address."""
    idle_s: float = 900.0
    """A session without a command is closed after so many seconds, with 421."""
    stall_s: float = 300.0
    """A client that takes none of its replies, or sends nothing of a content it announced, is dropped after so many
    seconds."""
    pipeline: int = 1024
    """Commands read ahead of the one that runs."""
    overlap: int = 512
    """Overlapping commands (ADD) that run at once."""
    overlap_bytes: int = 8 << 20
    """Content of overlapping commands that run at once; a larger one runs alone."""
    held: int = 8 << 20
    """Bytes of content held in memory for commands that have not taken them."""
    drop: int = 64 << 20
    """Bytes of a refused content that are read and dropped; for more the session is closed instead."""
    slice: int = 256
    """Commands of one session that run before other sessions get their turn."""
    slice_s: float = 0.01
    """Seconds after which they get it, too, however few commands that were."""


class Files(Protocol):
    """What FTP keeps per session (working directory, type, data connection); made on first use."""

    @property
    def data_set_up(self) -> bool:
        """Whether a data connection was set up by PASV, EPSV, PORT or EPRT, so that LIST is FTP's."""

    def close(self) -> None:
        """The session has ended: lets go of ports and connections. Harmless when repeated."""


@define
class Door:
    """One listener of the tag port."""

    node: INode
    clock: IReactorTime
    verbs: Mapping[bytes, Verb]
    limits: Limits = field(factory=Limits)
    files: Callable[[Session], Files] | None = None
    """Makes a session's FTP state."""
    tls: TlsContext | None = None
    """For AUTH TLS; None where it is not offered."""
    tally: Tally = field(factory=Tally)
    """Counts commands and sessions; shared with the other doors."""
    faults: count[int] = field(factory=lambda: count(1))
    """Numbers the internal errors, so that a reply can be found in the log."""
