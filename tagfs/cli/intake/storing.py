"""Storing candidates: ask what is there, merge tags into that, store the rest. Layer: cli.

Everything is asked and stored in batches, with many commands in flight, so that small files cost no round trip each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from tagfs.cli.intake.candidates import Candidate
from tagfs.cli.intake.manifest import Search
from tagfs.cli.intake.walk import Problem
from tagfs.cli.progress import Bar, Share
from tagfs.client import (
    Body,
    Client,
    ClientError,
    Command,
    FoundRow,
    Missing,
    NoSpace,
    NotLoggedIn,
    Refused,
    Reply,
    SourceFailed,
    TryLater,
    insistently,
    quoted,
)
from tagfs.client.adding import add_command, stored_or_raise
from tagfs.client.errors import refusal
from tagfs.client.rows import found_row, pairs
from tagfs.client.text import words
from tagfs.errors import BadRequest
from tagfs.model.names import fold, name_key

BATCH = 256
"""Files asked for at once."""
BATCH_BYTES = 8 << 20
"""Bytes of small contents in memory at once, about."""
LOOK = 1000
"""Most rows of one answer to "what of these is there"."""
QUESTION = 40_000
"""Bytes of one such question, about; a line has at most 64 KiB."""
HOPELESS = (NoSpace, NotLoggedIn, Missing)
"""Refusals that every later file would meet as well."""


@dataclass
class Report:
    """What became of the files. ``problems`` were not stored; ``warnings`` were; ``passed`` over was what is not wanted."""

    passed: Mapping[str, int] = field(default_factory=dict)
    stored: int = 0
    merged: int = 0
    there: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Files that are in the store now."""
        return self.stored + self.merged + self.there


def batches(candidates: Iterable[Candidate | Problem], report: Report) -> Iterator[list[Candidate]]:
    """Candidates in groups of bounded size; problems and warnings go to the report."""
    batch: list[Candidate] = []
    size = 0
    for candidate in candidates:
        if isinstance(candidate, Problem):
            report.problems.append(candidate)
            continue
        report.warnings += [Problem(candidate.relative, text) for text in candidate.warnings]
        batch.append(candidate)
        size += len(candidate.data or b"")
        if len(batch) >= BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def restore_searches(client: Client, searches: Iterable[Search], report: Report) -> None:
    """Saves the searches of a back-up, but none under a name that is taken."""
    there = dict(client.saved())
    for search in searches:
        label = f"saved search {search.name}"
        if there.get(search.name, search.query) != search.query:
            report.warnings.append(Problem(label, "is left as it is; the back-up has another query of that name"))
        elif search.name not in there:
            try:
                client.save(search.name, search.query)
            except (BadRequest, ClientError) as error:
                report.problems.append(Problem(label, str(error)))


class Storing:
    """One import into one node."""

    def __init__(self, client: Client, report: Report, bar: Bar, dry_run: bool = False) -> None:
        self._client = client
        self._report = report
        self._bar = bar
        self._dry_run = dry_run
        self._claimed: set[str] = set()
        self._claimed_name = ""

    def take(self, batch: list[Candidate]) -> None:
        """Stores what is not there and merges tags into what is. Raises a HOPELESS refusal."""
        shares = {candidate.key: Share(self._bar, candidate.size) for candidate in batch}
        self._take(batch, shares)
        for share in shares.values():
            share.done()

    def _take(self, batch: list[Candidate], shares: dict[str, Share]) -> None:
        rows = self._there(batch)
        new: dict[tuple[str, ...], Candidate] = {}
        retag: list[tuple[FoundRow, list[str]]] = []
        for at, candidate in enumerate(batch):
            row = self._claim(candidate, rows.get(at, ()))
            if row is not None:
                self._merge(candidate, row, retag)
                continue
            twin = new.get(_identity(candidate))
            if twin is not None and not candidate.exact:
                twin.tags += [tag for tag in candidate.tags if fold(tag) not in set(map(fold, twin.tags))]
                self._report.merged += 1
                continue
            new[(*_identity(candidate), str(at)) if candidate.exact else _identity(candidate)] = candidate
        if self._dry_run:
            self._report.stored += len(new)
            self._report.bytes += sum(candidate.size for candidate in new.values())
            return
        self._retag(retag)
        self._store(list(new.values()), shares)

    def _there(self, batch: list[Candidate]) -> dict[int, list[FoundRow]]:
        """For each candidate, by its place in the batch, the entries with its content and name.

        Rows of FIND tell no digest. But a question for many pairs of digest and name is answered by names: where a name
        stands for one candidate of the question, its rows are that candidate's. The few others are asked for one by one.
        """
        places: dict[str, list[int]] = {}
        for at, candidate in enumerate(batch):
            places.setdefault(name_key(candidate.name), []).append(at)
        found: dict[int, list[FoundRow]] = {}
        single = [at for alike in places.values() for at in alike if len(alike) == 1]
        alone = [at for alike in places.values() for at in alike if len(alike) > 1]
        for question, reply in self._asked(_questions(batch, single)):
            rows = [found_row(row) for row in reply.rows]
            for row in rows:
                for at in places.get(name_key(row.name), ()):
                    found.setdefault(at, []).append(row)
            if pairs(reply.text).get("total") != str(len(rows)):
                alone += question.places
        for question, reply in self._asked(_Question((at,), [_same(batch[at])]) for at in alone):
            found[question.places[0]] = [found_row(row) for row in reply.rows]
        return found

    def _asked(self, questions: Iterable[_Question]) -> Iterator[tuple[_Question, Reply]]:
        for question, reply in insistently(self._client, list(questions), _Question.command):
            assert not isinstance(reply, SourceFailed)
            if reply.code >= 400:
                raise refusal(reply.code, reply.text)
            yield question, reply

    def _claim(self, candidate: Candidate, rows: Iterable[FoundRow]) -> FoundRow | None:
        """The entry that the candidate is. Of a manifest, each entry is taken for one line only: it may list twins.

        Exports are ordered by name, so that twins follow each other and what is remembered stays small.
        """
        if not candidate.exact:
            return next(iter(rows), None)
        if candidate.name != self._claimed_name:
            self._claimed_name = candidate.name
            self._claimed.clear()
        row = next((row for row in rows if row.id not in self._claimed), None)
        if row is not None:
            self._claimed.add(row.id)
        return row

    def _merge(self, candidate: Candidate, row: FoundRow, retag: list[tuple[FoundRow, list[str]]]) -> None:
        has = set(map(fold, row.tags))
        missing = [tag for tag in candidate.tags if fold(tag) not in has]
        if missing:
            self._report.merged += 1
            retag.append((row, missing))
        else:
            self._report.there += 1

    def _retag(self, retag: list[tuple[FoundRow, list[str]]]) -> None:
        """Gives entries the tags they lack; those that lack the same ones by one command."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for row, tags in retag:
            alike.setdefault(tuple(tags), []).append(row.id)

        def command(item: tuple[tuple[str, ...], list[str]]) -> Command:
            tags, ids = item
            return Command(f"ADD-TAGS {' or '.join(f'id:{entry}' for entry in ids)} | {words(tags)}")

        for (_, ids), reply in insistently(self._client, alike.items(), command):
            assert not isinstance(reply, SourceFailed)
            if reply.code >= 400:
                self._report.merged -= len(ids)
                for entry in ids:
                    self._refused(entry, refusal(reply.code, reply.text))

    def _store(self, new: list[Candidate], shares: dict[str, Share]) -> None:
        before = self._report.stored
        last: Refused | None = None
        for candidate, outcome in insistently(self._client, new, lambda new: _add(new, shares[new.key].piece)):
            if isinstance(outcome, SourceFailed):
                self._report.problems.append(Problem(candidate.relative, str(outcome).split(": ", 1)[-1]))
            else:
                last = self._stored(candidate, outcome)
        if isinstance(last, TryLater) and self._report.stored == before:
            raise last  # a node that takes nothing now would refuse thousands of files one by one

    def _stored(self, candidate: Candidate, reply: Reply) -> Refused | None:
        """Notes that a candidate was stored; or that it was refused, and returns that."""
        try:
            made = stored_or_raise(reply)
        except Refused as refused:
            self._refused(candidate.relative, refused)
            return refused
        self._report.stored += 1
        self._report.bytes += candidate.size
        if candidate.exact and candidate.name == self._claimed_name:
            self._claimed.add(made.id)
        if made.kept:
            self._report.warnings.append(Problem(candidate.relative, "has fewer copies than demanded yet"))
        return None

    def _refused(self, relative: str, refused: Refused) -> None:
        if isinstance(refused, HOPELESS):
            raise refused
        self._report.problems.append(Problem(relative, str(refused)))


def _identity(candidate: Candidate) -> tuple[str, ...]:
    home = () if candidate.size else (candidate.home,)
    return candidate.digest, name_key(candidate.name), *home


class _Question(NamedTuple):
    """One FIND for some candidates of a batch."""

    places: tuple[int, ...]
    terms: list[str]

    def command(self) -> Command:
        return Command(f"FIND {' or '.join(self.terms)} | limit={LOOK} sort=added")


def _questions(batch: list[Candidate], places: Iterable[int]) -> Iterator[_Question]:
    """Questions for many candidates each, of lines that are not too long."""
    question = _Question((), [])
    length = 0
    for at in places:
        term = _same(batch[at])
        if question.places and length + len(term.encode()) > QUESTION:
            yield question
            question, length = _Question((), []), 0
        question = _Question((*question.places, at), [*question.terms, term])
        length += len(term.encode()) + 4
    if question.places:
        yield question


def _same(candidate: Candidate) -> str:
    """The query for entries with the candidate's content and name; of a manifest, also in its home.

    In its home as well where it is empty: every ``__init__.py`` has that content, and they are not one file.
    """
    where = f" and home:{quoted(candidate.home)}" if candidate.exact or not candidate.size else ""
    return f"(digest:{candidate.digest} and name:{quoted(candidate.name)}{where})"


def _add(candidate: Candidate, progress: Callable[[int], object]) -> Command:
    content: bytes | Body
    if candidate.data is not None:
        content = candidate.data
    else:
        path = candidate.path
        content = Body(lambda: open(path, "rb"), candidate.size, candidate.relative, progress)  # noqa: SIM115 (Body closes it)
    return add_command(
        candidate.name, content,
        tags=candidate.tags, key=candidate.key, modified=candidate.modified, folder=candidate.home,
    )  # fmt: skip
