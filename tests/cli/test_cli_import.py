"""import: trees become entries, once, whatever is in them and however often the connection breaks."""

import os
import socket

import pytest

SVG = b"""<svg xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:d="http://purl.org/dc/elements/1.1/">
<d:subject><r:Bag><r:li>sun</r:li><r:li>blue sky</r:li></r:Bag></d:subject></svg>"""


@pytest.fixture
def tree(tmp_path):
    top = tmp_path / "tree"
    for path, content in {
        "top.txt": b"top", "beach/2024/a.txt": b"a", "beach/b.svg": SVG, "year=2023/c.txt": b"c", "empty/d": b"",
    }.items():  # fmt: skip
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_bytes(content)
        os.utime(top / path, (1_700_000_000, 1_700_000_000.5))
    return top


def by_name(shelf):
    return {entry.name: entry for entry in shelf.entries.values() if not entry.trashed}


def test_folders_metadata_home_and_time(tagfs, shelf, tree):
    """By default tags come from folders and metadata; homes are the folders, times those of the files."""
    assert "5 files stored" in tagfs("import", tree, "-t", "new").stdout
    found = by_name(shelf)
    assert {name: set(entry.tags) for name, entry in found.items()} == {
        "top.txt": {"new"}, "a.txt": {"new", "beach", "2024"}, "b.svg": {"new", "beach", "sun", "blue sky"},
        "c.txt": {"new", "year=2023"}, "d": {"new", "empty"},
    }  # fmt: skip
    assert {name: entry.home for name, entry in found.items()} == {
        "top.txt": "", "a.txt": "beach/2024", "b.svg": "beach", "c.txt": "year=2023", "d": "empty",
    }  # fmt: skip
    assert found["a.txt"].modified == "2023-11-14T22:13:20.500Z"
    assert found["a.txt"].data == b"a"


@pytest.mark.parametrize(
    ("sources", "tags"),
    [
        (["folders"], {"beach"}),
        (["metadata"], {"sun", "blue sky"}),
        (["none"], set()),
        (["folders", "metadata"], {"beach", "sun", "blue sky"}),
    ],
)
def test_where_tags_come_from(tagfs, shelf, tree, sources, tags):
    """--tags-from chooses, several times for several."""
    tagfs("import", tree, *(word for source in sources for word in ("--tags-from", source)))
    assert set(by_name(shelf)["b.svg"].tags) == tags


def test_importing_again_stores_nothing(tagfs, shelf, tree):
    """The same content under the same name is there already; new tags are merged into it."""
    tagfs("import", tree)
    before = dict(shelf.entries)
    assert "5 there already" in tagfs("import", tree).stdout
    assert "0 files stored (0), 5 merged" in tagfs("import", tree, "-t", "more").stdout
    assert shelf.entries.keys() == before.keys()
    assert all("more" in entry.tags for entry in shelf.entries.values())
    assert sum(line.startswith("ADD-TAGS") for line in shelf.lines) == 1


def test_twins_in_one_import_become_one(tagfs, shelf, tmp_path):
    """The same name and content in two folders: one entry with the tags of both. Another content: another entry."""
    for folder, content in {"a": b"same", "b": b"same", "c": b"other", "d": b""}.items():
        (tmp_path / "t" / folder).mkdir(parents=True)
        (tmp_path / "t" / folder / "x").write_bytes(content)
    tagfs("import", tmp_path / "t")
    assert sorted((entry.data, sorted(entry.tags)) for entry in shelf.entries.values()) == [
        (b"", ["d"]), (b"other", ["c"]), (b"same", ["a", "b"]),
    ]  # fmt: skip
    assert "4 there already" in tagfs("import", tmp_path / "t").stdout


def test_names_that_need_quotes(tagfs, shelf, tmp_path):
    """Odd names and folders are stored as they are, and found again."""
    odd = ['a "b" c.txt', "x | limit=1", "*?", "and", "-n", "ünï", "id:x", "back\\slash", "e\u0301"]
    for name in odd:
        (tmp_path / "t" / name).mkdir(parents=True)
        (tmp_path / "t" / name / name).write_bytes(name.encode())
    tagfs("import", tmp_path / "t")
    assert sorted(entry.name for entry in shelf.entries.values()) == sorted(odd)
    assert f"{len(odd)} there already" in tagfs("import", tmp_path / "t").stdout


def test_what_cannot_be_read_is_told_and_the_rest_goes_on(tagfs, shelf, tree):
    """Sockets, pipes, names that are no text: reported with their reasons at the end, code 1."""
    os.mkfifo(tree / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = os.getcwd()
        os.chdir(tree)
        try:
            listener.bind("socket")
        finally:
            os.chdir(here)
    with open(os.fsencode(tree) + b"/bad\xff", "wb"):
        pass
    (tree / "line\nbreak").write_bytes(b"")
    result = tagfs("import", tree, code=1)
    assert "5 files stored" in result.stdout
    assert "4 not read" in result.stdout
    for text in ("pipe: is a pipe", "socket: is a socket", "bad?: ", "control characters"):
        assert text in result.stderr
    told = tagfs.json("import", tree, code=1)
    assert len(told["failed"]) == 4


def test_what_is_passed_over(tagfs, shelf, tree):
    """Hidden files, links, excluded names and a node's own data are passed over, and told."""
    (tree / ".hidden").write_bytes(b"h")
    (tree / "link").symlink_to(tree / "top.txt")
    (tree / "circle").symlink_to(tree)
    (tree / "x.tmp").write_bytes(b"t")
    (tree / "data").mkdir()
    (tree / "data" / "format").write_text("tagfs-data 1\n")
    result = tagfs("import", tree, "--exclude", "*.tmp")
    assert "5 files stored" in result.stdout
    assert "1 data directories of nodes, 1 excluded, 1 hidden, 2 links" in result.stderr
    result = tagfs("import", tree, "--hidden", "--follow-links", "--exclude", "*.tmp", code=1)
    assert "circle: is a link that leads in a circle" in result.stderr
    assert {"link", ".hidden"} < set(by_name(shelf))


def test_linked_folders_are_followed_on_request(tagfs, shelf, tree, tmp_path):
    """A link to another folder is gone into, once."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "o").write_bytes(b"o")
    (tree / "linked").symlink_to(tmp_path / "other")
    tagfs("import", tree, "--follow-links")
    assert by_name(shelf)["o"].tags == ["linked"]


def test_a_dry_run_shows_tags_and_stores_nothing(tagfs, shelf, tree):
    """--dry-run shows each file with its tags."""
    result = tagfs("import", tree, "--dry-run")
    assert "beach/2024/a.txt: beach 2024\n" in result.stdout
    size = sum(path.stat().st_size for path in tree.rglob("*") if path.is_file())
    assert f"5 files would be stored ({size})" in result.stdout
    assert tagfs.json("import", tree, "--dry-run")["bytes"] == size
    assert not shelf.entries


def test_empty_files_are_one_only_in_one_folder(tagfs, shelf, tmp_path):
    """All empty files have one content; of one name in two folders they stay two, and are known when they come again."""
    for folder in ("a", "b"):
        (tmp_path / "t" / folder).mkdir(parents=True)
        (tmp_path / "t" / folder / "__init__.py").write_bytes(b"")
    assert "2 files would be stored (0), 0 would be merged" in tagfs("import", tmp_path / "t", "--dry-run").stdout
    assert "2 files stored (0), 0 merged" in tagfs("import", tmp_path / "t").stdout
    assert sorted(entry.home for entry in shelf.entries.values()) == ["a", "b"]
    (tmp_path / "t" / "c").mkdir()
    (tmp_path / "t" / "c" / "__init__.py").write_bytes(b"")
    assert "1 file stored (0), 0 merged with what was there, 2 there already" in tagfs("import", tmp_path / "t").stdout


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_broken_connection_stores_nothing_twice(tagfs, shelf, tree, after):
    """The connection breaks behind an ADD whose reply is lost; everything is there once in the end."""
    shelf.cut_after_adds = after
    assert "5 files stored" in tagfs("import", tree).stdout
    assert len(shelf.entries) == 5


def test_many_small_files(tagfs, shelf, tmp_path):
    """More files than fit into one batch."""
    for folder in range(3):
        (tmp_path / "t" / f"d{folder}").mkdir(parents=True)
        for number in range(300):
            (tmp_path / "t" / f"d{folder}" / f"f{number}").write_bytes(b"%d" % number)
    told = tagfs.json("import", tmp_path / "t")
    assert (told["stored"], told["merged"]) == (300, 600)
    assert all(len(entry.tags) == 3 for entry in shelf.entries.values())


def test_a_large_file_is_streamed(tagfs, shelf, tmp_path):
    """A file over the size that is kept in memory comes whole."""
    (tmp_path / "t").mkdir()
    content = os.urandom(3_000_001)
    (tmp_path / "t" / "big").write_bytes(content)
    tagfs("import", tmp_path / "t")
    assert by_name(shelf)["big"].data == content
    assert "1 there already" in tagfs("import", tmp_path / "t").stdout


def test_a_refused_file_does_not_stop_the_rest(tagfs, shelf, tree, monkeypatch):
    """What the node refuses is told; the others are stored."""
    from tagfs.errors import BadRequest
    from tests.client import fake_server

    check = fake_server.check_name

    def picky(name):
        if name == "a.txt":
            raise BadRequest("not this one")
        return check(name)

    monkeypatch.setattr(fake_server, "check_name", picky)
    result = tagfs("import", tree, code=1)
    assert "beach/2024/a.txt: not this one" in result.stderr
    assert "4 files stored" in result.stdout


def test_a_full_disk_stops_the_import(tagfs, shelf, tree, monkeypatch):
    """What every later file would meet as well ends the import, with what was done so far and how to go on."""
    from tagfs.errors import StorageFull
    from tests.client import fake_server

    def full(name):
        raise StorageFull("no space left on the node's disk")

    monkeypatch.setattr(fake_server, "check_name", full)
    result = tagfs("import", tree, code=1)
    assert "no space left" in result.stderr
    assert "run it again to go on" in result.stderr


def test_a_node_that_takes_nothing_now_ends_the_import(tagfs, shelf, tmp_path, monkeypatch):
    """A node that is starting or read-only is not asked for thousands of files one by one."""
    from tagfs.errors import Unavailable
    from tests.client import fake_server

    def starting(name):
        raise Unavailable("the node is starting")

    monkeypatch.setattr(fake_server, "check_name", starting)
    (tmp_path / "t").mkdir()
    for number in range(600):
        (tmp_path / "t" / f"f{number}").write_bytes(b"%d" % number)
    result = tagfs("import", tmp_path / "t", code=1)
    assert "the node is starting" in result.stderr
    assert sum(line.startswith("ADD") for line in shelf.lines) < 300
