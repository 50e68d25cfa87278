"""One command and the replies to it: what the code of a verb works with. Layer: front."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from tagfs.front.ftp.body import Body
from tagfs.front.ftp.door import DOOR
from tagfs.front.ftp.verb import Verb
from tagfs.front.steps import Work
from tagfs.model.principal import Principal
from tagfs.node.interfaces import INode

if TYPE_CHECKING:
    from tagfs.front.ftp.session import Session

_CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Exchange:
    """One command of a session, from its line to its last reply.

    The code of a verb gets nothing but this. A reply is three digits and a text (RFC 959 section 4.2)::

        exchange.reply(250, "done")                 # 250 done
        exchange.open(213, "entries follow")        # 213-entries follow
        exchange.row("a\\tb")                        #  a<TAB>b
        await exchange.send(many_rows)              # the same for rows encoded by the verb; waits for the client
        exchange.reply(213, "End")                  # 213 End
        exchange.raw(5)                             # 150 5
        await exchange.send(b"bytes")               # exactly as many bytes as announced
        exchange.reply(226, "sent")

    Replies of exchanges that overlap are held until all before them are finished. Texts are sent in UTF-8 with
    ``surrogateescape``; control characters in them (but TAB) are sent as ``?``.
    """

    __slots__ = (
        "_code",
        "_held",
        "_line_came",
        "_line_waiter",
        "_owed",
        "_started_s",
        "_unended",
        "_waiting",
        "argument",
        "body",
        "done",
        "last_words",
        "line",
        "refusal",
        "running",
        "session",
        "verb",
    )

    def __init__(self, session: Session, verb: Verb, argument: str, body: Body | None = None) -> None:
        self.session = session
        self.verb = verb
        self.argument = argument
        """What follows the verb and the one space behind it, without the line end."""
        self.body = body
        """The content that follows the line, for verbs that announce one."""
        self.refusal: tuple[int, str] | None = None
        """The reply to a line that cannot be run."""
        self.last_words: str | None = None
        """Where set, the session ends after this exchange, with ``421`` and this text unless it is empty."""
        self.done = False
        """Whether it has given its last reply."""
        self.line: bytes | None = None
        """The second line, for verbs that take one; None while it has not come, or where none that can be read came."""
        self.running: Work | None = None
        """Its work, from where it first waits; for the session."""
        self._line_came = False
        self._line_waiter: Deferred[None] | None = None
        self._held: list[bytes] | None = []  # replies, until it is this exchange's turn; then None
        self._unended = False  # a multi-line reply was opened
        self._code = 0  # of the last reply so far
        self._started_s: float | None = None
        self._owed = 0  # raw bytes announced and not yet sent
        self._waiting: list[Deferred[None]] = []  # who waits for its end

    @property
    def node(self) -> INode:
        """The node that is asked."""
        return self.session.node

    @property
    def principal(self) -> Principal:
        """Who asks, as of now."""
        return self.session.principal

    @property
    def size(self) -> int:
        """Bytes of the content that comes with it."""
        return 0 if self.body is None else self.body.size

    def reply(self, code: int, text: str) -> None:
        """Sends one reply line; ends a multi-line reply that is open."""
        assert not self._owed, "a reply inside raw bytes"
        self._unended = False
        self._code = code
        self._write(b"%d %b\r\n" % (code, encode_text(text)))

    def open(self, code: int, text: str = "") -> None:
        """Begins a multi-line reply; :meth:`reply` with the same code ends it."""
        self._unended = True
        self._write(b"%d-%b\r\n" % (code, encode_text(text)))

    def row(self, text: str) -> None:
        """Sends one row of a multi-line reply; the space before it is added here. For few rows: nothing is waited for."""
        self._write(b" %b\r\n" % encode_text(text))

    def raw(self, size: int) -> None:
        """Announces ``size`` raw bytes by ``150 SIZE``; :meth:`send` them then."""
        self.reply(150, str(size))
        self._owed = size

    async def send(self, data: bytes) -> None:
        """Sends rows as they are (each with its leading space and CRLF), or raw bytes that were announced, and returns when
        the client has read enough that more may be sent. Is cancelled when the client is gone."""
        if self._owed:
            assert len(data) <= self._owed, "more raw bytes than announced"
            self._owed -= len(data)
        self._write(data)
        await self.session.until_read(self)

    async def turn(self) -> None:
        """Lets others have their turn: between parts of what takes milliseconds to make. Is cancelled as :meth:`send`."""
        waiting: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self.session.door.clock.callLater(0, waiting.callback, None)
        await waiting

    def begin_transfer(self) -> None:
        """From now on this exchange is an FTP transfer: ABOR, NOOP and such are answered while it goes on."""
        self.session.begin_transfer(self)

    def cancel(self) -> None:
        """Stops it where it waits, by CancelledError; its code then gives its last reply. One that gives none is answered
        ``426``."""
        if self.running is not None:
            self.running.cancel()

    async def finished(self) -> None:
        """Returns once this exchange has given its last reply; for ABOR, which answers after what it aborts."""
        if not self.done:
            waiting: Deferred[None] = Deferred()
            self._waiting.append(waiting)
            await waiting

    def fail(self, code: int, text: str) -> None:
        """Sends an error reply. Where the client could take it for a part of an answer that has begun, the session ends."""
        if self._owed:
            self.session.abort(f"a reply broke off: {text}")
        elif self._unended:
            self.last_words = f"{text}; the answer above is not whole"
        else:
            self.reply(code, text)

    def take_line(self, text: bytes | None) -> None:
        """The second line has come; None for one that is too long or never comes. For the session."""
        self.line = text
        self._line_came = True
        if self._line_waiter is not None:
            self._line_waiter.callback(None)

    async def ask_line(self, code: int, text: str) -> None:
        """Sends ``code`` and waits for the second line. For the session."""
        self.reply(code, text)
        if not self._line_came:
            self._line_waiter = Deferred()
            await self._line_waiter

    @property
    def in_turn(self) -> bool:
        """Whether its replies go out at once."""
        return self._held is None

    def take_turn(self) -> None:
        """All before it are finished: what it has said goes out. For the session."""
        held, self._held = self._held, None
        for data in held or ():
            self.session.put(data)

    def started(self) -> None:
        """It begins to run. For the session."""
        self._started_s = self.session.door.clock.seconds()

    def end(self) -> None:
        """It has given its last reply. For the session."""
        self.done = True
        if self._started_s is not None:
            door = self.session.door
            door.tally.count(DOOR, self.verb.name or "none", self._code, door.clock.seconds() - self._started_s)
        if self.body is not None:
            self.body.discard()
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def _write(self, data: bytes) -> None:
        if self._held is None:
            self.session.put(data)
        else:
            self._held.append(data)


def encode_text(text: str) -> bytes:
    """A reply text in bytes: one line, whatever is in it."""
    if not text.isprintable():
        text = _CONTROLS.sub("?", text)
    return text.encode("utf-8", "surrogateescape")
