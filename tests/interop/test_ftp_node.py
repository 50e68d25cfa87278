"""FTP clients against a node as a process of its own: trees kept in step, mounted, mirrored; FileZilla's habits; sudden ends."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tagfs.node import identity
from tests.campaigns.node_process import NodeProcess

Tool: TypeAlias = Callable[[str], str]
LIMIT_S = 20.0


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ftp-node")


@pytest.fixture(scope="module")
def node(place: Path) -> Iterator[NodeProcess]:
    started = NodeProcess(place / "node")
    started.start()
    yield started
    started.stop()


def run(*command: str | Path, cwd: Path, fails: bool = False) -> str:
    """A client's output, both kinds; it must succeed, or fail where that is expected."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env={**os.environ, "HOME": str(cwd), "LC_ALL": "C.UTF-8"},
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def plant(top: Path, /, **files: str) -> None:
    """Files with these contents; ``__`` in a name is a slash."""
    for name, content in files.items():
        path = top / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def tree(top: Path) -> dict[str, str]:
    """Every file below, by path, with its content."""
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*")) if path.is_file()}


def asked(node: NodeProcess, command: str) -> list[str]:
    """The rows of an answer of the tag protocol."""
    with node.connect() as sock:
        sock.sendall(f"{command}\r\nQUIT\r\n".encode())
        lines = sock.makefile("r", encoding="utf-8", newline="\r\n").read().split("\r\n")
    return [line[1:] for line in lines if line.startswith(" ")]


# The tree as a file system


@pytest.fixture
def rclone(node: NodeProcess, require_tool: Tool, tmp_path: Path) -> Callable[..., str]:
    program = require_tool("rclone")
    hidden = run(program, "obscure", "x", cwd=tmp_path).strip()
    host, port = node.address
    base = f":ftp,host={host},port={port},user=x,pass={hidden}:"

    def command(*words: str | Path, fails: bool = False) -> str:
        full = [f"{base}{word}" if str(word).startswith("/@") else word for word in words]
        return run(program, "--config", "/dev/null", "--retries", "1", *full, cwd=tmp_path, fails=fails)

    return command


def test_a_tree_that_is_kept_in_step_from_one_side(rclone: Callable[..., str], tmp_path: Path) -> None:
    """rclone sync makes the tree what the folder is: new, changed, moved and deleted files and folders; check agrees."""
    here = tmp_path / "here"
    plant(here, a="1", b__c="2", b__d__e="3", f__g="4")
    rclone("sync", here, "/@tree/sync")
    assert "0 differences found" in rclone("check", "--download", here, "/@tree/sync")
    (here / "a").unlink()
    (here / "f/g").rename(here / "b/g")
    (here / "f").rmdir()
    plant(here, b__c="two, and longer", h__i="5")
    rclone("sync", here, "/@tree/sync")
    assert "0 differences found" in rclone("check", "--download", here, "/@tree/sync")
    (here / "h/i").write_text("not the same")
    rclone("check", "--download", here, "/@tree/sync", fails=True)
    rclone("sync", "/@tree/sync", tmp_path / "there")
    assert tree(tmp_path / "there") == {"b/c": "two, and longer", "b/d/e": "3", "b/g": "4", "h/i": "5"}


def test_a_tree_that_is_kept_in_step_from_both_sides(rclone: Callable[..., str], tmp_path: Path) -> None:
    """rclone bisync carries what was made, changed and deleted on either side to the other."""
    here, state = tmp_path / "here", tmp_path / "state"
    plant(here, both="1", mine="2", yours="3")

    def bisync(*options: str) -> None:
        rclone("bisync", here, "/@tree/bisync", "--workdir", state, "--force", *options)

    rclone("mkdir", "/@tree/bisync")
    bisync("--resync")
    plant(here, new__here="4", mine="changed here")
    (here / "both").unlink()
    plant(tmp_path / "other", x="5")
    rclone("copyto", tmp_path / "other/x", "/@tree/bisync/new/there")
    rclone("deletefile", "/@tree/bisync/yours")
    bisync()
    assert tree(here) == {"mine": "changed here", "new/here": "4", "new/there": "5"}
    assert "0 differences found" in rclone("check", "--download", here, "/@tree/bisync")


def test_a_mounted_tree(rclone: Callable[..., str], node: NodeProcess, require_tool: Tool, tmp_path: Path) -> None:
    """Ordinary programs make, read, change, rename and delete files and folders below a mount point."""
    require_tool("fusermount3")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("this machine lets nobody mount (no /dev/fuse)")
    at = tmp_path / "mounted"
    at.mkdir()
    rclone("mkdir", "/@tree/mount")
    # Without its cache, close() returns when the file is stored; with it, rclone stores some time later.
    rclone("mount", "/@tree/mount", at, "--daemon", "--daemon-wait", "10s")
    try:
        (at / "a").mkdir()
        (at / "a/one").write_text("1")
        (at / "a/two").write_text("2")
        (at / "a/one").rename(at / "one")
        (at / "a").rename(at / "b")
        (at / "b/three").write_text("3")
        (at / "one").write_text("one")
        (at / "gone").write_text("x")
        (at / "gone").unlink()
        assert sorted(path.name for path in at.rglob("*")) == ["b", "one", "three", "two"]
    finally:
        run("fusermount3", "-u", "-z", at, cwd=tmp_path)
    rclone("copy", "/@tree/mount", tmp_path / "copy")
    assert tree(tmp_path / "copy") == {"b/three": "3", "b/two": "2", "one": "one"}


@pytest.fixture
def lftp(node: NodeProcess, require_tool: Tool, tmp_path: Path) -> Callable[[str], str]:
    program = require_tool("lftp")
    host, port = node.address

    def script(commands: str) -> str:
        setup = "set cmd:fail-exit yes; set net:max-retries 1; set net:timeout 10"
        return run(program, "-c", f"{setup}; open {host}:{port}; {commands}", cwd=tmp_path)

    return script


def test_mirrors_that_delete(lftp: Callable[[str], str], tmp_path: Path) -> None:
    """lftp mirror --delete, in both directions, leaves both sides the same, folders that became empty included."""
    here = tmp_path / "here"
    plant(here, a="1", b__c="2", b__d="3", e__f="4")
    lftp("mirror -R here /@tree/mirror")
    (here / "b/c").unlink()
    (here / "e/f").unlink()
    (here / "e").rmdir()
    lftp("mirror -R --delete here /@tree/mirror")
    lftp("mirror --delete /@tree/mirror back")
    assert tree(tmp_path / "back") == tree(here) == {"a": "1", "b/d": "3"}
    assert not (tmp_path / "back/e").exists()
    plant(tmp_path / "back", stray="9", b__stray="9")
    lftp("mirror --delete /@tree/mirror back")
    assert tree(tmp_path / "back") == tree(here)


@pytest.mark.slow
@pytest.mark.limit(120)
def test_real_drawings_are_mirrored(lftp: Callable[[str], str], require_tool: Tool, tmp_path: Path) -> None:
    """Of a part of a real corpus each file goes up and comes back, once, byte for byte (links are left out); what was deleted on
    one side is deleted on the other."""
    source = Path(require_tool("openclipart-svg"), "geography")
    there = contents(source)
    assert len(there) > 100
    lftp(f"mirror -R --no-symlinks {source} /@tree/drawings")
    lftp("mirror /@tree/drawings back")
    assert contents(tmp_path / "back") == there
    for name in sorted(there)[::10]:
        (tmp_path / "back" / name).unlink()
        del there[name]
    lftp("mirror -R --delete back /@tree/drawings")
    (tmp_path / "back/stray").touch()
    lftp("mirror --delete /@tree/drawings back")
    assert contents(tmp_path / "back") == there
    lftp("mirror /@tree/drawings again")
    assert contents(tmp_path / "again") == there
    lftp("rm -r /@tree/drawings")


def contents(top: Path) -> dict[str, bytes]:
    """Every regular file below, by path, with its bytes."""
    files = (path for path in top.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(top)): path.read_bytes() for path in files}


def test_a_folder_that_goes_into_tags(lftp: Callable[[str], str], node: NodeProcess, tmp_path: Path) -> None:
    """lftp mirror -R into a tag directory stores each file once, with its folders as tags, and it is found by them."""
    plant(tmp_path / "trip", top="1", beach__sun="2", beach__evening__moon="3")
    lftp("mkdir holidays; mirror -R trip holidays")
    rows = [row.split("\t")[3:] for row in asked(node, "FIND holidays | sort=name")]
    assert rows == [["moon", "beach evening holidays"], ["sun", "beach holidays"], ["top", "holidays"]]
    lftp("mirror /@tree/holidays back")
    assert tree(tmp_path / "back") == tree(tmp_path / "trip")
    assert "moon" in lftp("cls -1 /evening/beach")
    lftp("mirror -R trip holidays")
    assert len(asked(node, "FIND holidays")) == 3


# TLS, IPv6


class FileZilla:
    """FileZilla's side of a session, as it was recorded: what it sends, and in which order."""

    def __init__(self, node: NodeProcess) -> None:
        self._context = ssl._create_unverified_context()  # the certificate is the node's own
        self._context.set_alpn_protocols(["x-filezilla-ftp", "ftp"])
        self._address = node.address
        self._sock: socket.socket = node.connect()
        self._lines = self._sock.makefile("rb")
        self.reply("220")
        self.say("AUTH TLS", "234")
        self._sock = self._context.wrap_socket(self._sock)
        self._lines = self._sock.makefile("rb")
        for line, code in (
            ("USER anonymous", "331"),
            ("PASS anonymous@example.com", "230"),
            ("SYST", "215"),
            ("FEAT", "211"),
            ("CLNT FileZilla", "200"),
            ("OPTS UTF8 ON", "200"),
            ("PBSZ 0", "200"),
            ("PROT P", "200"),
            ("OPTS MLST type;perm;size;modify;unix.mode;unix.owner;unix.group;", "200"),
        ):
            self.say(line, code)

    def reply(self, code: str) -> str:
        line = self._lines.readline().decode()
        while line[3:4] == "-" or line[:1] == " ":
            line = self._lines.readline().decode()
        assert line[:3] == code, line
        return line

    def say(self, line: str, code: str) -> str:
        self._sock.sendall(f"{line}\r\n".encode())
        return self.reply(code)

    def transfer(self, line: str, data: bytes = b"") -> bytes:
        """One passive transfer, its data connection resumed, as FileZilla demands it."""
        port = int(self.say("EPSV", "229").split("|")[3])
        raw = socket.create_connection((self._address[0], port), LIMIT_S)
        self.say(line, "150")
        assert isinstance(self._sock, ssl.SSLSocket)
        with self._context.wrap_socket(raw, session=self._sock.session) as conn:
            assert conn.session_reused
            assert conn.selected_alpn_protocol() is None
            if line.startswith("STOR"):
                conn.sendall(data)
                conn.unwrap().close()
            else:
                data = conn.makefile("rb").read()
        self.reply("226")
        return data

    def close(self) -> None:
        self._lines.close()
        self._sock.close()


def test_filezilla(node: NodeProcess) -> None:
    """Log-in, a listing, a folder, an upload with its time, another listing, a download, a rename, a deletion."""
    client = FileZilla(node)
    content = os.urandom(3 << 20)
    client.say("PWD", "257")
    client.say("TYPE I", "200")
    assert b"type=dir;" in client.transfer("MLSD")
    client.say("CWD /@tree", "250")
    client.say("MKD zilla", "257")
    client.say("CWD zilla", "250")
    client.say("PWD", "257")
    client.transfer("STOR up.bin", content)
    client.say("MFMT 20240102030405 up.bin", "213")
    listing = client.transfer("MLSD").decode()
    assert f"size={len(content)};modify=20240102030405;" in listing and listing.endswith(" up.bin\r\n")
    assert client.transfer("RETR up.bin") == content
    client.say(f"REST {len(content) - 10}", "350")
    assert client.transfer("RETR up.bin") == content[-10:]
    client.say("RNFR up.bin", "350")
    client.say("RNTO renamed.bin", "250")
    client.say("DELE renamed.bin", "250")
    client.say("CDUP", "250")
    client.say("RMD zilla", "250")
    client.close()


def test_implicit_tls_and_ipv6(require_tool: Tool, tmp_path: Path) -> None:
    """An ``ssl:`` endpoint is FTP under TLS from the first byte; a ``tcp6:`` one is FTP over IPv6."""
    curl = require_tool("curl")
    content = os.urandom(300_000)
    (tmp_path / "up").write_bytes(content)
    (tmp_path / "keys").mkdir()
    pem = tmp_path / "pem"
    pem.write_bytes(identity.create(tmp_path / "keys").pem)
    for scheme, endpoint, options in (
        ("ftps", f"ssl:0:interface=127.0.0.1:privateKey={pem}:certKey={pem}", ["-k", "--ssl-reqd"]),
        ("ftp", "tcp6:0:interface=\\:\\:1", []),
    ):
        node = NodeProcess(tmp_path / scheme, ("--ftp", endpoint))
        node.start()
        try:
            url = f"{scheme}://{node.facts['ftp']}/t/x"
            for mode in (
                ([],) if scheme == "ftps" else ([], ["-P", "-"])
            ):  # curl 7.88 fails at its own side of the other
                run(curl, "-sS", *options, *mode, "--ftp-create-dirs", "-T", "up", url, cwd=tmp_path)
                run(curl, "-sS", *options, *mode, "-o", "down", url, cwd=tmp_path)
                assert (tmp_path / "down").read_bytes() == content
        finally:
            node.stop()


# Sudden ends


def test_a_node_that_is_killed_in_an_upload(tmp_path: Path) -> None:
    """Nothing of it is ever shown; what was stored before is whole, and the upload can be made again."""
    content = os.urandom(5 << 20)
    node = NodeProcess(tmp_path / "node")
    node.start()
    for part in (content[:1000], content[: 3 << 20]):
        with node.connect() as sock:
            lines = sock.makefile("rb")
            lines.readline()

            def say(line: str, sock: socket.socket = sock, lines: object = lines) -> bytes:
                sock.sendall(f"{line}\r\n".encode())
                return lines.readline()  # type: ignore[attr-defined,no-any-return]

            say("TYPE I")
            port = int(say("EPSV").split(b"|")[3])
            with socket.create_connection(("127.0.0.1", port)) as data:
                assert say("STOR /t/x").startswith(b"150 ")
                data.sendall(part)
                sock.sendall(b"STAT\r\n")
                while b"bytes" not in lines.readline():
                    pass
                node.kill()
        node.start()
        assert asked(node, "FIND") == []
    with node.connect() as sock:
        sock.sendall(b"ADD 5 y t\r\nwholeQUIT\r\n")
        assert b"\r\n250 " in sock.makefile("rb").read()
    assert [row.split("\t")[3] for row in asked(node, "FIND t")] == ["y"]
    node.stop()
