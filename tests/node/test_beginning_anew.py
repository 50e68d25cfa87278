"""A node that its cluster forgot begins anew: nothing of what it had is lost, wherever that is cut off; only its own comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from tagfs.errors import StartError
from tagfs.model.entry import KIND
from tagfs.model.principal import OWNER
from tagfs.model.query import parse
from tagfs.model.record import Ref
from tagfs.node import recovery
from tagfs.node.cluster.state import StateFile, Stored
from tagfs.node.datadir import DataDirectory
from tagfs.node.offload import Inline
from tagfs.node.recovery import AGAIN_S, DONE_FILE, LOOK_S, Recovery
from tagfs.storage.memory import MemoryCatalog
from tests.node.conftest import World, now


class PowerIsGone(Exception):
    """The process ends here."""


def directory_of_a_node(path: Path) -> str:
    """A data directory with a catalog and contents; the node's id."""
    directory = DataDirectory(path)
    for store in ("catalog", "blobs"):
        (path / store).mkdir()
        (path / store / "file").write_text(f"{store} of {directory.identity.id}")
    StateFile(path, Inline()).save(Stored("c", 7, ("a:1", "b:2")))
    directory.settle()
    directory.close()
    return directory.identity.id


def begun_anew(path: Path) -> DataDirectory:
    directory = DataDirectory(path)
    directory.begin_anew()
    directory.close()
    return DataDirectory(path)


def check_anew(directory: DataDirectory, before: str) -> None:
    """It is another node with the same contents, and knows where its cluster is."""
    (former,) = directory.formers
    assert former.name == before != directory.identity.id
    assert (former / "catalog" / "file").read_text() == f"catalog of {before}"
    assert (directory.path / "blobs" / "file").read_text() == f"blobs of {before}"
    assert StateFile(directory.path, Inline(), directory.formers).load() == Stored(addresses=("a:1", "b:2"))


def test_what_a_node_was_is_set_aside(tmp_path: Path) -> None:
    """The next start is that of another node, and the one after it that of the same."""
    before = directory_of_a_node(tmp_path)
    directory = begun_anew(tmp_path)
    assert directory.renewed and not directory.fresh
    check_anew(directory, before)
    directory.settle()
    directory.close()
    again = DataDirectory(tmp_path)
    assert not again.renewed
    assert again.identity == directory.identity
    again.close()


@pytest.mark.parametrize("moves", range(3))
def test_a_move_that_is_cut_off_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    """After each of the moves the power may go; the next start takes up from there."""
    before = directory_of_a_node(tmp_path)
    directory = DataDirectory(tmp_path)
    directory.begin_anew()
    directory.close()
    rename, done = Path.rename, []

    def until_the_power_is_gone(self: Path, target: Path) -> Path:
        if len(done) == moves:
            raise PowerIsGone
        done.append(self)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", until_the_power_is_gone)
    with pytest.raises(PowerIsGone):
        DataDirectory(tmp_path)
    monkeypatch.undo()
    directory = DataDirectory(tmp_path)
    check_anew(directory, before)
    directory.close()


def test_a_first_start_that_is_cut_off_goes_on(tmp_path: Path) -> None:
    """What was made under the new id before the power went stays, and does not take the place of what was set aside."""
    before = directory_of_a_node(tmp_path)
    directory = begun_anew(tmp_path)
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "file").write_text("begun")
    directory.close()
    again = DataDirectory(tmp_path)
    assert again.renewed and again.identity == directory.identity
    check_anew(again, before)
    assert (tmp_path / "catalog" / "file").read_text() == "begun"
    again.close()


def test_an_id_is_set_aside_once(tmp_path: Path) -> None:
    """A node may be forgotten more than once."""
    directory_of_a_node(tmp_path)
    first = begun_anew(tmp_path)
    (tmp_path / "catalog").mkdir()
    first.settle()
    first.close()
    second = begun_anew(tmp_path)
    assert {former.name for former in second.formers} >= {first.identity.id}
    assert len(second.formers) == 2
    second.close()


# --- taking in ------------------------------------------------------------------------------------------------------


@pytest.fixture
def former(tmp_path: Path) -> Path:
    made = tmp_path / "oldid"
    made.mkdir()
    return made


@pytest.fixture
def recover(world: World, former: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything that the node of the test has is what it knew under its old id; the cluster knows the entries of ``known``."""
    clock = Clock()

    def begin(known: set[str], ready: Any = lambda: True) -> tuple[Clock, Recovery]:
        old = world.catalog
        world.catalog = MemoryCatalog("testnode")
        world.restart()
        states = [record for record in old.records(KIND, "", 1000) if record.key in known]
        world.catalog.merge(states, {record.ref: {} for record in states})
        monkeypatch.setattr(recovery, "open_catalog", lambda url, node: old)
        made = Recovery(world.core, clock, [former], ready)
        made.start()
        return clock, made

    return begin


def shown(world: World) -> dict[str, str | None]:
    """Homes by name."""
    listing: Any = now(world.node.listing(OWNER, parse("name:*")))
    return {entry.name: entry.home for entry in now(listing.next()) or ()}


def test_only_what_nobody_else_knows_is_taken_in(world: World, former: Path, recover: Any) -> None:
    """Entries that are known, or purged, or were in the trash, are left as they are."""
    known = world.store("known", "tag")
    mine = world.store("mine", "Beach", "year=2024", data=b"precious", modified=1000)
    world.store("deleted", "x")
    now(world.node.delete(OWNER, parse("x")))
    gone = world.store("gone", "y")
    now(world.node.delete(OWNER, parse("y")))
    now(world.node.purge(OWNER, parse("y")))
    recover({known, gone})
    assert shown(world) == {"known": None, "mine": "@recovered/beach/year=2024"}
    (identifier,) = now(world.node.find(OWNER, parse("name:mine"), limit=10)).entries
    assert identifier.id != mine
    assert identifier.tags == ("Beach", "year=2024")
    assert identifier.content.modified == 1000
    assert world.content(identifier.id) == b"precious"
    told = json.loads((former / DONE_FILE).read_text())
    assert told == {"recovered": 1, "known": 2, "in the trash": 1, "contents that are not here": []}


def test_purged_elsewhere_meanwhile(world: World, former: Path, recover: Any) -> None:
    """What the others purged does not come back, though this node still had it."""
    identifier, purged = world.store("old"), []
    clock, _ = recover({identifier}, ready=lambda: bool(purged))
    now(world.node.delete(OWNER, parse(f"id:{identifier}")))
    now(world.node.purge(OWNER, parse(f"id:{identifier}")))
    purged.append(True)
    clock.advance(LOOK_S)
    assert (former / DONE_FILE).exists()
    assert shown(world) == {}


def test_another_content_of_a_known_entry(world: World, recover: Any) -> None:
    """A replacement that only this node had is an entry of its own; the known one keeps its content."""
    identifier = world.store("letter", data=b"first")
    before = world.catalog.get([Ref(KIND, identifier)])
    receiving = now(world.node.receive(OWNER))
    receiving.write(b"second")
    now(receiving.replace(identifier))
    recover(set())
    world.catalog.merge(before, {before[0].ref: {}})
    assert world.content(identifier) == b"first"
    (other,) = now(world.node.find(OWNER, parse("home:@recovered"), limit=10)).entries
    assert world.content(other.id) == b"second"


def test_it_waits_until_everything_is_known(world: World, former: Path, recover: Any) -> None:
    """As long as something may be missing here, nothing is taken for unknown."""
    world.store("mine")
    ready = [False]
    clock, _ = recover(set(), ready=lambda: ready[0])
    clock.advance(LOOK_S)
    assert shown(world) == {} and not (former / DONE_FILE).exists()
    ready[0] = True
    clock.advance(LOOK_S)
    assert shown(world) == {"mine": "@recovered"}


def test_once_only(world: World, former: Path, recover: Any) -> None:
    """A recovery that did not come to its end takes nothing in twice."""
    world.store("mine")
    recover(set())
    (former / DONE_FILE).unlink()
    Recovery(world.core, Clock(), [former], lambda: True).start()
    assert (former / DONE_FILE).exists()
    assert now(world.node.count(OWNER, parse("name:mine"))) == 1
    asked: list[None] = []
    Recovery(world.core, Clock(), [former], lambda: asked.append(None) or True).start()
    assert not asked


def test_a_content_that_is_not_here_is_told(world: World, former: Path, recover: Any) -> None:
    """An entry whose only copy was elsewhere is named, so that people know of it."""
    identifier = world.store("afar", "places", data=b"elsewhere")
    digest = now(world.node.info(OWNER, identifier)).entry.content.digest
    assert world.blobs.drop(digest)
    recover(set())
    assert shown(world) == {}
    assert json.loads((former / DONE_FILE).read_text())["contents that are not here"] == ["places/afar"]


def test_a_catalog_that_cannot_be_read_is_tried_again(
    world: World, former: Path, recover: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails is said and tried again later."""
    world.store("mine")
    recover(set(), ready=lambda: False)
    old, opened = recovery.open_catalog("", ""), []

    def failing_once(url: str, node: str) -> Any:
        opened.append((url, node))
        if len(opened) == 1:
            raise StartError("it cannot be read")
        return old

    monkeypatch.setattr(recovery, "open_catalog", failing_once)
    clock = Clock()
    Recovery(world.core, clock, [former], lambda: True).start()
    assert not (former / DONE_FILE).exists()
    clock.advance(AGAIN_S)
    assert (former / DONE_FILE).exists()
    assert opened == [(f"sqlite:{former}/catalog", "oldid")] * 2
