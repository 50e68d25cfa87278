"""Contents here that this node does not owe: dropped once all owners of the present layout proved theirs. Layer: node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from tagfs.cluster.repair import may_drop, owners, ripe, still_surplus
from tagfs.cluster.view import View
from tagfs.errors import BadRequest, Conflict, TagfsError
from tagfs.model.entry import partition
from tagfs.node.contents.copies import Copies
from tagfs.node.contents.serving import Serve, parts
from tagfs.node.core import Core
from tagfs.node.interfaces import Figure
from tagfs.node.peers.interfaces import Caller, IPeers
from tagfs.storage.interfaces import DIGEST, MAX_PAGE, Reference
from tagfs.wire.node_messages import Answer, Call

DELAY_S = 3600.0
"""How long a content must not have been owed, under one layout, before it may go."""
REMEMBERED = 100_000
"""Contents that are watched at a time; others have their turn when those are gone."""
BATCH = 256
"""Contents whose owners are asked together."""


class Surplus:
    """Watches, from scan to scan, what is here without being owed, and drops it in the end. ``lost`` is awaited for each content
    that went.

    The proofs that two nodes give each other cannot cross: what this node is about to drop it proves to nobody, and it drops nothing
    once its layout is another than the one under which the owners proved theirs.
    """

    log = Logger()

    def __init__(
        self,
        core: Core,
        copies: Copies,
        peers: IPeers,
        clock: IReactorTime,
        view: Callable[[], View | None],
        lost: Callable[[bytes], Awaitable[None]],
        delay_s: float = DELAY_S,
    ) -> None:
        self._core = core
        self._copies = copies
        self._peers = peers
        self._clock = clock
        self._view = view
        self._lost = lost
        self._delay_s = delay_s
        self._found: set[bytes] = set()
        self._since_s: dict[bytes, float] = {}
        self._dropping: frozenset[bytes] = frozenset()
        self._layouts = 0  # counted, since one may come back that others saw go
        self.dropped = 0

    def serve(self, serve: Serve) -> None:
        """Proves to others, from now on, what is here."""
        serve("PROVE", self._prove)

    def relaid(self) -> None:
        """Another layout: everything is watched anew."""
        self._layouts += 1
        self._since_s.clear()
        self._found.clear()

    def figures(self) -> Iterable[Figure]:
        """For INode.figures."""
        yield Figure("surplus_contents", "Contents here that other nodes are to hold; watched.", len(self._since_s))
        yield Figure(
            "surplus_dropped", "Contents that went since all their owners have them.", self.dropped, grows=True
        )

    def watch(self, here: Sequence[Reference]) -> None:
        """These references, found by a scan, are to contents that are here."""
        view = self._view()
        if view is None or not view.cluster:
            return
        for each in here:
            if view.me in view.layout.owners(partition(each.id)):
                self._found.discard(each.digest)
            elif len(self._found) < REMEMBERED:
                self._found.add(each.digest)

    async def settle(self) -> None:
        """A scan is over: drops what was surplus for long enough, as far as it is proved."""
        now_s = self._clock.seconds()
        self._since_s = still_surplus(self._found, self._since_s, now_s)
        self._found = set()
        due = sorted(ripe(self._since_s, now_s, self._delay_s))
        for start in range(0, len(due), BATCH):
            if self._core.starting:
                return
            await self._drop_proved(due[start : start + BATCH])

    async def _drop_proved(self, digests: Sequence[bytes]) -> None:
        view, layouts = self._view(), self._layouts
        if view is None:
            return
        where = await self._core.readers.run(lambda: {each: self._copies.partitions(each) for each in digests})
        proofs = await self._ask_owners(view, where)
        agreed = [each for each in digests if may_drop(view.me, view.layout, where[each], proofs[each])]
        if not agreed or self._layouts != layouts:
            return
        # From here to the end nobody is told that these are here; whoever was told before, was told under an older layout
        # or is no owner.
        self._dropping = frozenset(agreed)
        try:
            gone = await self._core.committer.exclusive(lambda: self._drop(view, layouts, agreed, proofs))
            for digest in gone:
                await self._lost(digest)
        finally:
            self._dropping = frozenset()
        if gone:
            self.dropped += len(gone)
            self.log.info("dropped {number} contents: all nodes that are to hold them proved theirs", number=len(gone))

    async def _ask_owners(self, view: View, where: Mapping[bytes, set[int]]) -> Mapping[bytes, dict[str, str]]:
        """By content, the owners that proved it, with the layout they did it under."""
        proofs: dict[bytes, dict[str, str]] = {digest: {} for digest in where}
        by_owner: dict[str, list[bytes]] = {}
        for digest, partitions in where.items():
            for owner in owners(view.layout, partitions):
                by_owner.setdefault(owner, []).append(digest)
        for owner in sorted(set(by_owner) - {view.me}):
            asked = by_owner[owner]
            try:
                answer = await self._peers.ask(owner, Call("PROVE", (view.layout.id,), body=b"".join(asked)))
            except TagfsError as error:
                self.log.debug("{node} proves nothing: {error}", node=owner, error=error)
                continue
            if len(answer.body) == len(asked):
                for digest, proved in zip(asked, answer.body, strict=True):
                    if proved == _PROVED:
                        proofs[digest][owner] = view.layout.id
        return proofs

    def _drop(
        self, view: View, layouts: int, digests: Sequence[bytes], proofs: Mapping[bytes, dict[str, str]]
    ) -> list[bytes]:
        """Between two writes: looked at once more, since an entry of this node's partitions may refer to it by now."""
        gone: list[bytes] = []
        if self._layouts != layouts:
            return gone
        for digest in digests:
            partitions = self._copies.partitions(digest)
            if may_drop(view.me, view.layout, partitions, proofs[digest]) and self._core.blobs.drop(digest):
                gone.append(digest)
        return gone

    async def _prove(self, _caller: Caller, call: Call) -> Answer:
        layout = call.words[0] if call.words else ""
        if len(call.body) % DIGEST or len(call.body) > MAX_PAGE * DIGEST:
            raise BadRequest(f"PROVE wants at most {MAX_PAGE} digests")
        asked = parts(call.body)
        core = self._core

        def look() -> set[bytes]:
            loose = set(core.catalog.unreferenced(asked))
            return {each for each in asked if each not in loose and core.blobs.stat(each) is not None}

        found = await core.readers.run(look)
        # After the look, so that nothing can come between this and the answer.
        view = self._view()
        if view is None or view.layout.id != layout:
            raise Conflict("this node knows another layout")
        found -= self._dropping
        return Answer(body=bytes(_PROVED if each in found else _LACKING for each in asked))


_PROVED, _LACKING = b"10"
