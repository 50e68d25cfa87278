"""Operations on a node whose outcome is known: a ledger of what was acknowledged, and a worker that makes it grow."""

from __future__ import annotations

import random
import socket
import threading
from typing import BinaryIO

from attrs import define, evolve, field, frozen

TAGS = tuple(f"t{number}" for number in range(12))
SIZES = (0, 1, 300, 1024, 1024, 4096, 20_000, 200_000, 1_500_000)


class Violation(Exception):
    """The node broke a promise."""


@frozen
class State:
    """What one entry must look like. ``content`` is the seed of its bytes."""

    name: str
    size: int
    content: str
    tags: frozenset[str]
    place: str = "live"


def bytes_of(state: State) -> bytes:
    """The content that belongs to a state."""
    return random.Random(state.content).randbytes(state.size)


@define(eq=False)
class Ledger:
    """One worker's entries: what the node acknowledged (by entry id), and what was under way when it died."""

    worker: str
    chance: random.Random
    entries: dict[str, State] = field(factory=dict)
    maybe: list[tuple[str | None, State]] = field(factory=list)
    fresh: set[str] = field(factory=set)
    made: int = 0
    acknowledged: int = 0

    def check(self, connection: socket.socket) -> None:
        """Compares the node with the ledger, and takes over what became of the operations that were under way."""
        stream = Asking(connection)
        found = self._listed(stream, f"name:{self.worker}-*", "live") | self._listed(
            stream, f"name:{self.worker}-* and in:trash", "trash"
        )
        for identifier, after in self.maybe:
            self._settle(identifier, after, found)
        self.maybe.clear()
        for identifier, state in self.entries.items():
            seen = found.pop(identifier, None)
            if state.place == "purged":
                if seen is not None:
                    raise Violation(f"{identifier} was purged and is back: {seen}")
            elif seen != _shown(state):
                raise Violation(f"{identifier} should be {_shown(state)} and is {seen}")
        if found:
            raise Violation(f"entries that nobody stored: {found}")
        total = stream.ask(f"COUNT name:{self.worker}-*")
        live = sum(state.place == "live" for state in self.entries.values())
        if total != f"213 {live}":
            raise Violation(f"COUNT says {total!r}, {live} entries were acknowledged")
        self.check_contents(connection)

    def check_contents(self, connection: socket.socket, whole: bool = False) -> int:
        """Reads contents back: all of them, or those stored since the last check and some others; how many."""
        stream = Asking(connection)
        kept = [identifier for identifier, state in self.entries.items() if state.place != "purged"]
        some = set(kept if whole else self.chance.sample(kept, min(10, len(kept)))) | self.fresh.intersection(kept)
        self.fresh.clear()
        for identifier in some:
            state = self.entries[identifier]
            if stream.content(identifier) != bytes_of(state):
                raise Violation(f"the content of {identifier} ({state.size} bytes) is torn or another")
        return len(some)

    def _listed(self, stream: Asking, query: str, place: str) -> dict[str, tuple[object, ...]]:
        rows = stream.rows(f"FIND {query}")
        listed = {}
        for row in rows:
            identifier, size, _modified, name, tags = row.split("\t")
            listed[identifier] = (name, int(size), frozenset(tags.split()), place)
        return listed

    def _settle(self, identifier: str | None, after: State, found: dict[str, tuple[object, ...]]) -> None:
        """An operation without an answer happened whole, or not at all."""
        if identifier is None:
            known = [key for key, seen in found.items() if seen[0] == after.name and key not in self.entries]
            if len(known) > 1:
                raise Violation(f"{after.name} was stored {len(known)} times")
            for key in known:
                self.entries[key] = after
                self.fresh.add(key)
        elif found.get(identifier) == _shown(after) or (after.place == "purged" and identifier not in found):
            self.entries[identifier] = after


def _shown(state: State) -> tuple[object, ...]:
    return state.name, state.size, state.tags, state.place


GOODBYE = ("421", "426")
"""What a node that stops answers: to who asks, and to what it worked on, which may or may not have come to pass."""


class Asking:
    """The tag protocol, spoken plainly: one request, one answer."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.file: BinaryIO = connection.makefile("rb")
        self._greeted = False

    def line(self) -> str:
        line = self.file.readline(1 << 17)
        if not line.endswith(b"\n"):
            raise ConnectionError("the node went away")
        return line.rstrip(b"\r\n").decode()

    def greet(self) -> None:
        """Waits until the node answers; a greeting may or may not have been read before."""
        self.send("NOOP")
        while not self.line().startswith("200"):
            pass
        self._greeted = True

    def send(self, command: str) -> None:
        self.connection.sendall(command.encode() + b"\r\n")

    def ask(self, command: str) -> str:
        if not self._greeted:
            self.greet()
        self.send(command)
        line = self.line()
        if line.startswith(GOODBYE):
            raise ConnectionError("the node says goodbye")
        return line

    def rows(self, command: str) -> list[str]:
        """The rows of a listing that must succeed."""
        rows, last = self.listing(command)
        if f" total={len(rows)} " not in f"{last} ":
            raise Violation(f"{command}: {len(rows)} rows, then {last}")
        return rows

    def listing(self, command: str) -> tuple[list[str], str]:
        """The rows of a listing that must succeed, and its last line."""
        first = self.ask(command)
        if first[3:4] != "-":
            raise Violation(f"{command}: {first}")
        rows = []
        while (line := self.line()).startswith(" "):
            rows.append(line[1:])
        return rows, line

    def content(self, identifier: str) -> bytes:
        """The content of an entry."""
        first = self.ask(f"GET {identifier}")
        if not first.startswith("150 "):
            raise Violation(f"GET {identifier}: {first}")
        data = self.file.read(int(first.split()[1]))
        last = self.line()
        if not last.startswith("226"):
            raise Violation(f"GET {identifier}: {last}")
        return data


class Worker(threading.Thread):
    """Changes its own entries until the node goes away; the ledger says what was acknowledged."""

    def __init__(self, address: tuple[str, int], ledger: Ledger, seed: int) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._ledger = ledger
        self._chance = random.Random(seed)
        self.failure: Exception | None = None

    def run(self) -> None:
        try:
            with socket.create_connection(self._address, 30) as connection:
                asking = Asking(connection)
                asking.greet()
                while True:
                    self._chance.choice((self._store, self._store, self._change, self._change, self._bin))(asking)
        except OSError:
            return
        except Exception as failure:  # noqa: BLE001 - whatever it is, the campaign must hear of it
            self.failure = failure

    def _store(self, asking: Asking) -> None:
        """Stores a burst of contents without waiting for the answers in between."""
        burst = [self._new() for _ in range(self._chance.choice((1, 1, 5, 30)))]
        ledger = self._ledger
        ledger.maybe.extend((None, state) for state in burst)
        lines = (f"ADD {state.size} {state.name} {' '.join(state.tags)}\n".encode() for state in burst)
        data = b"".join(line + bytes_of(state) for line, state in zip(lines, burst, strict=True))
        sender = threading.Thread(target=_send, args=(asking, data), daemon=True)
        sender.start()
        for state in burst:
            if not (line := asking.line()).startswith("150"):
                raise Violation(f"ADD {state.name}: {line}")
            identifier = self._expect(asking.line(), "250").split()[1]
            ledger.maybe.remove((None, state))
            ledger.entries[identifier] = state
            ledger.fresh.add(identifier)
            ledger.acknowledged += 1
        sender.join()

    def _new(self) -> State:
        ledger = self._ledger
        ledger.made += 1
        name = f"{ledger.worker}-{ledger.made}"
        tags = frozenset(self._chance.sample(TAGS, self._chance.randrange(4)))
        return State(name, self._chance.choice(SIZES), name, tags)

    def _change(self, asking: Asking) -> None:
        """Re-tags or renames an entry outside the trash."""
        picked = self._pick("live")
        if picked is None:
            return
        identifier, state = picked
        some = self._chance.sample(TAGS, 2)
        which = self._chance.randrange(3)
        if which == 0:
            after = evolve(state, tags=state.tags | set(some))
            self._run(asking, f"ADD-TAGS id:{identifier} | {' '.join(some)}", identifier, after)
        elif which == 1:
            after = evolve(state, tags=state.tags - set(some))
            self._run(asking, f"DELETE-TAGS id:{identifier} | {' '.join(some)}", identifier, after)
        else:
            self._ledger.made += 1
            after = evolve(state, name=f"{self._ledger.worker}-{self._ledger.made}")
            self._run(asking, f"RENAME {identifier} | {after.name}", identifier, after)

    def _bin(self, asking: Asking) -> None:
        """Into the trash, out of it, or out of the world."""
        place, verb, after = self._chance.choice(
            (("live", "DELETE", "trash"), ("trash", "RESTORE", "live"), ("trash", "PURGE", "purged"))
        )
        picked = self._pick(place)
        if picked is not None:
            self._run(asking, f"{verb} id:{picked[0]}", picked[0], evolve(picked[1], place=after))

    def _pick(self, place: str) -> tuple[str, State] | None:
        for _ in range(20):
            if not self._ledger.entries:
                return None
            identifier = self._chance.choice(tuple(self._ledger.entries))
            if self._ledger.entries[identifier].place == place:
                return identifier, self._ledger.entries[identifier]
        return None

    def _run(self, asking: Asking, command: str, identifier: str, after: State) -> None:
        self._ledger.maybe.append((identifier, after))
        self._expect(asking.ask(command), "250")
        self._ledger.maybe.remove((identifier, after))
        self._ledger.entries[identifier] = after
        self._ledger.acknowledged += 1

    def _expect(self, line: str, code: str) -> str:
        if not line.startswith(code):
            raise Violation(f"expected {code}, got {line}")
        return line


def _send(asking: Asking, data: bytes) -> None:
    try:
        asking.connection.sendall(data)
    except OSError:
        return
