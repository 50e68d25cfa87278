"""export and what import makes of it: nothing is lost, nothing is overwritten, nothing lands outside."""

import json
import os

import pytest

from tagfs.cli.arriving import candidates, make_folder
from tests.client.fake_server import MemoryNode, Shelf, Stored


def lines(folder):
    return [json.loads(line) for line in (folder / "tagfs.jsonl").read_text().splitlines()]


def described(folder):
    kept = [{key: value for key, value in line.items() if key not in ("id", "added", "path")} for line in lines(folder)]
    return sorted(kept, key=lambda line: json.dumps(line, sort_keys=True))


@pytest.fixture
def full(store):
    """A few entries that are hard to lay out as files."""
    store("a.txt", "x", content=b"1", home="one/two")
    store("a.txt", "y", content=b"2", home="one/two")
    store("a.txt", "z", content=b"2", home="one/two")
    store("two", "x", content=b"3", home="one")
    store("empty", "t t", "k=v", content=b"", home="")
    store("tagfs.jsonl", content=b"{}", home="")
    store("untagged", content=bytes(range(256)) * 5000)
    return store


def test_a_round_trip_loses_nothing(tagfs, full, tmp_path, monkeypatch):
    """Exported, imported into an empty node, exported again: the same but for ids and times of adding."""
    tagfs("export", "", tmp_path / "one")
    assert len(lines(tmp_path / "one")) == 7
    with MemoryNode(Shelf()) as other:
        server = f"127.0.0.1:{other.port}"
        assert "7 files stored" in tagfs("import", tmp_path / "one", TAGFS_SERVER=server).stdout
        assert "7 there already" in tagfs("import", tmp_path / "one", TAGFS_SERVER=server).stdout
        tagfs("export", "", tmp_path / "two", TAGFS_SERVER=server)
    assert described(tmp_path / "one") == described(tmp_path / "two")


def test_a_back_up_brings_everything_back(tagfs, full, shelf, tmp_path):
    """Entries and saved searches come back, a second time nothing is fetched or changed, and what was deleted stays away."""
    shelf.saved |= {"two words": 'x and not "y z"', "plain": "x"}
    assert "7 entries backed up" in tagfs("backup", tmp_path / "safe").stdout
    tagfs("delete", "-y", "z")
    shelf.lines.clear()
    assert json.loads(tagfs("backup", tmp_path / "safe", "--json").stdout) == {"backed_up": 6, "failed": 0}
    assert not [line for line in shelf.lines if line.startswith("GET")]
    with MemoryNode(Shelf()) as other:
        other.shelf.saved["plain"] = "mine"
        server = f"127.0.0.1:{other.port}"
        assert "6 files would be stored" in tagfs("import", tmp_path / "safe", "-n", TAGFS_SERVER=server).stdout
        assert list(other.shelf.saved) == ["plain"]
        said = tagfs("import", tmp_path / "safe", TAGFS_SERVER=server)
        assert "6 files stored" in said.stdout
        assert "saved search plain: is left as it is" in said.stderr
        assert other.shelf.saved == {"two words": 'x and not "y z"', "plain": "mine"}
        assert "6 there already" in tagfs("import", tmp_path / "safe", TAGFS_SERVER=server).stdout


def test_an_empty_node_replaces_no_back_up(tagfs, full, tmp_path):
    """A back-up of the wrong node, which has nothing, fails and leaves the list that is there."""
    tagfs("backup", tmp_path / "safe")
    with MemoryNode(Shelf()) as other:
        tagfs("backup", tmp_path / "safe", code=1, TAGFS_SERVER=f"127.0.0.1:{other.port}")
    assert len(lines(tmp_path / "safe")) == 7


def test_files_have_their_contents_times_and_places(tagfs, full, shelf, tmp_path):
    """Each line's path is a file with that content and time, in its home."""
    tagfs("export", "", tmp_path / "out")
    for line in lines(tmp_path / "out"):
        path = tmp_path / "out" / line["path"]
        assert path.read_bytes() == shelf.entries[line["id"]].data
        assert os.path.dirname(line["path"]).replace("~", "") == line["home"]
    assert not list((tmp_path / "out").rglob("*.part"))


def test_exporting_again_fetches_nothing(tagfs, full, shelf, tmp_path):
    """What is there with the same content stays; only the list is written anew."""
    tagfs("export", "", tmp_path / "out")
    before = sorted(path for path in (tmp_path / "out").rglob("*"))
    shelf.lines.clear()
    tagfs("export", "", tmp_path / "out")
    assert not [line for line in shelf.lines if line.startswith("GET")]
    assert sorted(path for path in (tmp_path / "out").rglob("*")) == before


def test_foreign_files_are_left_alone(tagfs, store, tmp_path):
    """A file of the same name with another content is not overwritten."""
    identifier = store("a.txt", content=b"mine", home="h")
    (tmp_path / "out" / "h").mkdir(parents=True)
    (tmp_path / "out" / "h" / "a.txt").write_bytes(b"yours")
    tagfs("export", "", tmp_path / "out")
    assert (tmp_path / "out" / "h" / "a.txt").read_bytes() == b"yours"
    assert (tmp_path / "out" / "h" / f"a~{identifier[-8:]}.txt").read_bytes() == b"mine"


def test_nothing_lands_outside(tagfs, shelf, tmp_path):
    """A node that lies about names and homes cannot make files outside the folder, nor through links in it."""
    target = tmp_path / "target"
    target.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "link").symlink_to(target)
    homes = ["../../up", "/etc", "link", "a/../../b", "./.", "a//b", "link/../x"]
    names = ["../x", "/abs", "..", ".", "", "a/b", "nul\0"]
    for number, (home, name) in enumerate([*((home, "ok") for home in homes), *(("h", name) for name in names)]):
        identifier = f"{number:026d}"
        shelf.entries[identifier] = Stored(identifier, name, b"%d" % number, [], home, "2026-01-01T00:00:00.000Z", 0.0)
    tagfs("export", "", out)
    assert not list(target.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "target"]
    assert len([path for path in out.rglob("*") if path.is_file()]) == len(homes) + len(names) + 1


def test_damage_on_the_way_is_noticed(tagfs, store, shelf, tmp_path, monkeypatch):
    """A content that is not what its digest says is not kept, and makes the code 1."""
    store("a.txt", content=b"right")
    store("b.txt", content=b"also right")
    monkeypatch.setattr(
        Stored, "digest", property(lambda self: "0" * 64 if self.name == "a.txt" else _digest(self.data))
    )
    result = tagfs("export", "", tmp_path / "out", code=1)
    assert "a.txt: what came does not match its digest" in result.stderr
    assert [line["name"] for line in lines(tmp_path / "out")] == ["b.txt"]
    assert not (tmp_path / "out" / "a.txt").exists()


def _digest(data):
    from blake3 import blake3

    return blake3(data).hexdigest()


def test_a_damaged_export_is_noticed(tagfs, store, tmp_path):
    """A file that is not what the list says is not taken; the rest is."""
    store("a.txt", content=b"right")
    store("b.txt", content=b"also right")
    tagfs("export", "", tmp_path / "out")
    (tmp_path / "out" / "a.txt").write_bytes(b"wrong")
    with MemoryNode(Shelf()) as other:
        result = tagfs("import", tmp_path / "out", code=1, TAGFS_SERVER=f"127.0.0.1:{other.port}")
        assert "a.txt: is not what tagfs.jsonl says" in result.stderr
        assert [entry.name for entry in other.shelf.entries.values()] == ["b.txt"]


def test_a_list_can_be_ignored(tagfs, store, shelf, tmp_path):
    """--ignore-manifest takes the folder as it is."""
    store("a.txt", "t", content=b"x", home="h")
    tagfs("export", "", tmp_path / "out")
    assert "1 file stored" in tagfs("import", tmp_path / "out", "--ignore-manifest").stdout
    assert sorted(entry.name for entry in shelf.entries.values()) == ["a.txt", "tagfs.jsonl"]


@pytest.mark.parametrize(
    "line",
    [
        '{"path": "../secret", "name": "x", "digest": ""}',
        '{"path": "/etc/passwd", "name": "x", "digest": ""}',
        '{"path": "link/secret", "name": "x", "digest": ""}',
        '{"path": "a/./b", "name": "x", "digest": ""}',
        '{"path": 5, "name": "x", "digest": ""}',
        '{"name": "x"}',
        "[1]",
        "no json",
        '"' + "x" * 100,
    ],
)
def test_a_hostile_list_reads_nothing_outside(tagfs, shelf, tmp_path, line):
    """Lines that lead outside the folder, or are none, are told and passed over."""
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    (folder / "tagfs.jsonl").write_text(line + "\n")
    tagfs("import", folder, code=1)
    assert not shelf.entries


def test_restoring_gives_back_names_and_homes(tagfs, shelf, tmp_path):
    """A list made by hand is enough: name, tags, home and time come from it, not from the file."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "content").write_bytes(b"data")
    line = {
        "path": "content",
        "name": "real name.txt",
        "digest": _digest(b"data"),
        "tags": ["a b"],
        "home": "x/y",
        "modified": "2001-02-03T04:05:06.789Z",
    }
    (folder / "tagfs.jsonl").write_text(json.dumps(line) + "\n")
    tagfs("import", folder)
    (entry,) = shelf.entries.values()
    assert (entry.name, entry.tags, entry.home, entry.modified) == ("real name.txt", ["a b"], "x/y", line["modified"])


def test_names_for_entries():
    """What is no file name is replaced by the id; what is too long with the id's end is the id alone."""
    identifier = "0123456789abcdefghjkmnpqrs"
    assert candidates("a.txt", identifier) == ["a.txt", "a~jkmnpqrs.txt", f"a~{identifier}.txt"]
    assert candidates("..", identifier)[0] == identifier
    assert candidates("x" * 255, identifier)[1] == identifier
    assert all("/" not in name for name in candidates("a/b", "../../x"))


def test_folders_for_homes(tmp_path):
    """A home becomes folders below the top, whatever it says; a file in the way moves it aside."""
    assert make_folder(str(tmp_path), "") == ""
    assert make_folder(str(tmp_path), "a/b") == "a/b"
    (tmp_path / "a" / "c").write_bytes(b"")
    assert make_folder(str(tmp_path), "a/c/d") == "a/c~/d"
    assert make_folder(str(tmp_path), "../x") == "~/x"
