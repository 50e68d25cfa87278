"""Who is there: what this node says of itself, and how both ends judge each other's introduction. Layer: node.

docs/protocols/node.md says what is proved. Nothing here touches a socket.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import NamedTuple

from attrs import frozen

from tagfs.errors import Forbidden, TagfsError, Unwelcome
from tagfs.node.identity import Identity
from tagfs.node.peers.interfaces import Caller
from tagfs.wire.node_lines import VERSION, BadLine
from tagfs.wire.node_proof import (
    CLIENT,
    SERVER,
    Introduction,
    encode_introduction,
    parse_greeting,
    parse_introduction,
    proof,
    same,
)

OLDEST_VERSION = 1
NONCE_BYTES = 16
AUTH_TAG = "auth"


@frozen
class Own:
    """This node, as it shows itself to others. ``key`` is :func:`~tagfs.wire.node_proof.proof_key`'s, None for a node that is
    alone; ``address`` and ``cluster`` are asked when needed; ``admit`` says why a caller is not welcome, or None."""

    identity: Identity
    name: str
    boot: str
    key: bytes | None
    tls: bool
    address: Callable[[], str]
    cluster: Callable[[], str]
    admit: Callable[[Caller], Unwelcome | None]
    version: int = VERSION

    @property
    def id(self) -> str:
        """The node id."""
        return self.identity.id

    def introduction(self, version: int, address: str = "") -> Introduction:
        """What to say of oneself on a new connection, with a fresh nonce."""
        nonce = token_hex(NONCE_BYTES)
        return Introduction(version, self.id, self.name, self.cluster(), self.boot, nonce, address)


class Channel(NamedTuple):
    """A connection as far as trust goes: ``host:port`` of the other end, the node id that its certificate gives (empty where it
    showed none; None with TLS off), and what binds a proof to it."""

    address: str
    certified: str | None
    binding: str


class Refusal(Exception):
    """An introduction is not accepted; answered as ``NO code text``."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Welcome(NamedTuple):
    """An accepted introduction: who calls, and the proof to answer with."""

    caller: Caller
    proof: str


def judge(own: Own, greeting: bytes, line: bytes, channel: Channel) -> Welcome:
    """The server's side: accepts the ``AUTH`` in ``line``. Raises :class:`Refusal`, or BadLine."""
    said, covered, given = parse_introduction(line)
    if own.key is None:
        raise Refusal("alone", "this node has no cluster key")
    if not OLDEST_VERSION <= said.version <= own.version:
        raise Refusal("version", f"this node speaks versions {OLDEST_VERSION} to {own.version}, not {said.version}")
    if not same(given, proof(own.key, CLIENT, greeting, covered, channel.binding)):
        raise Refusal("auth", "the proof is wrong; have both nodes the same cluster key, and is nobody between them?")
    if said.node and channel.certified is not None and channel.certified != said.node:
        raise Refusal("identity", f"the certificate is not that of {said.node}")
    if said.node == own.id:
        raise Refusal("self", _yourself(said.boot == own.boot))
    mine = own.cluster()
    if said.cluster and mine and said.cluster != mine:
        raise Refusal("cluster", f"this node is in the cluster {mine}, not in {said.cluster}")
    caller = Caller(said.node, said.boot, said.address or channel.address)
    reason = own.admit(caller) if said.node else None
    if reason is not None:
        raise Refusal(reason.wire, str(reason))
    return Welcome(caller, proof(own.key, SERVER, greeting, covered, channel.binding))


class Opening(NamedTuple):
    """The client's side, once greeted: who greets, the line to answer with and its proof, the proof that must come back."""

    greeting: Introduction
    line: bytes
    proof: str
    expected: str


def open_with(own: Own, greeting: bytes, channel: Channel, wanted: str) -> Opening:
    """The client's side: checks who greets, and makes the introduction. ``wanted`` is the id of who should be there, or
    empty. Raises Forbidden where this is somebody else."""
    assert own.key is not None
    try:
        there = parse_greeting(greeting)
    except BadLine as bad:
        raise Forbidden(str(bad)) from None
    if there.version < OLDEST_VERSION:
        raise Forbidden(
            f"it speaks version {there.version} of the node protocol, and this node {OLDEST_VERSION} or newer"
        )
    if channel.certified is not None and channel.certified != there.node:
        raise Forbidden(f"its certificate is not that of {there.node or 'a node'}, which it says it is")
    if there.node == own.id:
        raise Forbidden(_yourself(there.boot == own.boot))
    if wanted and there.node != wanted:
        raise Forbidden(f"another node is there: {there.node}")
    mine = own.introduction(min(own.version, there.version), own.address())
    line = encode_introduction(AUTH_TAG, mine)
    mine_proof = proof(own.key, CLIENT, greeting, line, channel.binding)
    return Opening(there, line, mine_proof, proof(own.key, SERVER, greeting, line, channel.binding))


def error_from(code: str, text: str) -> TagfsError:
    """The error that a ``NO code text`` stands for."""
    kind = _KINDS.get(code)
    return kind(text) if kind else TagfsError(f"{code}: {text}")


def _yourself(same_process: bool) -> str:
    if same_process:
        return "this is the node itself"
    return "another process runs with this node's id: was its data directory copied?"


def _kinds(kind: type[TagfsError]) -> dict[str, type[TagfsError]]:
    """Wire codes and their errors; of those that share one, the most general."""
    found: dict[str, type[TagfsError]] = {}
    for below in kind.__subclasses__():
        found = {**_kinds(below), **found}
    return {**found, kind.wire: kind}


_KINDS = _kinds(TagfsError)
