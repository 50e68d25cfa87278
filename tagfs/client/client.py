"""A session with one node over the tag protocol, blocking. Layer: client.

One :class:`Client` belongs to one thread. It connects when it is made; after a :class:`~tagfs.client.errors.ConnectionLost`
questions (FIND, COUNT, INFO, …) and ``ADD`` with a key are asked once more on a new connection, since a repeat changes nothing.
Other changes are never repeated by themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from tagfs.client import rows as reading
from tagfs.client.adding import add_command, stored_or_raise
from tagfs.client.address import DEFAULT_ADDRESS, Address
from tagfs.client.channel import Channel, connect
from tagfs.client.errors import Closing, ConnectionLost, NoGreeting, ProtocolViolation, TimedOut, refusal
from tagfs.client.found import Found
from tagfs.client.pipeline import COMMANDS, Body, Command, outcome, pipelined, send
from tagfs.client.replies import Reply, read_reply, transcript
from tagfs.client.text import check_query, options, word, words

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

Made = TypeVar("Made")

DEFAULT_TIMEOUT = 60.0
"""Seconds in which something must move. A node answers a write within a few seconds even when peers are gone."""
GREETING_S = 5.0
"""Seconds for the greeting, where the time-out is not shorter: a node speaks first, before it does anything else."""
RESUMES = 3
"""Times in a row that a download goes on after a broken connection without any byte having come."""


class Client:
    """A logged-in connection to one node. Use it in a ``with`` statement, or :meth:`close` it."""

    def __init__(
        self,
        host: str = DEFAULT_ADDRESS.host,
        port: int = DEFAULT_ADDRESS.port,
        user: str | None = None,
        password: str | Callable[[], str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Connects, reads the greeting and logs in where a ``user`` is given; ``password`` may be a function that asks for it.

        ``timeout`` in seconds is for silence, not for a whole transfer. ``tls`` secures the connection before the login
        (AUTH TLS, RFC 4217). Raises :class:`ConnectionFailed`, :class:`NoGreeting`,
        :class:`NotLoggedIn`, :class:`ProtocolViolation`.
        """
        self.address = Address(host, port)
        self._user = user
        self._password = password
        self._timeout = timeout
        self._tls = tls
        self._streaming: Iterator[object] | None = None
        self.greeting = ""
        self._channel = self._connect()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Says QUIT and ends the connection; harmless when repeated."""
        channel = self._channel
        if channel.open and self._streaming is None:
            channel.send(b"QUIT\r\n")
            try:
                channel.flush()
            except ConnectionLost:
                pass  # it is being closed anyway
        channel.close()

    @property
    def connected(self) -> bool:
        """Whether the connection is there, as far as is known."""
        return self._channel.open

    def reconnect(self) -> None:
        """A new connection in place of the old one, logged in again."""
        self._channel.close()
        self._streaming = None
        self._channel = self._connect()

    def _connect(self) -> Channel:
        channel = connect(self.address, self._timeout)
        try:
            greeting = self._greeted(channel)
            self.greeting = greeting.text
            if greeting.code >= 400:
                raise refusal(greeting.code, greeting.text)
            if self._tls is not None:
                self._ask(channel, "AUTH TLS")
                channel.start_tls(self._tls, self.address.host)
            if self._user is not None:
                self._log_in(channel, self._user)
        except BaseException:
            channel.close()
            raise
        return channel

    def _greeted(self, channel: Channel) -> Reply:
        patience_s = min(self._timeout, GREETING_S)
        channel.be_patient(patience_s)
        try:
            greeting = read_reply(channel)
        except TimedOut:
            what = "it may be a port for the web (HTTP) rather than the one for tags and FTP"
            raise NoGreeting(
                f"no greeting from {self.address} within {patience_s:g} seconds; {what}, or the node is overloaded"
            ) from None
        channel.be_patient(self._timeout)
        return greeting

    def _log_in(self, channel: Channel, user: str) -> None:
        reply = self._ask(channel, f"USER {user}")
        if reply.code != 331:
            return
        given = self._password() if callable(self._password) else self._password
        # A PASS line is taken as it is, to its end; what cannot stand in a line is refused by check_line.
        self._ask(channel, f"PASS {given or ''}")

    @staticmethod
    def _ask(channel: Channel, line: str) -> Reply:
        send(channel, Command(line))
        reply = outcome(channel, Command(line))
        if reply.code >= 400:
            raise refusal(reply.code, reply.text)
        return reply

    # Any command.

    def request(self, line: str, *, repeatable: bool = False) -> Reply:
        """Sends one command line and returns its final reply. Raises a :class:`~tagfs.client.errors.Refused` for 400 and above.

        ``repeatable`` says that doing it twice is as good as once: then it is asked again where the connection broke.
        """
        return self.again(lambda: self._ask(self.ready(), line), repeatable)

    def request_with_secret(self, line: str, secret: str) -> Reply:
        """Sends a command whose next line is a secret (USER-ADD), once the node asks for it: a node that does not know the
        command would take the line for another one."""
        reply = self.request(line)
        return self.request(secret) if reply.code == 331 else reply

    def pipelined(self, commands: Iterable[Command], window: int = COMMANDS) -> Iterator[tuple[Command, Reply]]:
        """Sends many commands without waiting for each, and yields each with its final reply (also of 400 and above), in order.

        At most ``window`` are in flight. Raises :class:`ConnectionLost`: what was not yielded may or may not have been
        done. A generator left before its end costs the connection.
        """
        return self.tracked(pipelined(self.ready(), commands, window))

    def dialogue(self, line: str) -> Iterator[str]:
        """Sends a line and yields what comes back up to the final reply, line by line, as a terminal shows it."""
        channel = self.ready()
        send(channel, Command(line))
        return self.tracked(transcript(channel))

    def answer_with_body(self, command: Command) -> Reply:
        """Sends one command with a content and returns its final reply. Raises as :meth:`request`."""
        channel = self.ready()
        send(channel, command)
        reply = outcome(channel, command)
        if reply.code >= 400:
            raise refusal(reply.code, reply.text)
        return reply

    # Questions.

    def find(
        self, query: str = "", *, limit: int | None = None, sort: str | None = None, after: str | None = None
    ) -> Found:
        """The entries that match, newest first, as a stream in bounded memory. ``sort`` is ``[-]name|size|added|modified``."""
        return Found(self, f"FIND {check_query(query)}{options(limit=limit, sort=sort, after=after)}")

    def count(self, query: str = "") -> int:
        """How many entries match."""
        return reading.leading_number(self.request(f"COUNT {check_query(query)}".rstrip(), repeatable=True).text)

    def tags(
        self, query: str = "", *, limit: int | None = None, prefix: str | None = None, sort: str | None = None
    ) -> list[tuple[str, int]]:
        """Tags of the entries that match, with counts; ``sort`` is ``count`` or ``name``."""
        return self.tags_and_total(query, limit=limit, prefix=prefix, sort=sort)[0]

    def tags_and_total(
        self, query: str = "", *, limit: int | None = None, prefix: str | None = None, sort: str | None = None
    ) -> tuple[list[tuple[str, int]], int]:
        """:meth:`tags`, and how many there are in all."""
        line = f"TAGS {check_query(query)}{options(limit=limit, prefix=prefix, sort=sort)}"
        reply = self.request(line, repeatable=True)
        total = reading.pairs(reply.text).get("total", "")
        if not total.isdigit():
            raise ProtocolViolation(f"the server ended a list of tags with {reply.text[:80]!r}")
        return [reading.tag_count(row) for row in reply.rows], int(total)

    def info(self, entry_id: str) -> reading.Information:
        """Everything known of one entry. Raises :class:`Missing`."""
        return reading.information(self.request(f"INFO {word(entry_id)}", repeatable=True).rows)

    def nodes(self) -> list[reading.NodeRow]:
        """The cluster as this node sees it."""
        return [reading.node_row(row) for row in self.request("NODES", repeatable=True).rows]

    def cluster_settings(self) -> list[tuple[str, str]]:
        """The cluster's id and settings: names and values."""
        return [reading.saved_row(row) for row in self.request("CLUSTER", repeatable=True).rows]

    def set_cluster_settings(self, changes: Iterable[str]) -> list[tuple[str, str]]:
        """Changes settings of all nodes, each given as ``name=value``; the settings after that."""
        words = " ".join(map(word, changes))
        return [reading.saved_row(row) for row in self.request(f"CLUSTER-SET {words}").rows]

    def saved(self) -> list[tuple[str, str]]:
        """Saved searches: name and query."""
        return [reading.saved_row(row) for row in self.request("SAVED", repeatable=True).rows]

    # Contents.

    def add(
        self,
        name: str,
        content: bytes | Body,
        *,
        tags: Iterable[str] = (),
        key: str | None = None,
        modified: str | None = None,
        folder: str | None = None,
    ) -> reading.Stored:
        """Stores a content. ``key`` (one is made up where none is given) keeps a repeat from storing twice.

        ``modified`` is RFC 3339 in UTC; ``folder`` the home. Raises :class:`SourceFailed` where a :class:`Body` cannot be read.
        """
        key = key or os.urandom(12).hex()
        command = add_command(name, content, tags=tags, key=key, modified=modified, folder=folder)
        return self.again(lambda: self._stored(command), repeatable=True)

    def _stored(self, command: Command) -> reading.Stored:
        channel = self.ready()
        send(channel, command)
        return stored_or_raise(outcome(channel, command))

    def get(self, entry_id: str, receive: Callable[[bytes], object]) -> int:
        """Hands the content to ``receive`` piece by piece and returns its size in bytes. Raises :class:`Missing`.

        Where the connection breaks, goes on at the byte where it was, on a new one.
        """
        done = 0
        failures = 0
        whole = -1

        def announced(size: int) -> None:
            nonlocal whole
            if whole not in (-1, done + size):
                self._channel.close()
                raise ProtocolViolation(
                    f"the server said that {whole} bytes would come, and now that {done + size} would"
                )
            whole = done + size

        def take(piece: bytes) -> None:
            nonlocal done, failures
            failures = 0
            receive(piece)
            done += len(piece)

        while True:
            line = f"GET {word(entry_id)}" + (options(offset=done) if done else "")
            try:
                self.answer_with_body(Command(line, receive=take, announced=announced))
            except ConnectionLost:
                failures += 1
                if failures > RESUMES:
                    raise
                self.reconnect()
            else:
                return done

    # Changes.

    def add_tags(self, query: str, tags: Iterable[str]) -> reading.Changed:
        """Gives tags to all entries that match."""
        return self._change(f"ADD-TAGS {check_query(query)} | {words(tags)}", repeatable=True)

    def delete_tags(self, query: str, tags: Iterable[str]) -> reading.Changed:
        """Takes tags from all entries that match."""
        return self._change(f"DELETE-TAGS {check_query(query)} | {words(tags)}")

    def delete(self, query: str) -> reading.Changed:
        """Moves what matches to the trash."""
        return self._change(f"DELETE {check_query(query)}")

    def restore(self, query: str) -> reading.Changed:
        """Takes what matches out of the trash."""
        return self._change(f"RESTORE {check_query(query)}")

    def purge(self, query: str) -> reading.Changed:
        """Forgets what matches in the trash, for ever."""
        return self._change(f"PURGE {check_query(query)}")

    def rename_tag(self, old: str, new: str) -> reading.Changed:
        """Renames a tag on every entry."""
        return self._change(f"RENAME-TAG {word(old)} | {word(new)}")

    def rename(self, entry_id: str, name: str) -> None:
        """Gives one entry another name. Raises :class:`Missing`."""
        self.request(f"RENAME {word(entry_id)} | {word(name)}", repeatable=True)

    def save(self, name: str, query: str) -> None:
        """Saves a search under a name."""
        self.request(f"SAVE {word(name)} | {check_query(query)}", repeatable=True)

    def unsave(self, name: str) -> None:
        """Forgets a saved search. Raises :class:`Missing`."""
        self.request(f"UNSAVE {word(name)}")

    def _change(self, line: str, *, repeatable: bool = False) -> reading.Changed:
        return reading.changed(self.request(line, repeatable=repeatable).text)

    # The connection, for the other modules of the client.

    def ready(self) -> Channel:
        """The channel, with nothing left over of an earlier answer."""
        if self._streaming is not None:
            # Whoever left a stream in the middle gets a new connection: reading the rest might take for ever.
            self.reconnect()
        elif self._channel.stale():
            self.reconnect()
        return self._channel

    def tracked(self, stream: Iterator[Made]) -> Iterator[Made]:
        """``stream``, remembering that answers are outstanding until it ends."""
        self._streaming = stream
        yield from stream
        self._streaming = None

    def again(self, ask: Callable[[], Made], repeatable: bool) -> Made:
        """What ``ask`` returns; once more on a new connection where the old one broke and a repeat is safe."""
        try:
            return ask()
        except ConnectionLost as error:
            # 421 says that nothing was done, so that may always be repeated.
            if not (repeatable or isinstance(error, Closing)):
                raise
            self.reconnect()
            return ask()
