"""Which tags a query about many tags means: wildcards, ``key=*``, comparisons. Layer: storage.

To test a million titles takes seconds. So it goes in steps, and what was found is kept: the next time, only names that
were given since have to be looked at. Numbers of tags that are gone may be among what is found; no row has them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, TypeGuard

from pyroaring import BitMap

from tagfs.model.names import split_tag
from tagfs.model.query.meaning import glob_pattern, reading, value_test
from tagfs.model.query.syntax import Between, Compare, HasKey, TagGlob
from tagfs.storage.index.labels import Labels
from tagfs.storage.index.steps import Steps, at_once

Tags: TypeAlias = TagGlob | HasKey | Compare | Between

_KEPT = 64
"""Queries whose tags are kept; the one asked longest ago makes room."""
_STEP = 1024
"""Names that are tested in one step."""


@dataclass
class _Found:
    """The numbers of the tags that fit, among all names given up to a place in the log of an era."""

    numbers: BitMap
    upto: int
    era: int


class Matching:
    """Finds tags among labels, and remembers."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._kept: OrderedDict[Tags, _Found] = OrderedDict()

    def numbers(self, query: Tags) -> BitMap:
        """The numbers of the tags that the query means; not to be changed, nor to be kept."""
        at_once(self.prepare(query))
        return self._kept[query].numbers

    def prepare(self, query: Tags) -> Steps[None]:
        """Takes the work out of the next :meth:`numbers`; the labels may change between the steps."""
        labels, fits = self._labels, _test(query)
        found = self._known(query)
        if found is None:
            found = _Found(BitMap(), len(labels.given), labels.era)
            candidates = self._candidates(query)
            for start in range(0, len(candidates), _STEP):
                found.numbers.update([n for n in candidates[start : start + _STEP] if fits(labels.names[n])])
                yield
            self._kept[query] = found
        while found.era == labels.era and found.upto < len(labels.given):
            changed = labels.given[found.upto : found.upto + _STEP]
            found.numbers -= BitMap(changed)
            found.numbers.update([number for number in changed if fits(labels.names[number])])
            found.upto += len(changed)
            yield
        self._kept[query] = found
        self._kept.move_to_end(query)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

    def left(self, query: Tags) -> int:
        """How many names :meth:`numbers` still has to test."""
        found = self._known(query)
        return self._count(query) if found is None else len(self._labels.given) - found.upto

    def _known(self, query: Tags) -> _Found | None:
        found = self._kept.get(query)
        return found if found and found.era == self._labels.era else None

    def _candidates(self, query: Tags) -> Sequence[int]:
        """Numbers of all tags that may fit."""
        labels = self._labels
        if isinstance(query, TagGlob):
            start = _literal_start(query)
            if not start:
                return range(len(labels.names))
            return [labels.numbers[name] for name in labels.ordered.beginning(start)]
        if _is_literal(query):
            number = labels.numbers.get(f"{query.key}={query.value}")
            return [] if number is None else [number]
        return list(labels.keys.get(query.key, ()))

    def _count(self, query: Tags) -> int:
        """How many :meth:`_candidates` there are."""
        labels = self._labels
        if isinstance(query, TagGlob):
            return labels.ordered.count(_literal_start(query))
        return 1 if _is_literal(query) else len(labels.keys.get(query.key, ()))


def _test(query: Tags) -> Callable[[str], bool]:
    """Whether the query means a tag."""
    if isinstance(query, TagGlob):
        fullmatch = glob_pattern(query.pattern).fullmatch
        return lambda name: fullmatch(name) is not None
    key = query.key
    passes = None if isinstance(query, HasKey) else value_test(query)

    def fits(name: str) -> bool:
        pair = split_tag(name)
        return pair is not None and pair[0] == key and (passes is None or passes(pair[1]))

    return fits


def _literal_start(query: TagGlob) -> str:
    """What every tag that fits begins with."""
    return query.pattern.replace("?", "*").partition("*")[0]


def _is_literal(query: Tags) -> TypeGuard[Compare]:
    """Whether only one tag can fit: what is equal to a text that is neither a number nor a date is that text."""
    return isinstance(query, Compare) and query.op == "=" and reading(query.value) == (None, None)
