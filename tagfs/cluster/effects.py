"""What goes into the membership's decisions and what comes out: events and effects. Layer: cluster.

Times are seconds of a clock that never goes back, wall clocks milliseconds since 1970 in UTC. ``token`` names a request of
somebody else that waits for its answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from tagfs.model.record import Record, Ref, Value

NO_FACTS: Mapping[str, str] = {}


class Tick(NamedTuple):
    """A moment passed. ``entries`` says whether this node has entries, ``facts`` what other parts want told in pings."""

    wall_ms: int
    entries: bool = False
    facts: Mapping[str, str] = NO_FACTS


class Learnt(NamedTuple):
    """The whole states of these member or settings records, as they are durable here now."""

    records: tuple[Record, ...]


class Heard(NamedTuple):
    """A beacon: that node listens there, and is in that cluster (empty: none yet). ``founding``: it waits whether to found one."""

    address: str
    node: str
    cluster: str
    founding: bool = False


class Met(NamedTuple):
    """Somebody answered at an address that was dialled."""

    address: str
    node: str
    cluster: str


class Missed(NamedTuple):
    """Nobody fit answered at an address that was dialled."""

    address: str
    why: str


class Asked(NamedTuple):
    """Another node's request, from the run ``boot`` of its process, which is reached at ``address``. ``own``: what other parts want
    told in the answer to a ping."""

    token: int
    node: str
    boot: str
    address: str
    verb: str
    words: tuple[str, ...]
    facts: Mapping[str, str]
    records: tuple[Record, ...]
    wall_ms: int
    own: Mapping[str, str] = NO_FACTS


class Answered(NamedTuple):
    """The answer to an :class:`Ask`, after ``took_s`` seconds. ``asked_at`` is passed on to :class:`Hear`."""

    node: str
    verb: str
    words: tuple[str, ...]
    facts: Mapping[str, str]
    records: tuple[Record, ...]
    took_s: float
    wall_ms: int
    asked_at: float = 0.0


class Failed(NamedTuple):
    """An :class:`Ask` came to nothing: the wire code and the text of the error, which may be the other's or our own; after
    ``took_s`` seconds."""

    node: str
    verb: str
    words: tuple[str, ...]
    code: str
    text: str
    took_s: float


Event: TypeAlias = Tick | Learnt | Heard | Met | Missed | Asked | Answered | Failed


class Ask(NamedTuple):
    """Ask a node; :class:`Answered` or :class:`Failed` comes back."""

    node: str
    verb: str
    words: tuple[str, ...] = ()
    facts: Mapping[str, str] = NO_FACTS
    records: tuple[Record, ...] = ()
    timeout_s: float = 2.0


class Reply(NamedTuple):
    """Answer a request."""

    token: int
    facts: Mapping[str, str] = NO_FACTS
    records: tuple[Record, ...] = ()


class Decline(NamedTuple):
    """Answer a request with an error, by its wire code."""

    token: int
    code: str
    text: str


class Meet(NamedTuple):
    """Dial an address; :class:`Met` or :class:`Missed` comes back."""

    address: str


class Keep(NamedTuple):
    """Keep a connection to a node, at these addresses from now on."""

    node: str
    addresses: tuple[str, ...]


class Drop(NamedTuple):
    """Keep no connection to a node."""

    node: str


class Change(NamedTuple):
    """Write fields of a record as this node's own change; :class:`Learnt` comes back once it is durable."""

    ref: Ref
    fields: Mapping[str, Value]


class Merge(NamedTuple):
    """Merge records of other nodes; :class:`Learnt` comes back once they are durable."""

    records: tuple[Record, ...]


class Persist(NamedTuple):
    """Make this durable before anything that comes after it is done: the cluster this node belongs to, a bound that its
    incarnations stay below, and addresses where members were seen."""

    cluster: str
    incarnations: int
    addresses: tuple[str, ...]


class Say(NamedTuple):
    """Tell people, in the log. ``level`` is info, warn or error."""

    level: str
    text: str


class Dismissed(NamedTuple):
    """The cluster forgot this node: it may begin anew under another id, and never again under this one."""


class Hear(NamedTuple):
    """Hand on what a member's answer told of itself for other parts of the node, and when it was asked."""

    node: str
    facts: Mapping[str, str]
    asked_at: float


Effect: TypeAlias = Ask | Reply | Decline | Meet | Keep | Drop | Change | Merge | Persist | Say | Dismissed | Hear
