"""The law of the stores: what a catalog and a blob store promise. Layer: storage.

Stores are chosen by URL (:mod:`tagfs.storage.stores`); the suites in ``tests/contracts`` hold every
implementation to the docstrings here. All calls block, may come from several threads at once, and raise
only :mod:`tagfs.errors` for outside faults: :class:`~tagfs.errors.StorageFull` where no space is left,
:class:`~tagfs.errors.ReadOnly` after a failure to make something durable (then every later write raises it
too, until the store is opened again; reads go on), :class:`~tagfs.errors.Corrupt`, and
:class:`~tagfs.errors.Unavailable` where the engine cannot be reached.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from zope.interface import Attribute, Interface

from tagfs.model.entry import Entry
from tagfs.model.order import Cursor, Scope, Sort
from tagfs.model.query import Query
from tagfs.model.record import Record, Ref

MAX_PAGE = 10_000
"""Most rows or records that one call returns."""
MAX_BATCH = 4_096
"""Most changes that one :meth:`ICatalog.merge` takes."""
SMALL_CONTENT = 128 * 1024
"""Largest content, in bytes, that :meth:`IBlobStore.put_many` takes."""
DIGEST = 32
"""Bytes of a content's digest."""
CHUNK = 1 << 20
"""Bytes per chunk digest."""


class Page(NamedTuple):
    """Some entries in order; ``next`` is None when nothing follows."""

    entries: Sequence[Entry]
    next: Cursor | None


class Facets(NamedTuple):
    """Tags (folded) of the entries that match, with exact counts; ``total`` counts all tags that would be listed
    without a limit."""

    total: int
    tags: Sequence[tuple[str, int]]


class Changes(NamedTuple):
    """One page of changed records, and what it takes to merge it elsewhere.

    Whoever catches up asks first with its own :meth:`ICatalog.vector`, merges each page with its ``origins`` and
    ``covered``, and asks on from ``vector`` while ``more`` tells that something is left. ``vector`` is only a place to
    ask on from: a record changed since stands further back in the order, so only ``covered`` (the origins
    of which nothing is left) says what the one who merged every page up to here has in full.
    """

    records: Sequence[Record]
    vector: Mapping[str, int]
    more: bool
    origins: Mapping[Ref, Mapping[str, int]]
    covered: Mapping[str, int]


class Reference(NamedTuple):
    """An entry refers to a content: by its present one (``current``), or only by a version."""

    digest: bytes
    id: str
    current: bool


class References(NamedTuple):
    """One page of references, those of one content together; ``next`` is the place to ask on from, None at the end."""

    items: Sequence[Reference]
    next: bytes | None


class Numbered(NamedTuple):
    """What one merge changed: the own origin, the first of the numbers it gave, and the records changed in the order of their
    numbers, which follow one another: each as its ref and its canonical bytes (:func:`tagfs.model.record.encode`)."""

    origin: str
    first: int
    records: Sequence[tuple[Ref, bytes]]


Watcher: TypeAlias = Callable[[Numbered], None]


class ISelection(Interface):
    """The entries that matched a query when it was asked: later changes neither add nor remove any of them.

    An entry that was purged since is left out of pages; others are shown as they are now.
    """

    total = Attribute("int: how many entries matched.")

    def page(sort: Sort, after: Cursor | None, limit: int) -> Page:
        """At most ``limit`` (1 to :data:`MAX_PAGE`) entries behind ``after``, or from the start where it is None."""

    def pages(sort: Sort, limit: int) -> Iterator[Sequence[Entry]]:
        """All of them in order, at most ``limit`` at a time, in bounded memory: what a listing without end wants."""

    def ids(limit: int) -> Iterator[Sequence[str]]:
        """Their ids in any order, at most ``limit`` at a time."""


class ICatalog(Interface):
    """Keeps records, and answers queries about the entries among them."""

    node = Attribute("str: id of the node this catalog numbers changes for.")
    epoch = Attribute("str: renewed by :meth:`renew_epoch`; part of this node's name as an origin of changes.")
    greatest_stamp = Attribute(
        "int: the greatest Stamp.time of this node's own stamps among all that was ever merged durably here."
    )

    def get(refs: Sequence[Ref]) -> Sequence[Record | None]:
        """The present states, in the order of ``refs`` (at most :data:`MAX_PAGE`); None where there is none.

        A record whose entry is gone is still there, as a tombstone.
        """

    def merge(
        changes: Sequence[Record],
        origins: Mapping[Ref, Mapping[str, int]] | None = None,
        covered: Mapping[str, int] | None = None,
        adopted: Collection[Ref] = (),
        ready: Callable[[], None] | None = None,
    ) -> Sequence[Record]:
        """Merges changes into the present states, all or none, durably; returns for each change, in their order, the
        state of its record after all of them.

        At most :data:`MAX_BATCH` changes; several may be of one record. Returns when all is durable and seen by
        every later call. A state that does not differ from what is there costs no change number. What nobody
        can see again of an entry that is gone is not kept (:func:`tagfs.model.entry.compact`).

        Without ``origins`` the changes are this node's own: each changed record gets the next number of
        (:attr:`node`, :attr:`epoch`). With ``origins`` they came from elsewhere: numbers by origin, per
        ref, under which others know them (empty where nobody knows). ``covered``, of the page of :meth:`changes` they
        came in, raises :meth:`vector` with them. Numbers of this node's own epoch that it never gave
        prove that it is a restored back-up: :meth:`renew_epoch` is done first. Of those that came from elsewhere the ``adopted``
        get numbers of this node's own, too, where they change anything: behind a gap that may never close, nobody would be
        offered them.
        prove that it is a restored back-up: :meth:`renew_epoch` is done first.

        ``ready`` is called, on this thread, when nothing is left but to make it durable, and may block: it returns when what
        must be durable before is that. It asks nothing of the catalog. What it raises is raised, and then nothing happened.
        """

    def watch(watcher: Watcher) -> None:
        """From now on tells ``watcher`` of every :meth:`merge` of this catalog that gave numbers: once all is durable, before it
        returns, on its thread; in the order of the numbers. There is one watcher; the last one counts."""

    def records(kind: str, after: str, limit: int) -> Sequence[Record]:
        """Records of one kind, tombstones too, in order of their keys, behind the key ``after``."""

    def select(query: Query, scope: Scope = Scope.LIVE) -> ISelection:
        """The entries that match; evaluated once, now, on whole merged records."""

    def count(query: Query, scope: Scope = Scope.LIVE) -> int:
        """How many entries match."""

    def is_quick(query: Query) -> bool:
        """Whether :meth:`count` of this query answers from memory within about a millisecond, so that it may be
        called where nothing may block. That is of this moment: False also while it would wait for somebody else."""

    def facets(
        query: Query,
        limit: int,
        prefix: str = "",
        by_name: bool = False,
        scope: Scope = Scope.LIVE,
        after: str = "",
    ) -> Facets:
        """The ``limit`` (1 to :data:`MAX_PAGE`) most frequent tags of the entries that match, or the first by name, of those
        behind ``after`` (folded); only tags that begin with ``prefix`` (folded). Equal counts are in order of the tag."""

    def named(name: str, home: str | None = None) -> Sequence[Entry]:
        """The entries outside the trash with that name (compared in NFC), at most :data:`MAX_PAGE`, oldest first;
        with ``home`` only those stored under that home."""

    def folders(home: str, limit: int, after: str = "") -> Sequence[str]:
        """Names of the folders in the folder ``home`` (``""`` is the top) at or below which an entry outside the trash has
        its home, in NFC and in order of their code points: the first ``limit`` (1 to :data:`MAX_PAGE`) behind ``after``.
        The work is that of the folders, not of the entries below."""

    def vector() -> Mapping[str, int]:
        """Per origin (``node/epoch``), the number up to which every change is here."""

    def changes(vector: Mapping[str, int], limit: int) -> Changes:
        """Whole states of at most ``limit`` (1 to :data:`MAX_PAGE`) records with a change that ``vector`` does not cover.

        Only changes that this catalog's own :meth:`vector` covers are offered (what came here past a gap is
        found by :meth:`leaves`). Of one record and origin only the last number counts; the older ones are superseded.
        """

    def renew_epoch() -> str:
        """Starts numbering anew under a fresh epoch: a restored back-up must not repeat numbers. Durable."""

    def drop(refs: Sequence[Ref]) -> int:
        """Forgets tombstones that every member has confirmed, durably; other records stay. Returns how many went."""

    def leaves(partition: int) -> bytes:
        """The hash-tree leaves of one partition (0 to 255): :data:`~tagfs.storage.leaves.LEAVES` digests of 16 bytes, one after the other.

        A record belongs to the partition :func:`~tagfs.storage.leaves.place` says. A leaf is the exclusive
        or of the hashes of its records' canonical bytes, so that equal sets have equal leaves.
        """

    def in_leaves(partition: int, leaves: Sequence[int]) -> Mapping[Ref, bytes]:
        """The records in some leaves of a partition, each with the hash (16 bytes) that it adds to its leaf."""

    def unreferenced(digests: Sequence[bytes]) -> Sequence[bytes]:
        """Those of ``digests`` to which no entry refers, by its content or a version."""

    def orphans(before_ms: int, limit: int) -> Sequence[bytes]:
        """Digests that lost their last reference before that time and have none now, in any order."""

    def note_orphans(digests: Sequence[bytes], now_ms: int) -> None:
        """Counts those of ``digests`` to which nothing refers as orphans since ``now_ms``, unless they are already."""

    def forget_orphans(digests: Sequence[bytes]) -> None:
        """Takes them off the list of orphans: their contents were dropped."""

    def expiring(trashed_before_ms: int, limit: int) -> Sequence[str]:
        """Ids of entries in the trash since before that time, in any order."""

    def note_holders(node: str, holdings: bytes, held: bool) -> bytes:
        """Notes whether a node has a durable copy of contents (:mod:`tagfs.storage.holdings`, at most :data:`MAX_PAGE`):
        what ``node:`` and ``copies:`` ask for. Returns those of which there is no entry here with that content; nothing is
        noted of them.

        Where nothing was noted, other nodes have nothing, and this node has the contents that its own changes brought
        (:meth:`merge` without ``origins``) and lacks those that came from elsewhere. Kept until the entry has another
        content or is gone, or the catalog is closed: after that this node counts as having everything until told otherwise.
        """

    def holdings(node: str, partition: int) -> bytes:
        """The holdings of the entries of one partition (0 to 255), in the trash or not, whose content a node is noted to have;
        sorted."""

    def new_holdings(limit: int) -> tuple[bytes, bytes]:
        """Takes at most ``limit`` entries with something new about this node's copy since they were last taken (the entry or
        its content is new here, or :meth:`note_holders` changed it): the holdings that this node has, and those that it
        lacks, both sorted. Two empty ones: there is nothing new. What was new is forgotten when the catalog is closed."""

    def references(after: bytes, limit: int) -> References:
        """All references to contents, by digest, at most ``limit`` (1 to :data:`MAX_PAGE`) behind the place ``after``. A digest
        itself is the place before its first reference, the empty one before all."""

    def note_alive(nodes: Collection[str]) -> None:
        """From now on ``copies:`` counts the copies on these nodes; at first that is this node alone."""

    def holders(id: str) -> Sequence[str]:
        """The nodes noted to have a copy of an entry's content, alive or not, in order; none for an unknown entry."""

    def statistics() -> Mapping[str, int]:
        """``entries`` outside the trash, ``trash``, ``tags`` in use, ``bytes``: the sum of the sizes of live entries."""

    def checkpoint() -> None:
        """Saves what makes the next start quick. May take seconds; other calls go on meanwhile."""

    def copy_to(directory: str) -> None:
        """A consistent copy of everything here, made while the catalog is in use, for a back-up."""

    def close() -> None:
        """Checkpoints and lets go of everything. Later calls are a mistake of the caller."""


class Blob(NamedTuple):
    """A stored content: its BLAKE3 digest (32 bytes) and size in bytes."""

    digest: bytes
    size: int


class Usage(NamedTuple):
    """What a blob store holds: contents, their bytes, bytes taken on disk, and bytes free for more."""

    contents: int
    bytes: int
    on_disk: int
    free: int


class IBlobWriter(Interface):
    """A content on its way in. Used by one thread at a time. What is neither finished nor kept leaves no trace,
    also after a crash."""

    size = Attribute("int: bytes written so far.")

    def write(data: bytes | memoryview, digest: bytes = b"") -> None:
        """Appends, and keeps no reference to it. ``digest`` is that of ``data`` where this is exactly one chunk (:data:`CHUNK`
        bytes from a multiple of it on) and the caller has computed it: then it is not computed again."""

    def finish() -> Blob:
        """Makes the content durable under its name, pinned once for the caller. Content that is there already is
        not stored twice."""

    def abort() -> None:
        """Forgets the content. Harmless after finish, keep or abort."""

    def keep(name: str, now_ms: int) -> None:
        """Keeps what was written so far, durably, to be gone on with by :meth:`IBlobStore.resume`, in place of what
        was kept under that name (1 to 64 characters of ``a-z0-9``) before. It is no content: no digest names it."""


class IBlobReader(Interface):
    """An open content; stays readable until closed, whatever is dropped or compacted meanwhile."""

    size = Attribute("int: bytes in all.")
    in_memory = Attribute("bool: whether all of it is in memory, so that reading and closing need no other thread.")

    def read(offset: int, length: int) -> bytes:
        """Exactly the bytes asked for, fewer only at the end. Raises Corrupt where they do not match the digest
        (small contents are verified whole, larger ones where a chunk is read whole, and not again within an hour of a
        reading of the whole content, as long as nothing was written to it)."""

    def close() -> None:
        """Lets go. Harmless when repeated."""


class IBlobStore(Interface):
    """Keeps contents by digest. A content is whole and durable, or not there at all.

    A *pin* keeps a content from being dropped between the moment it is stored and the moment a record refers
    to it. Pins are counted, and gone after a restart.
    """

    def begin() -> IBlobWriter:
        """An :class:`IBlobWriter` for a content of any size."""

    def put_many(contents: Sequence[bytes]) -> Sequence[Blob]:
        """Stores small contents (at most :data:`SMALL_CONTENT` bytes each) together: durable and pinned once each
        (also those that were there already) when it returns."""

    def stat(digest: bytes) -> Blob | None:
        """The content's name and size, or None where it is not here whole (a quarantined one is not)."""

    def open(digest: bytes) -> IBlobReader:
        """An :class:`IBlobReader`. Raises :class:`~tagfs.errors.NotFound`."""

    def open_now(digest: bytes) -> IBlobReader | None:
        """An :class:`IBlobReader` of a small content whose bytes are in memory: after a short look-up, for a thread that may not
        wait for them. None where they are not, or that cannot be said; also where the content is large, bad or not here: then
        :meth:`open` tells."""

    def chunks(digest: bytes) -> Sequence[bytes]:
        """BLAKE3 digests of each :data:`CHUNK` of a content larger than one chunk; empty for others. Raises NotFound, or Corrupt
        where they are not to be had."""

    def pin(digest: bytes) -> bool:
        """Pins a content; False where it is not here."""

    def unpin(digest: bytes) -> None:
        """Takes one pin off."""

    def drop(digest: bytes) -> bool:
        """Forgets a content, durably in the end; False where it is pinned or not here."""

    def digests(after: bytes, limit: int) -> Sequence[bytes]:
        """Digests here, ascending, behind ``after``; at most ``limit`` (1 to :data:`MAX_PAGE`)."""

    def verify(digest: bytes) -> bool:
        """Reads the whole content again; where it does not match, quarantines it (kept aside, no longer served) and
        returns False. Raises NotFound."""

    def compact(limit: int) -> int:
        """Gives back space of dropped contents, moving at most about ``limit`` bytes of others; returns bytes freed."""

    def kept(name: str) -> int | None:
        """Bytes kept under ``name`` (:meth:`IBlobWriter.keep`), or None."""

    def resume(name: str, size: int) -> IBlobWriter:
        """An :class:`IBlobWriter` that goes on behind the first ``size`` bytes of what was kept under ``name``, which is
        no longer kept. Raises NotFound, or BadRequest where fewer bytes were kept."""

    def forget_kept(before_ms: int) -> int:
        """Forgets what was kept before that time; returns how many."""

    def usage() -> Usage:
        """What it holds now."""

    def room() -> int:
        """Bytes that contents may still take, less what is kept free for changes of records; asks nothing but the system."""

    def close() -> None:
        """Lets go of everything; writers still open are aborted."""
