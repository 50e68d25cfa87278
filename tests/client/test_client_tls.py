"""AUTH TLS: nothing secret goes out before the connection is secured, and large contents pass through it."""

import datetime
import os
import socket
import ssl
from pathlib import Path
from typing import BinaryIO

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tagfs.cli.main import cli
from tagfs.client import Client, Command, NotSupported, Untrusted
from tests.client.fake_server import Script


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate with its key in one file, as a node makes for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "some node")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "node.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


class SecuredServer(Script):
    """Speaks TLS after AUTH TLS, then stores one content and gives it back. Remembers what it heard in the clear."""

    def __init__(self, certificate: Path) -> None:
        self.clear: list[bytes] = []
        self.secured: list[bytes] = []
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        super().__init__(self._talk)

    def _talk(self, sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        self.clear.append(lines.readline())
        # What follows the answer in the clear must not be believed by the client (RFC 4217 section 4).
        sock.sendall(b"234 go on\r\n213 666\r\n")
        with self._context.wrap_socket(sock.dup(), server_side=True) as secured, secured.makefile("rwb") as file:
            for answer in (b"331 password\r\n", b"230 welcome\r\n"):
                self.secured.append(file.readline())
                file.write(answer)
                file.flush()
            while line := file.readline():
                verb, _, rest = line.partition(b" ")
                if verb == b"ADD":
                    self.content = file.read(int(rest.split()[0]))
                    file.write(b"150 go on\r\n250 " + b"0" * 26 + b" copies=1/1\r\n")
                elif verb == b"GET":
                    file.write(b"150 %d\r\n%b226 sent\r\n" % (len(self.content), self.content))
                elif verb.strip() == b"QUIT":
                    return
                else:
                    file.write(b"213 7\r\n")
                file.flush()


def trusting(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate))
    context.check_hostname = False
    return context


def test_a_secured_session(certificate):
    """The login is heard in TLS only; contents of several megabytes pass both ways, many commands in flight."""
    content = os.urandom(3_000_000)
    with SecuredServer(certificate) as server:
        client = Client(port=server.port, user="ann", password="secret", timeout=20, tls=trusting(certificate))
        with client:
            assert client.count() == 7
            stored = client.add("x", content)
            got: list[bytes] = []
            client.get(stored.id, got.append)
            assert b"".join(got) == content
            assert sum(1 for _ in client.pipelined(Command("COUNT") for _ in range(2000))) == 2000
    assert server.clear == [b"AUTH TLS\r\n"]
    assert server.secured == [b"USER ann\r\n", b"PASS secret\r\n"]


def test_an_unknown_certificate_is_refused(certificate):
    """A certificate that nobody vouches for ends the connection before the login."""
    with SecuredServer(certificate) as server:
        with pytest.raises(Untrusted, match="certificate"):
            Client(port=server.port, user="ann", password="secret", tls=ssl.create_default_context())
        assert server.secured == []


def test_a_server_without_tls():
    """Where TLS was asked for and is not there, nothing more is said."""
    heard = []

    def play(sock: socket.socket, lines: BinaryIO) -> None:
        sock.sendall(b"220 hi\r\n")
        heard.append(lines.readline())
        sock.sendall(b"502 no TLS here\r\n")
        heard.append(lines.readline())

    with Script(play) as server, pytest.raises(NotSupported):
        Client(port=server.port, user="ann", password="secret", tls=ssl.create_default_context())
    assert heard == [b"AUTH TLS\r\n", b""]


def test_the_command_line_takes_a_certificate(certificate, tmp_path):
    """--tls-certificate trusts just that node, whatever it is called."""
    (tmp_path / "password").write_text("secret\n")
    login = ["--user", "ann", "--password-file", str(tmp_path / "password")]
    with SecuredServer(certificate) as server:
        where = ["--server", f"127.0.0.1:{server.port}", "--tls-certificate", str(certificate)]
        result = CliRunner().invoke(cli, ["count", *where, *login])
        untrusting = CliRunner().invoke(cli, ["count", *where[:2], "--tls", *login])
    assert (result.exit_code, result.stdout) == (0, "7\n"), result.output
    assert untrusting.exit_code == 1
    assert "--tls-certificate FILE trusts" in untrusting.output
