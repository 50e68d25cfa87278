"""INode: what every door calls. Layer: node.

All methods are coroutines unless they say otherwise, take the *principal* who asks, and raise
:mod:`tagfs.errors` (:class:`~tagfs.errors.Forbidden` where the principal lacks the right). Rights are checked
here and nowhere above. Tags given to methods are literal and already checked
(:func:`tagfs.model.names.check_tag`), in the spelling the user gave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from tagfs.model.entry import Entry
from tagfs.model.order import NEWEST, Cursor, Scope, Sort
from tagfs.model.principal import Principal, Role
from tagfs.model.query import Query


class Copies(NamedTuple):
    """``have`` durable copies of ``want``; ``degraded`` where fewer than usual had to do (DESIGN section 7)."""

    have: int
    want: int
    degraded: bool = False


class Added(NamedTuple):
    """What became of a stored content. ``new`` is false where an idempotency key named an entry that was there."""

    id: str
    copies: Copies
    new: bool


class Changed(NamedTuple):
    """How many entries a change touched, and the copies of the least replicated change among them."""

    changed: int
    copies: Copies


class Found(NamedTuple):
    """One page of a query. ``entries`` carry display spellings of their tags; ``total`` counts all matches;
    ``complete`` is the freshness of DESIGN section 7."""

    entries: Sequence[Entry]
    total: int
    complete: bool
    next: Cursor | None


class TagCounts(NamedTuple):
    """Tags in display spelling with the number of matching entries; ``total`` counts all that match."""

    tags: Sequence[tuple[str, int]]
    total: int


class EntryInfo(NamedTuple):
    """Everything known of one entry. ``home`` is where /@tree shows it; ``nodes`` are the ids of nodes that hold it."""

    entry: Entry
    home: str
    copies: Copies
    nodes: Sequence[str]


class Retirement(StrEnum):
    """How a node is taken out: it leaves for good and hands over what it keeps, it is gone for good and forgotten, or it
    hands over what it keeps and stays."""

    LEAVE = "leave"
    FORGET = "forget"
    DRAIN = "drain"


class NodeStatus(NamedTuple):
    """One row of NODES. ``state`` is alive, suspect, dead, out or left."""

    id: str
    name: str
    zone: str
    state: str
    address: str
    entries: int
    bytes: int


class Figure(NamedTuple):
    """One figure for monitoring. ``name`` in snake_case, with its unit last (``repair_bytes``); ``meaning`` is a sentence;
    ``labels`` have few values (a node, a pool of threads). ``grows``: it counts since the start, and never goes down."""

    name: str
    meaning: str
    value: float
    labels: Mapping[str, str] = {}
    grows: bool = False


class IListing(Interface):
    """All matches of a query, as a stream in bounded memory. Close it, finished or not."""

    total = Attribute("int: how many entries matched.")
    complete = Attribute("bool: as in Found.")

    async def next() -> Sequence[Entry]:
        """The next entries (some hundreds, display spellings); empty at the end."""

    def close() -> None:
        """Not a coroutine. Harmless when repeated."""


class IReceiving(Interface):
    """A content on its way in. The caller writes, waits where told to, and ends it in one of four ways."""

    size = Attribute("int: bytes written so far.")

    def write(data: bytes) -> Deferred[None] | None:
        """Not a coroutine. Takes bytes; returns None, or a Deferred that fires when more may be written: the caller
        then pauses its source. The Deferred fails with what went wrong (disk full); the receiving is then over."""

    def complete() -> None:
        """Not a coroutine. All was written: the content may begin to become durable, while the caller still finds out what to
        do with it. Optional; what ends a receiving ends it as before."""

    async def add(
        name: str,
        tags: Sequence[str],
        *,
        home: str | None = None,
        modified: int | None = None,
        type: str | None = None,
        key: str | None = None,
    ) -> Added:
        """Stores the content as a new entry, durably. ``key`` makes a repeat by the same user return the first one.

        Work on the content begins when this is called, so calls may overlap: many become durable together.
        """

    async def replace(entry_id: str, *, modified: int | None = None, type: str | None = None) -> Added:
        """Makes it the content of an entry that is there; the old content is kept as a version."""

    async def keep(slot: str) -> int:
        """Keeps what came so far under ``slot`` for a resume by the same principal; returns its size in bytes."""

    def abort() -> None:
        """Not a coroutine. Forgets the content. Harmless after the end."""


class IDrawing(IReceiving):
    """A receiving that can take a content from a socket in another thread, as large ones need it."""

    async def draw(fill: Callable[[memoryview], int], budget: int) -> bool:
        """Takes the next bytes, on another thread: ``fill`` puts what is there into the view that it gets and returns how
        many bytes, 0 for none at the moment, or -1 at the end. Goes on until then, or until about ``budget`` bytes have
        come or a tenth of a second is over; whether it was the end. Raises the OSError that ``fill`` raises, after which
        what came can still be kept, and what :meth:`write`'s Deferred fails with. Never while another ``draw`` is under
        way."""


class IReading(Interface):
    """An open content. Close it, finished or not."""

    entry = Attribute("Entry: whose content it is, as it was when the reading was opened; its tags are folded.")
    size = Attribute("int: bytes of the whole content.")
    start = Attribute("int: where this reading begins.")
    length = Attribute("int: bytes that this reading gives in all.")

    async def read(limit: int) -> bytes:
        """The next bytes, at most ``limit``; empty at the end."""

    def close() -> None:
        """Not a coroutine. Harmless when repeated."""


class IPouring(IReading):
    """A reading whose content is on this machine, so that a thread can take it from the disk to a socket."""

    async def pour(take: Callable[[bytes], bool], budget: int) -> bool:
        """Hands the next pieces of some hundred KiB to ``take`` on another thread: until that returns False (it has no room
        for more at the moment), about ``budget`` bytes were handed on, a tenth of a second is over, or the content has come to
        its end; whether that is so. Raises what ``take`` raises. Never while a :meth:`read` or another ``pour`` is under way."""


class INode(Interface):
    """One node of tagfs, as its doors see it."""

    id = Attribute("str: node id.")
    name = Attribute("str: the node's name for people.")
    read_only = Attribute("str: empty, or why no writes are taken.")
    full = Attribute("str: empty, or why no contents are taken, while deletes and changes of tags are.")
    starting = Attribute(
        "str: empty, or why this node cannot serve everything yet: it joins, or gets what others have."
    )

    generation = Attribute(
        "int: while it is the same, find, tags and info answer a principal as before, but for who can be reached and copies."
    )

    def anonymous() -> Principal:
        """Not a coroutine. Who a session is before it logs in: the owner, where there are no users and the listener is
        on loopback; nobody, or what ``--anonymous`` says, otherwise."""

    has_users = Attribute("bool: whether there are users, so that a login means something.")

    async def login(name: str, password: str, address: str) -> Principal:
        """The principal of a user; ``address`` is the client's, without port. Without users any name and password give
        :meth:`anonymous`, and so do ``anonymous`` and ``ftp`` where ``--anonymous`` grants something. Raises Forbidden, or
        Throttled where too much was guessed."""

    def current(principal: Principal) -> Principal:
        """Not a coroutine. Who that is now, for sessions that last: with the role of today; nobody, once the user was
        removed or the password changed; :meth:`anonymous` for who did not log in."""

    async def users(principal: Principal) -> Sequence[tuple[str, Role]]:
        """All users, by name; for admins."""

    async def add_user(principal: Principal, name: str, role: Role, password: str) -> None:
        """Makes a user; for admins. Raises BadRequest (see :func:`tagfs.model.users.check_user`), or Conflict where there is
        one of that name, or where the first user would not be an admin. From the first one on, everybody needs a login."""

    async def remove_user(principal: Principal, name: str) -> None:
        """Removes a user; for admins. What the user stored stays. Raises NotFound, or Conflict for the last admin."""

    async def set_role(principal: Principal, name: str, role: Role) -> None:
        """Gives a user another role, at once in open sessions, too; for admins. Raises as :meth:`remove_user`."""

    async def set_password(principal: Principal, name: str, password: str) -> Principal:
        """Gives a user another password; for admins, and for the user. Sessions under the old one end; the answer is the
        user's principal under the new one. Raises NotFound, BadRequest."""

    async def receive(principal: Principal, size: int | None = None) -> IReceiving:
        """An :class:`IReceiving`. With ``size`` known, refuses at once what cannot fit (StorageFull, TooLarge)."""

    async def resume(principal: Principal, slot: str, offset: int) -> IReceiving:
        """An :class:`IReceiving` that goes on behind the first ``offset`` bytes of what was kept under ``slot``. Raises
        NotFound, or BadRequest where fewer bytes were kept."""

    async def kept(principal: Principal, slot: str) -> int | None:
        """Bytes kept under ``slot`` for this principal, or None."""

    async def read(
        principal: Principal, entry_id: str, offset: int = 0, length: int | None = None, version: str | None = None
    ) -> IReading:
        """An :class:`IReading`; entries in the trash can be read too. ``version`` is a stamp that :meth:`info` lists, for a
        content that was replaced. Raises NotFound, or BadRequest beyond the end."""

    async def count(principal: Principal, query: Query, scope: Scope = Scope.LIVE) -> int:
        """How many entries match."""

    async def find(
        principal: Principal,
        query: Query,
        sort: Sort = NEWEST,
        after: Cursor | None = None,
        limit: int = 100,
        scope: Scope = Scope.LIVE,
    ) -> Found:
        """One page; ``limit`` 0 to 10,000."""

    async def listing(principal: Principal, query: Query, sort: Sort = NEWEST, scope: Scope = Scope.LIVE) -> IListing:
        """An :class:`IListing` of all matches."""

    async def tags(
        principal: Principal,
        query: Query,
        limit: int = 100,
        prefix: str = "",
        by_name: bool = False,
        after: str = "",
    ) -> TagCounts:
        """Tags of the entries that match; ``limit`` 1 to 10,000. By name, those behind the tag ``after``."""

    async def shown_tags(principal: Principal, tags: Sequence[str]) -> Sequence[str | None]:
        """For each tag (at most 10,000) its display spelling, where it is in use or declared; else None."""

    async def named(principal: Principal, name: str, home: str | None = None) -> Sequence[Entry]:
        """The live entries of that name (under that home), oldest first, with display spellings."""

    async def folders(principal: Principal, home: str, limit: int = 10_000, after: str = "") -> Sequence[str]:
        """Names of the folders directly in the folder ``home`` (empty: the top) that lead to the home of a live entry, in
        order of their code points: the first ``limit`` (1 to 10,000) behind ``after``."""

    async def info(principal: Principal, entry_id: str) -> EntryInfo:
        """Everything known of one entry, in the trash or not. Raises NotFound."""

    async def add_tags(principal: Principal, query: Query, tags: Sequence[str]) -> Changed:
        """Gives the tags to all live entries that match now; counts those that did not have them all."""

    async def delete_tags(principal: Principal, query: Query, tags: Sequence[str]) -> Changed:
        """Takes the tags from all live entries that match now; counts those that had any."""

    async def retag(principal: Principal, query: Query, add: Sequence[str], delete: Sequence[str]) -> Changed:
        """Both in one change per entry: takes ``delete``, then gives ``add``."""

    async def delete(principal: Principal, query: Query) -> Changed:
        """Moves the entries that match to the trash. Raises BadRequest for a query that is empty (as all bulk
        changes do)."""

    async def restore(principal: Principal, query: Query) -> Changed:
        """Takes the entries in the trash that match out of it."""

    async def purge(principal: Principal, query: Query) -> Changed:
        """Forgets the entries in the trash that match, for ever."""

    async def rename(principal: Principal, entry_id: str, name: str) -> Changed:
        """Gives one entry another name. Raises NotFound."""

    async def move(
        principal: Principal,
        entry_id: str,
        *,
        name: str | None = None,
        add: Sequence[str] = (),
        delete: Sequence[str] = (),
        home: str | None = None,
    ) -> Changed:
        """Renames, re-tags and re-homes one entry in one change; what is None or empty stays (``home=""`` is the top)."""

    async def touch(principal: Principal, entry_id: str, modified: int) -> Changed:
        """Sets when the content was last modified (milliseconds since 1970)."""

    async def rename_tag(principal: Principal, old: str, new: str) -> Changed:
        """Renames a tag on every entry, in the trash too; merges into ``new`` where it exists. Raises NotFound."""

    async def delete_tag(principal: Principal, tag: str) -> Changed:
        """Takes a tag from every entry and forgets its definition. Raises NotFound."""

    async def declare_tag(principal: Principal, tag: str) -> bool:
        """Makes the tag a directory though nothing carries it; False where it already is one."""

    async def undeclare_tag(principal: Principal, tag: str) -> None:
        """Forgets a tag that no entry outside the trash carries. Raises NotFound, or Conflict where one does."""

    async def declared(principal: Principal, after: str = "") -> Sequence[str]:
        """The first 10,000 declared tags behind the tag ``after`` in display spelling, by name."""

    async def save_search(principal: Principal, name: str, query: str) -> None:
        """Saves a query's text under a name, in place of any that was there."""

    async def saved_searches(principal: Principal) -> Sequence[tuple[str, str]]:
        """Names and query texts, by name."""

    async def unsave_search(principal: Principal, name: str) -> None:
        """Forgets a saved search. Raises NotFound."""

    async def nodes(principal: Principal) -> Sequence[NodeStatus]:
        """The cluster as this node sees it, itself first."""

    async def retire(principal: Principal, node: str, how: Retirement) -> str:
        """Takes a node out of the cluster, or out of the layout; for admins. ``node`` is its id, the beginning of one (4 or
        more characters), or its name. Returns its id. Raises NotFound, BadRequest where more than one is meant, Conflict
        where its state or the cluster's does not allow it, NotSupported on a node that is alone."""

    async def cluster_settings(principal: Principal) -> Mapping[str, str]:
        """The cluster's id (``cluster``) and its settings by name. Raises NotSupported on a node that is alone."""

    async def set_cluster_settings(principal: Principal, changes: Mapping[str, str]) -> Mapping[str, str]:
        """Changes settings of the whole cluster, all or none; for admins. Returns all of them. Raises BadRequest for a name
        or value that is not allowed, NotSupported on a node that is alone."""

    async def sync(principal: Principal, seconds: float) -> bool:
        """Waits until this node has all that its live peers had when called, after it was let into its cluster where it is not;
        False where time ran out."""

    def statistics() -> Mapping[str, int]:
        """Not a coroutine. Figures for status pages: entries, trash, tags, bytes, free bytes; ``changes`` grows whenever
        anything that INode can tell has changed."""

    def figures() -> Sequence[Figure]:
        """Not a coroutine. What monitoring wants to know besides :meth:`statistics`: queues, the disk, the reactor, the cluster."""

    def watch(principal: Principal, listener: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        """Not a coroutine. Until the function that it returns is called, tells ``listener`` the ids of entries whose records
        have changed, once that is durable here, whoever changed them; on the reactor's thread, so the listener is quick."""
