"""Real FTP clients against the tag port: what each does in daily use, unmodified and with its defaults."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
from twisted.internet.threads import deferToThread

from tests.front.ftp_world import FtpWorld, ftp, ftps

__all__ = ["ftp", "ftps"]

Tool: TypeAlias = Callable[[str], str]
BIG = os.urandom(1 << 20)


async def run(*command: str | Path, cwd: Path, stdin: str = "", fails: bool = False) -> str:
    """Runs a client in another thread; what it printed, on both outputs."""

    def work() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
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

    done = await deferToThread(work)
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


class Curl:
    """curl, quiet but for errors; paths are of the server."""

    def __init__(self, program: str, ftp: FtpWorld, cwd: Path) -> None:
        self._program, self._ftp, self._cwd = program, ftp, cwd

    async def __call__(self, path: str, *options: str | Path, fails: bool = False) -> str:
        url = f"ftp://{self._ftp.host}:{self._ftp.port}{path}"
        return await run(self._program, "-sS", *options, url, cwd=self._cwd, fails=fails)


@pytest.fixture
def curl(ftp: FtpWorld, require_tool: Tool, tmp_path: Path) -> Curl:
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "small.txt").write_text("hello\n")
    return Curl(require_tool("curl"), ftp, tmp_path)


async def test_curl_up_list_down_delete(curl: Curl, tmp_path: Path, ftp: FtpWorld) -> None:
    """Upload into directories that are made on the way, list, download, delete."""
    await curl("/beach/2024/", "--ftp-create-dirs", "-T", "small.txt")
    await curl("/beach/a%20big%20one", "-T", "big")
    assert (await curl("/beach/2024/small.txt")) == "hello\n"
    await curl("/beach/a%20big%20one", "-o", "down")
    assert (tmp_path / "down").read_bytes() == BIG
    assert (await curl("/beach/", "-l")).split("\n") == ["2024", "a big one", "small.txt", ""]
    rows = (await curl("/beach/")).splitlines()
    assert rows[0].startswith("d") and rows[1].endswith(" a big one") and f" {len(BIG)} " in rows[1]
    await curl("/", "-Q", "DELE beach/2024/small.txt", "-o", "/dev/null")
    assert [entry.name for entry in await ftp.found()] == ["a big one"]


async def test_curl_resumes_and_takes_ranges(curl: Curl, tmp_path: Path, ftp: FtpWorld) -> None:
    """An upload that broke is completed, so is a download, and a range is cut out (which ends by ABOR)."""
    slow = curl("/t/big", "-T", "big", "--ftp-create-dirs", "--limit-rate", "200k", "-m", "1", fails=True)
    assert "timed out" in await slow
    assert await ftp.found() == []
    await curl("/t/big", "-T", "big", "-C", "-")
    await curl("/t/big", "-o", "down")
    assert (tmp_path / "down").read_bytes() == BIG
    (tmp_path / "part").write_bytes(BIG[:1000])
    await curl("/t/big", "-C", "-", "-o", "part")
    assert (tmp_path / "part").read_bytes() == BIG
    await curl("/t/big", "-r", "100-199", "-o", "range")
    assert (tmp_path / "range").read_bytes() == BIG[100:200]
    assert f"Content-Length: {len(BIG)}" in await curl("/t/big", "-I")


async def test_a_killed_curl_stores_nothing(curl: Curl, tmp_path: Path, ftp: FtpWorld) -> None:
    """kill -9 in the middle of an upload leaves no torn file, and a second run completes it."""
    await curl("/t/small", "--ftp-create-dirs", "-T", "small.txt")
    url = f"ftp://{ftp.host}:{ftp.port}/t/big"
    killed = ["timeout", "-s", "KILL", "0.6", "curl", "-sS", "--limit-rate", "300k", "-T", "big", url]
    await run(*killed, cwd=tmp_path, fails=True)
    assert [entry.name for entry in await ftp.found()] == ["small"]
    await curl("/t/big", "-T", "big", "-C", "-")
    await curl("/t/big", "-o", "down")
    assert (tmp_path / "down").read_bytes() == BIG


async def test_curl_in_active_mode_and_with_appends(curl: Curl, tmp_path: Path) -> None:
    """PORT works as PASV does; appending goes on behind what is there; what is missing is an error."""
    await curl("/log", "-T", "small.txt", "-P", "-")
    await curl("/log", "-T", "small.txt", "-a")
    await curl("/log", "-T", "small.txt", "-a", "-P", "-", "--disable-eprt")
    assert await curl("/log", "-P", "-") == "hello\n" * 3
    assert "78" in await curl("/nosuch", "-w", "%{exitcode}", fails=True)
    assert "(9)" in await curl("/nosuch/x", fails=True)


@pytest.fixture
def lftp(ftp: FtpWorld, require_tool: Tool, tmp_path: Path) -> Callable[[str], object]:
    program = require_tool("lftp")
    (tmp_path / "big").write_bytes(BIG)

    async def script(commands: str) -> str:
        setup = "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 10"
        return await run(program, "-c", f"{setup}; open {ftp.host}:{ftp.port}; {commands}", cwd=tmp_path)

    return script


async def test_lftp_by_hand(lftp: Callable[[str], object], tmp_path: Path, ftp: FtpWorld) -> None:
    """The commands of a person at lftp's prompt."""
    await lftp("mkdir -p a/b; cd a/b; put big -o 'my file'; mv 'my file' other; cd /; get a/b/other -o down")
    assert (tmp_path / "down").read_bytes() == BIG
    assert "other" in await lftp("ls a/b")
    assert await lftp("cls -1 a/b") == "a/b/other\n"
    await lftp("cd a; pget -n 3 b/other -o again")
    assert (tmp_path / "again").read_bytes() == BIG
    (entry,) = await ftp.found()
    assert entry.tags == ("a", "b")
    await lftp("rm a/b/other; rmdir a/b")
    assert await ftp.found() == []


async def test_lftp_mirrors_both_ways(lftp: Callable[[str], object], tmp_path: Path, ftp: FtpWorld) -> None:
    """A directory tree goes up and comes down again, times and odd names included, and a second run has nothing to do."""
    source = tmp_path / "source"
    for number, name in enumerate(["one.txt", "sub/two words.txt", "sub/deep/ünï.txt", "sub/deep/x", "[x]*.txt", "~y"]):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * 1000 * number)
        os.utime(path, (1_600_000_000 + number, 1_600_000_000 + number))
    (source / "empty").mkdir()
    await lftp("mirror -R source /@tree/copy")
    await lftp("mirror /@tree/copy back")
    assert tree(tmp_path / "back") == tree(source)
    assert await lftp("mirror -R --verbose=1 --delete source /@tree/copy") == ""
    await lftp("mirror /copy/sub/deep tagged")
    assert set(tree(tmp_path / "tagged")) == {"ünï.txt", "x"}
    await lftp("rm -r /@tree/copy")
    assert await ftp.found() == []


def tree(top: Path) -> dict[str, tuple[bytes, float]]:
    """Every file below, by path, with content and time."""
    files = (path for path in top.rglob("*") if path.is_file())
    return {str(path.relative_to(top)): (path.read_bytes(), path.stat().st_mtime) for path in files}


async def test_lftp_resumes_an_upload(lftp: Callable[[str], object], ftp: FtpWorld) -> None:
    """put -c goes on where an upload was cut off."""

    await ftp.session(lambda client: client.break_off("/a/big", BIG[:300_000]))
    assert await ftp.found() == []
    await lftp("mkdir a; cd a; put -c big")
    assert await ftp.session(lambda client: client.get("/a/big")) == BIG


@pytest.mark.parametrize("passive", [True, False])
async def test_tnftp(ftp: FtpWorld, require_tool: Tool, tmp_path: Path, passive: bool) -> None:
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
    said = await run(program, "-n", *mode, ftp.host, str(ftp.port), cwd=tmp_path, stdin=script)
    assert sorted(path.name for path in down.iterdir()) == ["f0.dat", "f1.dat", "f2.dat"], said
    assert (down / "f2.dat").read_bytes() == BIG[:2000]
    assert [entry.name for entry in await ftp.found("beach")] == ["f2.dat", "g0.dat"], said


async def test_inetutils_ftp(ftp: FtpWorld, require_tool: Tool, tmp_path: Path) -> None:
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
    said = await run(program, "-n", "-i", "-v", cwd=tmp_path, stdin=script)
    assert (tmp_path / "in.back").read_bytes() == BIG, said
    assert (tmp_path / "text.back").read_bytes() == b"one\ntwo\r\nthree"
    assert (await ftp.only("name:text")).content.size == 14


async def test_ncftp(ftp: FtpWorld, require_tool: Tool, tmp_path: Path) -> None:
    """ncftpput and ncftpget, with directories made and trees taken whole."""
    require_tool("ncftp")
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.bin").write_bytes(BIG)
    (source / "b.txt").write_text("b")
    where = ["-P", str(ftp.port), ftp.host]
    said = await run("ncftpput", "-m", "-R", *where, "/@tree/in/depth", source, cwd=tmp_path)
    said += await run("ncftpget", "-R", *where, tmp_path, "/@tree/in", cwd=tmp_path)
    assert (tmp_path / "in/depth/source/a.bin").read_bytes() == BIG, said
    assert (await ftp.only("name:b.txt")).home == "in/depth/source"
    said = await run("ncftpls", "-x", "-l", f"ftp://{ftp.host}:{ftp.port}/@tree/in/depth/source/", cwd=tmp_path)
    assert "a.bin" in said


async def test_rclone(ftp: FtpWorld, require_tool: Tool, tmp_path: Path) -> None:
    """Sync, check, move and purge of a tree, as back-ups do it; a second sync has nothing to do."""
    program = require_tool("rclone")
    source = tmp_path / "source"
    for name in ("a/one", "a/b/two", "sp ace/[ü].txt"):
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
        os.utime(path, (1_600_000_000, 1_600_000_000))
    hidden = await run(program, "obscure", "x", cwd=tmp_path)
    remote = f":ftp,host={ftp.host},port={ftp.port},user=x,pass={hidden.strip()}:/@tree"

    async def rclone(*words: str | Path) -> str:
        return await run(program, "--config", "/dev/null", "--retries", "1", *words, cwd=tmp_path)

    await rclone("sync", source, f"{remote}/copy")
    assert "0 differences found" in await rclone("check", "--download", source, f"{remote}/copy")
    assert "There was nothing to transfer" in await rclone("sync", "-v", source, f"{remote}/copy")
    (source / "a/one").unlink()
    await rclone("sync", source, f"{remote}/copy")
    await rclone("moveto", f"{remote}/copy/a/b", f"{remote}/copy/c")
    assert sorted((await rclone("lsf", "-R", "--files-only", f"{remote}/copy")).splitlines()) == [
        "c/two",
        "sp ace/[ü].txt",
    ]
    await rclone("purge", f"{remote}/copy")
    assert await ftp.found() == []


# Under TLS


@pytest.mark.parametrize("version", ["1.2", "1.3"])
async def test_curl_under_tls(ftps: FtpWorld, require_tool: Tool, tmp_path: Path, version: str) -> None:
    """Uploads end well, also by a client that would rather speak TLS 1.3; the empty file, too."""
    (tmp_path / "big").write_bytes(BIG)
    (tmp_path / "empty").touch()
    curl = Curl(require_tool("curl"), ftps, tmp_path)
    tls = ["--ssl-reqd", "-k", "--tls-max", version]
    for name in ("big", "empty"):
        await curl(f"/t/{name}", *tls, "--ftp-create-dirs", "-T", name)
        await curl(f"/t/{name}", *tls, "-o", f"{name}.down")
        assert (tmp_path / f"{name}.down").read_bytes() == (tmp_path / name).read_bytes()
    assert await curl("/t/", *tls, "-l") == "big\nempty\n"
    await curl("/t/big", *tls, "-r", "5-9", "-o", "range")
    assert (tmp_path / "range").read_bytes() == BIG[5:10]


async def test_lftp_under_tls(ftps: FtpWorld, require_tool: Tool, tmp_path: Path) -> None:
    """lftp turns TLS on by itself where it is offered, and mirrors over it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "big").write_bytes(BIG)
    (source / "empty").touch()
    for path in source.iterdir():
        os.utime(path, (1_600_000_000, 1_600_000_000))
    script = (
        "set cmd:fail-exit yes; set net:max-retries 1; set ssl:verify-certificate no; set ftp:ssl-force yes; "
        f"open {ftps.host}:{ftps.port}; mirror -R source /@tree/copy; mirror /@tree/copy back"
    )
    await run(require_tool("lftp"), "-c", script, cwd=tmp_path)
    assert tree(tmp_path / "back") == tree(source)
