"""The FTP servers that are compared: tagfs, vsftpd and pyftpdlib, each as a process on loopback."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Protocol

from attrs import define, field

from tagfs.node import identity
from tests.campaigns.node_process import TWISTD, NodeProcess

START_LIMIT_S = 20.0
FOLDER = "in"
"""The directory that contents go to; a tag for tagfs."""


class Server(Protocol):
    """A running server."""

    @property
    def name(self) -> str:
        """For tables."""

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""

    def settle(self, path: str) -> None:
        """Makes an uploaded file durable, where the server's 226 does not say that it is."""

    def stop(self) -> None:
        """Ends it."""


@define
class Tagfs:
    """A node; its 226 means durable."""

    node: NodeProcess
    name: str = "tagfs"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return self.node.address

    def settle(self, path: str) -> None:
        """Nothing is left to be done."""

    def stop(self) -> None:
        """As an operator does."""
        self.node.stop()


@define
class Peer:
    """Another server, whose files lie in a directory."""

    name: str
    address: tuple[str, int]
    root: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def settle(self, path: str) -> None:
        """fsync of the file, which its 226 does not wait for."""
        descriptor = os.open(self.root / path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def stop(self) -> None:
        """SIGTERM; vsftpd's sessions end with their clients."""
        self.process.terminate()
        self.process.wait()


def start_tagfs(place: Path) -> Tagfs:
    """A node with its data in ``place``."""
    # Each server is a session of its own, as vsftpd makes itself one: the kernel shares processors out by sessions.
    node = NodeProcess(place / "tagfs", program=("setsid", *TWISTD))
    node.start()
    return Tagfs(node)


def start_peers(place: Path) -> list[Peer]:
    """The peers that are installed, as fast as they get: no logs, no limits. Says which are missing."""
    certificate = place / "peer.pem"
    certificate.write_bytes(identity.create(place).pem)
    peers = []
    vsftpd = shutil.which("vsftpd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if vsftpd is None or os.getuid() != 0:
        print("vsftpd is not compared: it is not installed, or this is not root", file=sys.stderr)
    else:
        peers.append(_start_vsftpd(vsftpd, place / "vsftpd", certificate))
    if importlib.util.find_spec("pyftpdlib") is None:
        print("pyftpdlib is not compared: pip install -e .[benchmarks] brings it", file=sys.stderr)
    else:
        peers.append(_start_pyftpdlib(place / "sendfile", certificate, sendfile=True))
        peers.append(_start_pyftpdlib(place / "send", certificate, sendfile=False))
    return peers


def _start_vsftpd(program: str, root: Path, certificate: Path) -> Peer:
    (root / FOLDER).mkdir(parents=True)
    shutil.chown(root / FOLDER, "ftp")
    port = _free_port()
    options = {
        "listen": "YES",
        "listen_address": "127.0.0.1",
        "listen_port": port,
        "background": "NO",
        "anonymous_enable": "YES",
        "anon_root": root,
        "write_enable": "YES",
        "anon_upload_enable": "YES",
        "anon_other_write_enable": "YES",
        "anon_world_readable_only": "NO",
        "xferlog_enable": "NO",
        "seccomp_sandbox": "NO",
        # Besides the ports that clients call from: many of those are still held by connections that have ended.
        "pasv_min_port": 10_000,
        "pasv_max_port": 32_000,
        "connect_from_port_20": "NO",
        "secure_chroot_dir": "/run/vsftpd/empty",
        "ssl_enable": "YES",
        "allow_anon_ssl": "YES",
        "force_local_logins_ssl": "NO",
        "force_local_data_ssl": "NO",
        "require_ssl_reuse": "NO",
        "ssl_ciphers": "HIGH",
        "rsa_cert_file": certificate,
        "rsa_private_key_file": certificate,
    }
    Path("/run/vsftpd/empty").mkdir(parents=True, exist_ok=True)
    configuration = root.with_suffix(".conf")
    configuration.write_text("".join(f"{name}={value}\n" for name, value in options.items()))
    return _started("vsftpd", port, root, [program, str(configuration)])


_PYFTPDLIB = """
import logging, sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer
port, root, certificate, sendfile = sys.argv[1:]
logging.basicConfig(level=logging.ERROR)
class Handler(TLS_FTPHandler):
    certfile = keyfile = certificate
    use_sendfile = sendfile == "True"
    authorizer = DummyAuthorizer()
    passive_ports = range(32_100, 32_600)  # besides those of clients, of which there are none left after ten thousands of files
Handler.authorizer.add_anonymous(root, perm="elradfmwMT")
server = FTPServer(("127.0.0.1", int(port)), Handler, backlog=1024)
server.max_cons = 10_000
server.serve_forever()
"""


def _start_pyftpdlib(root: Path, certificate: Path, sendfile: bool) -> Peer:
    (root / FOLDER).mkdir(parents=True)
    port = _free_port()
    command = [sys.executable, "-W", "ignore", "-c", _PYFTPDLIB, str(port), str(root), str(certificate), str(sendfile)]
    return _started("pyftpdlib, sendfile" if sendfile else "pyftpdlib, send", port, root, command)


def _started(name: str, port: int, root: Path, command: list[str]) -> Peer:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + START_LIMIT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return Peer(name, ("127.0.0.1", port), root, process)
    process.kill()
    raise OSError(f"{name} does not answer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
