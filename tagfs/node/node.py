"""One node: INode over the stores of this machine. Layer: node.

Checks rights, then leaves the work to the modules beside it: :mod:`~tagfs.node.reads`, :mod:`~tagfs.node.receiving`,
:mod:`~tagfs.node.changes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from tagfs.errors import BadRequest, NotFound, ReadOnly, StorageFull, TooLarge, Unavailable
from tagfs.model.entry import KIND, Content, Entry, change, check_entry_id, is_whole, replacement
from tagfs.model.names import check_home, check_name, check_tag, fold
from tagfs.model.order import NEWEST, Cursor, Scope, Sort
from tagfs.model.principal import Principal, Role
from tagfs.model.query import Query, Tag
from tagfs.model.record import Record, Ref
from tagfs.model.stamp import Stamp
from tagfs.node import changes, reads, saved, tags
from tagfs.node.accounts import Accounts
from tagfs.node.alone import Alone, ICluster
from tagfs.node.core import Core
from tagfs.node.interfaces import Changed, EntryInfo, Figure, Found, INode, IReading, NodeStatus, Retirement, TagCounts
from tagfs.node.receiving import Receiving, check_tags, slot_name
from tagfs.node.transfer import MAX_CONTENT, Inflow
from tagfs.storage.interfaces import MAX_PAGE

_KEEP_FREE = 16 << 20
"""Bytes of the disk that an announced content must leave free."""


@implementer(INode)
class Node:
    """INode. ``address`` is where other nodes reach this one; without a ``cluster`` it is alone."""

    log = Logger()

    def __init__(
        self, core: Core, name: str, zone: str, address: str, accounts: Accounts, cluster: ICluster | None = None
    ) -> None:
        self._core = core
        self._cluster: ICluster = cluster or Alone(core, name, zone, address)
        self._accounts = accounts
        self._in_flight: dict[str, Deferred[None]] = {}
        self.id = core.node_id
        self.name = name

    @property
    def read_only(self) -> str:
        return self._core.read_only

    @property
    def full(self) -> str:
        return self._core.full

    @property
    def starting(self) -> str:
        return self._core.starting

    @property
    def generation(self) -> int:
        return self._core.changes

    # Users

    @property
    def has_users(self) -> bool:
        return self._accounts.exist

    def anonymous(self) -> Principal:
        return self._accounts.anonymous()

    async def login(self, name: str, password: str, address: str) -> Principal:
        return await self._accounts.login(name, password, address)

    def current(self, principal: Principal) -> Principal:
        return self._accounts.current(principal)

    async def users(self, principal: Principal) -> Sequence[tuple[str, Role]]:
        return self._accounts.list(principal)

    async def add_user(self, principal: Principal, name: str, role: Role, password: str) -> None:
        await self._accounts.add(principal, name, role, password)

    async def remove_user(self, principal: Principal, name: str) -> None:
        await self._accounts.remove(principal, name)

    async def set_role(self, principal: Principal, name: str, role: Role) -> None:
        await self._accounts.set_role(principal, name, role)

    async def set_password(self, principal: Principal, name: str, password: str) -> Principal:
        return await self._accounts.set_password(principal, name, password)

    # Contents

    async def receive(self, principal: Principal, size: int | None = None) -> Receiving:
        principal.require(Role.WRITE, "storing a file")
        self._check_writable()
        self._core.replication.check_reach()
        if size is not None and size > MAX_CONTENT:
            raise TooLarge(f"{size} bytes are too many; a content has at most {MAX_CONTENT}")
        if size is not None and size > _KEEP_FREE:
            usage = await self._core.transfers.run(self._core.blobs.usage)
            if size > usage.free - _KEEP_FREE:
                raise StorageFull(f"{size} bytes do not fit: {usage.free} are free on the disk of this node")
        return self._receiving(principal, Inflow(self._core.blobs, self._core.transfers))

    async def resume(self, principal: Principal, slot: str, offset: int) -> Receiving:
        principal.require(Role.WRITE, "storing a file")
        self._check_writable()
        self._core.replication.check_reach()
        core = self._core
        writer = await core.transfers.run(lambda: core.blobs.resume(slot_name(principal, slot), offset))
        return self._receiving(principal, Inflow(core.blobs, core.transfers, writer, offset))

    async def kept(self, principal: Principal, slot: str) -> int | None:
        principal.require(Role.READ, "asking for an unfinished upload")
        core = self._core
        return await core.nearby.run(core.transfers, lambda: core.blobs.kept(slot_name(principal, slot)))

    async def read(
        self,
        principal: Principal,
        entry_id: str,
        offset: int = 0,
        length: int | None = None,
        version: str | None = None,
    ) -> IReading:
        principal.require(Role.READ, "reading a file")
        return await reads.open_content(self._core, entry_id, offset, length, version)

    # Queries

    async def count(self, principal: Principal, query: Query, scope: Scope = Scope.LIVE) -> int:
        principal.require(Role.READ, "a query")
        return await reads.count(self._core, query, scope)

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
        return await reads.find(self._core, query, sort, after, limit, scope)

    async def listing(
        self, principal: Principal, query: Query, sort: Sort = NEWEST, scope: Scope = Scope.LIVE
    ) -> reads.Listing:
        principal.require(Role.READ, "a query")
        return await reads.listing(self._core, query, sort, scope)

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
        return await reads.tags(self._core, query, limit, prefix, by_name, after)

    async def shown_tags(self, principal: Principal, tags: Sequence[str]) -> Sequence[str | None]:
        principal.require(Role.READ, "a query")
        return await reads.shown_tags(self._core, tags)

    async def named(self, principal: Principal, name: str, home: str | None = None) -> Sequence[Entry]:
        principal.require(Role.READ, "a query")
        return await reads.named(self._core, name, home)

    async def folders(self, principal: Principal, home: str, limit: int = MAX_PAGE, after: str = "") -> Sequence[str]:
        principal.require(Role.READ, "a query")
        return await reads.folders(self._core, home, limit, after)

    async def info(self, principal: Principal, entry_id: str) -> EntryInfo:
        principal.require(Role.READ, "a query")
        return await reads.info(self._core, entry_id)

    # Changes by query

    async def add_tags(self, principal: Principal, query: Query, tags: Sequence[str]) -> Changed:
        return await self.retag(principal, query, tags, ())

    async def delete_tags(self, principal: Principal, query: Query, tags: Sequence[str]) -> Changed:
        return await self.retag(principal, query, (), tags)

    async def retag(self, principal: Principal, query: Query, add: Sequence[str], delete: Sequence[str]) -> Changed:
        self._check_change(principal, "changing tags")
        add, delete = check_tags(add), check_tags(delete)
        if not add and not delete:
            raise BadRequest("no tags were given to add or delete")
        definitions = self._core.definitions(add, self._core.stamp())
        edit = changes.retagging([*map(fold, add)], [*map(fold, delete)])
        try:
            number = await changes.change_matching(self._core, query, Scope.LIVE, edit, definitions)
        finally:
            self._core.undefine(definitions)
        return await self._changed(
            principal, number, "retagged (added {add}, deleted {delete})", query, add=add, delete=delete
        )

    async def delete(self, principal: Principal, query: Query) -> Changed:
        self._check_change(principal, "deleting")
        number = await changes.change_matching(self._core, query, Scope.LIVE, changes.trash)
        return await self._changed(principal, number, "moved to the trash", query)

    async def restore(self, principal: Principal, query: Query) -> Changed:
        self._check_change(principal, "restoring")
        number = await changes.change_matching(self._core, query, Scope.TRASH, changes.restore)
        return await self._changed(principal, number, "restored from the trash", query)

    async def purge(self, principal: Principal, query: Query) -> Changed:
        self._check_change(principal, "purging")
        number = await changes.change_matching(self._core, query, Scope.TRASH, changes.purge)
        return await self._changed(principal, number, "purged", query)

    # Changes of one entry

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
        self._check_change(principal, "changing an entry")
        if name is not None:
            check_name(name)
        if home is not None:
            home = check_home(home)
        add, delete = check_tags(add), check_tags(delete)
        definitions = self._core.definitions(add, self._core.stamp())
        retag = changes.retagging([*map(fold, add)], [*map(fold, delete)])

        def edit(record: Record, stamp: Stamp) -> Record | None:
            fields = dict((retag(record, stamp) or change(record.key, stamp)).fields)
            if name is not None and name != record.value("name"):
                fields |= change(record.key, stamp, name=name).fields
            if home is not None and home != record.value("home"):
                fields |= change(record.key, stamp, home=home).fields
            return record._replace(fields=fields) if fields else None

        try:
            return await self._change_one(principal, entry_id, edit, definitions)
        finally:
            self._core.undefine(definitions)

    async def touch(self, principal: Principal, entry_id: str, modified: int) -> Changed:
        self._check_change(principal, "changing an entry")

        def edit(record: Record, stamp: Stamp) -> Record:
            content = Content(*record.value("content"))  # type: ignore[misc]
            return replacement(record, stamp, content._replace(modified=modified))

        return await self._change_one(principal, entry_id, edit)

    # Tags and searches

    async def rename_tag(self, principal: Principal, old: str, new: str) -> Changed:
        self._check_change(principal, "renaming a tag")
        number = await tags.rename(self._core, old, new)
        if number is None:
            number = await reads.count(self._core, Tag(fold(old)), Scope.LIVE)
            return Changed(number, await self._core.replication.changed())
        return await self._changed(
            principal, number, "given tag {new} for {old}", Tag(fold(check_tag(old))), new=new, old=old
        )

    async def delete_tag(self, principal: Principal, tag: str) -> Changed:
        self._check_change(principal, "deleting a tag")
        number = await tags.delete(self._core, tag)
        return await self._changed(principal, number, "stripped of tag {tag}", Tag(fold(check_tag(tag))), tag=tag)

    async def declare_tag(self, principal: Principal, tag: str) -> bool:
        self._check_change(principal, "declaring a tag")
        return await tags.declare(self._core, tag)

    async def undeclare_tag(self, principal: Principal, tag: str) -> None:
        self._check_change(principal, "forgetting a tag")
        await tags.undeclare(self._core, tag)

    async def declared(self, principal: Principal, after: str = "") -> Sequence[str]:
        principal.require(Role.READ, "listing tags")
        return await reads.declared(self._core, after)

    async def save_search(self, principal: Principal, name: str, query: str) -> None:
        self._check_change(principal, "saving a search")
        await saved.save(self._core, name, query)
        self.log.info("{who} saved the search {name}: {query}", who=principal.name, name=name, query=query)

    async def saved_searches(self, principal: Principal) -> Sequence[tuple[str, str]]:
        principal.require(Role.READ, "listing saved searches")
        return await saved.all_of(self._core)

    async def unsave_search(self, principal: Principal, name: str) -> None:
        self._check_change(principal, "forgetting a saved search")
        await saved.forget(self._core, name)

    # The cluster

    async def nodes(self, principal: Principal) -> Sequence[NodeStatus]:
        principal.require(Role.READ, "listing the nodes")
        return self._cluster.nodes()

    async def retire(self, principal: Principal, node: str, how: Retirement) -> str:
        principal.require(Role.ADMIN, "taking out a node")
        return await self._cluster.retire(node, how)

    async def cluster_settings(self, principal: Principal) -> Mapping[str, str]:
        principal.require(Role.READ, "listing the cluster's settings")
        return self._cluster.settings()

    async def set_cluster_settings(self, principal: Principal, changes: Mapping[str, str]) -> Mapping[str, str]:
        principal.require(Role.ADMIN, "changing the cluster's settings")
        return await self._cluster.set_settings(changes)

    async def sync(self, principal: Principal, seconds: float) -> bool:
        principal.require(Role.READ, "waiting for other nodes")
        return await self._cluster.sync(seconds)

    def statistics(self) -> Mapping[str, int]:
        return {**self._core.catalog.statistics(), "changes": self._core.changes, "free": self._core.room}

    def figures(self) -> Sequence[Figure]:
        return [figure for report in self._core.reports for figure in report()]

    def watch(self, principal: Principal, listener: Callable[[Sequence[str]], None]) -> Callable[[], None]:
        principal.require(Role.READ, "listening to changes")
        self._core.listeners.append(listener)
        return partial(self._core.listeners.remove, listener)

    # What the methods above share

    def _receiving(self, principal: Principal, inflow: Inflow) -> Receiving:
        return Receiving(self._core, principal, inflow, self._in_flight)

    def _check_writable(self) -> None:
        if self._core.read_only:
            raise ReadOnly(self._core.read_only)
        if self._cluster.refusal:
            raise Unavailable(self._cluster.refusal)

    def _check_change(self, principal: Principal, what: str) -> None:
        principal.require(Role.WRITE, what)
        self._check_writable()

    async def _change_one(
        self, principal: Principal, entry_id: str, edit: changes.Edit, extra: Sequence[Record] = ()
    ) -> Changed:
        identifier = check_entry_id(entry_id)
        number = 0

        def plan(present: Record | None, stamp: Stamp) -> Sequence[Record]:
            nonlocal number
            if present is None or not is_whole(present):
                raise NotFound(f"there is no entry {identifier}")
            made = edit(present, stamp)
            number = 0 if made is None else 1
            return extra if made is None else [*extra, made]

        await self._core.change(Ref(KIND, identifier), plan)
        self.log.info("{who} changed entry {entry}", who=principal.name, entry=identifier)
        return Changed(number, await self._core.replication.changed())

    async def _changed(self, principal: Principal, number: int, what: str, query: Query, **facts: object) -> Changed:
        self.log.info(f"{{who}}: {{number}} entries {what}", who=principal.name, number=number, query=query, **facts)
        return Changed(number, await self._core.replication.changed())
