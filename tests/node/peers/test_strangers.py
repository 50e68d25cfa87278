"""The door for other nodes: what strangers are told, in clear text and under TLS 1.3."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tagfs.node.identity import Identity, node_id
from tagfs.node.peers.answering import Inbound
from tagfs.node.peers.door import Door
from tagfs.node.peers.limits import STRANGER_SILENCE_S as SILENCE_S
from tagfs.node.peers.limits import STRANGERS_PER_HOST
from tagfs.node.peers.peers import everybody, nowhere
from tagfs.node.peers.trust import Own
from tests.campaigns.node_process import ROOT, NodeProcess

PAGE = (ROOT / "docs/protocols/node.md").read_text(encoding="utf-8")


class Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        assert enabled


def own(name: str) -> Own:
    return Own(Identity("id0", b""), name, "b007", None, False, nowhere, nowhere, everybody)


def connect(factory: Door) -> tuple[Inbound, Transport]:
    protocol = factory.buildProtocol(None)
    transport = Transport()
    protocol.makeConnection(transport)
    return protocol, transport


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def factory(clock: Clock) -> Door:
    return Door(own("a name"), clock)


def test_the_transcript_of_the_page(factory: Door) -> None:
    """docs/protocols/node.md says what is said."""
    protocol, transport = connect(factory)
    (transcript,) = re.findall(r"```transcript\n(.*?)```", PAGE, re.DOTALL)
    for line in transcript.splitlines():
        if line.startswith("C: "):
            protocol.dataReceived(line[3:].encode() + b"\r\n")
            continue
        said, _, rest = transport.value().partition(b"\n")
        transport.clear()
        transport.write(rest)
        pattern = ".*".join(map(re.escape, line.removeprefix("S: ").split("…")))
        assert re.fullmatch(pattern, said.decode()), (line, said)
    assert transport.disconnecting


def test_each_connection_has_its_nonce(factory: Door) -> None:
    """A proof for one connection is worth nothing on another."""
    greetings = {connect(factory)[1].value() for _ in range(20)}
    assert len(greetings) == 20
    assert all(
        re.fullmatch(rb"TAGFS 1 node=id0 name=a%20name cluster=- nonce=[0-9a-f]{32} caps= boot=b007\n", one)
        for one in greetings
    )


def test_a_body_ends_the_connection(factory: Door) -> None:
    """Its bytes must never be read as requests."""
    protocol, transport = connect(factory)
    transport.clear()
    protocol.dataReceived(b"1 PING {7}\n2 PING\n")
    assert transport.value() == b"1 BAD PING has no body; closing\n"
    assert transport.disconnecting


def test_long_lines_are_bad_and_the_connection_stays(factory: Door) -> None:
    """Nothing of them is kept."""
    protocol, transport = connect(factory)
    transport.clear()
    protocol.dataReceived(b"x" * 100_000 + b"\n- PING\n")
    assert transport.value() == b"- BAD a line has at most 1024 bytes\n- OK\n"


def test_silence_ends_the_connection(factory: Door, clock: Clock) -> None:
    """Each line gives another while."""
    protocol, transport = connect(factory)
    almost = [0.5] * int(2 * SILENCE_S - 2)
    clock.pump(almost)
    protocol.dataReceived(b"- PING\n")
    clock.pump(almost)
    assert not transport.aborted
    clock.pump([0.5] * 4)
    assert transport.aborted
    protocol.connectionLost()
    assert clock.getDelayedCalls() == []


def test_who_does_not_read_is_cut_off(factory: Door) -> None:
    """Answers that nobody takes do not pile up."""
    protocol, transport = connect(factory)
    protocol.pauseProducing()
    for _ in range(100):
        if not transport.aborted:
            protocol.dataReceived(b"- HELP\n" * 1000)
    assert transport.aborted
    assert len(transport.value()) < 4 << 20


def test_one_address_gets_so_many_connections(factory: Door) -> None:
    """One more, and the oldest goes; what is gone counts no longer."""
    kept = [connect(factory) for _ in range(STRANGERS_PER_HOST)]
    _, transport = connect(factory)
    assert not transport.aborted and kept[0][1].aborted
    kept[0][0].connectionLost()
    kept[1][0].connectionLost()
    connect(factory)
    assert not kept[2][1].aborted
    connect(factory)
    assert kept[2][1].aborted


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=80), max_size=20))
def test_noise_does_no_harm(pieces: list[bytes]) -> None:
    """Whatever comes, each line gets one final answer or the connection ends."""
    factory = Door(own("n"), Clock())
    protocol, transport = connect(factory)
    for piece in pieces:
        protocol.dataReceived(piece)
    assert all(re.match(rb"\S+ (OK|NO|BAD|ROW|1) ?", line) for line in transport.value().splitlines())


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    running = NodeProcess(tmp_path / "data")
    running.start()
    yield running
    running.stop()


def test_tls_by_the_certificate_that_the_id_is_the_hash_of(node: NodeProcess) -> None:
    """TLS 1.3 and nothing less; the certificate's key gives the node id that run.json tells."""
    host, _, port = str(node.facts["node"]).rpartition(":")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with socket.create_connection((host, int(port)), 10) as plain, context.wrap_socket(plain) as secure:
        assert secure.version() == "TLSv1.3"
        certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
        assert node_id(certificate) == node.facts["id"]
        greeting = secure.recv(1000)
        assert greeting.startswith(f"TAGFS 1 node={node.facts['id']} ".encode())
        secure.sendall(b"- PING\n")
        assert secure.recv(100) == b"- OK\n"
        secure.sendall(b"- QUIT\n")
        assert secure.recv(100) == b"- OK\n"
        assert secure.recv(100) == b""
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection((host, int(port)), 10) as plain, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(plain)


def test_without_tls_it_can_be_read_along(tmp_path: Path) -> None:
    """--node-tls off is plain text."""
    node = NodeProcess(tmp_path / "data", options=["--node-tls", "off"])
    node.start()
    host, _, port = str(node.facts["node"]).rpartition(":")
    with socket.create_connection((host, int(port)), 10) as plain:
        plain.sendall(b"- PING\n- QUIT\n")
        said = b"".join(iter(lambda: plain.recv(1000), b""))
    node.stop()
    assert re.fullmatch(rb"TAGFS 1 node=.*\n- OK\n- OK\n", said)
