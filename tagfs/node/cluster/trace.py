"""A recording of what the membership was told and what it decided, to be looked at or replayed. Layer: node.

JSON lines: first what the node knew of itself and the seed of its chance, then each event with its time and the effects.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any, TextIO

from tagfs.cluster import effects as words
from tagfs.cluster.effects import Effect, Event
from tagfs.cluster.membership import Membership
from tagfs.cluster.standing import Self
from tagfs.cluster.view import ClusterSettings, Member
from tagfs.model.record import Record, Ref, decode, encode

MOST_BYTES = 256 << 20
"""Size at which a recording ends."""

_NAMED: Mapping[str, Any] = {
    kind.__name__: kind
    for kind in (
        *(words.Tick, words.Learnt, words.Heard, words.Met, words.Missed, words.Asked, words.Answered, words.Failed),
        *(words.Ask, words.Reply, words.Decline, words.Meet, words.Keep, words.Drop, words.Change, words.Merge),
        *(words.Persist, words.Say, words.Dismissed, words.Hear, Ref, Self, Member, ClusterSettings),
    )
}


class Trace:
    """Writes a recording."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._left = MOST_BYTES

    def begin(self, own: Self, seed: int) -> None:
        """The first line."""
        self._write({"own": plain(own), "seed": seed})

    def note(self, event: Event, now: float, effects: Iterable[Effect]) -> None:
        """One step."""
        self._write({"at": now, "event": plain(event), "effects": [plain(effect) for effect in effects]})

    def _write(self, line: Mapping[str, object]) -> None:
        text = json.dumps(line) + "\n"
        self._left -= len(text)
        if self._left > 0:
            self._file.write(text)
            self._file.flush()

    def close(self) -> None:
        """Ends the recording."""
        self._file.close()


def open_trace(path: str) -> Trace | None:
    """A recording to that file; none where the path is empty."""
    return Trace(Path(path).open("w", encoding="utf-8")) if path else None


def replay(lines: Iterable[str]) -> Iterator[tuple[Any, Any, Any]]:
    """Steps a fresh membership through a recording: triples (event, effects recorded, effects now), in plain form."""
    steps = (json.loads(line) for line in lines)
    first = next(steps)
    membership = Membership(alive(first["own"]), Random(first["seed"]))
    for step in steps:
        again = [plain(effect) for effect in membership.step(alive(step["event"]), step["at"])]
        yield step["event"], step["effects"], json.loads(json.dumps(again))


def plain(value: Any) -> Any:
    """A value as JSON can hold it. Inverse of :func:`alive`."""
    if isinstance(value, Record):
        return {"record": encode(value).hex()}
    if isinstance(value, tuple) and type(value).__name__ in _NAMED:
        return {"is": type(value).__name__, "of": [plain(item) for item in value]}
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {"map": {key: plain(item) for key, item in value.items()}}
    return value


def alive(value: Any) -> Any:
    """The value that :func:`plain` made JSON of."""
    if isinstance(value, list):
        return tuple(alive(item) for item in value)
    if not isinstance(value, dict):
        return value
    if "record" in value:
        return decode(bytes.fromhex(value["record"]))
    if "map" in value:
        return {key: alive(item) for key, item in value["map"].items()}
    return _NAMED[value["is"]](*(alive(item) for item in value["of"]))
