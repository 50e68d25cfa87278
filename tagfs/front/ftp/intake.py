"""From the bytes of a connection to commands: lines become exchanges, bodies find theirs. Layer: front."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from tagfs.errors import BadRequest
from tagfs.front.ftp.body import Body
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb
from tagfs.wire.framing import Framing, Line, Negotiation, Piece, TooLong
from tagfs.wire.tag_guard import long_line_looks_like_http, looks_like_http

if TYPE_CHECKING:
    from tagfs.front.ftp.session import Session

CONTROLS = bytes([*range(9), *range(10, 32), 127])
"""Bytes that no command line may hold; TAB counts as a space."""
_CONTROL = re.compile(b"[%b]" % re.escape(CONTROLS))
_WORD = re.compile(rb"[ \t]*([^ \t]*)[ \t]?")
REFUSED = Verb("", run=lambda exchange: None)
"""Stands for the verb of a line that has none."""


class HttpSeen(Exception):
    """A line looked like HTTP: nothing after it may run."""


class Intake:
    """The reading half of a session."""

    __slots__ = ("_deaf", "_ended", "_framing", "_session", "_taker", "_verbs", "body", "held", "owed_to")

    def __init__(self, session: Session, verbs: Mapping[bytes, Verb]) -> None:
        self._session = session
        self._verbs = verbs
        self._framing = Framing()
        self._taker: Exchange | None = None  # whose second line comes next
        self._ended = False
        self._deaf = False  # nothing that comes may count any more
        self.body: Body | None = None
        """The body that is coming in."""
        self.owed_to: Exchange | None = None
        """The command whose body or second line comes in."""
        self.held = 0
        """Bytes of bodies that no verb has taken yet."""

    @property
    def partial(self) -> bool:
        """Whether something of a line is here that has not ended."""
        return self._framing.partial

    def feed(self, data: bytes) -> None:
        """Takes what the socket gave."""
        if not self._deaf:
            self._framing.feed(data)

    def end(self) -> None:
        """The client has ended its stream."""
        self._ended = True

    def cut(self) -> None:
        """What is owed never comes: whoever waits for it is told."""
        if self.body is not None:
            self.body.cut()
        if self._taker is not None:
            self._give_line(None)

    def clear(self) -> None:
        """Forgets what was fed and not yet read."""
        self._framing.clear()
        self._taker = self.body = self.owed_to = None

    def next(self) -> Exchange | None:
        """The next command, or None where more bytes are needed. Raises :class:`HttpSeen`."""
        while (event := self._framing.next()) is not None:
            if type(event) is Line:
                if self._taker is None:
                    return self._command(event.text)
                self._give_line(event.text)
            elif type(event) is Piece:
                self._give_piece(event.data)
            elif type(event) is Negotiation:
                self._session.put(event.answer)
            else:
                assert type(event) is TooLong
                if self._taker is None:
                    return self._too_long(event)
                self._give_line(None)
        return self._last_words() if self._ended else None

    def _last_words(self) -> Exchange | None:
        """What the end of the stream means for what was cut off by it."""
        partial = self._framing.partial
        if partial:
            self._framing.clear()
        owed = self._taker is not None
        self.cut()
        if partial and not owed:
            return self._refuse(500, "the last line was not ended by a line feed, and was not run")
        return None

    def _give_line(self, text: bytes | None) -> None:
        taker, self._taker = self._taker, None
        self.owed_to = None
        assert taker is not None
        self._session.moved()
        taker.take_line(text)

    def _give_piece(self, data: bytes) -> None:
        body = self.body
        assert body is not None
        if not self._framing.missing:
            self.body = self.owed_to = None
        self.held += len(data)
        self._session.moved()
        body.push(data)

    def _released(self, size: int) -> None:
        limit = self._session.door.limits.held
        was, self.held = self.held, self.held - size
        if self.held <= limit < was:
            self._session.pump()

    def _command(self, line: bytes) -> Exchange:
        # Every header has a colon; every request line a slash, or a colon in an absolute target.
        if (b":" in line or b"/" in line) and looks_like_http(line):
            raise HttpSeen
        name, argument = _split(line)
        verb = self._verbs.get(name) or self._verbs.get(name.upper())
        if verb is None:
            return self._unknown(name)
        body = None
        if verb.body is not None:
            try:
                body = self._announced(verb.body(argument))
            except BadRequest as error:
                return self._unreadable(error.ftp, str(error))
        if line.translate(None, CONTROLS) != line:
            exchange = self._refuse(501, f"column {_control(argument)}: a command line has no control characters", body)
        else:
            exchange = self._exchange(verb, argument, body)
        return self._expecting(verb, exchange)

    def _expecting(self, verb: Verb, exchange: Exchange) -> Exchange:
        """Notes that what comes next belongs to this command."""
        if verb.takes_line:
            self._taker = exchange
        if verb.takes_line or self.body is not None:
            self.owed_to = exchange
        if self.body is not None:
            # What is here of it is given before the command begins: most then never wait for their content.
            event = self._framing.next()
            if event is not None:
                assert type(event) is Piece
                self._give_piece(event.data)
        return exchange

    def _exchange(self, verb: Verb, argument: bytes, body: Body | None) -> Exchange:
        try:
            return Exchange(self._session, verb, argument.decode(), body)
        except UnicodeDecodeError as error:
            if verb.any_bytes:
                return Exchange(self._session, verb, argument.decode("utf-8", "surrogateescape"), body)
            return self._refuse(501, f"column {_column(argument, error.start)}: the text is not UTF-8", body)

    def _announced(self, size: int) -> Body:
        body = Body(size, self._released)
        if size:
            self.body = body
            self._framing.expect(size)
        return body

    def _refuse(self, code: int, text: str, body: Body | None = None) -> Exchange:
        exchange = Exchange(self._session, REFUSED, "", body)
        exchange.refusal = (code, text)
        return exchange

    def _unknown(self, name: bytes) -> Exchange:
        if not name:
            return self._refuse(500, "an empty line is no command; HELP lists them")
        shown = name[:32].decode("ascii", "replace").replace("\ufffd", "?")
        return self._refuse(500, f"unknown command {shown}; HELP lists the commands")

    def _unreadable(self, code: int, text: str) -> Exchange:
        """What follows could be content, and content must never run as commands: so nothing more is read."""
        self.clear()
        self._deaf = True
        exchange = self._refuse(code, text)
        exchange.last_words = "closing, since what follows could be content"
        return exchange

    def _too_long(self, event: TooLong) -> Exchange:
        if long_line_looks_like_http(event.head, event.tail):
            raise HttpSeen
        name, argument = _split(event.head)
        verb = self._verbs.get(name.upper())
        fault = f"a line has at most {self._framing.limit} bytes"
        body = None
        if verb is not None and verb.body is not None:
            try:
                body = self._announced(verb.body(argument))
            except BadRequest:
                return self._unreadable(500, fault)  # the size may well be in the part that was not kept
        exchange = self._refuse(500, fault, body)
        return exchange if verb is None else self._expecting(verb, exchange)


def _control(argument: bytes) -> int:
    """The column of the first control character; the verb has none, or it would be none."""
    found = _CONTROL.search(argument)
    return _column(argument, found.start() if found else 0)


def _column(argument: bytes, index: int) -> int:
    """The column, in characters from 1, of a byte."""
    return len(argument[:index].decode("utf-8", "replace")) + 1


def _split(line: bytes) -> tuple[bytes, bytes]:
    """A line's first word, and what follows the one space or TAB behind it.

    A TAB must not hide a verb: an ADD that is not seen would have its content read as commands.
    """
    if b"\t" in line:
        found = _WORD.match(line)
        assert found is not None
        return found[1], line[found.end() :]
    name, _, argument = line.lstrip(b" ").partition(b" ")
    return name, argument
