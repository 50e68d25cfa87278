"""A process that is killed at any moment loses nothing it acknowledged, and leaves no half of a batch.

kill -9 leaves the kernel's page cache as it is: what is proved here is the order of our steps, and that database, journal and
snapshot fit together wherever they are cut off; not that the disk keeps what was synced, which is SQLite's part.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from contextlib import suppress

import pytest

from tagfs.model.query import Tag, TagGlob
from tagfs.storage.catalog import open_catalog, opening
from tests.contracts.writing import Writer
from tests.storage.test_catalog_start import abandon, answers, snapshots

POINTS = 24
"""Moments at which the process is killed, one after the other on one directory."""
BATCH = 5
"""New entries of a batch; one of them goes to the trash at once."""
LIVE = BATCH - 1
RECORDS = BATCH + 2
"""Records that a batch changes: beside its entries one that all batches change, and a tombstone."""
FORK = multiprocessing.get_context("fork")


def work(directory, acknowledged, seed):
    """Merges batch after batch, each of new entries and a change of old ones, and tells the number of each when done."""
    catalog = open_catalog(f"sqlite://{directory}", "n1")
    chance = random.Random(seed)
    first = catalog.count(TagGlob("batch*")) // LIVE
    writer = Writer("n1", Writer().now_ms + seed * 1_000_000)
    marker = catalog.named("marker")[0].id if first else writer.new_id()
    for number in range(first, first + 10_000):
        made = [writer.entry(f"{number}-{each}", [f"batch{number}"]) for each in range(BATCH)]
        made.append(writer.entry("marker", id=marker) if number == 0 else writer.tag(made[0], "again"))
        made.append(writer.tag(made[0]._replace(key=marker), "marked", f"m{number}"))
        made += [writer.trash(made[1]), writer.purge(writer.entry("gone"))]
        catalog.merge(made)
        acknowledged.send(number)
        if chance.random() < 0.15:
            catalog.checkpoint()


def killed(directory, seed):
    """Starts the work, kills it after some acknowledged batches and a moment; returns the last number acknowledged."""
    chance = random.Random(seed)
    here, there = FORK.Pipe(duplex=False)
    process = FORK.Process(target=work, args=(directory, there, seed))
    process.start()
    there.close()
    last = -1
    for _ in range(chance.randrange(1, 25)):
        assert here.poll(30), "the process got stuck"
        last = here.recv()
    moment = time.perf_counter() + chance.random() * 0.012
    while time.perf_counter() < moment:
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with suppress(EOFError):
        while here.poll():
            last = here.recv()
    here.close()
    return last


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path, monkeypatch):
    """At each of many moments: all that was acknowledged is there, batches are whole, and the index is as if made anew."""
    directory = str(tmp_path)
    rebuilt = []
    real = opening.rebuild
    for seed in range(POINTS):
        last = killed(directory, seed)
        catalog = open_catalog(f"sqlite://{directory}", "n1")
        there = catalog.count(TagGlob("batch*")) // LIVE
        assert last + 1 <= there <= last + 2, "an acknowledged batch is lost, or more than one was in flight"
        for number in range(there):
            assert catalog.count(Tag(f"batch{number}")) == LIVE, "half a batch"
            assert catalog.count(Tag(f"m{number}")) == 1, "half a batch"
        assert sum(catalog.vector().values()) == there * RECORDS
        before = answers(catalog)
        abandon(catalog)
        for name in snapshots(directory):
            os.unlink(os.path.join(directory, name))
        with monkeypatch.context() as patch:
            patch.setattr(opening, "rebuild", lambda *arguments: rebuilt.append(1) or real(*arguments))
            catalog = open_catalog(f"sqlite://{directory}", "n1")
        assert answers(catalog) == before, "the index is not what the records say"
        abandon(catalog)
    assert len(rebuilt) == POINTS
