"""Real FTP clients against a node that runs as a process: what each does in daily use, unmodified and with its defaults."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias, TypeVar

import pytest
from attrs import frozen

from tagfs.client.client import Client as TagClient
from tagfs.client.rows import FoundRow
from tests.campaigns.node_process import NodeProcess
from tests.front.ftp_world import Client

T = TypeVar("T")
Tool: TypeAlias = Callable[[str], str]
BIG = os.urandom(1 << 20)


@frozen
class Served:
    """Where a node serves, and what it has."""

    host: str
    port: int

    def asked(self) -> TagClient:
        """A session of the tag protocol."""
        return TagClient(self.host, self.port)

    def found(self, query: str = "") -> list[FoundRow]:
        """The entries that match, by name."""
        with self.asked() as client:
            return sorted(client.find(query), key=lambda row: row.name)

    def only(self, query: str) -> FoundRow:
        """The one entry that matches."""
        (row,) = self.found(query)
        return row

    def home(self, query: str) -> str:
        """Where the tree shows that entry."""
        with self.asked() as client:
            return client.info(self.only(query).id).get("home")

    def session(self, work: Callable[[Client], T]) -> T:
        """Does something with Python's client, logged in."""
        with Client(encoding="utf-8") as client:
            client.connect(self.host, self.port, timeout=10)
            client.login()
            return work(client)

    def forget(self) -> None:
        """Leaves nothing to the next test."""
        with self.asked() as client:
            client.delete("name:*")
            client.purge("name:*")
        self.session(lambda session: [session.rmd(f"/{tag}") for tag in session.names("/")])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    started = NodeProcess(tmp_path_factory.mktemp("ftp-clients") / "node")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def ftp(node: NodeProcess) -> Iterator[Served]:
    served = Served(*node.address)
    yield served
    served.forget()


def run(*command: str | Path, cwd: Path, stdin: str = "", fails: bool = False) -> str:
    """What a client printed, on both outputs."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        input=stdin,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=15,
        check=False,
        env={**os.environ, "HOME": str(cwd), "LC_ALL": "C.UTF-8"},
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


class Curl:
    """curl, quiet but for errors; paths are of the server."""

    def __init__(self, program: str, ftp: Served, cwd: Path) -> None:
        self._program, self._ftp, self._cwd = program, ftp, cwd

    def __call__(self, path: str, *options: str | Path, fails: bool = False) -> str:
        url = f"ftp://{self._ftp.host}:{self._ftp.port}{path}"
        return run(self._program, "-sS", *options, url, cwd=self._cwd, fails=fails)


@pytest.fixture
def curl(ftp: Served, require_tool: Tool, tmp_path: Path) -> Curl:
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "small.txt").write_text("hello\n")
    return Curl(require_tool("curl"), ftp, tmp_path)


def test_curl_up_list_down_delete(curl: Curl, tmp_path: Path, ftp: Served) -> None:
    """Upload into directories that are made on the way, list, download, delete."""
    curl("/beach/2024/", "--ftp-create-dirs", "-T", "small.txt")
    curl("/beach/a%20big%20one", "-T", "big")
    assert (curl("/beach/2024/small.txt")) == "hello\n"
    curl("/beach/a%20big%20one", "-o", "down")
    assert (tmp_path / "down").read_bytes() == BIG
    assert (curl("/beach/", "-l")).split("\n") == ["2024", "a big one", "small.txt", ""]
    rows = (curl("/beach/")).splitlines()
    assert rows[0].startswith("d") and rows[1].endswith(" a big one") and f" {len(BIG)} " in rows[1]
    curl("/", "-Q", "DELE beach/2024/small.txt", "-o", "/dev/null")
    assert [entry.name for entry in ftp.found()] == ["a big one"]


def test_curl_resumes_and_takes_ranges(curl: Curl, tmp_path: Path, ftp: Served) -> None:
    """An upload that broke is completed, so is a download, and a range is cut out (which ends by ABOR)."""
    slow = curl("/t/big", "-T", "big", "--ftp-create-dirs", "--limit-rate", "200k", "-m", "1", fails=True)
    assert "timed out" in slow
    assert ftp.found() == []
    curl("/t/big", "-T", "big", "-C", "-")
    curl("/t/big", "-o", "down")
    assert (tmp_path / "down").read_bytes() == BIG
    (tmp_path / "part").write_bytes(BIG[:1000])
    curl("/t/big", "-C", "-", "-o", "part")
    assert (tmp_path / "part").read_bytes() == BIG
    curl("/t/big", "-r", "100-199", "-o", "range")
    assert (tmp_path / "range").read_bytes() == BIG[100:200]
    assert f"Content-Length: {len(BIG)}" in curl("/t/big", "-I")


def test_a_killed_curl_stores_nothing(curl: Curl, tmp_path: Path, ftp: Served) -> None:
    """kill -9 in the middle of an upload leaves no torn file, and a second run completes it."""
    curl("/t/small", "--ftp-create-dirs", "-T", "small.txt")
    url = f"ftp://{ftp.host}:{ftp.port}/t/big"
    killed = ["timeout", "-s", "KILL", "0.6", "curl", "-sS", "--limit-rate", "300k", "-T", "big", url]
    run(*killed, cwd=tmp_path, fails=True)
    assert [entry.name for entry in ftp.found()] == ["small"]
    curl("/t/big", "-T", "big", "-C", "-")
    curl("/t/big", "-o", "down")
    assert (tmp_path / "down").read_bytes() == BIG


def test_curl_in_active_mode_and_with_appends(curl: Curl, tmp_path: Path) -> None:
    """PORT works as PASV does; appending goes on behind what is there; what is missing is an error."""
    curl("/log", "-T", "small.txt", "-P", "-")
    curl("/log", "-T", "small.txt", "-a")
    curl("/log", "-T", "small.txt", "-a", "-P", "-", "--disable-eprt")
    assert curl("/log", "-P", "-") == "hello\n" * 3
    assert "78" in curl("/nosuch", "-w", "%{exitcode}", fails=True)
    assert "(9)" in curl("/nosuch/x", fails=True)


@pytest.fixture
def lftp(ftp: Served, require_tool: Tool, tmp_path: Path) -> Callable[[str], str]:
    program = require_tool("lftp")
    (tmp_path / "big").write_bytes(BIG)

    def script(commands: str) -> str:
        setup = "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 10"
        return run(program, "-c", f"{setup}; open {ftp.host}:{ftp.port}; {commands}", cwd=tmp_path)

    return script


def test_lftp_by_hand(lftp: Callable[[str], str], tmp_path: Path, ftp: Served) -> None:
    """The commands of a person at lftp's prompt."""
    lftp("mkdir -p a/b; cd a/b; put big -o 'my file'; mv 'my file' other; cd /; get a/b/other -o down")
    assert (tmp_path / "down").read_bytes() == BIG
    assert "other" in lftp("ls a/b")
    assert lftp("cls -1 a/b") == "a/b/other\n"
    lftp("cd a; pget -n 3 b/other -o again")
    assert (tmp_path / "again").read_bytes() == BIG
    (entry,) = ftp.found()
    assert entry.tags == ("a", "b")
    lftp("rm a/b/other; rmdir a/b")
    assert ftp.found() == []


def test_lftp_mirrors_both_ways(lftp: Callable[[str], str], tmp_path: Path, ftp: Served) -> None:
    """A directory tree goes up and comes down again, times and odd names included, and a second run has nothing to do."""
    source = tmp_path / "source"
    for number, name in enumerate(["one.txt", "sub/two words.txt", "sub/deep/ünï.txt", "sub/deep/x", "[x]*.txt", "~y"]):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * 1000 * number)
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
    (source / "empty").mkdir()
    lftp("mirror -R source /@tree/copy")
    lftp("mirror /@tree/copy back")
    assert tree(tmp_path / "back") == tree(source)
    assert lftp("mirror -R --verbose=1 --delete source /@tree/copy") == ""
    lftp("mirror /copy/sub/deep tagged")
    assert set(tree(tmp_path / "tagged")) == {"ünï.txt", "x"}
    lftp("rm -r /@tree/copy")
    assert ftp.found() == []


def tree(top: Path) -> dict[str, tuple[bytes, float]]:
    """Every file below, by path, with content and time."""
    files = (path for path in top.rglob("*") if path.is_file())
    return {str(path.relative_to(top)): (path.read_bytes(), path.stat().st_mtime) for path in files}


def test_lftp_resumes_an_upload(lftp: Callable[[str], str], ftp: Served) -> None:
    """put -c goes on where an upload was cut off."""

    ftp.session(lambda client: client.break_off("/a/big", BIG[:300_000]))
    assert ftp.found() == []
    lftp("mkdir a; cd a; put -c big")
    assert ftp.session(lambda client: client.get("/a/big")) == BIG


@pytest.mark.parametrize("passive", [True, False])
def test_tnftp(ftp: Served, require_tool: Tool, tmp_path: Path, passive: bool) -> None:
    """NetBSD's ftp: multiple put and get with globs."""
    program = require_tool("tnftp")
    for number in range(3):
        (tmp_path / f"f{number}.dat").write_bytes(BIG[: number * 1000])
    down = tmp_path / "down"
    down.mkdir()
    script = f"""user anonymous x
mkdir beach
cd beach
prompt
mput f*.dat
ls
lcd {down}
mget *.dat
size f2.dat
modtime f2.dat
rename f0.dat g0.dat
delete f1.dat
nlist
quit
"""
    mode = [] if passive else ["-A"]
    said = run(program, "-n", *mode, ftp.host, str(ftp.port), cwd=tmp_path, stdin=script)
    assert sorted(path.name for path in down.iterdir()) == ["f0.dat", "f1.dat", "f2.dat"], said
    assert (down / "f2.dat").read_bytes() == BIG[:2000]
    assert [entry.name for entry in ftp.found("beach")] == ["f2.dat", "g0.dat"], said


def test_inetutils_ftp(ftp: Served, require_tool: Tool, tmp_path: Path) -> None:
    """GNU's ftp, which uses PORT: put, get, listing, in both types."""
    program = require_tool("inetutils-ftp")
    (tmp_path / "in").write_bytes(BIG)
    (tmp_path / "text").write_bytes(b"one\ntwo\r\nthree")
    script = f"""open {ftp.host} {ftp.port}
user anonymous x
mkdir beach
cd beach
put in
ascii
put text
get text text.back
binary
get in in.back
dir
quit
"""
    said = run(program, "-n", "-i", "-v", cwd=tmp_path, stdin=script)
    assert (tmp_path / "in.back").read_bytes() == BIG, said
    assert (tmp_path / "text.back").read_bytes() == b"one\ntwo\r\nthree"
    assert ftp.only("name:text").size == 14


def test_ncftp(ftp: Served, require_tool: Tool, tmp_path: Path) -> None:
    """ncftpput and ncftpget, with directories made and trees taken whole."""
    require_tool("ncftp")
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.bin").write_bytes(BIG)
    (source / "b.txt").write_text("b")
    where = ["-P", str(ftp.port), ftp.host]
    said = run("ncftpput", "-m", "-R", *where, "/@tree/in/depth", source, cwd=tmp_path)
    said += run("ncftpget", "-R", *where, tmp_path, "/@tree/in", cwd=tmp_path)
    assert (tmp_path / "in/depth/source/a.bin").read_bytes() == BIG, said
    assert ftp.home("name:b.txt") == "in/depth/source"
    said = run("ncftpls", "-x", "-l", f"ftp://{ftp.host}:{ftp.port}/@tree/in/depth/source/", cwd=tmp_path)
    assert "a.bin" in said


def test_rclone(ftp: Served, require_tool: Tool, tmp_path: Path) -> None:
    """Sync, check, move and purge of a tree, as back-ups do it; a second sync has nothing to do."""
    program = require_tool("rclone")
    source = tmp_path / "source"
    for name in ("a/one", "a/b/two", "sp ace/[ü].txt"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    hidden = run(program, "obscure", "x", cwd=tmp_path)
    remote = f":ftp,host={ftp.host},port={ftp.port},user=x,pass={hidden.strip()}:/@tree"

    def rclone(*words: str | Path) -> str:
        return run(program, "--config", "/dev/null", "--retries", "1", *words, cwd=tmp_path)

    rclone("sync", source, f"{remote}/copy")
    assert "0 differences found" in rclone("check", "--download", source, f"{remote}/copy")
    assert "There was nothing to transfer" in rclone("sync", "-v", source, f"{remote}/copy")
    (source / "a/one").unlink()
    rclone("sync", source, f"{remote}/copy")
    rclone("moveto", f"{remote}/copy/a/b", f"{remote}/copy/c")
    assert sorted((rclone("lsf", "-R", "--files-only", f"{remote}/copy")).splitlines()) == [
        "c/two",
        "sp ace/[ü].txt",
    ]
    rclone("purge", f"{remote}/copy")
    assert ftp.found() == []


# Under TLS


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_under_tls(ftp: Served, require_tool: Tool, tmp_path: Path, version: str) -> None:
    """Uploads end well, also by a client that would rather speak TLS 1.3; the empty file, too."""
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "empty").touch()
    curl = Curl(require_tool("curl"), ftp, tmp_path)
    tls = ["--ssl-reqd", "-k", "--tls-max", version]
    for name in ("big", "empty"):
        curl(f"/t/{name}", *tls, "--ftp-create-dirs", "-T", name)
        curl(f"/t/{name}", *tls, "-o", f"{name}.down")
        assert (tmp_path / f"{name}.down").read_bytes() == (tmp_path / name).read_bytes()
    assert curl("/t/", *tls, "-l") == "big\nempty\n"
    curl("/t/big", *tls, "-r", "5-9", "-o", "range")
    assert (tmp_path / "range").read_bytes() == BIG[5:10]


def test_lftp_under_tls(ftp: Served, require_tool: Tool, tmp_path: Path) -> None:
    """lftp turns TLS on by itself where it is offered, and mirrors over it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "big").write_bytes(BIG)
    (source / "empty").touch()
    for path in source.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    script = (
        "set cmd:fail-exit yes; set net:max-retries 1; set ssl:verify-certificate no; set ftp:ssl-force yes; "
        f"open {ftp.host}:{ftp.port}; mirror -R source /@tree/copy; mirror /@tree/copy back"
    )
    run(require_tool("lftp"), "-c", script, cwd=tmp_path)
    assert tree(tmp_path / "back") == tree(source)
