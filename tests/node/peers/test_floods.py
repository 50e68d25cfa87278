"""Floods and noise at the node door: members still get in, memory and log stay small, nothing breaks."""

from __future__ import annotations

import random
import socket

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent, formatEvent, globalLogPublisher

from tagfs.node.identity import Identity
from tagfs.node.peers import limits
from tagfs.node.peers.asking import Outbound, Question
from tagfs.node.peers.door import Door
from tagfs.node.peers.interfaces import Caller
from tagfs.node.peers.peers import everybody, nowhere
from tagfs.node.peers.trust import Own
from tagfs.wire.node_answers import encode_call
from tagfs.wire.node_messages import Answer, Call
from tagfs.wire.node_proof import CLIENT, UNBOUND, proof, proof_key, with_proof
from tests.node.peers.peer_world import KEY, World
from tests.node.peers.test_strangers import Transport

STREAM = b"".join(
    b"".join(encode_call(str(number), call))
    for number, call in enumerate(
        [
            Call("ECHO", ("a",), {"k": "v"}, b"- PING\n"),
            Call("PING"),
            Call("ECHO", body=b"x" * 300),
            Call("HELP"),
            Call("FAIL"),
        ]
    )
)


async def test_a_flood_of_connections_keeps_nobody_out(world: World) -> None:
    """More strangers than there is room for, from one address, all silent: a member still gets in, and they are few in the end."""
    a, b = world.peers(1), world.peers(2)
    host, _, port = world.addresses[a].partition(":")
    sockets = await deferToThread(
        lambda: [socket.create_connection((host, int(port))) for _ in range(limits.STRANGERS_PER_HOST + 15)]
    )
    try:
        greeting = await b.meet(world.addresses[a])
        assert greeting.node == a.id
        await world.until(lambda: len(a._door._strangers) <= limits.STRANGERS_PER_HOST)
    finally:
        for one in sockets:
            one.close()


async def test_noise_at_the_door(world: World) -> None:
    """Random bytes and early ends: said once in the log, not each time, and the node goes on."""
    lines: list[str] = []

    def note(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    a, b = world.peers(1), world.peers(2)
    host, _, port = world.addresses[a].partition(":")
    dice = random.Random(1)
    starts = [
        b"",
        b"\x16\x03\x01\x02\x00",
        b"\x16\x03\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"- AUTH node=- nonce=0 proof=00\n",
    ]

    def make_noise() -> None:
        for _ in range(150):
            with socket.create_connection((host, int(port))) as one:
                one.sendall(dice.choice(starts) + dice.randbytes(dice.randint(0, 600)))
                one.settimeout(0.001)
                try:
                    one.recv(100)
                except OSError:
                    pass

    globalLogPublisher.addObserver(note)
    try:
        await deferToThread(make_noise)
        assert (await b.meet(world.addresses[a])).node == a.id
        await world.until(lambda: not a._door._strangers)
    finally:
        globalLogPublisher.removeObserver(note)
    assert len(lines) < 15, lines


def members_connection() -> tuple[object, Transport]:
    """A connection on which the key was proved, without sockets."""
    door = Door(Own(Identity("id0", b""), "n", "b", proof_key(KEY), False, nowhere, nowhere, everybody), Clock())

    async def echo(caller: Caller, call: Call) -> Answer:
        return Answer(call.facts, call.words, call.body)

    door.services["ECHO"] = echo
    protocol, transport = door.buildProtocol(None), Transport()
    protocol.makeConnection(transport)
    greeting = transport.value().rstrip(b"\n")
    line = b"a AUTH node=n2 nonce=00"
    protocol.dataReceived(with_proof(line, proof(proof_key(KEY), CLIENT, greeting, line, UNBOUND)))
    assert transport.value().splitlines()[-1].startswith(b"a OK proof=")
    transport.clear()
    return protocol, transport


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), st.lists(st.binary(max_size=30), max_size=6))
def test_broken_requests_of_members(dice: random.Random, noise: list[bytes]) -> None:
    """Whatever a member sends, each line that comes back is an answer or belongs to one, and nothing is raised."""
    protocol, transport = members_connection()
    data = bytearray(STREAM)
    for piece in noise:
        at = dice.randint(0, len(data))
        data[at : at + dice.randint(0, 10)] = piece
    at = dice.randint(0, len(data))
    for part in (data[:at], data[at:]):
        protocol.dataReceived(bytes(part))  # type: ignore[attr-defined]
    assert len(transport.value()) < 100_000


@settings(max_examples=150)
@given(st.randoms(use_true_random=False), st.lists(st.binary(max_size=30), min_size=1, max_size=6))
def test_broken_answers_of_members(dice: random.Random, noise: list[bytes]) -> None:
    """Whatever a member answers, who asked is told something, or waits; where it cannot be understood, the connection ends."""
    clock = Clock()
    own = Own(Identity("id1", b""), "n", "b", proof_key(KEY), False, nowhere, nowhere, everybody)
    line, transport = Outbound(own, "h:1", "", clock), Transport()
    line.ready.addErrback(lambda failure: None)
    line.makeConnection(transport)
    greeting = b"TAGFS 1 node=id0 name=n cluster=- nonce=00 caps= boot=c"
    line.dataReceived(greeting + b"\n")
    said = transport.value().splitlines()[-1].rpartition(b" proof=")[0]
    line.dataReceived(b"auth OK proof=%b\n" % proof(proof_key(KEY), "server", greeting, said, UNBOUND).encode())
    assert line.ready.called and not line.lost
    questions = [Question(Call("ECHO"), Deferred()) for _ in range(4)]
    for question in questions:
        question.answer.addErrback(lambda failure: None)
        line.ask(question)
    data = bytearray(b"1 ROW a\n1 OK k=v\n2 OK {5}\nabcde3 NO missing text\n4 PARTIAL\n")
    for piece in noise:
        at = dice.randint(0, len(data))
        data[at : at + dice.randint(0, 10)] = piece
    line.dataReceived(bytes(data))
    assert line.lost == transport.aborted
    line.connectionLost()
    assert all(question.answer.called for question in questions)


def test_a_long_pipeline_takes_turns() -> None:
    """Whoever asks a thousand things at once is answered some of them in each turn of the reactor."""
    clock = Clock()
    door = Door(Own(Identity("id0", b""), "n", "b", None, False, nowhere, nowhere, everybody), clock)
    protocol, transport = door.buildProtocol(None), Transport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"- PING\n" * 1000)
    assert transport.value().count(b"- OK\n") == limits.TURN
    assert transport.producerState == "paused"
    clock.advance(0)
    assert transport.value().count(b"- OK\n") == 1000
    assert transport.producerState == "producing"
