"""An INode in memory, for tests of the doors: small, honest about rights, and able to be slow on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b

from twisted.internet.defer import Deferred
from zope.interface import implementer

from tagfs.errors import BadRequest, Conflict, Forbidden, NotFound, NotSupported, ReadOnly
from tagfs.model.entry import Content, Entry, Version, check_entry_id, entry_id, entry_id_for_key, home_of
from tagfs.model.names import check_home, check_name, check_tag, fold, name_key
from tagfs.model.order import NEWEST, Cursor, Scope, Sort
from tagfs.model.principal import NOBODY, OWNER, Principal, Role
from tagfs.model.query import EVERYTHING, Query, Tag, parse
from tagfs.model.query.meaning import in_scope, matches
from tagfs.node.interfaces import (
    Added,
    Changed,
    Copies,
    EntryInfo,
    Figure,
    Found,
    IListing,
    INode,
    IReading,
    IReceiving,
    NodeStatus,
    Retirement,
    TagCounts,
)

ONE = Copies(1, 1)
START = 1_700_000_000_000
PIECE = 500


def order_of(sort: Sort) -> Callable[[Entry], tuple[int | str, str]]:
    def key(entry: Entry) -> tuple[int | str, str]:
        value: int | str = {
            "name": name_key(entry.name),
            "size": entry.content.size,
            "added": entry.added,
            "modified": entry.content.modified,
        }[sort.key]
        return value, entry.id

    return key


@implementer(IReceiving)
class Receiving:
    def __init__(self, node: FakeNode, principal: Principal, start: bytes = b"") -> None:
        self.node = node
        self.principal = principal
        self.data = bytearray(start)
        self.ended = False

    @property
    def size(self) -> int:
        return len(self.data)

    def write(self, data: bytes) -> Deferred[None] | None:
        assert not self.ended
        self.data += data
        return self.node.write_wait() if self.node.write_wait is not None else None

    def complete(self) -> None:
        assert not self.ended

    def _content(self, name: str, modified: int | None, type: str | None) -> Content:
        assert not self.ended
        self.ended = True
        data = bytes(self.data)
        digest = blake2b(data, digest_size=32).digest()
        self.node.blobs[digest] = data
        when = self.node.tick() if modified is None else modified
        return Content(digest, len(data), type or "application/octet-stream", when)

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
        node = self.node
        check_name(name)
        for tag in tags:
            check_tag(tag)
        if home is not None:
            check_home(home)
        if node.gate is not None:
            await node.gate()
        now = node.tick()
        identifier = (
            entry_id(now, now.to_bytes(10, "big")) if key is None else entry_id_for_key(self.principal.name, key)
        )
        if identifier in node.entries:
            self.abort()
            return Added(identifier, ONE, False)
        content = self._content(name, modified, type)
        for tag in tags:
            node.spelling.setdefault(fold(tag), tag)
        folded = tuple(sorted({fold(tag) for tag in tags}))
        node.entries[identifier] = Entry(identifier, name, content, now, folded, home, None, ())
        return Added(identifier, ONE, True)

    async def replace(self, entry_id: str, *, modified: int | None = None, type: str | None = None) -> Added:
        entry = self.node.entry(entry_id)
        version = Version(f"{self.node.tick():016x}.n", entry.content)
        content = self._content(entry.name, modified, type)
        self.node.entries[entry.id] = entry._replace(content=content, versions=(*entry.versions, version))
        return Added(entry.id, ONE, False)

    async def keep(self, slot: str) -> int:
        self.ended = True
        self.node.slots[self.principal.name, slot] = bytes(self.data)
        return len(self.data)

    def abort(self) -> None:
        if not self.ended:
            self.node.aborted += 1
        self.ended = True


@implementer(IReading)
class Reading:
    def __init__(self, entry: Entry, data: bytes, start: int, length: int | None) -> None:
        self.entry = entry
        self.size = len(data)
        self.start = start
        self.length = min(len(data) - start, len(data) if length is None else length)
        self._left = data[start : start + self.length]
        self.closed = False

    async def read(self, limit: int) -> bytes:
        data, self._left = self._left[:limit], self._left[limit:]
        return data

    def close(self) -> None:
        self.closed = True


@implementer(IListing)
class Listing:
    complete = True

    def __init__(self, node: FakeNode, entries: list[Entry]) -> None:
        self.node = node
        self.total = len(entries)
        self._entries = entries
        self._at = 0

    async def next(self) -> Sequence[Entry]:
        if self.node.listing_gate is not None:
            await self.node.listing_gate()
        self._at += PIECE
        return [self.node.shown(entry) for entry in self._entries[self._at - PIECE : self._at]]

    def close(self) -> None:
        self.node.listings_closed += 1


@implementer(INode)
class FakeNode:
    """``gate``, ``write_wait`` and ``listing_gate`` make ADD, its writes, and FIND wait; ``passwords`` are those of
    users, with their roles."""

    def __init__(self) -> None:
        self.id = "node1"
        self.name = "fake"
        self.read_only = ""
        self.full = ""
        self.starting = ""
        self.generation = 0
        self.entries: dict[str, Entry] = {}
        self.blobs: dict[bytes, bytes] = {}
        self.slots: dict[tuple[str, str], bytes] = {}
        self.spelling: dict[str, str] = {}
        self.declarations: set[str] = set()
        self.searches: dict[str, str] = {}
        self.passwords: dict[str, tuple[str, Role]] = {}
        self.aborted = 0
        self.listings_closed = 0
        self.in_step = True
        self.gate: Callable[[], Deferred[None]] | None = None
        self.write_wait: Callable[[], Deferred[None]] | None = None
        self.listing_gate: Callable[[], Deferred[None]] | None = None
        self._now = START

    # Not of INode

    def tick(self) -> int:
        self._now += 1
        return self._now

    def entry(self, identifier: str) -> Entry:
        found = self.entries.get(check_entry_id(identifier))
        if found is None:
            raise NotFound(f"there is no entry {identifier}")
        return found

    def shown(self, entry: Entry) -> Entry:
        return entry._replace(tags=tuple(self.spelling.get(tag, tag) for tag in entry.tags))

    def _select(self, query: Query, scope: Scope) -> list[Entry]:
        return [e for e in self.entries.values() if in_scope(e, scope) and matches(query, e, nodes=(self.id,))]

    def _change(
        self, principal: Principal, query: Query, scope: Scope, edit: Callable[[Entry], Entry | None]
    ) -> Changed:
        principal.require(Role.WRITE, "a change")
        if self.read_only:
            raise ReadOnly(self.read_only)
        if query == EVERYTHING:
            raise BadRequest("an empty query")
        changed = 0
        for entry in self._select(query, scope):
            new = edit(entry)
            if new != entry:
                changed += 1
                if new is None:
                    del self.entries[entry.id]
                else:
                    self.entries[entry.id] = new
        return Changed(changed, ONE)

    # INode

    def anonymous(self) -> Principal:
        return NOBODY if self.passwords else OWNER

    @property
    def has_users(self) -> bool:
        return bool(self.passwords)

    async def login(self, name: str, password: str, address: str) -> Principal:
        if not self.passwords:
            return OWNER
        if self.passwords.get(name, ("", 0))[0] != password:
            raise Forbidden("wrong name or password")
        return Principal(name, self.passwords[name][1], login=password)

    def current(self, principal: Principal) -> Principal:
        password, role = self.passwords.get(principal.name, ("", Role.NONE))
        if not principal.login:
            return self.anonymous()
        return principal._replace(role=role) if password == principal.login else NOBODY

    async def users(self, principal: Principal) -> Sequence[tuple[str, Role]]:
        principal.require(Role.ADMIN, "listing users")
        return sorted((name, role) for name, (_, role) in self.passwords.items())

    async def add_user(self, principal: Principal, name: str, role: Role, password: str) -> None:
        principal.require(Role.ADMIN, "adding a user")
        if name in self.passwords:
            raise Conflict(f"there is a user {name} already")
        self.passwords[name] = password, role

    async def remove_user(self, principal: Principal, name: str) -> None:
        principal.require(Role.ADMIN, "removing a user")
        if self.passwords.pop(name, None) is None:
            raise NotFound(f"there is no user {name!r}")

    async def set_role(self, principal: Principal, name: str, role: Role) -> None:
        principal.require(Role.ADMIN, "changing a role")
        self.passwords[name] = self.passwords[name][0], role

    async def set_password(self, principal: Principal, name: str, password: str) -> Principal:
        if name != principal.name:
            principal.require(Role.ADMIN, "changing another user's password")
        if name not in self.passwords:
            raise NotFound(f"there is no user {name!r}")
        role = self.passwords[name][1]
        self.passwords[name] = password, role
        return Principal(name, role, login=password)

    async def receive(self, principal: Principal, size: int | None = None) -> Receiving:
        principal.require(Role.WRITE, "storing a file")
        if self.read_only:
            raise ReadOnly(self.read_only)
        return Receiving(self, principal)

    async def resume(self, principal: Principal, slot: str, offset: int) -> Receiving:
        kept = self.slots.get((principal.name, slot))
        if kept is None:
            raise NotFound("nothing was kept")
        if offset > len(kept):
            raise BadRequest("fewer bytes were kept")
        return Receiving(self, principal, kept[:offset])

    async def kept(self, principal: Principal, slot: str) -> int | None:
        kept = self.slots.get((principal.name, slot))
        return None if kept is None else len(kept)

    async def read(
        self,
        principal: Principal,
        entry_id: str,
        offset: int = 0,
        length: int | None = None,
        version: str | None = None,
    ) -> Reading:
        principal.require(Role.READ, "reading")
        entry = self.entry(entry_id)
        content = entry.content
        if version is not None:
            content = next((v.content for v in entry.versions if v.stamp == version), None)  # type: ignore[assignment]
            if content is None:
                raise NotFound("no such version")
        if offset > content.size:
            raise BadRequest(f"offset {offset} is beyond the content, which has {content.size} bytes")
        return Reading(entry, self.blobs[content.digest], offset, length)

    async def count(self, principal: Principal, query: Query, scope: Scope = Scope.LIVE) -> int:
        principal.require(Role.READ, "a query")
        return len(self._select(query, scope))

    async def find(
        self,
        principal: Principal,
        query: Query,
        sort: Sort = NEWEST,
        after: Cursor | None = None,
        limit: int = 100,
        scope: Scope = Scope.LIVE,
    ) -> Found:
        principal.require(Role.READ, "a query")
        key = order_of(sort)
        entries = sorted(self._select(query, scope), key=key, reverse=sort.descending)
        rest = entries
        if after is not None:
            mark = tuple(after)
            rest = [e for e in entries if (key(e) < mark if sort.descending else key(e) > mark)]
        page = rest[:limit]
        more = Cursor(*key(page[-1])) if page and len(rest) > limit else None
        return Found([self.shown(e) for e in page], len(entries), True, more)

    async def listing(
        self, principal: Principal, query: Query, sort: Sort = NEWEST, scope: Scope = Scope.LIVE
    ) -> Listing:
        principal.require(Role.READ, "a query")
        entries = sorted(self._select(query, scope), key=order_of(sort), reverse=sort.descending)
        return Listing(self, entries)

    async def tags(
        self,
        principal: Principal,
        query: Query,
        limit: int = 100,
        prefix: str = "",
        by_name: bool = False,
        after: str = "",
    ) -> TagCounts:
        principal.require(Role.READ, "a query")
        counts: dict[str, int] = {}
        for entry in self._select(query, Scope.LIVE):
            for tag in entry.tags:
                if tag.startswith(fold(prefix)):
                    counts[tag] = counts.get(tag, 0) + 1
        ranked = sorted(counts.items(), key=lambda item: (0 if by_name else -item[1], item[0]))
        behind = [item for item in ranked if item[0] > fold(after)] if by_name else ranked
        return TagCounts([(self.spelling[tag], number) for tag, number in behind[:limit]], len(counts))

    async def shown_tags(self, principal: Principal, tags: Sequence[str]) -> Sequence[str | None]:
        used = {tag for entry in self._select(EVERYTHING, Scope.LIVE) for tag in entry.tags} | self.declarations
        return [self.spelling[fold(tag)] if fold(tag) in used else None for tag in tags]

    async def named(self, principal: Principal, name: str, home: str | None = None) -> Sequence[Entry]:
        found = [e for e in self._select(EVERYTHING, Scope.LIVE) if name_key(e.name) == name_key(name)]
        return [self.shown(e) for e in found if home is None or home_of(e) == home]

    async def info(self, principal: Principal, entry_id: str) -> EntryInfo:
        principal.require(Role.READ, "a query")
        entry = self.entry(entry_id)
        return EntryInfo(self.shown(entry), home_of(entry), ONE, [self.id])

    async def add_tags(self, principal: Principal, query: Query, tags: Sequence[str]) -> Changed:
        return await self.retag(principal, query, tags, ())

    async def delete_tags(self, principal: Principal, query: Query, tags: Sequence[str]) -> Changed:
        return await self.retag(principal, query, (), tags)

    async def retag(self, principal: Principal, query: Query, add: Sequence[str], delete: Sequence[str]) -> Changed:
        for tag in add:
            self.spelling.setdefault(fold(check_tag(tag)), tag)
        less = {fold(check_tag(tag)) for tag in delete}
        more = {fold(tag) for tag in add}
        return self._change(
            principal, query, Scope.LIVE, lambda e: e._replace(tags=tuple(sorted((set(e.tags) - less) | more)))
        )

    async def delete(self, principal: Principal, query: Query) -> Changed:
        return self._change(principal, query, Scope.LIVE, lambda e: e._replace(trashed=self.tick()))

    async def restore(self, principal: Principal, query: Query) -> Changed:
        return self._change(principal, query, Scope.TRASH, lambda e: e._replace(trashed=None))

    async def purge(self, principal: Principal, query: Query) -> Changed:
        return self._change(principal, query, Scope.TRASH, lambda e: None)

    async def rename(self, principal: Principal, entry_id: str, name: str) -> Changed:
        return await self.move(principal, entry_id, name=name)

    async def move(
        self,
        principal: Principal,
        entry_id: str,
        *,
        name: str | None = None,
        add: Sequence[str] = (),
        delete: Sequence[str] = (),
        home: str | None = None,
    ) -> Changed:
        principal.require(Role.WRITE, "a change")
        entry = new = self.entry(entry_id)
        if name is not None:
            new = new._replace(name=check_name(name))
        for tag in add:
            self.spelling.setdefault(fold(check_tag(tag)), tag)
        kept = set(new.tags) - {fold(tag) for tag in delete}
        new = new._replace(tags=tuple(sorted(kept | {fold(tag) for tag in add})))
        if home is not None:
            new = new._replace(home=check_home(home))
        self.entries[entry.id] = new
        return Changed(int(new != entry), ONE)

    async def touch(self, principal: Principal, entry_id: str, modified: int) -> Changed:
        entry = self.entry(entry_id)
        self.entries[entry.id] = entry._replace(content=entry.content._replace(modified=modified))
        return Changed(1, ONE)

    async def rename_tag(self, principal: Principal, old: str, new: str) -> Changed:
        was, now = fold(check_tag(old)), fold(check_tag(new))
        if not self._select(Tag(was), Scope.ALL) and was not in self.declarations:
            raise NotFound(f"there is no tag {old!r}")
        self.spelling.setdefault(now, new)
        return self._change(
            principal, Tag(was), Scope.ALL, lambda e: e._replace(tags=tuple(sorted(({*e.tags} - {was}) | {now})))
        )

    async def delete_tag(self, principal: Principal, tag: str) -> Changed:
        was = fold(check_tag(tag))
        if not self._select(Tag(was), Scope.ALL) and was not in self.declarations:
            raise NotFound(f"there is no tag {tag!r}")
        self.declarations.discard(was)
        return self._change(
            principal, Tag(was), Scope.ALL, lambda e: e._replace(tags=tuple(t for t in e.tags if t != was))
        )

    async def declare_tag(self, principal: Principal, tag: str) -> bool:
        principal.require(Role.WRITE, "a change")
        folded = fold(check_tag(tag))
        self.spelling.setdefault(folded, tag)
        if folded in self.declarations or self._select(Tag(folded), Scope.LIVE):
            return False
        self.declarations.add(folded)
        return True

    async def undeclare_tag(self, principal: Principal, tag: str) -> None:
        folded = fold(check_tag(tag))
        if self._select(Tag(folded), Scope.LIVE):
            raise Conflict("entries carry it")
        if folded not in self.declarations:
            raise NotFound("no such tag")
        self.declarations.discard(folded)

    async def declared(self, principal: Principal, after: str = "") -> Sequence[str]:
        return [self.spelling[tag] for tag in sorted(self.declarations) if tag > fold(after)]

    async def save_search(self, principal: Principal, name: str, query: str) -> None:
        principal.require(Role.WRITE, "a change")
        parse(query)
        self.searches[check_name(name)] = query

    async def saved_searches(self, principal: Principal) -> Sequence[tuple[str, str]]:
        return sorted(self.searches.items())

    async def unsave_search(self, principal: Principal, name: str) -> None:
        if name not in self.searches:
            raise NotFound(f"there is no saved search {name!r}")
        del self.searches[name]

    async def nodes(self, principal: Principal) -> Sequence[NodeStatus]:
        size = sum(entry.content.size for entry in self.entries.values())
        return [NodeStatus(self.id, self.name, "", "alive", "127.0.0.1:4747", len(self.entries), size)]

    async def retire(self, principal: Principal, node: str, how: Retirement) -> str:
        principal.require(Role.ADMIN, "taking out a node")
        raise NotSupported("this node is alone")

    async def cluster_settings(self, principal: Principal) -> Mapping[str, str]:
        raise NotSupported("this node is alone")

    async def set_cluster_settings(self, principal: Principal, changes: Mapping[str, str]) -> Mapping[str, str]:
        principal.require(Role.ADMIN, "changing the cluster's settings")
        raise NotSupported("this node is alone")

    async def sync(self, principal: Principal, seconds: float) -> bool:
        return self.in_step

    def figures(self) -> Sequence[Figure]:
        return [Figure("pool_calls", "Calls that wait for a thread, or run in one.", 0, {"pool": "readers"})]

    def watch(self, principal: Principal, listener: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        principal.require(Role.READ, "listening to changes")
        return lambda: None

    def statistics(self) -> Mapping[str, int]:
        return {"entries": len(self.entries)}
