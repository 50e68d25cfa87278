"""Starts of the catalog: from a snapshot and the journal, or from the records; formats, foreign directories and copies."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import threading

import pytest

from tagfs.errors import Conflict, StartError
from tagfs.model.entry import home_of
from tagfs.model.query import EVERYTHING, Tag, Text
from tagfs.storage.catalog import migrations, open_catalog, opening, schema
from tagfs.storage.catalog.rows import entry_of
from tests.contracts.writing import Writer, ref
from tests.storage.catalog_chance import some_change, some_entry


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "catalog")


def opened(directory, node="n1"):
    return open_catalog(f"sqlite://{directory}", node)


def abandon(catalog):
    """Lets go of the files without a checkpoint, as a crash does."""
    catalog._database.close()


def answers(catalog):
    """What a wrong index or wrong leaves would answer otherwise."""
    return (
        b"".join(map(catalog.leaves, range(256))),
        dict(catalog.statistics()),
        catalog.facets(EVERYTHING, 100),
        sorted(each for page in catalog.select(EVERYTHING).ids(100) for each in page),
        dict(catalog.vector()),
        catalog.greatest_stamp,
        catalog.epoch,
    )


def change_much(catalog, seed):
    """Some batches of random changes."""
    chance, writer = random.Random(seed), Writer("n1", Writer().now_ms + seed * 100_000)
    for _ in range(12):
        known = catalog.records("entry", "", 1000)
        made = [some_entry(chance, writer) for _ in range(3)]
        made += [some_change(chance, writer, chance.choice(known)) for _ in range(4) if known]
        catalog.merge(made)


def snapshots(directory):
    return [name for name in os.listdir(directory) if name.startswith("index-")]


@pytest.fixture
def rebuilt(monkeypatch):
    """Tells how often the index was made anew from the records."""
    calls = []
    real = opening.rebuild
    monkeypatch.setattr(opening, "rebuild", lambda *arguments: calls.append(1) or real(*arguments))
    return calls


class TestSnapshots:
    def test_after_a_clean_stop(self, directory, rebuilt):
        """close saves a snapshot; the next start reads that and nothing else."""
        catalog = opened(directory)
        change_much(catalog, 1)
        before = answers(catalog)
        catalog.close()
        assert len(snapshots(directory)) == 1
        rebuilt.clear()
        catalog = opened(directory)
        assert answers(catalog) == before
        assert not rebuilt
        catalog.close()

    def test_the_journal_is_replayed(self, directory, rebuilt):
        """What was committed after the snapshot is there after a crash, without a rebuild."""
        catalog = opened(directory)
        change_much(catalog, 1)
        catalog.checkpoint()
        change_much(catalog, 2)
        catalog.drop([record.ref for record in catalog.records("entry", "", 1000)])
        before = answers(catalog)
        abandon(catalog)
        rebuilt.clear()
        catalog = opened(directory)
        assert answers(catalog) == before
        assert not rebuilt
        abandon(catalog)
        for name in snapshots(directory):
            os.unlink(os.path.join(directory, name))
        catalog = opened(directory)
        assert answers(catalog) == before
        assert rebuilt
        catalog.close()

    def test_a_damaged_snapshot_is_refused(self, directory, rebuilt):
        """Any damage leads to a rebuild, never to wrong answers."""
        catalog = opened(directory)
        change_much(catalog, 1)
        before = answers(catalog)
        catalog.close()
        (name,) = snapshots(directory)
        path = os.path.join(directory, name)
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        rebuilt.clear()
        catalog = opened(directory)
        assert answers(catalog) == before
        assert rebuilt
        catalog.close()

    def test_a_snapshot_of_another_format_is_refused(self, directory, rebuilt, monkeypatch):
        """What another version saved is made anew."""
        catalog = opened(directory)
        change_much(catalog, 1)
        before = answers(catalog)
        with monkeypatch.context() as patch:
            patch.setattr(opening, "_FORMAT", opening._FORMAT + 1)
            catalog.close()
        rebuilt.clear()
        catalog = opened(directory)
        assert answers(catalog) == before
        assert rebuilt
        catalog.close()

    def test_a_restored_database_beside_a_newer_snapshot(self, directory, rebuilt, tmp_path):
        """A database put back from a back-up does not believe the snapshot of what came after it."""
        catalog = opened(directory)
        change_much(catalog, 1)
        catalog.close()
        old = tmp_path / "old"
        shutil.copytree(directory, old)
        before = answers(reopened := opened(directory))
        change_much(reopened, 2)
        reopened.close()
        for name in os.listdir(directory):
            if name.startswith(schema.FILE):
                os.unlink(os.path.join(directory, name))
        shutil.copy(old / schema.FILE, directory)
        rebuilt.clear()
        catalog = opened(directory)
        assert answers(catalog) == before
        assert rebuilt
        catalog.close()

    def test_a_restored_database_beside_its_own_snapshot(self, directory, tmp_path):
        """A database that took another way since the snapshot replays its own journal."""
        catalog = opened(directory)
        change_much(catalog, 1)
        catalog.close()
        shutil.copytree(directory, tmp_path / "old")
        catalog = opened(directory)
        change_much(catalog, 2)
        abandon(catalog)
        other = opened(str(tmp_path / "old"))
        change_much(other, 3)
        before = answers(other)
        abandon(other)
        other = opened(str(tmp_path / "old"))
        assert answers(other) == before
        other.close()

    def test_checkpoints_replace_each_other(self, directory):
        """Only the last snapshot stays, nothing is saved twice, and the journal ends with it."""
        catalog = opened(directory)
        change_much(catalog, 1)
        catalog.checkpoint()
        first = snapshots(directory)
        catalog.checkpoint()
        assert snapshots(directory) == first
        change_much(catalog, 2)
        catalog.checkpoint()
        assert len(snapshots(directory)) == 1
        assert snapshots(directory) != first
        with catalog._database.reading() as connection:
            assert connection.execute("SELECT COUNT(*) FROM journal").fetchone() == (0,)
        catalog.close()

    def test_nothing_new_is_not_saved_again(self, directory):
        """A start and a stop without a change in between leave the snapshot as it is."""
        catalog = opened(directory)
        change_much(catalog, 1)
        catalog.close()
        before = snapshots(directory)
        opened(directory).close()
        assert snapshots(directory) == before
        catalog = opened(directory)
        change_much(catalog, 2)
        abandon(catalog)
        opened(directory).close()
        assert snapshots(directory) != before

    def test_a_leftover_snapshot_is_removed(self, directory):
        """A snapshot written by a checkpoint that was cut off is not kept for ever."""
        catalog = opened(directory)
        catalog.close()
        for name in ("index-0123.snapshot", "index-0123.snapshot.new"):
            with open(os.path.join(directory, name), "wb") as file:
                file.write(b"left over")
        opened(directory).close()
        assert not [name for name in os.listdir(directory) if "0123" in name]

    def test_checkpoint_while_others_write(self, directory):
        """A checkpoint is of one moment, whatever is merged while it is being written."""
        catalog = opened(directory)
        change_much(catalog, 1)
        stop = threading.Event()

        def work():
            seed = 2
            while not stop.is_set():
                change_much(catalog, seed)
                seed += 1

        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(4):
            catalog.checkpoint()
        stop.set()
        thread.join()
        before = answers(catalog)
        abandon(catalog)
        catalog = opened(directory)
        assert answers(catalog) == before
        catalog.close()


class TestDirectories:
    def test_another_nodes_catalog_is_refused(self, directory):
        """A catalog numbers changes for one node, and says so."""
        opened(directory).close()
        with pytest.raises(StartError, match="belongs to the node n1, not to n2"):
            opened(directory, "n2")

    def test_a_foreign_database_is_refused(self, directory):
        """A database of something else is left as it is."""
        os.makedirs(directory)
        path = os.path.join(directory, schema.FILE)
        connection = sqlite3.connect(path)
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
        connection.close()
        with pytest.raises(StartError, match="no catalog of tagfs"):
            opened(directory)

    def test_no_database_is_refused(self, directory):
        """A file that is no database at all is refused in one line."""
        os.makedirs(directory)
        with open(os.path.join(directory, schema.FILE), "wb") as file:
            file.write(b"no database" * 1000)
        with pytest.raises(StartError, match="cannot be opened"):
            opened(directory)

    def test_a_directory_that_cannot_be_made(self, tmp_path):
        """So is a path that cannot be a directory."""
        (tmp_path / "file").write_text("")
        with pytest.raises(StartError, match="cannot be opened"):
            opened(str(tmp_path / "file" / "below"))

    def test_urls(self, tmp_path, monkeypatch):
        """URLs may be absolute or relative, and quote what is special in them."""
        monkeypatch.chdir(tmp_path)
        for url, path in [("sqlite:rel/ative", "rel/ative"), (f"sqlite://{tmp_path}/a%20b%23", "a b#")]:
            open_catalog(url, "n1").close()
            assert (tmp_path / path / schema.FILE).exists()
        with pytest.raises(StartError, match="names no directory"):
            open_catalog("sqlite:", "n1")


class TestMigrations:
    @staticmethod
    def format_0(directory):
        """A catalog as an older version might have left it: homes were not looked up, the trash had no index."""
        catalog = opened(directory)
        change_much(catalog, 1)
        catalog.close()
        connection = sqlite3.connect(os.path.join(directory, schema.FILE))
        connection.executescript(
            "DROP INDEX records_by_trash; DROP INDEX records_by_home;"
            "ALTER TABLE records RENAME COLUMN home TO old_home; UPDATE records SET old_home = NULL;"
            "PRAGMA user_version = 0;"
        )
        connection.close()

    @staticmethod
    def to_format_1(connection):
        connection.execute("ALTER TABLE records RENAME COLUMN old_home TO home")
        for row, data in connection.execute("SELECT row, record FROM records WHERE name IS NOT NULL").fetchall():
            connection.execute("UPDATE records SET home = ? WHERE row = ?", (home_of(entry_of(data)), row))
        connection.execute("CREATE INDEX records_by_home ON records (home) WHERE home IS NOT NULL")
        connection.execute("CREATE INDEX records_by_trash ON records (trashed) WHERE trashed IS NOT NULL")

    def test_an_older_format_is_brought_up(self, directory, monkeypatch):
        """Steps run in order in one transaction; a copy of what was there stays beside it."""
        self.format_0(directory)
        monkeypatch.setattr(migrations.migrate, "__kwdefaults__", {"to": 1, "steps": {0: self.to_format_1}})
        catalog = opened(directory)
        assert catalog.count(Text("home", "*", True)) == catalog.count(EVERYTHING) > 0
        catalog.close()
        copy = sqlite3.connect(os.path.join(directory, f"{schema.FILE}.format0"))
        assert copy.execute("PRAGMA user_version").fetchone() == (0,)
        assert copy.execute("SELECT COUNT(old_home), COUNT(*) > 0 FROM records").fetchone() == (0, 1)
        copy.close()

    def test_a_step_that_fails_changes_nothing(self, directory, monkeypatch):
        """A migration is whole or not at all, and may be tried again."""
        self.format_0(directory)

        def fails(connection):
            self.to_format_1(connection)
            raise RuntimeError("power cut")

        defaults = {"to": 1, "steps": {0: fails}}
        monkeypatch.setattr(migrations.migrate, "__kwdefaults__", defaults)
        with pytest.raises(RuntimeError):
            opened(directory)
        defaults["steps"] = {0: self.to_format_1}
        catalog = opened(directory)
        assert catalog.count(EVERYTHING) > 0
        catalog.close()

    def test_a_newer_format_is_refused(self, directory):
        """What a later version wrote is not touched."""
        opened(directory).close()
        connection = sqlite3.connect(os.path.join(directory, schema.FILE))
        connection.execute(f"PRAGMA user_version = {schema.FORMAT + 1}")
        connection.close()
        with pytest.raises(StartError, match=f"format {schema.FORMAT + 1}.*none above {schema.FORMAT}"):
            opened(directory)

    def test_a_forgotten_format_is_refused(self, directory):
        """So is what no step leads on from."""
        self.format_0(directory)
        with pytest.raises(StartError, match="cannot read any more"):
            opened(directory)


class TestCopies:
    def test_a_copy_is_whole_and_numbers_anew(self, directory, tmp_path):
        """A copy has everything, also what is still in SQLite's log; whoever opens it starts another epoch."""
        catalog = opened(directory)
        change_much(catalog, 1)
        copy = str(tmp_path / "copy")
        os.mkdir(copy)
        catalog.copy_to(copy)
        before = answers(catalog)
        catalog.merge([Writer().entry("later", ["later"])])
        restored = opened(copy)
        assert answers(restored)[:-1] == before[:-1]
        assert restored.epoch != catalog.epoch
        epoch = restored.epoch
        restored.close()
        restored = opened(copy)
        assert restored.epoch == epoch
        assert restored.count(Tag("later")) == 0
        restored.close()
        assert catalog.count(Tag("later")) == 1
        with pytest.raises(Conflict, match="there already"):
            catalog.copy_to(copy)
        catalog.close()

    def test_a_copy_while_others_write(self, directory, tmp_path):
        """A copy is of one moment: batches are in it whole or not at all."""
        catalog = opened(directory)
        writer, stop = Writer(), threading.Event()

        def work():
            while not stop.is_set():
                catalog.merge([writer.entry("pair", ["left"]), writer.entry("pair", ["right"])])

        thread = threading.Thread(target=work)
        thread.start()
        for number in range(5):
            copy = str(tmp_path / f"copy{number}")
            os.mkdir(copy)
            catalog.copy_to(copy)
        stop.set()
        thread.join()
        catalog.close()
        counts = []
        for number in range(5):
            restored = opened(str(tmp_path / f"copy{number}"))
            assert restored.count(Tag("left")) == restored.count(Tag("right"))
            counts.append(restored.count(Tag("left")))
            restored.close()
        assert counts == sorted(counts)


def test_rows_are_never_given_twice(directory):
    """After a tombstone was dropped and the catalog opened again, its row is not another record's."""
    catalog = opened(directory)
    writer = Writer()
    made = writer.entry("a")
    catalog.merge([made])
    catalog.merge([writer.purge(made)])
    catalog.drop([ref(made)])
    catalog.close()
    catalog = opened(directory)
    catalog.merge([writer.entry("b")])
    with catalog._database.reading() as connection:
        assert connection.execute("SELECT row FROM records").fetchall() == [(2,)]
    catalog.close()
