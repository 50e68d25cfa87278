"""One control connection: commands in, replies out, in order, with every queue bounded. Layer: front.

A :class:`Session` is fed by the Twisted shell (``protocol.py``), gets its commands from the intake, and runs the verbs of
its door's table, each as one :class:`~tagfs.front.ftp.exchange.Exchange`. What the author of a verb must know:

- A verb is a :class:`~tagfs.front.ftp.verb.Verb` whose ``run`` is a coroutine function of one exchange. Everything it
  needs is there: ``argument``, ``body``, ``node``, ``principal``, ``reply``, ``open``/``row``, ``send``, and ``session``.
- Commands run one after the other in the order in which they came, and replies are in that order. Two exceptions: verbs
  that ``overlap`` (ADD) run side by side and still answer in order; and once an exchange has called ``begin_transfer()``,
  verbs with ``in_transfer`` (ABOR, STAT, NOOP) run and answer at once.
- FTP keeps its state in :attr:`Session.files`, which the door's ``files`` makes on first use.
- :meth:`Session.login` and :meth:`Session.logout` set who asks; the node says, command by command, who that is now.
- ABOR finds what it stops in :attr:`Session.transfer`, calls its ``cancel()`` and awaits its ``finished()``.
- When the client is gone, exchanges are cancelled where they wait, but for verbs that say ``finishes``; replies go nowhere.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from tagfs import __version__
from tagfs.errors import TagfsError
from tagfs.front.ftp.door import Door, Files
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.intake import HttpSeen, Intake
from tagfs.front.ftp.output import Output
from tagfs.front.ftp.schedule import Schedule
from tagfs.front.ftp.tls import TlsContext
from tagfs.front.ftp.watch import Watch
from tagfs.front.steps import begin
from tagfs.model.principal import Principal, Role
from tagfs.node.interfaces import INode


class Channel(Protocol):
    """The connection, as the session needs it: what Twisted's transports do."""

    def write(self, data: bytes) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def unregisterProducer(self) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...


class Session:
    """The machine of one control connection. ``host`` is the peer's address without port, ``peer`` and ``local`` name both
    ends for people. ``secured`` puts TLS on the connection and gives the channel to use from then on."""

    log = Logger()

    def __init__(
        self,
        door: Door,
        channel: Channel,
        host: str,
        peer: str,
        local: str,
        secured: Callable[[TlsContext], Channel],
    ) -> None:
        self.door = door
        self.node: INode = door.node
        self.host = host
        self.peer = peer
        self.local = local
        self.secure = False
        """Whether the control connection is under TLS."""
        self.tallies: dict[str, int] = {}
        """How often what was done in this session; logged at its end."""
        self._channel = channel
        self._secured = secured
        self._intake = Intake(self, door.verbs)
        self._schedule = Schedule(door.limits, self._run)
        self._out = Output(channel, door.clock)
        self._user: Principal | None = None
        self._files: Files | None = None
        self._reading = True
        self._input_ended = False
        self._closing = False
        self._shutting_down = ""
        self._pumping = False
        self._turn: IDelayedCall | None = None  # when this session goes on after its slice
        self._writable: list[Deferred[None]] = []
        self._watch = Watch(self, door)

    # What verbs use

    @property
    def principal(self) -> Principal:
        """Who asks: who logged in, with the rights of this moment, else whom the node takes a session without login for."""
        return self.node.anonymous() if self._user is None else self.node.current(self._user)

    @property
    def files(self) -> Files | None:
        """The FTP state of this session; None where the door has no FTP."""
        if self._files is None and self.door.files is not None:
            self._files = self.door.files(self)
        return self._files

    def login(self, principal: Principal) -> None:
        """From now on this principal asks."""
        self._user = principal

    def logout(self) -> None:
        """The session is as at its start."""
        self._user = None

    @property
    def transfer(self) -> Exchange | None:
        """The FTP transfer that is going on."""
        return self._schedule.transfer

    def begin_transfer(self, exchange: Exchange) -> None:
        """An exchange is an FTP transfer from now on."""
        self._schedule.transfer = exchange
        self._schedule.advance()

    def start_tls(self, context: TlsContext) -> None:
        """The client's next bytes are TLS. What it sent in the clear behind the command is thrown away unread: somebody
        between could have put it there."""
        self._schedule.drop_waiting()
        self._intake.clear()
        self._out.flush()
        self._channel = self._out.channel = self._secured(context)
        self.secure = True

    def tally(self, word: str, number: int = 1) -> None:
        """Counts something done, for the line that is logged when the session ends."""
        self.tallies[word] = self.tallies.get(word, 0) + number

    def close(self) -> None:
        """Ends the session once what was said is sent; runs nothing more, stops what waits."""
        if self._closing:
            return
        self._stop()
        self._out.flush()
        self._channel.unregisterProducer()
        self._channel.loseConnection()
        self._watch.closing()

    def abort(self, why: str) -> None:
        """Ends the session at once, unsent replies and all."""
        self.log.info("session {peer} cut off: {why}", peer=self.peer, why=why)
        self._stop()
        self._out.forget()
        self._channel.abortConnection()

    # What its watch asks

    @property
    def busy(self) -> bool:
        """Whether a command runs or waits to run."""
        return self._schedule.busy

    @property
    def awaits_client(self) -> bool:
        """Whether the client owes something that it announced, and was told to send it: a content, or a second line."""
        owed = self._intake.owed_to
        return owed is not None and not self._choked() and owed in self._schedule.begun

    # What the shell calls

    def connected(self) -> None:
        """The connection is there: greets."""
        self.put(f"220 {self.node.name} tagfs {__version__} ready; HELP lists the commands\r\n".encode())
        self._out.flush()
        self._watch.start()

    def refuse(self, why: str) -> None:
        """Ends the session with ``421`` and these words. Only where nothing runs."""
        if self._closing:
            return
        self.put(f"421 {why}\r\n".encode())
        self.close()

    def shut_down(self, why: str) -> None:
        """The node stops: begins nothing more, stops what waits, lets changes come to their end, and says why."""
        if self._closing:
            return
        self._shutting_down = why
        self._schedule.drop_waiting()
        self._cancel_all()
        if not self.busy:
            self.refuse(why)

    def received(self, data: bytes) -> None:
        """The client sent these bytes."""
        if self._closing:
            return
        self._intake.feed(data)
        self.pump()
        if self._intake.partial:
            self._watch.line_begun()

    def input_ended(self) -> None:
        """The client will send nothing more; it may still read (RFC 9293 section 3.6)."""
        self._input_ended = True
        self._intake.end()
        for exchange in self._schedule.begun:
            if exchange.verb.ends_with_input:
                exchange.cancel()
        self.pump()

    def lost(self) -> None:
        """The connection is gone."""
        self._stop()
        self._watch.stop()
        if self._files is not None:
            self._files.close()
        if self.tallies:
            done = ", ".join(f"{word} {number}" for word, number in self.tallies.items())
            self.log.info(
                "session of {user} from {peer} ended: {done}", user=self.principal.name, peer=self.peer, done=done
            )

    def output_full(self) -> None:
        """The client does not take what is sent as fast as it is made."""
        self._watch.output_waits()

    def output_taken(self) -> None:
        """The client took all that was sent."""
        self._watch.output_flows()
        self._wake_writers()
        self.pump()

    # What its intake tells

    def moved(self) -> None:
        """The client sent some of what it owes: bytes of a content, or the whole second line."""
        self._watch.touch()

    # What exchanges use

    def put(self, data: bytes) -> None:
        """Sends bytes, together with what else is said in this turn; drops them when the session has ended."""
        if not self._closing:
            self._out.put(data)
            if not self._pumping:
                self._out.hand_over(self._schedule.overlapping)

    async def until_read(self, exchange: Exchange) -> None:
        """Returns when it is the exchange's turn and the client has taken enough of what was sent."""
        self._out.flush()
        while (self._watch.output_waiting or not exchange.in_turn) and not self._closing:
            waiting: Deferred[None] = Deferred()
            self._writable.append(waiting)
            await waiting

    # The machine

    def pump(self) -> None:
        """Reads and begins commands as far as the bounds allow, and says what they answered."""
        if self._pumping or self._closing:
            return
        self._pumping = True
        try:
            self._read_commands()
        except HttpSeen:
            self._http_seen()
        finally:
            self._pumping = False
        self._out.hand_over(self._schedule.overlapping)
        if not self._closing:
            self._set_reading(not self._choked())
            if self._input_ended and not (self.busy or self._choked()):
                self.close()

    def _read_commands(self) -> None:
        limits, clock = self.door.limits, self.door.clock
        budget = limits.slice
        end = clock.seconds() + limits.slice_s
        while not self._choked():
            exchange = self._intake.next()
            if exchange is None:
                return
            self._schedule.add(exchange)
            budget -= 1
            if not budget or clock.seconds() > end:
                self._turn = clock.callLater(0, self._next_turn)

    def _next_turn(self) -> None:
        self._turn = None
        self.pump()

    def _choked(self) -> bool:
        """Whether no more may be read now."""
        limits = self.door.limits
        return (
            self._closing
            or bool(self._shutting_down)
            or self._turn is not None
            or self._schedule.waiting >= limits.pipeline
            or self._intake.held > limits.held
            or self._watch.output_waiting
        )

    def _set_reading(self, reading: bool) -> None:
        if reading is not self._reading and not self._input_ended:
            self._reading = reading
            if reading:
                self._channel.resumeProducing()
            else:
                self._channel.pauseProducing()

    def _run(self, exchange: Exchange) -> None:
        exchange.started()
        exchange.running = begin(self._perform(exchange))

    async def _perform(self, exchange: Exchange) -> None:
        """Runs one command to its last reply. Never raises."""
        verb = exchange.verb
        try:
            if exchange.refusal is not None:
                exchange.reply(*exchange.refusal)
            else:
                if verb.takes_line:
                    await exchange.ask_line(331, "the next line is the password")
                if verb.needs_login and self.principal.role is Role.NONE:
                    exchange.reply(530, "log in first, with USER and PASS")
                elif verb.ends_with_input and self._input_ended:
                    exchange.reply(426, "the client has ended the control connection")
                else:
                    work = verb.run(exchange)
                    if work is not None:
                        await work
        except TagfsError as error:
            exchange.fail(error.ftp, str(error))
        except CancelledError:
            if not self._closing:
                exchange.fail(426, "stopped")
        except Exception:  # noqa: BLE001 - one command's bug must not take the session down
            number = next(self.door.faults)
            self.log.failure(
                "internal error #{number} in {verb} from {peer}", number=number, verb=verb.name, peer=self.peer
            )
            exchange.fail(451, f"internal error (logged as #{number})")
        self._finished(exchange)

    def _finished(self, exchange: Exchange) -> None:
        body = exchange.body
        if body is not None and body.missing > self.door.limits.drop and exchange.last_words is None:
            exchange.last_words = f"closing, since {body.missing} bytes of refused content are too many to drop"
        exchange.end()
        last = self._schedule.ended(exchange)
        if self._closing:
            return
        if last is not None:
            if last.last_words:
                self.put(f"421 {last.last_words}\r\n".encode())
            self.close()
        elif self._shutting_down and not self.busy:
            self.refuse(self._shutting_down)
        else:
            self._watch.touch()
            self._wake_writers()
            self._schedule.advance()
            self.pump()

    def _http_seen(self) -> None:
        self.log.warn(
            "session {peer} sent what looks like HTTP and was closed; a web page may have tried to reach this port",
            peer=self.peer,
        )
        if not self._schedule.begun:
            self.put(b"421 this is no web server, closing\r\n")
        self.close()

    def _stop(self) -> None:
        """Nothing more is begun; what waits is cancelled, but for changes that have all they need."""
        self._closing = True
        self._schedule.drop_waiting()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._out.stop()
        self._cancel_all()
        self._wake_writers()

    def _cancel_all(self) -> None:
        self._intake.cut()
        for exchange in self._schedule.begun:
            if not exchange.verb.finishes:
                exchange.cancel()

    def _wake_writers(self) -> None:
        """Those that wait to send look again whether they may."""
        if self._writable:
            waiting, self._writable = self._writable, []
            for deferred in waiting:
                deferred.callback(None)
