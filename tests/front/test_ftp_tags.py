"""Directories are tags: what storing, listing, moving and removing by path do to entries."""

from __future__ import annotations

import pytest

from tests.front.ftp_world import Client, FtpWorld, ftp

__all__ = ["ftp"]


async def test_storing_by_path_tags(ftp: FtpWorld) -> None:
    """A file stored in /beach/2024 has both tags and that home, and is found under each."""

    def work(client: Client) -> None:
        client.put("/beach/2024/a photo.jpg", b"jpeg")
        client.cwd("/2024/beach")
        assert client.pwd() == "/2024/beach"
        assert client.get("a photo.jpg") == b"jpeg"
        assert client.names("/beach") == ["a photo.jpg"]
        assert client.names("/@tree/beach/2024") == ["a photo.jpg"]
        assert sorted(client.names("/")) == ["2024", "beach"]

    await ftp.session(work)
    entry = await ftp.only("beach 2024")
    assert entry.tags == ("2024", "beach")
    assert entry.home == "beach/2024"
    assert entry.content.type == "image/jpeg"


async def test_the_top_shows_tags_views_and_what_has_no_tags(ftp: FtpWorld) -> None:
    """/ is the way to everything."""
    await ftp.add("loose.txt")
    await ftp.add("x", "Beach")

    def work(client: Client) -> None:
        client.mkd("/empty")
        names = [name for name, _ in client.mlsd("/")]
        assert names == ["@query", "@recent", "@trash", "@tree", "@untagged", "Beach", "empty", "loose.txt"]
        assert client.names("/@untagged") == ["loose.txt"]
        assert sorted(client.names("/@recent")) == ["loose.txt", "x"]

    await ftp.session(work)


async def test_subdirectories_narrow(ftp: FtpWorld) -> None:
    """A tag directory lists the other tags that would show fewer files, down to three levels; deeper paths work."""
    await ftp.add("1", "a", "b", "c", "d")
    await ftp.add("2", "a", "b", "c")
    await ftp.add("3", "a", "b")
    await ftp.add("4", "a")

    def work(client: Client) -> None:
        assert client.names("/a") == ["b", "c", "d", "1", "2", "3", "4"]
        assert client.names("/a/b") == ["c", "d", "1", "2", "3"]
        assert client.names("/a/b/c") == ["1", "2"]
        assert client.names("/a/b/c/d") == ["1"]
        assert client.names("/d") == ["1"]

    await ftp.session(work)


async def test_unknown_tags_are_no_directories(ftp: FtpWorld) -> None:
    """CWD and LIST of a tag nobody knows are refused; known tags without a common file are an empty directory."""
    await ftp.add("1", "a")
    await ftp.add("2", "b")

    def work(client: Client) -> None:
        assert client.refused("CWD /nosuch").startswith("550")
        assert client.refused("CWD /a/nosuch").startswith("550")
        assert client.refused("CWD /@nosuch").startswith("550")
        with pytest.raises(Exception, match="550"):
            client.nlst("/nosuch")
        client.cwd("/a/b")
        assert client.names() == []

    await ftp.session(work)


async def test_storing_replaces_only_what_has_exactly_these_tags(ftp: FtpWorld) -> None:
    """The same name in the same directory is a new version; under fewer tags it is another file."""

    def work(client: Client) -> None:
        client.put("/a/b/x.txt", b"1")
        client.put("/b/a/x.txt", b"2")
        client.put("/a/x.txt", b"3")
        shown = client.names("/a")
        assert len(shown) == 3 and shown[0] == "b" and all("~" in name for name in shown[1:])
        assert sorted(client.get(f"/a/{name}") for name in shown[1:]) == [b"2", b"3"]
        assert client.get("/a/x.txt") == b"3"
        client.put(f"/a/{shown[1]}", b"4")
        assert client.get(f"/a/{shown[1]}") == b"4"

    await ftp.session(work)
    both, one = sorted(await ftp.found(), key=lambda entry: -len(entry.tags))
    assert both.tags == ("a", "b")
    assert one.tags == ("a",)
    assert len(both.versions) + len(one.versions) == 2


async def test_the_tree_is_a_plain_file_system(ftp: FtpWorld) -> None:
    """Under /@tree each entry is once, exactly where it was stored; storing replaces, folders come and go."""

    def work(client: Client) -> None:
        assert client.refused("CWD /@tree/src").startswith("550")
        client.mkd("/@tree/src")
        assert client.refused("MKD /@tree/src").startswith("550")
        client.cwd("/@tree/src")
        assert client.names("/@tree") == ["src"]
        client.mkd("lib")
        client.put("lib/a.py", b"1")
        client.put("lib/a.py", b"2")
        client.put("a.py", b"3")
        assert client.names() == ["lib", "a.py"]
        assert client.get("lib/a.py") == b"2"
        assert client.refused("RMD lib").startswith("550")
        client.delete("lib/a.py")
        assert client.names("lib") == []
        client.rmd("lib")
        assert client.names() == ["a.py"]
        assert client.refused("CWD lib").startswith("550")
        assert client.names("/@tree") == ["src"]

    await ftp.session(work)
    entry = await ftp.only()
    assert entry.home == "src"
    assert entry.tags == ("src",)


async def test_folders_of_the_tree_move_with_all_below(ftp: FtpWorld) -> None:
    """RNFR and RNTO of a folder take every file below along, tags and all."""

    def work(client: Client) -> None:
        client.put("/@tree/old/a/1", b"1")
        client.put("/@tree/old/2", b"2")
        client.put("/@tree/older/3", b"3")
        client.rename("/@tree/old", "/@tree/new")
        assert client.get("/@tree/new/a/1") == b"1"
        assert client.names("/@tree/new") == ["a", "2"]
        assert client.names("/@tree") == ["new", "older"]

    await ftp.session(work)
    assert (await ftp.only("name:1")).tags == ("a", "new")
    assert (await ftp.only("name:3")).tags == ("older",)


async def test_moving_between_directories_retags(ftp: FtpWorld) -> None:
    """A file that moves leaves the tags of the old directory and takes those of the new; others stay."""
    await ftp.add("x", "a", "keep")

    def work(client: Client) -> None:
        client.rename("/a/x", "/b/c/y")
        assert client.names("/b") == ["y"]

    await ftp.session(work)
    entry = await ftp.only()
    assert entry.name == "y"
    assert entry.tags == ("b", "c", "keep")


async def test_moving_within_a_directory_renames(ftp: FtpWorld) -> None:
    """Only the name changes, and the home stays where it was."""

    def work(client: Client) -> None:
        client.put("/a/b/x", b"1")
        client.rename("/a/x", "/a/y")
        client.cwd("/b")
        client.rename("y", "z")

    await ftp.session(work)
    entry = await ftp.only()
    assert (entry.name, entry.tags, entry.home) == ("z", ("a", "b"), "a/b")


async def test_moving_onto_a_file_replaces_its_content(ftp: FtpWorld) -> None:
    """An upload under a temporary name ends by a rename: the file keeps its id and gets a version."""

    def work(client: Client) -> None:
        client.put("/a/x", b"old")
        client.put("/a/x.tmp", b"new")
        client.rename("/a/x.tmp", "/a/x")
        assert client.names("/a") == ["x"]
        assert client.get("/a/x") == b"new"

    await ftp.session(work)
    assert len((await ftp.only()).versions) == 1


async def test_renaming_a_directory_renames_the_tag_everywhere(ftp: FtpWorld) -> None:
    """A tag directory is the tag: its new name is the tag's, wherever it was."""
    await ftp.add("1", "a", "b")
    await ftp.add("2", "b")

    def work(client: Client) -> None:
        client.rename("/a/b", "/a/c")
        assert client.refused("CWD /b").startswith("550")
        client.sendcmd("RNFR /a/c")
        assert client.refused("RNTO /d/c").startswith("553")

    await ftp.session(work)
    assert [entry.tags for entry in await ftp.found()] == [("a", "c"), ("c",)]


async def test_deleting_moves_to_the_trash_and_back(ftp: FtpWorld) -> None:
    """DELE can be undone: what is in /@trash can be read, and moved out of it."""
    await ftp.add("x", "a", data=b"precious")

    def work(client: Client) -> None:
        client.delete("/a/x")
        assert client.refused("SIZE /a/x").startswith("550")
        assert client.names("/@trash") == ["x"]
        assert client.get("/@trash/x") == b"precious"
        assert client.refused("DELE /@trash/x").startswith("550")
        client.rename("/@trash/x", "/b/x")
        assert client.names("/@trash") == []
        assert client.get("/b/x") == b"precious"

    await ftp.session(work)
    assert (await ftp.only()).tags == ("a", "b")


async def test_directories_are_made_and_removed(ftp: FtpWorld) -> None:
    """MKD declares a tag, RMD forgets one that nothing outside the trash has."""
    await ftp.add("x", "used")

    def work(client: Client) -> None:
        assert client.mkd('/new "one"') == '/new "one"'
        assert client.refused('MKD /new "one"').startswith("550")
        assert client.refused("MKD /used").startswith("550")
        assert client.sendcmd("MKD /used/new-too").startswith("257")
        assert client.sendcmd("MKD /used/new-too").startswith("257"), "not shown there, so it can be made"
        assert client.refused("MKD /-x").startswith("553")
        assert client.refused("RMD /used").startswith("550")
        client.rmd('/new "one"')
        assert client.refused('CWD /new "one"').startswith("550")
        client.delete("/used/x")
        client.rmd("/used")
        assert client.refused("CWD /used").startswith("550")
        assert client.refused("RMD /nosuch").startswith("550")
        assert client.refused("RMD /").startswith("550")

    await ftp.session(work)


async def test_tags_stay_directories_when_their_last_file_goes(ftp: FtpWorld) -> None:
    """STOR declares the tags of its path, so that they behave as directories do."""

    def work(client: Client) -> None:
        client.put("/a/b/x")
        client.delete("/a/b/x")
        client.cwd("/a/b")
        assert client.names("/") == ["a", "b"]

    await ftp.session(work)


async def test_queries_are_directories(ftp: FtpWorld) -> None:
    """/@query takes any query, and saved searches by name."""
    await ftp.add("1", "a", home="photos/sea")
    await ftp.add("2", "b")

    def work(client: Client) -> None:
        assert client.names("/@query/a or b") == ["1", "2"]
        assert client.names("/@query/home:photos/*") == ["1"]
        client.cwd("/@query/not a")
        assert client.get("2") == b"content"
        assert client.refused("STOR x").startswith("553")
        assert client.refused("CWD /@query/a and (").startswith("550")
        client.sendcmd("SAVE favourites | a or b")
        assert client.names("/@query") == ["favourites"]
        assert client.names("/@query/favourites") == ["1", "2"]
        client.rmd("/@query/favourites")
        assert client.names("/@query") == []

    await ftp.session(work)


async def test_names_that_collide_resolve(ftp: FtpWorld) -> None:
    """Files of one name in one directory are told apart by their ids, and each shown name is that file."""
    for number in range(3):
        await ftp.add("x.txt", "a", data=b"%d" % number)
    await ftp.add("a", data=b"not the tag")

    def work(client: Client) -> None:
        shown = client.names("/a")
        assert sorted(client.get(f"/a/{name}") for name in shown) == [b"0", b"1", b"2"]
        assert client.refused("DELE /a/x.txt").startswith("550")
        client.delete(f"/a/{shown[0]}")
        client.rename(f"/a/{shown[1]}", "/a/y.txt")
        assert client.names("/a") == ["x.txt", "y.txt"]
        (name,) = [name for name in client.names("/") if name.startswith("a~")]
        assert client.get(f"/{name}") == b"not the tag"

    await ftp.session(work)


async def test_names_of_any_kind(ftp: FtpWorld) -> None:
    """Spaces, quotes, accents and emoji go through every command."""
    path = '/a "b"/ünï/ x  y "z" 🏖.txt'

    def work(client: Client) -> None:
        client.mkd('/a "b"')
        assert client.cwd('/a "b"') and client.pwd() == '/a "b"'
        client.put(path, b"1")
        folder, name = path.rsplit("/", 1)
        assert client.names(folder) == [name]
        assert client.nlst(folder) == [name]
        assert client.size(path) == 1
        client.rename(path, f"{folder}/[b]*?.txt")
        assert client.nlst(f"{folder}/[b]*?.txt") == [f"{folder}/[b]*?.txt"]
        client.delete(f"{folder}/[b]*?.txt")

    await ftp.session(work)


async def test_what_cannot_be_stored_is_refused_with_553(ftp: FtpWorld) -> None:
    """Names that are none, and directories that take nothing, are told before any byte is sent."""

    def work(client: Client) -> None:
        for path in ("/@recent/x", "/@trash/x", "/@query/x", "/@query/a/x", "/-tag/x", "/" + "n" * 256, "/"):
            assert client.refused(f"STOR {path}").startswith("553"), path
        client.encoding = "latin-1"
        assert client.refused("STOR /caf\xe9").startswith("553")

    await ftp.session(work)
