"""Storing: a content on its way in becomes an entry, or another content of one. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from mimetypes import MimeTypes

from blake3 import blake3
from twisted.internet.defer import Deferred
from zope.interface import implementer

from tagfs.errors import BadRequest, Forbidden, NotFound
from tagfs.model.entry import (
    KIND,
    Content,
    check_entry_id,
    creation,
    entry_id_for_key,
    is_whole,
    replacement,
)
from tagfs.model.names import check_home, check_name, check_tag, fold
from tagfs.model.principal import NOBODY, Principal, Role
from tagfs.model.record import Record, Ref
from tagfs.model.stamp import ZERO
from tagfs.node.ahead import Ahead
from tagfs.node.core import Core
from tagfs.node.interfaces import Added, IDrawing
from tagfs.node.transfer import Inflow
from tagfs.storage.interfaces import Blob

MAX_TAGS = 1_000
"""Most tags that one request may give to an entry."""
MAX_KEY = 255
"""Longest idempotency key, in characters."""
_TYPES = MimeTypes(filenames=())
_UNKNOWN_TYPE = "application/octet-stream"


def media_type(name: str) -> str:
    """The media type that a file name suggests, by Python's own table, so that all nodes agree."""
    return _type_of_endings(tuple(name.rsplit(".", 2)[1:]))


@lru_cache(maxsize=1024)
def _type_of_endings(endings: tuple[str, ...]) -> str:
    """By the last two endings of a name (two for ``tar.gz``)."""
    kind, encoding = _TYPES.guess_type(".".join(("name", *endings)))
    if encoding is not None:
        return {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}.get(
            encoding, _UNKNOWN_TYPE
        )
    return kind or _UNKNOWN_TYPE


def check_tags(tags: Sequence[str]) -> list[str]:
    """The tags in NFC, each once. Raises BadRequest for a bad one, and for more than :data:`MAX_TAGS`."""
    if len(tags) > MAX_TAGS:
        raise BadRequest(f"{len(tags)} tags at once; at most {MAX_TAGS} can be given")
    return list({fold(tag): tag for tag in map(check_tag, reversed(tags))}.values())[::-1]


def slot_name(principal: Principal, slot: str) -> str:
    """The name under which the blob store keeps what a principal left unfinished at ``slot``."""
    return blake3(f"{principal.name}\0{slot}".encode("utf-8", "surrogateescape")).hexdigest()[:32]


@implementer(IDrawing)
class Receiving:
    """INode's IReceiving over an :class:`Inflow`."""

    def __init__(self, core: Core, principal: Principal, inflow: Inflow, in_flight: dict[str, Deferred[None]]) -> None:
        self._core = core
        self._principal = principal
        self._inflow = inflow
        self._in_flight = in_flight
        self._ahead: Ahead | None = None

    @property
    def size(self) -> int:
        return self._inflow.size

    def write(self, data: bytes) -> Deferred[None] | None:
        return self._inflow.write(data)

    async def draw(self, fill: Callable[[memoryview], int], budget: int) -> bool:
        return await self._inflow.draw(fill, budget)

    def complete(self) -> None:
        if self._ahead is None and self._inflow.is_small and self._core.committer.is_slow:
            self._ahead = self._core.committer.store_ahead(self._inflow.small())

    def abort(self) -> None:
        self._give_up_ahead()
        self._inflow.abort()

    async def keep(self, slot: str) -> int:
        self._give_up_ahead()
        await self._inflow.keep(slot_name(self._principal, slot), self._core.now_ms())
        return self._inflow.size

    async def add(
        self,
        name: str,
        tags: Sequence[str],
        *,
        home: str | None = None,
        modified: int | None = None,
        type: str | None = None,
        key: str | None = None,
    ) -> Added:
        try:
            check_name(name)
            tags = check_tags(tags)
            if home is not None:
                home = check_home(home)
            if key is not None and not 0 < len(key) <= MAX_KEY:
                raise BadRequest(f"a key has 1 to {MAX_KEY} characters, not {len(key)}")
        except BadRequest:
            self.abort()
            raise
        now = self._core.now_ms()
        moment = now if modified is None else modified
        media = type or media_type(name)

        def make(identifier: str, blob: Blob) -> list[Record]:
            content = Content(blob.digest, blob.size, media, moment)
            return [creation(identifier, stamp, name, content, now, map(fold, tags), home)]

        stamp = self._core.stamp()
        definitions = self._core.definitions(tags, stamp)
        if key is None:
            return await self._create(self._core.new_entry_id(), make, definitions)
        identifier = entry_id_for_key(self._principal.name, key)
        while identifier in self._in_flight:
            await _turn(self._in_flight[identifier])
        self._in_flight[identifier] = Deferred()
        try:
            return await self._create(identifier, make, definitions, once=True)
        finally:
            self._in_flight.pop(identifier).callback(None)

    async def _create(
        self,
        identifier: str,
        make: Callable[[str, Blob], list[Record]],
        definitions: Sequence[Record],
        once: bool = False,
    ) -> Added:
        """Stores the content and what ``make`` says of it; with ``once`` only where the entry was never there."""
        ref = Ref(KIND, identifier)
        new = True
        replication = self._core.replication

        def plan(blob: Blob, present: Sequence[Record | None]) -> Sequence[Record]:
            nonlocal new
            new = not (present and present[0])
            return [*make(identifier, blob), *definitions] if new else ()

        try:
            blob = await self._store((ref,) if once else (), plan)
        finally:
            self._core.undefine(definitions)
        copies = await (replication.stored(identifier, blob.digest) if new else replication.changed())
        return Added(identifier, copies, new)

    async def replace(self, entry_id: str, *, modified: int | None = None, type: str | None = None) -> Added:
        core = self._core
        identifier = check_entry_id(entry_id)
        moment = core.now_ms() if modified is None else modified

        def plan(blob: Blob, present: Sequence[Record | None]) -> Sequence[Record]:
            record = present[0]
            if record is None or not is_whole(record):
                raise NotFound(f"there is no entry {identifier}")
            media = type or media_type(str(record.value("name")))
            content = Content(blob.digest, blob.size, media, moment)
            return [replacement(record, core.stamp(record.greatest() if record else ZERO), content)]

        blob = await self._store((Ref(KIND, identifier),), plan)
        return Added(identifier, await core.replication.stored(identifier, blob.digest), False)

    def _give_up_ahead(self) -> None:
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.release()

    def _check_still(self) -> None:
        """An upload may outlast its user's right to it; then nothing is stored."""
        who = self._principal
        if who.login and (self._core.users.current(who) or NOBODY).role < Role.WRITE:
            self.abort()
            raise Forbidden(f"{who.name} may no longer store files")

    async def _store(
        self, refs: Sequence[Ref], plan: Callable[[Blob, Sequence[Record | None]], Sequence[Record]]
    ) -> Blob:
        self._check_still()
        if self._inflow.is_small:
            content: bytes | Ahead
            content, self._ahead = self._ahead or self._inflow.small(), None
            done = await self._core.write(content, refs, plan)  # type: ignore[arg-type]
            assert done.blob is not None
            return done.blob
        blob = await self._inflow.finish()
        try:
            await self._core.write(None, refs, lambda _, present: plan(blob, present), blob)
        finally:
            self._core.blobs.unpin(blob.digest)
        return blob


def _turn(gate: Deferred[None]) -> Deferred[None]:
    """A Deferred of one's own that fires when ``gate`` does; any number may wait at one gate."""
    waiting: Deferred[None] = Deferred()

    def passed(result: None) -> None:
        waiting.callback(None)
        return result

    gate.addCallback(passed)
    return waiting
