"""What this node wrote, on its way to one other node: one message under way, and everything since in the next. Layer: node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from tagfs.cluster.outbox import Copy, Outbox, Outgoing, condense
from tagfs.errors import TagfsError
from tagfs.node.peers.interfaces import IPeers
from tagfs.storage.interfaces import MAX_BATCH
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_records import Pushed, pack_push

MOST_CHANGES = MAX_BATCH // 4
"""Changes in one message: what the receiver merges in one go beside others."""
PUSH_S = 4.0
SLOWEST_BYTES_PER_S = 64 << 10
"""A message is given up after :data:`PUSH_S`, and so much more as its bytes take at this rate."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


class Pusher:
    """Sends one peer what is in the outbox, in order, as long as the peer is ``alive``.

    ``confirmed`` is the number up to which the peer is known to have everything of the outbox's origin durably. After an error
    the same is sent again, after growing pauses; what the outbox dropped meanwhile is skipped, and the peer notices the
    gap and asks for it.
    """

    log = Logger()

    def __init__(
        self,
        node: str,
        peers: IPeers,
        clock: IReactorTime,
        outbox: Outbox,
        confirm: Callable[[str, Sequence[Copy]], None],
    ) -> None:
        """``confirm`` is told whenever the peer confirmed something, with the contents that it holds now."""
        self.node = node
        self.alive = False
        self.confirmed = 0
        self.pushed = 0
        """Records sent since the start, also those sent again."""
        self._peers = peers
        self._clock = clock
        self._outbox = outbox
        self._confirm = confirm
        self._next = outbox.last + 1
        self._busy = False
        self._sending: Deferred[None] | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._again: IDelayedCall | None = None

    @property
    def behind(self) -> int:
        """Changes that the peer did not confirm."""
        return max(0, self._outbox.last - self.confirmed)

    @property
    def done(self) -> int:
        """Up to where nothing has to be sent any more."""
        return min(self.confirmed, self._next - 1)

    def begin_anew(self) -> None:
        """The outbox has another origin."""
        self.confirmed = 0
        self._next = self._outbox.first

    def know(self, upto: int) -> None:
        """The peer has every record up to that number, by whatever way. Contents that it is to hold it gets all the same."""
        self.confirmed = max(self.confirmed, upto)
        if not self._busy and self._next <= upto:
            self._next = self._outbox.first_for(self.node, self._next, upto)

    def kick(self) -> None:
        """Sends what is there, unless something is under way; at once, where the peer just came back."""
        if self.alive and not self._busy and self._again is None and self._next <= self._outbox.last:
            self._busy = True
            self._sending = Deferred.fromCoroutine(self._send())
            self._sending.addErrback(self._fail)

    def set_alive(self, alive: bool) -> None:
        """Whether the peer can be asked; who comes back is not kept waiting for the pause to end."""
        if alive and not self.alive:
            self._pause_s = _FIRST_PAUSE_S
            self._stop_pause()
        self.alive = alive

    def stop(self) -> None:
        """Sends nothing more."""
        self.alive = False
        self._stop_pause()
        if self._sending is not None:
            self._sending.cancel()

    def _stop_pause(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    async def _send(self) -> None:
        try:
            while self.alive and (items := self._take()):
                await self._send_batch(items)
                self._pause_s = _FIRST_PAUSE_S
        except TagfsError as error:
            self.log.debug("changes for {node} wait: {error}", node=self.node, error=error)
            self._again = self._clock.callLater(self._pause_s, self._retry)
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        finally:
            self._busy = False

    def _take(self) -> Sequence[Outgoing]:
        self._next = max(self._next, self._outbox.first)
        while self._next <= self._outbox.last:
            items = self._outbox.batch(self._next, MOST_CHANGES)
            if items:
                return items
            self._next += 1
        return ()

    async def _send_batch(self, items: Sequence[Outgoing]) -> None:
        origin, first, last = self._outbox.origin, items[0].number, items[-1].number
        changes, sent = self._packed(items)
        self.pushed += len(changes)
        call = Call("PUSH", (origin,), body=pack_push(first, last, changes))
        answer = await self._peers.ask(self.node, call, PUSH_S + len(call.body) / SLOWEST_BYTES_PER_S)
        if origin != self._outbox.origin:
            return
        self._next = last + 1
        self.confirmed = max(self.confirmed, upto_of(answer))
        self._confirm(self.node, () if answer.facts.get("full") else sent)

    def _packed(self, items: Sequence[Outgoing]) -> tuple[list[Pushed], list[Copy]]:
        """The rows of a message, and the contents that go with it."""
        node = self.node
        changes, sent = [], []
        for number, _ref, data, copies in ((i.number, i.ref, i.data, i.copies) for i in condense(items)):
            wanted = [copy for copy in copies if node in copy.targets]
            small = [copy for copy in wanted if copy.data is not None]
            sent += small
            changes.append(
                Pushed(number, data, [copy.data for copy in small if copy.data is not None], len(small) < len(wanted))
            )
        return changes, sent

    def _retry(self) -> None:
        self._again = None
        self.kick()

    def _fail(self, failure: object) -> None:
        if self.alive:
            self.log.failure("pushing changes to {node} failed", failure, node=self.node)  # type: ignore[arg-type]


def upto_of(answer: Answer) -> int:
    """The number up to which the peer has everything of the origin asked about."""
    text = answer.facts.get("upto", "")
    return int(text) if text.isdecimal() else 0
