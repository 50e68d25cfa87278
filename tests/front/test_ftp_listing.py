"""Listings: the formats that clients parse, patterns, and directories of any size in bounded memory."""

from __future__ import annotations

import ftplib
import re
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tagfs.front.ftp.directory import lookup as lookups
from tagfs.front.ftp.directory.folders import MadeFolders
from tagfs.front.ftp.directory.formats import FACTS, FactRows, LsRows, bare, classified, encode, moment
from tagfs.front.ftp.directory.listing import Item, items
from tagfs.front.ftp.directory.lookup import Lookup
from tagfs.model.entry import Content, Entry
from tagfs.model.paths import VIEWS, Place, Root, TagFolder, Trash, Tree
from tagfs.model.principal import OWNER, Principal, Role
from tests.front.ftp_world import Client, FtpWorld, ftp

__all__ = ["ftp"]

NOW_S = 1_790_000_000
DAY_MS = 24 * 3600 * 1000


def an_entry(name: str = "x", modified: int = NOW_S * 1000, tags: Sequence[str] = (), tail: str = "0") -> Entry:
    content = Content(b"", 1234, "text/plain", modified)
    return Entry(tail.rjust(26, "0"), name, content, 1_700_000_000_000, tuple(tags), None, None, ())


# Formats


@pytest.mark.parametrize(
    ("modified", "date"),
    [
        (NOW_S * 1000, "Sep 21 14:13"),
        (NOW_S * 1000 - 170 * DAY_MS, "Apr  4 14:13"),
        (NOW_S * 1000 - 190 * DAY_MS, "Mar 15  2026"),
        (NOW_S * 1000 + DAY_MS, "Sep 22  2026"),
        (0, "Jan  1  1970"),
        (-1, "Jan  1  1970"),
        (1 << 60, "Dec 31  9999"),
    ],
)
def test_dates_are_as_ls_writes_them(modified: int, date: str) -> None:
    """A time of day within half a year, a year otherwise; times that make no sense do no harm."""
    row = LsRows(NOW_S, Role.WRITE)(Item("a b", an_entry(modified=modified)))
    assert row == f"-rw-r--r--   1 tagfs    tagfs            1234 {date} a b"


def test_directories_and_rights_are_shown() -> None:
    """Who may not write sees that."""
    assert LsRows(NOW_S, Role.READ)(Item("d", None)).startswith("dr-xr-xr-x   2 tagfs    tagfs               0 Sep 21")
    assert LsRows(NOW_S, Role.READ)(Item("x", an_entry())).startswith("-r--r--r-- ")
    assert LsRows(NOW_S, Role.ADMIN)(Item("d", None)).startswith("drwxr-xr-x ")


def test_facts() -> None:
    """All facts of a file, and only those asked for; tags are parted by commas and escaped where they must be."""
    entry = an_entry(tags=("a b", "x;y", "ü,=%"))
    assert FactRows(FACTS, Role.WRITE)(Item("a  b", entry)) == (
        "type=file;size=1234;modify=20260921141320;create=20231114221320;perm=adfrw;unique=00000000000000000000000000;"
        "media-type=text/plain;x.tags=a%20b,x%3By,%C3%BC%2C=%25; a  b"
    )
    assert FactRows({"size"}, Role.WRITE)(Item("x", entry)) == "size=1234; x"
    assert FactRows((), Role.WRITE)(Item("x", entry)) == " x"
    assert FactRows(FACTS, Role.READ)(Item("d", None)) == "type=dir;perm=el; d"


def test_names_alone() -> None:
    """Bare, or with a slash behind a directory's."""
    rows = [Item("d", None), Item("x", an_entry())]
    assert encode(rows, bare) == b"d\r\nx\r\n"
    assert encode(rows, classified) == b"d/\r\nx\r\n"


def test_moments() -> None:
    """Fourteen digits in UTC, for any number."""
    assert moment(0) == "19700101000000"
    assert moment(1_790_000_000_999) == "20260921141320"
    assert moment(-(1 << 70)) == "19700101000000"


# Over the wire


async def test_list_of_everything_a_path_can_be(ftp: FtpWorld) -> None:
    """A directory, a file, a pattern, options of ls in front; what is not there is refused."""
    for name in ("a.svg", "b.svg", "c.txt", "-x"):
        await ftp.add(name, "t")

    def work(client: Client) -> None:
        def rows(command: str) -> list[str]:
            found: list[str] = []
            client.retrlines(command, found.append)
            return [row.split(":", 1)[1][3:] if row[0] in "-d" and ":" in row else row for row in found]

        client.cwd("/t")
        everything = ["-x", "a.svg", "b.svg", "c.txt"]
        for command in (
            "LIST",
            "LIST -a",
            "LIST -la",
            "LIST -l -a",
            "LIST /t",
            "LIST -la /t",
            "LIST .",
            "NLST",
            "NLST -1",
        ):
            assert rows(command) == everything, command
        assert rows("LIST *.svg") == rows("NLST *.svg") == ["a.svg", "b.svg"]
        assert rows("NLST /t/[ab].*") == ["/t/a.svg", "/t/b.svg"]
        assert rows("NLST ../t/c.txt") == ["../t/c.txt"]
        assert rows("NLST *.nosuch") == []
        assert rows("LIST ./-x") == ["./-x"]
        assert "t/" in rows("NLST -CF /")
        for command in ("LIST nosuch", "NLST nosuch", "NLST /nosuch/*.svg", "MLSD nosuch"):
            with pytest.raises(ftplib.error_perm, match="550"):
                rows(command)
        with pytest.raises(ftplib.error_perm, match="501"):
            rows("MLSD a.svg")

    await ftp.session(work)


async def test_listings_over_the_control_connection(ftp: FtpWorld) -> None:
    """STAT and MLST need no data connection, and LIST without one is the tag protocol's."""
    identifier = await ftp.add("x", "t", data=b"123")

    def work(client: Client) -> None:
        assert re.fullmatch(r"213-Status\n -rw.* x\n213 End", client.sendcmd("STAT /t"))
        assert client.refused("STAT /nosuch").startswith("550 ")
        facts = client.sendcmd("MLST /t/x").splitlines()
        assert facts[0].startswith("250-") and facts[1].startswith(" type=file;size=3;") and facts[1].endswith(" /t/x")
        assert f"unique={identifier};" in facts[1] and "x.tags=t;" in facts[1]
        client.cwd("/t")
        assert client.sendcmd("MLST").splitlines()[1].startswith(" type=cdir;")
        assert client.sendcmd("OPTS MLST size;nosuch;type;") == "200 MLST OPTS type;size;"
        assert client.sendcmd("MLST x").splitlines()[1] == " type=file;size=3; /t/x"
        assert "type*;size*;modify;" in client.sendcmd("FEAT")
        assert f" {identifier}\t3\t" in client.sendcmd("LIST t")

    await ftp.session(work)


async def test_what_the_directory_above_shows_decides(ftp: FtpWorld) -> None:
    """Where a name could be a file and a directory, it is what the directory lists."""
    await ftp.add("2024", "beach")
    await ftp.add("x", "2024")

    def work(client: Client) -> None:
        assert client.names("/beach") == ["2024"]
        assert "type=file;" in client.sendcmd("MLST /beach/2024")
        client.rename("/beach/2024", "/beach/renamed")
        assert client.names("/2024") == ["x"]

    await ftp.session(work)


# Of any size


class Endless:
    """A node with one directory of a million files; tells how many of them it was asked for."""

    total = 1_000_000

    def __init__(self) -> None:
        self.given = 0
        self.closed = False

    async def tags(self, *asked: object, **more: object) -> Any:
        class Counts:
            tags = ()

        return Counts

    async def count(self, *asked: object) -> int:
        return self.total

    async def listing(self, *asked: object) -> Any:
        return self

    async def next(self) -> list[Entry]:
        page = [an_entry(f"{number:08}") for number in range(self.given, min(self.given + 512, self.total))]
        self.given += len(page)
        return page

    def close(self) -> None:
        self.closed = True


def stepped(stream: AsyncIterator[list[Item]]) -> list[Item] | None:
    """The next items, where they are there at once; None at the end."""
    result: list[Any] = []
    Deferred.fromCoroutine(anext(stream, None)).addCallback(result.append)  # type: ignore[arg-type]
    return result[0]


def test_a_million_files_are_never_held() -> None:
    """No more is asked of the node than was taken, and a listing given up lets go of it."""
    node = Endless()
    stream = items(Lookup(node, OWNER, MadeFolders()), TagFolder(("t",)))  # type: ignore[arg-type]
    seen = 0
    while seen < 10_000:
        some = stepped(stream)
        assert some is not None
        seen += len(some)
        assert node.given - seen <= 512
    Deferred.fromCoroutine(stream.aclose())  # type: ignore[attr-defined]
    assert node.closed


async def test_a_listing_ends_with_the_client(ftp: FtpWorld) -> None:
    """A client that resets a listing is told 426, and goes on."""
    for number in range(20):
        await ftp.add(f"{number}", "t")

    def work(client: Client) -> None:
        client.makepasv()
        client.putcmd("MLSD /t")
        client.putcmd("ABOR")
        replies = [client.getmultiline()[:3] for _ in range(3)]
        assert replies == ["150", "426", "226"]
        assert len(client.names("/t")) == 20

    await ftp.session(work)


async def test_folders_made_while_a_directory_is_listed(ftp: FtpWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that work with several sessions make folders while another session lists the one above."""
    made = MadeFolders()
    made.add("a/b")
    asked = ftp.node.folders

    async def slowly(*arguments: Any) -> Any:
        made.add("a/c")
        return await asked(*arguments)

    monkeypatch.setattr(ftp.node, "folders", slowly)
    lookup = Lookup(ftp.node, OWNER, made)
    assert [names async for names in lookup.folders(Tree("a"))] == [["b"]]
    assert [names async for names in lookup.folders(Tree("a"))] == [["b", "c"]]


@pytest.mark.parametrize("at_once", [1, 2, 3, 7, 100])
async def test_all_tags_are_listed_however_many(ftp: FtpWorld, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """At the top, and in a tag, and in the tree: in parts, each once and in order; names of entries give way to them."""
    monkeypatch.setattr(lookups, "MAX_FOLDERS", at_once)
    ask = ftp.node.declared

    async def few_declared(principal: Principal, after: str = "") -> Sequence[str]:
        return (await ask(principal, after))[:2]

    monkeypatch.setattr(ftp.node, "declared", few_declared)
    monkeypatch.setattr(lookups, "MAX_DECLARED", 2)
    for tag in ("b", "D", "d2", "zz", "f"):
        await ftp.node.declare_tag(OWNER, tag)
    for tag in ("a", "B", "C", "e", "x"):
        await ftp.add("one", tag, "all", home=f"{tag}/{tag} b")
    for name in ("b", "D", "free", "zz"):
        await ftp.add(name)
    lookup = Lookup(ftp.node, OWNER, MadeFolders())

    async def listed(place: Place) -> list[Item]:
        return [item async for some in items(lookup, place) for item in some]

    top = await listed(Root())
    tags = ["a", "all", "b", "C", "D", "d2", "e", "f", "x", "zz"]
    assert [item.name for item in top if item.entry is None] == [*VIEWS, *tags]
    shown = [item.name for item in top if item.entry is not None]
    assert [name.partition("~")[0] for name in shown] == ["D", "b", "free", "zz"]
    assert [name for name in shown if "~" not in name] == ["free"]
    assert [item.name for item in await listed(TagFolder(("all",))) if item.entry is None] == ["a", "b", "C", "e", "x"]
    assert [item.name for item in await listed(Tree("")) if item.entry is None] == ["B", "C", "a", "e", "x"]
    assert await lookup.knows_tag("zz") and await lookup.lists(Root(), "zz", str)
    assert not await lookup.knows_tag("zzz") and not await lookup.lists(Root(), "zzz", str)


async def test_the_trash_is_streamed_with_its_own_names(ftp: FtpWorld) -> None:
    """Names that collide in the trash are told apart, too."""
    for number in range(3):
        await ftp.add("x", "t", data=b"%d" % number)
        await ftp.session(lambda client: client.delete("/t/x"))
    lookup = Lookup(ftp.node, OWNER, MadeFolders())
    names = [item.name async for some in items(lookup, Trash()) for item in some]
    assert len(set(names)) == 3 and all(name.startswith("x~") for name in names)

    def work(client: Client) -> None:
        assert sorted(client.get(f"/@trash/{name}") for name in names) == [b"0", b"1", b"2"]

    await ftp.session(work)


async def test_a_folder_has_one_spelling(ftp: FtpWorld) -> None:
    """A client that composes no letters (macOS) makes a folder and fills it: the tree and the tags show it once, in NFC."""
    loose, made = "e\u0301d", "\u00e9d"

    def work(client: Client) -> None:
        client.mkd(f"/@tree/{loose}")
        client.put(f"/@tree/{loose}/x", b"1")
        client.put(f"/{loose}/y", b"2")
        assert client.names("/@tree") == [made]
        assert client.names(f"/@tree/{loose}") == client.names(f"/@tree/{made}") == ["x", "y"]
        assert made in client.names("/") and loose not in client.names("/")
        client.rename(f"/@tree/{loose}/x", f"/@tree/{loose}/z")
        assert client.names("/@tree") == [made]

    await ftp.session(work)
