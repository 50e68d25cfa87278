"""Users at a node as a process: every door asks who one is, every role may what it may, and a stopped node can be helped."""

from __future__ import annotations

import base64
import ftplib
import http.client
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.campaigns.node_process import ROOT, NodeProcess
from tests.cli.command_line import Tagfs

pytestmark = pytest.mark.slow
Tool: TypeAlias = Callable[[str], str]
PASSWORDS = {"admin": "top secret", "writer": "w", "reader": "r: ü"}


def said(node: NodeProcess, *lines: str) -> list[str]:
    """The final replies to command lines sent in one go."""
    with node.connect() as connection:
        connection.sendall("".join(f"{line}\n" for line in (*lines, "QUIT")).encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    replies = [line for line in answer.splitlines() if line[:3].isdigit() and line[3:4] == " "]
    return replies[1:-1]


def codes(node: NodeProcess, *lines: str) -> list[str]:
    return [reply[:3] for reply in said(node, *lines)]


def log_in(name: str) -> tuple[str, str]:
    return f"USER {name}", f"PASS {PASSWORDS[name]}"


def web(node: NodeProcess, method: str, path: str, name: str = "", password: str | None = None) -> tuple[int, str]:
    """Status and challenge of a request."""
    connection = http.client.HTTPConnection(str(node.facts["web"]).removeprefix("http://"), timeout=20)
    password = PASSWORDS.get(name, "") if password is None else password
    basic = base64.b64encode(f"{name}:{password}".encode()).decode()
    try:
        connection.request(
            method, path, b"x" if method == "POST" else None, {"Authorization": f"Basic {basic}"} if name else {}
        )
        answer = connection.getresponse()
        answer.read()
        return answer.status, answer.headers.get("WWW-Authenticate", "")
    finally:
        connection.close()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node that other machines could reach, with an admin from the password file, a writer and a reader."""
    place = tmp_path_factory.mktemp("users")
    (place / "password").write_text(f"{PASSWORDS['admin']}\nnot this line\n")
    (place / "node.toml").write_text(f'admin_password_file = "{place / "password"}"\n')
    options = [
        "--config",
        str(place / "node.toml"),
        "--ftp",
        "tcp:0:interface=0.0.0.0",
        "--web",
        "tcp:0:interface=0.0.0.0",
    ]
    running = NodeProcess(place / "data", options=options)
    running.start()
    for door in ("ftp", "web"):
        running.facts[door] = str(running.facts[door]).replace("0.0.0.0", "127.0.0.1")
    added = ["USER-ADD reader read", PASSWORDS["reader"], "USER-ADD writer write", PASSWORDS["writer"]]
    assert codes(running, *log_in("admin"), *added) == ["331", "230", "331", "250", "331", "250"]
    yield running
    running.stop()


def test_nobody_gets_anything_without_a_login(node: NodeProcess) -> None:
    """Nor with a wrong one, at any door; what says nothing of files is answered."""
    assert codes(node, "COUNT", "FIND", "USERS", "LIST", "PWD", "NOOP", "SYST") == ["530"] * 5 + ["200", "215"]
    assert (
        codes(node, "USER admin", "PASS wrong", "COUNT", "USER anonymous", "PASS me@", "COUNT")
        == ["331", "530", "530"] * 2
    )
    for path in ("/", "/api/v1/entries", "/metrics", "/api/v1/events", "/assets/none"):
        status, challenge = web(node, "GET", path)
        assert (
            (status, challenge) == (404, "")
            if path == "/assets/none"
            else (401, 'Basic realm="tagfs", charset="UTF-8"')
        ), path
    assert web(node, "GET", "/api/v1/entries", "admin", "wrong")[0] == 401
    assert web(node, "GET", "/healthz")[0] == 200


def test_each_role_may_what_it_may(node: NodeProcess) -> None:
    """Refused and allowed, verb by verb, the same at the tag port and on the web."""
    asked = ["COUNT", "MKD new", "RMD new", "DELETE name:none", "USERS", "USER-REMOVE nemo"]
    allowed = {"reader": 1, "writer": 4, "admin": 5}
    for name, number in allowed.items():
        found = codes(node, *log_in(name), *asked)[2:]
        assert ["550" if code == "550" else "ok" for code in found] == ["ok"] * number + ["550"] * (6 - number), name
        assert web(node, "GET", "/api/v1/entries", name)[0] == 200
        assert web(node, "POST", f"/api/v1/entries?name={name}", name)[0] == (403 if name == "reader" else 201)
    assert said(node, *log_in("admin"), "USER-REMOVE nemo")[-1] == "550 there is no user 'nemo'"
    assert "needs the role admin" in said(node, *log_in("writer"), "USERS")[-1]


def test_an_open_session_loses_its_rights(node: NodeProcess) -> None:
    """A new role counts at the next command; a user who was removed is logged out, and so is one with a new password."""
    assert codes(node, *log_in("admin"), "USER-ADD guest write", "g")[2:] == ["331", "250"]
    with ftplib.FTP(timeout=20) as session, ftplib.FTP(timeout=20) as other:
        for ftp in (session, other):
            ftp.connect(*node.address)
            ftp.login("Guest", "g")
        assert session.storbinary("STOR /file", io.BytesIO(b"x")).startswith("226")
        assert codes(node, *log_in("admin"), "USER-ROLE guest read")[-1] == "250"
        with pytest.raises(ftplib.error_perm, match="550"):
            session.delete("/file")
        assert session.sendcmd("COUNT name:file") == "213 1"
        assert session.sendcmd("USER-PASSWD guest").startswith("331") and session.sendcmd("g2").startswith("250")
        assert session.sendcmd("COUNT name:file") == "213 1"
        with pytest.raises(ftplib.error_perm, match="530"):
            other.sendcmd("COUNT")
        assert codes(node, *log_in("admin"), "USER-REMOVE guest")[-1] == "250"
        with pytest.raises(ftplib.error_perm, match="530"):
            session.sendcmd("COUNT")
        with pytest.raises(ftplib.error_perm, match="530"):
            session.login("guest", "g2")


def test_curl_and_lftp_log_in(node: NodeProcess, require_tool: Tool, tmp_path: Path) -> None:
    """As they do it everywhere."""
    host, port = node.address
    (tmp_path / "up.txt").write_text("hello")
    curl = [require_tool("curl"), "-sS", "-m", "20", "-u"]
    up = subprocess.run([*curl, "writer:w", "-T", "up.txt", f"ftp://{host}:{port}/up.txt"], cwd=tmp_path, check=False)
    assert up.returncode == 0
    refused = subprocess.run(
        [*curl, "writer:no", f"ftp://{host}:{port}/"], cwd=tmp_path, capture_output=True, check=False
    )
    assert refused.returncode == 67  # login denied
    down = subprocess.run([*curl, "reader:r: ü", f"ftp://{host}:{port}/up.txt"], capture_output=True, check=True)
    assert down.stdout == b"hello"
    script = f"set net:max-retries 1; set ftp:ssl-allow no; open -u writer,w -p {port} {host}; cat up.txt; rm up.txt"
    done = subprocess.run(
        [require_tool("lftp"), "-c", script],
        cwd=tmp_path,
        capture_output=True,
        timeout=30,
        env={**os.environ, "HOME": str(tmp_path)},
        check=False,
    )
    assert done.stdout.startswith(b"hello"), done
    assert codes(node, *log_in("reader"), "COUNT name:up.txt in:trash")[-1] == "213"


def test_netcat_logs_in(node: NodeProcess, require_tool: Tool) -> None:
    """All at once in a pipe, bare line feeds, and a user that is added by hand."""
    host, port = node.address
    lines = (
        "COUNT nothing\nUSER admin\nPASS top secret\nUSER-ADD hand read\nh\nUSER hand\nPASS h\nCOUNT nothing\nMKD no\n"
    )
    done = subprocess.run(
        [require_tool("nc.openbsd"), "-N", host, str(port)],
        input=lines.encode(),
        capture_output=True,
        timeout=30,
        check=True,
    )
    found = [line[:3].decode() for line in done.stdout.splitlines()]
    assert found == ["220", "530", "331", "230", "331", "250", "331", "230", "213", "550"]


def test_guessing_gets_slow(node: NodeProcess) -> None:
    """A line of guesses at one name does not come through in time; others are served meanwhile."""
    with node.connect(2) as guesser:
        guesser.sendall(b"".join(b"USER nemo\nPASS %d\n" % number for number in range(50)))
        found = b""
        try:
            while data := guesser.recv(65536):
                found += data
            pytest.fail("all guesses were answered")
        except TimeoutError:
            pass
        assert 5 <= found.count(b"530 ") < 10
        assert codes(node, *log_in("reader"), "COUNT")[-1] == "213"


def test_the_command_line_manages_users(node: NodeProcess, tmp_path: Path) -> None:
    """add, list, role, passwd, remove over the protocol; the new password from a file or the standard input."""
    admin, new = tmp_path / "admin", tmp_path / "new"
    admin.write_text(PASSWORDS["admin"])
    new.write_text("c2\n")
    tagfs = Tagfs(node.address[1])
    login = {"TAGFS_USER": "admin", "TAGFS_PASSWORD_FILE": str(admin)}
    assert "TAGFS_USER" in tagfs("user", "list", code=1).stderr
    add = ("user", "add", "carl", "--role", "read", "--password-file")
    done = subprocess.run(
        [sys.executable, "-m", "tagfs.cli", *add, "-"],
        input="c\n",
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **login, "TAGFS_SERVER": f"127.0.0.1:{node.address[1]}"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "tagfs: added carl with the role read\n")
    assert codes(node, "USER carl", "PASS c") == ["331", "230"]
    assert "already" in tagfs(*add, new, code=1, **login).stderr
    assert "carl\tread\n" in tagfs("user", "list", **login).stdout
    tagfs("user", "role", "carl", "--role", "admin", **login)
    tagfs("user", "passwd", "carl", "--password-file", new, **login)
    login = {"TAGFS_USER": "carl", "TAGFS_PASSWORD_FILE": str(new)}
    assert {"name": "carl", "role": "admin"} in json.loads(tagfs("--json", "user", "list", **login).stdout)
    tagfs("user", "remove", "-y", "carl", **login)
    assert "TAGFS_USER" in tagfs("user", "list", code=1, **login).stderr


def test_a_stopped_node_gets_its_first_admin(tmp_path: Path) -> None:
    """Beyond loopback a node starts once it has users; while it runs, its directory is not touched from outside."""
    data = tmp_path / "data"
    password = tmp_path / "password"
    password.write_text("first\n")
    tagfs = Tagfs(1)
    options = ["--password-file", str(password), "--data", str(data)]
    assert "no data directory" in tagfs("user", "add", "root", "--role", "admin", *options, code=1).stderr
    assert not data.exists()
    node = NodeProcess(data)
    node.start()
    assert codes(node, "COUNT", "USER-ADD bob read", "x") == ["213", "331", "550"]
    assert f"process {node.pid} is using" in tagfs("user", "list", "--data", data, code=1).stderr
    node.stop()
    assert "must be an admin" in tagfs("user", "add", "root", "--role", "read", *options, code=1).stderr
    assert "added root" in tagfs("user", "add", "Root", "--role", "admin", *options).stderr
    tagfs("user", "add", "bob", "--role", "read", *options)
    assert "last admin" in tagfs("user", "remove", "-y", "root", "--data", data, code=1).stderr
    tagfs("user", "role", "bob", "--role", "write", "--data", data)
    password.write_text("second\n")
    tagfs("user", "passwd", "root", *options)
    assert tagfs("user", "list", "--data", data).stdout == "bob\twrite\nroot\tadmin\n"
    tagfs("user", "remove", "-y", "bob", "--data", data)
    node = NodeProcess(data, options=["--ftp", "tcp:0:interface=0.0.0.0"])
    node.start()
    node.facts["ftp"] = str(node.facts["ftp"]).replace("0.0.0.0", "127.0.0.1")
    assert codes(node, "COUNT", "USER root", "PASS first", "USER root", "PASS second", "COUNT") == [
        "530",
        "331",
        "530",
        "331",
        "230",
        "213",
    ]
    assert codes(node, "USER bob", "PASS first") == ["331", "530"]
    assert node.log.read_text().count("refused") >= 2 and "second" not in node.log.read_text()
    node.stop()
