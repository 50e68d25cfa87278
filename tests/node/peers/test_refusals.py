"""Who is not let in, each tried for real over sockets."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_twisted
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from tagfs.errors import Forbidden, Forgotten, Unavailable
from tagfs.node.identity import Identity, node_id
from tagfs.node.peers.interfaces import Caller
from tagfs.wire.node_messages import Call
from tests.node.peers.peer_world import World, failure_of, identity, raw
from tests.node.peers.relay import Change, Relay

MakeRelay = Callable[..., Relay]


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What was logged meanwhile."""
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(note)
    yield lines
    globalLogPublisher.removeObserver(note)


@pytest_twisted.async_yield_fixture
async def relay(world: World) -> AsyncIterator[MakeRelay]:
    """Makes relays, which end with the test."""
    made: list[Relay] = []

    def make(target: str, as_node: int | None = None, change: Change | None = None) -> Relay:
        made.append(Relay(world.reactor, target, None if as_node is None else identity(as_node), change))
        return made[-1]

    yield make
    for one in made:
        await one.close()


plain_only = pytest.mark.parametrize("tls", [False], ids=["plain"])
tls_only = pytest.mark.parametrize("tls", [True], ids=["tls"])


async def test_wrong_key(world: World, log: list[str]) -> None:
    """Neither side takes the other; both say why in one line."""
    a, b = world.peers(1), world.peers(2, key=bytes(32))
    error = await failure_of(b.meet(world.addresses[a]))
    assert isinstance(error, Forbidden) and "same cluster key" in str(error)
    b.keep(a.id, [world.addresses[a]])
    await world.until(lambda: any(re.match(f"cannot reach {a.id}: 127.0.0.1:.*same cluster key", line) for line in log))
    assert (
        len([line for line in log if re.match(r"refused 127\.0\.0\.1:\d+ at the node door: .*same cluster key", line)])
        == 1
    )
    assert not b.connected()


async def test_alone(world: World) -> None:
    """A node without a key takes nobody in, and dials nobody."""
    a, b = world.peers(1, key=None), world.peers(2)
    assert "no cluster key" in str(await failure_of(b.meet(world.addresses[a])))
    assert "no cluster key" in str(await failure_of(a.meet(world.addresses[b])))
    a.keep(b.id, [world.addresses[b]])
    assert isinstance(await failure_of(a.ask(b.id, Call("WHO"))), Unavailable)


async def test_stolen_address(world: World) -> None:
    """At the address of a node is another one, though a member itself: it is not asked in the other's place."""
    b, c = world.peers(2), world.peers(3)
    b.keep(identity(1).id, [world.addresses[c]])
    error = await failure_of(b.ask(identity(1).id, Call("WHO")))
    assert f"another node is there: {c.id}" in str(error)
    assert not b.connected()


@tls_only
async def test_claimed_id(world: World, relay: MakeRelay) -> None:
    """Who greets with the id of a node must have its certificate, and so must who introduces himself with it."""
    a, b = world.peers(1), world.peers(2)

    def claim(side: str, data: bytes) -> bytes:
        return data.replace(identity(3).id.encode(), a.id.encode()) if side == "server" else data

    impostor = relay(world.addresses[world.peers(3)], 3, claim)
    error = await failure_of(b.meet(impostor.address))
    assert isinstance(error, Forbidden) and f"its certificate is not that of {a.id}" in str(error)
    thief = world.peers(4, shown=Identity(b.id, identity(4).pem))
    error = await failure_of(thief.meet(world.addresses[a]))
    assert isinstance(error, Forbidden) and f"the certificate is not that of {b.id}" in str(error)


@plain_only
async def test_replayed_introduction(world: World, relay: MakeRelay, log: list[str]) -> None:
    """A recorded introduction, proof and all, is worth nothing on another connection."""
    a, b = world.peers(1), world.peers(2)
    spy = relay(world.addresses[a])
    await b.meet(spy.address)
    (introduction,) = [data for side, data in spy.said if side == "client" and b"AUTH" in data]
    again = await raw(world, world.addresses[a])
    again.transport.write(introduction[introduction.index(b"auth AUTH") :] + b"1 WHO\n")
    await world.until(lambda: again.gone)
    assert re.search(rb"\nauth NO auth [^\n]*\n$", again.heard), again.heard


@plain_only
async def test_replayed_greeting(world: World, relay: MakeRelay) -> None:
    """A recorded greeting with a recorded proof is worth nothing either: the client's nonce is another."""
    a, b = world.peers(1), world.peers(2)
    spy = relay(world.addresses[a])
    await b.meet(spy.address)
    b.drop(a.id)
    recorded = b"".join(data for side, data in spy.said if side == "server")
    replies = iter([recorded[: recorded.index(b"\n") + 1], recorded[recorded.index(b"\n") + 1 :]])
    ghost = relay(world.addresses[a], None, lambda side, data: next(replies, b"") if side == "server" else b"- PING\n")
    error = await failure_of(b.meet(ghost.address))
    assert isinstance(error, Forbidden) and "did not prove" in str(error)


@tls_only
@pytest.mark.parametrize("as_node", [3, 1, 2])
async def test_somebody_in_between(world: World, relay: MakeRelay, log: list[str], as_node: int) -> None:
    """Who ends TLS between two nodes is found out: by his certificate, and, had he stolen one, by the channel's binding."""
    a, b = world.peers(1), world.peers(2)

    def pose(side: str, data: bytes) -> bytes:
        """Greets as the node whose certificate he has."""
        return data.replace(a.id.encode(), identity(as_node).id.encode()) if side == "server" else data

    between = relay(world.addresses[a], as_node, pose)
    error = await failure_of(b.meet(between.address))
    assert isinstance(error, Forbidden)
    if as_node != 2:  # as 2, the client finds itself
        assert "is nobody between them" in str(error)
        assert any("refused" in line and "is nobody between them" in line for line in log)
    assert not b.connected()
    honest = relay(world.addresses[a], as_node)
    if as_node != 1:
        assert "its certificate is not that of" in str(await failure_of(b.meet(honest.address)))


@plain_only
@pytest.mark.parametrize(
    ("side", "was", "becomes"),
    [
        ("server", b"TAGFS 2", b"TAGFS 1"),
        ("server", b"caps=", b"caps=x"),
        ("server", b"cluster=-", b"cluster=c"),
        ("client", b"version=2", b"version=1"),
        ("client", b"name=name2", b"name=name3"),
        ("client", b"boot=boot2", b"boot=boot3"),
    ],
)
async def test_downgraded(world: World, relay: MakeRelay, side: str, was: bytes, becomes: bytes) -> None:
    """Nothing of what both say of themselves can be changed on the way, the version least of all."""
    a, b = world.peers(1, version=2), world.peers(2, version=2)

    def change(said_by: str, data: bytes) -> bytes:
        assert said_by != side or b"TAGFS" not in data or was in data or side == "client"
        return data.replace(was, becomes) if said_by == side else data

    error = await failure_of(b.meet(relay(world.addresses[a], None, change).address))
    assert isinstance(error, Forbidden) and "proof is wrong" in str(error)
    greeting = await b.meet(relay(world.addresses[a]).address)
    assert greeting.node == a.id


@plain_only
@pytest.mark.parametrize("version", [b"0", b"-1", b"x"])
async def test_versions_that_are_not_spoken(world: World, relay: MakeRelay, version: bytes) -> None:
    """They are refused by whoever hears of them."""
    a, b = world.peers(1), world.peers(2)
    old = relay(world.addresses[a], None, lambda side, data: data.replace(b"TAGFS 1", b"TAGFS " + version))
    assert isinstance(await failure_of(b.meet(old.address)), Forbidden)
    new = relay(world.addresses[a], None, lambda side, data: data.replace(b"version=1", b"version=" + version))
    assert isinstance(await failure_of(b.meet(new.address)), Forbidden)


async def test_newer_nodes_speak_the_older_version(world: World) -> None:
    """In both directions."""
    a, b = world.peers(1), world.peers(2, version=7)
    assert await b.meet(world.addresses[a])
    assert await a.meet(world.addresses[b])


async def test_tls_at_one_side_only(world: World, log: list[str]) -> None:
    """Both ends say in one line what is wrong, and at once."""
    a, b = world.peers(1), world.peers(2, tls=not world.tls)
    error = await failure_of(b.meet(world.addresses[a]))
    assert isinstance(error, Unavailable)
    assert "TLS" in str(error) and "--node-tls must be the same on all nodes" in str(error)
    await world.until(lambda: any("at the node door" in line for line in log))
    (line,) = [line for line in log if "at the node door" in line]
    assert re.match(r"refused 127\.0\.0\.1:\d+ at the node door: it .*--node-tls must be the same on all nodes", line)


async def test_other_cluster(world: World, log: list[str]) -> None:
    """The same key, but another cluster: refused. A node that is in none yet is let in."""
    a, b, c = world.peers(1, cluster=lambda: "c1"), world.peers(2, cluster=lambda: "c2"), world.peers(3)
    error = await failure_of(b.meet(world.addresses[a]))
    assert isinstance(error, Forbidden) and "in the cluster c1, not in c2" in str(error)
    assert any("refused" in line and "not in c2" in line for line in log)
    assert (await c.meet(world.addresses[a])).cluster == "c1"
    assert (await a.meet(world.addresses[c])).cluster == ""


async def test_not_admitted(world: World, log: list[str]) -> None:
    """Membership has the last word: a forgotten node that comes back, a second process with a living node's id."""
    asked: list[Caller] = []

    def admit(caller: Caller) -> Forgotten | None:
        asked.append(caller)
        return Forgotten("this node was forgotten") if caller.node == identity(2).id else None

    a, b, c = world.peers(1, admit=admit), world.peers(2), world.peers(3)
    error = await failure_of(b.meet(world.addresses[a]))
    assert isinstance(error, Forgotten) and "this node was forgotten" in str(error)
    assert any("refused" in line and "this node was forgotten" in line for line in log)
    assert await c.meet(world.addresses[a])
    assert [(caller.node, caller.boot) for caller in asked] == [(b.id, "boot2"), (c.id, "boot3")]
    b.keep(a.id, [world.addresses[a]])
    for _round in ("while it is dialled", "once it is known"):
        assert isinstance(await failure_of(b.ask(a.id, Call("ANY"))), Forgotten)


async def test_own_id(world: World) -> None:
    """A node that dials itself, and one that meets a copy of itself, find out."""
    a, copy = world.peers(1), world.peers(1, boot="another")
    assert "this is the node itself" in str(await failure_of(a.meet(world.addresses[a])))
    error = await failure_of(copy.meet(world.addresses[a]))
    assert isinstance(error, Forbidden) and "another process runs with this node's id" in str(error)


@plain_only
async def test_strangers_get_nothing(world: World) -> None:
    """Before the proof nothing is answered but what the page says, and no body is taken."""
    a = world.peers(1)
    for line, answer in [
        (b"1 WHO\n", rb"1 NO auth .*"),
        (b"1 ECHO x\n", rb"1 NO auth .*"),
        (b"1 MEMBERS\n", rb"1 NO auth .*"),
        (b"1 NONSENSE\n", rb"1 BAD .*"),
        (b"1 AUTH\n", rb"1 BAD .*"),
        (b"1 AUTH node=- nonce=00 proof=00\n", rb"1 NO auth .*"),
        (b"1 AUTH node=- nonce=00 proof=\xff\n", rb"1 BAD .*"),
        (b"1 ECHO {3}\nabc2 PING\n", rb"1 BAD .*closing"),
    ]:
        stranger = await raw(world, world.addresses[a])
        stranger.transport.write(line + b"- QUIT\n")
        await world.until(lambda one=stranger: one.gone)
        said = stranger.heard.split(b"\n")[1:-1]
        assert re.fullmatch(answer, said[0]), said
        assert said[1:] in ([b"- OK"], []), said


@tls_only
@pytest.mark.parametrize("kind", ["rsa", "ed25519", "p384"])
async def test_other_certificates(world: World, kind: str) -> None:
    """Whatever key a node has, its id is that key's hash; nobody has to know who made the certificate."""
    key = {
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    }[kind]()
    name = x509.Name([])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - timedelta(days=2), now - timedelta(days=1)
    ).sign(key, None if kind == "ed25519" else hashes.SHA256())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    a, other = world.peers(1), world.peers(9, shown=Identity(node_id(certificate), pem))
    assert (await other.meet(world.addresses[a])).node == a.id
    assert (await a.meet(world.addresses[other])).node == node_id(certificate)
