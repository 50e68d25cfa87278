"""Clients of a campaign: writers that note what is acknowledged, readers that check answers while faults happen."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from tests.campaigns.cluster.history import Fate, History
from tests.campaigns.cluster.network import inside
from tests.campaigns.cluster.nodes import Member
from tests.campaigns.workload import GOODBYE, Asking, Violation

TAGS = tuple(f"t{number}" for number in range(8))
SIZES = (0, 1, 300, 1024, 1024, 4096, 20_000, 200_000, 1_500_000)
_PATIENCE_S = 15.0
"""Seconds that a client waits for an answer before it takes the connection for lost."""


class ClusterClient(threading.Thread):
    """Does one thing after the other at one node until told to stop; reconnects whenever the node goes away."""

    def __init__(self, member: Member, history: History, seed: int, name: str) -> None:
        super().__init__(daemon=True, name=name)
        self.member = member
        self.history = history
        self.chance = random.Random(seed)
        self.failure: Exception | None = None
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            try:
                with inside(self.member.namespace):
                    connection = self.member.connect(_PATIENCE_S)
                with connection:
                    connection.settimeout(_PATIENCE_S)
                    asking = Asking(connection)
                    asking.greet()
                    while not self._ending.is_set():
                        self.work(asking)
            except (OSError, ConnectionError):
                self._ending.wait(0.2)
            except Exception as failure:  # noqa: BLE001 - whatever it is, the campaign must hear of it
                self.failure = failure
                return

    def work(self, asking: Asking) -> None:
        """One operation."""
        raise NotImplementedError

    def finish(self) -> None:
        """Ends after the operation under way."""
        self._ending.set()
        self.join(2 * _PATIENCE_S)
        if self.is_alive():
            raise AssertionError(f"{self.name} does not end")
        if self.failure is not None:
            raise self.failure


def _copies(line: str) -> int:
    """K of the ``copies=K/N`` in an answer."""
    return int(line.partition("copies=")[2].partition("/")[0])


class Writer(ClusterClient):
    """Stores entries of its own and changes them, all through one node; and gives tags to entries of others."""

    def __init__(self, member: Member, history: History, seed: int, name: str) -> None:
        super().__init__(member, history, seed, name)
        self._made = 0
        self._own: list[Fate] = []

    def work(self, asking: Asking) -> None:
        time.sleep(0.02)  # many small faults say more than many writes: two processors carry all nodes
        self.chance.choice((self._store, self._store, self._retag, self._share, self._bin))(asking)

    def _store(self, asking: Asking) -> None:
        self._made += 1
        name = f"{self.name}-{self._made}"
        size = self.chance.choice(SIZES)
        tags = frozenset(self.chance.sample(TAGS, self.chance.randrange(4)))
        fate = Fate("", name, name, size, 0.0, dict.fromkeys(TAGS, False) | dict.fromkeys(tags, True))
        with self.history.lock:
            self.history.unsure[name] = (name, size, tags)
        asking.connection.sendall(f"ADD {size} {name} {' '.join(tags)}\n".encode() + fate.content())
        line = asking.line()
        if line.startswith("150"):
            line = asking.line()
        if line.startswith(GOODBYE):
            raise ConnectionError("the node says goodbye")
        words = line.split()
        if line.startswith("250") or (line.startswith("451") and " kept" in line):
            fate.id = words[1]
            fate.copies = _copies(line)
            fate.since_s = time.monotonic()
            self.history.stored(fate)
            if fate.id in self.history.fates:
                self._own.append(fate)
        elif line[:3] in ("451", "452"):
            with self.history.lock:
                self.history.unsure.pop(name)
                self.history.refused += 1
        else:
            raise Violation(f"{self.name}: ADD {name}: {line}")

    def _retag(self, asking: Asking) -> None:
        fate = self._pick("live")
        if fate is None:
            return
        tag, add = self.chance.choice(TAGS), self.chance.random() < 0.6
        verb = "ADD-TAGS" if add else "DELETE-TAGS"
        self._change(asking, f"{verb} id:{fate.id} | {tag}", fate, lambda: fate.tags.update({tag: add}), tag)

    def _share(self, asking: Asking) -> None:
        """A tag that only this writer gives, to anybody's entry: it must survive whatever others do to that entry."""
        fate = self.history.pick(self.chance)
        if fate is None:
            return
        tag = f"by-{self.name}"
        if fate.tags.get(tag):
            return
        fate.tags[tag] = None
        line = asking.ask(f"ADD-TAGS id:{fate.id} | {tag}")
        if line.startswith("250 1 ") and self._is_safe(line):
            fate.tags[tag] = True
            with self.history.lock:
                self.history.acknowledged += 1

    def _bin(self, asking: Asking) -> None:
        place, verb, after = self.chance.choice(
            (("live", "DELETE", "trash"), ("trash", "RESTORE", "live"), ("trash", "PURGE", "purged"))
        )
        fate = self._pick(place)
        if fate is not None:
            self._change(asking, f"{verb} id:{fate.id}", fate, lambda: setattr(fate, "place", after))

    def _is_safe(self, line: str) -> bool:
        """Whether what was answered must survive whatever this campaign does."""
        return not self.history.lossy or _copies(line) > 1

    def _pick(self, place: str) -> Fate | None:
        some = [fate for fate in self.chance.sample(self._own, min(20, len(self._own))) if fate.place == place]
        return some[0] if some else None

    def _change(
        self, asking: Asking, command: str, fate: Fate, becomes: Callable[[], object], tag: str | None = None
    ) -> None:
        """Runs a change; without an answer, both outcomes are right from then on."""
        before = fate.tags.get(tag) if tag else fate.place
        fate.since_s = float("inf")
        if tag:
            fate.tags[tag] = None
        else:
            fate.place = None
        line = asking.ask(command)
        if line.startswith("250 0 ") and self.history.lossy:
            self._restore(fate, tag, before)  # a node that is new here may not have heard of the entry yet
        elif line.startswith("250 1 ") or (tag and line.startswith("250 0 ")):
            if self._is_safe(line):
                becomes()
            with self.history.lock:
                self.history.acknowledged += 1
        elif line.startswith(("451", "452")):
            self._restore(fate, tag, before)
        else:
            raise Violation(f"{self.name}: {command}: {line}")
        fate.since_s = time.monotonic()

    @staticmethod
    def _restore(fate: Fate, tag: str | None, before: object) -> None:
        """Nothing came of a change."""
        if tag:
            fate.tags[tag] = before  # type: ignore[assignment]
        else:
            fate.place = before  # type: ignore[assignment]


class Reader(ClusterClient):
    """Asks one node for entries that were acknowledged anywhere: contents must be right, complete answers complete."""

    def work(self, asking: Asking) -> None:
        time.sleep(0.05)
        fate = self.history.pick(self.chance)
        if fate is None or not self.history.settled(fate):
            return
        if self.chance.random() < 0.5:
            self._read(asking, fate)
        else:
            self._find(asking, fate)

    def _read(self, asking: Asking, fate: Fate) -> None:
        first = asking.ask(f"GET {fate.id}")
        if not first.startswith("150 "):
            if first[:3] not in ("451", "550"):
                raise Violation(f"{self.name}: GET {fate.id}: {first}")
            return
        size = int(first.split()[1])
        data = asking.file.read(size)
        if len(data) < size:
            raise ConnectionError("the node went away")
        if data != fate.content():
            raise Violation(f"{self.name}: the content of {fate.id} ({fate.size} bytes) is torn or another")
        if not (last := asking.line()).startswith(("226", "426")):
            raise Violation(f"{self.name}: GET {fate.id}: {last}")
        self.history.checked += 1

    def _find(self, asking: Asking, fate: Fate) -> None:
        begun = fate.since_s
        tag = self.chance.choice([tag for tag in TAGS if fate.tags.get(tag)] or [""])  # not what others gave just now
        rows, last = asking.listing(f"FIND {tag} name:{fate.name} | limit=5".replace("  ", " "))
        unchanged = fate.since_s == begun and fate.place == "live" and (not tag or fate.tags[tag])
        if "complete=yes" in last and not rows and unchanged:
            age_s = time.monotonic() - begun
            raise Violation(
                f"{self.name}: {fate.id} ({fate.name}, {age_s:.1f} s old) is not in an answer marked complete"
            )
        self.history.checked += 1
