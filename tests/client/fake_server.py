"""A small node in memory that speaks the tag protocol from a thread, and a server that plays back a script.

:class:`MemoryNode` is honest: it stores, tags and finds, so that clients can be tested end to end without a reactor. Its
queries are the part of the language that the client itself writes: words, quoted tags, ``field:value``, and, or, not, parentheses.
"""

from __future__ import annotations

import fnmatch
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from blake3 import blake3

from tagfs.client.text import tags_in, word
from tagfs.errors import BadRequest, NotFound, QueryError, TagfsError
from tagfs.model.entry import entry_id, entry_id_for_key
from tagfs.model.names import check_home, check_name, check_tag, fold

_TOKEN = re.compile(r'\s*(?:([()])|((?:[^\s()"]|"(?:[^"\\]|\\.)*")+))')


@dataclass
class Stored:
    """An entry of the fake."""

    id: str
    name: str
    data: bytes
    tags: list[str]
    home: str | None
    modified: str
    added: float
    trashed: bool = False

    @property
    def digest(self) -> str:
        return blake3(self.data).hexdigest()

    def folder(self) -> str:
        return self.home if self.home is not None else "/".join(sorted(self.tags))


@dataclass
class Shelf:
    """What all sessions share."""

    entries: dict[str, Stored] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    saved: dict[str, str] = field(default_factory=dict)
    copies: str = "3"
    lock: threading.RLock = field(default_factory=threading.RLock)
    password: str | None = None
    lines: list[str] = field(default_factory=list)
    cut_after_adds: int | None = None
    """Break the connection after this many ADDs were stored, before their reply; then never again."""


class MemoryNode(socketserver.ThreadingTCPServer):
    """Listens on a free port of the loopback until closed; use it as a context manager."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, shelf: Shelf | None = None) -> None:
        self.shelf = shelf or Shelf()
        self.sessions: list[socket.socket] = []
        """The socket of the latest session."""
        super().__init__(("127.0.0.1", 0), _Session)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def port(self) -> int:
        return self.server_address[1]

    def __enter__(self) -> MemoryNode:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Session(socketserver.StreamRequestHandler):
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.shelf: Shelf = self.server.shelf  # type: ignore[attr-defined]
        self.known = self.shelf.password is None
        self.server.sessions[:] = [self.request]  # type: ignore[attr-defined]
        self.say("220 fake tagfs")
        try:
            while line := self.rfile.readline(70_000):
                if not self.command(line.decode().rstrip("\r\n")):
                    break
        except (ConnectionError, ValueError):
            pass

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")
        self.wfile.flush()

    def rows(self, code: int, rows: list[str], last: str) -> None:
        head = f"{code}-rows follow\r\n" if rows else ""
        self.wfile.write((head + "".join(f" {row}\r\n" for row in rows)).encode())
        self.say(f"{code} {last}")

    def command(self, line: str) -> bool:
        self.shelf.lines.append(line)
        verb, _, rest = line.partition(" ")
        if verb == "QUIT":
            self.say("221 Bye")
            return False
        do: Callable[[str], None] | None = getattr(self, "do_" + verb.upper().replace("-", "_"), None)
        try:
            if do is None:
                self.say(f"500 {verb}: no such command")
            elif not self.known and verb not in ("USER", "PASS"):
                self.say("530 Log in first")
            else:
                with self.shelf.lock:
                    do(rest)
        except TagfsError as error:
            self.say(f"{error.ftp} {error}")
        return True

    def do_NOOP(self, _: str) -> None:
        self.say("200 OK")

    def do_USER(self, _: str) -> None:
        self.say("331 Password")

    def do_PASS(self, password: str) -> None:
        self.known = self.shelf.password in (None, password)
        self.say("230 Logged in" if self.known else "530 Wrong user or password")

    def do_ADD(self, rest: str) -> None:
        size, _, rest = rest.partition(" ")
        data = self.rfile.read(int(size))
        if len(data) < int(size):
            raise ConnectionError
        before, given = _parts(rest)
        name, *tags = tags_in(before)
        options = dict(option.split("=", 1) for option in _options(given))
        self.say("150 Go on")
        key = options.get("key")
        if key in self.shelf.keys:
            self.say(f"250 {self.shelf.keys[key]} copies=1/1")
            return
        now = time.time()
        made = entry_id_for_key("", key) if key else entry_id(int(now * 1000), blake3(str(now).encode()).digest(10))
        home = check_home(options["folder"]) if "folder" in options else None
        unique = {fold(check_tag(tag)): tag for tag in tags}
        self.shelf.entries[made] = Stored(
            made,
            check_name(name),
            data,
            list(unique.values()),
            home,
            options.get("modified", "2026-01-01T00:00:00.000Z"),
            now,
        )
        if key:
            self.shelf.keys[key] = made
        if self.shelf.cut_after_adds is not None:
            self.shelf.cut_after_adds -= 1
            if self.shelf.cut_after_adds < 0:
                self.shelf.cut_after_adds = None
                raise ConnectionError
        self.say(f"250 {made} copies=1/1")

    def do_FIND(self, rest: str) -> None:
        query, given = _parts(rest)
        options = dict(option.split("=", 1) for option in _options(given))
        found = self.matching(query)
        order = options.get("sort", "-added")
        keys: dict[str, Callable[[Stored], object]] = {
            "name": lambda e: e.name,
            "size": lambda e: len(e.data),
            "added": lambda e: e.added,
            "modified": lambda e: e.modified,
        }
        found.sort(key=lambda e: (keys[order.lstrip("-")](e), e.id), reverse=order.startswith("-"))
        total = len(found)
        if "limit" in options:
            found = found[: int(options["limit"])]
        rows = [f"{e.id}\t{len(e.data)}\t{e.modified}\t{e.name}\t{' '.join(map(word, e.tags))}" for e in found]
        self.rows(213, rows, f"total={total} complete=yes")

    do_LIST = do_FIND

    def do_COUNT(self, rest: str) -> None:
        self.say(f"213 {len(self.matching(rest))}")

    def do_TAGS(self, rest: str) -> None:
        query, given = _parts(rest)
        options = dict(option.split("=", 1) for option in _options(given))
        counts: dict[str, int] = {}
        for entry in self.matching(query):
            for tag in entry.tags:
                counts[tag] = counts.get(tag, 0) + 1
        chosen = sorted(t for t in counts if t.startswith(options.get("prefix", "")))
        if options.get("sort", "count") == "count":
            chosen.sort(key=lambda t: -counts[t])
        self.rows(214, [f"{counts[t]}\t{t}" for t in chosen[: int(options.get("limit", 100))]], f"total={len(chosen)}")

    def do_INFO(self, rest: str) -> None:
        e = self.entry(rest)
        fields = {
            "id": e.id, "name": e.name, "size": len(e.data), "type": "application/octet-stream", "digest": e.digest,
            "tags": " ".join(map(word, e.tags)), "home": e.folder(), "added": "2026-01-01T00:00:00.000Z",
            "modified": e.modified, "copies": "1/1", "nodes": "fake",
        }  # fmt: skip
        self.rows(213, [f"{key}\t{value}" for key, value in fields.items()], "End")

    def do_GET(self, rest: str) -> None:
        before, given = _parts(rest)
        options = dict(option.split("=", 1) for option in _options(given))
        data = self.entry(before).data[int(options.get("offset", 0)) :]
        self.say(f"150 {len(data)}")
        self.wfile.write(data)
        self.say("226 Done")

    def do_ADD_TAGS(self, rest: str) -> None:
        query, given = _parts(rest)
        changed = 0
        for entry in self.matching(query):
            new = [t for t in map(check_tag, tags_in(given)) if fold(t) not in map(fold, entry.tags)]
            entry.tags += new
            changed += bool(new)
        self.say(f"250 {changed} changed copies=1/1")

    def do_DELETE_TAGS(self, rest: str) -> None:
        query, given = _parts(rest)
        gone = set(map(fold, tags_in(given)))
        changed = 0
        for entry in self.matching(query):
            kept = [t for t in entry.tags if fold(t) not in gone]
            changed += len(kept) < len(entry.tags)
            entry.tags = kept
        self.say(f"250 {changed} changed copies=1/1")

    def do_RENAME_TAG(self, rest: str) -> None:
        old, new = map(str.strip, _parts(rest))
        (old,), (new,) = tags_in(old), tags_in(new)
        having = [e for e in self.shelf.entries.values() if old in e.tags]
        if not having:
            raise NotFound(f"no tag {old!r}")
        for entry in having:
            entry.tags = sorted({new if t == old else t for t in entry.tags})
        self.say(f"250 {len(having)} changed copies=1/1")

    def do_DELETE(self, rest: str) -> None:
        self.trash(rest, True, "deleted")

    def do_RESTORE(self, rest: str) -> None:
        self.trash(f"in:trash ({rest})" if rest else "", False, "restored")

    def trash(self, query: str, value: bool, said: str) -> None:
        if not query.strip():
            raise BadRequest("say which entries")
        found = self.matching(query)
        for entry in found:
            entry.trashed = value
        self.say(f"250 {len(found)} {said} copies=1/1")

    def do_PURGE(self, rest: str) -> None:
        found = self.matching(f"in:trash ({rest})")
        for entry in found:
            del self.shelf.entries[entry.id]
        self.say(f"250 {len(found)} purged copies=1/1")

    def do_RENAME(self, rest: str) -> None:
        before, after = _parts(rest)
        self.entry(before).name = check_name(tags_in(after.strip())[0])
        self.say("250 Renamed")

    def do_SAVE(self, rest: str) -> None:
        before, query = _parts(rest)
        self.shelf.saved[tags_in(before)[0]] = query.strip()
        self.say("250 Saved")

    def do_SAVED(self, _: str) -> None:
        self.rows(214, [f"{name}\t{query}" for name, query in sorted(self.shelf.saved.items())], "End")

    def do_UNSAVE(self, rest: str) -> None:
        if self.shelf.saved.pop(tags_in(rest)[0], None) is None:
            raise NotFound("no such search")
        self.say("250 Forgotten")

    def do_CLUSTER(self, _: str) -> None:
        self.rows(214, ["cluster\tc1", f"copies\t{self.shelf.copies}"], "End")

    def do_CLUSTER_SET(self, rest: str) -> None:
        name, _, value = rest.partition("=")
        if name != "copies":
            raise BadRequest(f"{name} is no setting")
        self.shelf.copies = value
        self.do_CLUSTER("")

    def do_NODES(self, _: str) -> None:
        row = f"fake\tone\t\talive\t127.0.0.1:4747\t{len(self.shelf.entries)}\t0"
        self.rows(211, [row], "End")

    def entry(self, text: str) -> Stored:
        found = self.shelf.entries.get(text.strip())
        if found is None:
            raise NotFound(f"no entry {text.strip()!r}")
        return found

    def matching(self, query: str) -> list[Stored]:
        test = _Parser(query).whole()
        trash = "in:trash" in query
        return [e for e in self.shelf.entries.values() if (trash or not e.trashed) and test(e)]


class _Parser:
    """The subset of the query language, to predicates."""

    def __init__(self, text: str) -> None:
        self.tokens = [a or b for a, b in _TOKEN.findall(text)]

    def whole(self) -> Callable[[Stored], bool]:
        if not self.tokens:
            return lambda _: True
        test = self.either()
        if self.tokens:
            raise QueryError("what is this", 1, "the end")
        return test

    def either(self) -> Callable[[Stored], bool]:
        tests = [self.both()]
        while self.tokens[:1] == ["or"]:
            self.tokens.pop(0)
            tests.append(self.both())
        return lambda e: any(test(e) for test in tests)

    def both(self) -> Callable[[Stored], bool]:
        tests = [self.one()]
        while self.tokens and self.tokens[0] not in ("or", ")"):
            if self.tokens[0] == "and":
                self.tokens.pop(0)
            tests.append(self.one())
        return lambda e: all(test(e) for test in tests)

    def one(self) -> Callable[[Stored], bool]:
        if not self.tokens or self.tokens[0] in ("or", "and", ")"):
            raise QueryError("something is missing", 1, "a tag")
        token = self.tokens.pop(0)
        if token == "not":
            inner = self.one()
            return lambda e: not inner(e)
        if token == "(":
            inner = self.either()
            if self.tokens[:1] != [")"]:
                raise QueryError("a parenthesis is open", 1, ")")
            self.tokens.pop(0)
            return inner
        if token == "in:trash":
            return lambda e: e.trashed
        name, colon, value = token.partition(":")
        if colon and name in ("name", "id", "digest", "home"):
            return _metadata(name, tags_in(value)[0] if value.startswith('"') else value)
        wanted = fold(tags_in(token)[0] if token.startswith('"') else token)
        return lambda e: wanted in map(fold, e.tags)


def _metadata(name: str, value: str) -> Callable[[Stored], bool]:
    get: dict[str, Callable[[Stored], str]] = {
        "name": lambda e: e.name, "id": lambda e: e.id, "digest": lambda e: e.digest, "home": lambda e: e.folder(),
    }  # fmt: skip
    if name == "id" and len(value) < 26:
        value = "*" + value
    return lambda e: fnmatch.fnmatchcase(get[name](e), value) if "*" in value else get[name](e) == value


def _parts(rest: str) -> tuple[str, str]:
    """Before and after the first ``|`` outside quotes."""
    inside = False
    at = 0
    while at < len(rest):
        if rest[at] == "\\" and inside:
            at += 1
        elif rest[at] == '"':
            inside = not inside
        elif rest[at] == "|" and not inside:
            return rest[:at], rest[at + 1 :]
        at += 1
    return rest, ""


def _options(text: str) -> Iterator[str]:
    for part in re.findall(r'\s*((?:[^\s"]|"(?:[^"\\]|\\.)*")+)', text):
        name, equals, value = part.partition("=")
        yield f"{name}={tags_in(value)[0] if value.startswith(chr(34)) else value}" if equals else part


class Script:
    """A server that answers one connection with given bytes: for what no honest server sends.

    ``play`` gets the connected socket (and its file for reading lines) and does as it likes.
    """

    def __init__(self, play: Callable[[socket.socket, BinaryIO], None]) -> None:
        self._play = play
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, sock.makefile("rb") as lines:
                try:
                    self._play(sock, lines)
                except OSError:
                    pass

    def __enter__(self) -> Script:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
