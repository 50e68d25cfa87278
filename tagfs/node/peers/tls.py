"""TLS 1.3 between nodes: certificates on both sides, whose key's hash is the node id. Layer: node."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory, IProtocolFactory, IReactorTime
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from tagfs.node.identity import Identity, node_id
from tagfs.node.peers.trust import Channel
from tagfs.wire.node_proof import EXPORTED_BYTES, EXPORTER, UNBOUND

DIFFERS = "--node-tls must be the same on all nodes"


@implementer(IOpenSSLContextFactory)
class NodeTls:
    """One context for all connections of a node, dialled or taken (RFC 8446).

    Any certificate is taken, since nobody signs those of nodes: whose it is follows from its key, whose possession TLS proves. Who
    shows none is a person. There is no resumption: each connection has a binding of its own.
    """

    def __init__(self, identity: Identity) -> None:
        self._context: SSL.Context = CertificateOptions(raiseMinimumTo=TLSVersion.TLSv1_3).getContext()
        self._context.use_certificate(x509.load_pem_x509_certificate(identity.pem))
        self._context.use_privatekey(load_pem_private_key(identity.pem, None))  # type: ignore[arg-type]
        self._context.check_privatekey()
        self._context.set_verify(SSL.VERIFY_PEER, lambda *seen: True)

    def getContext(self) -> SSL.Context:
        """Twisted: the context for one connection."""
        return self._context

    def wrap(self, factory: IProtocolFactory, is_client: bool, clock: IReactorTime) -> IProtocolFactory:
        """The same factory under TLS."""
        wrapped: IProtocolFactory = TLSMemoryBIOFactory(self, is_client, factory, clock)
        return wrapped


def channel_of(transport: Any) -> Channel:
    """What a connection tells of its other end; with TLS, after the handshake."""
    address = address_of(transport)
    handle = getattr(transport, "getHandle", lambda: None)()
    if not isinstance(handle, SSL.Connection):
        return Channel(address, None, UNBOUND)
    try:
        certificate = handle.get_peer_certificate(as_cryptography=True)
        certified = node_id(certificate) if certificate is not None else ""
    except (ValueError, UnsupportedAlgorithm):  # nothing that any node of tagfs has
        certified = ""
    return Channel(address, certified, handle.export_keying_material(EXPORTER, EXPORTED_BYTES).hex())


def address_of(transport: Any) -> str:
    """``host:port`` of the other end."""
    peer = transport.getPeer()
    host, port = getattr(peer, "host", ""), getattr(peer, "port", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tls_fault(reason: Failure) -> str | None:
    """In words, why TLS failed; None where the connection ended for another reason."""
    if not isinstance(reason.value, SSL.Error):
        return None
    queue = reason.value.args[0] if reason.value.args else ()
    text = str(queue[-1][-1]) if isinstance(queue, (list, tuple)) and queue else str(reason.value)
    if text in (
        "wrong version number",
        "http request",
        "packet length too long",
        "bad record type",
        "unexpected message",
    ):
        return f"it does not speak TLS; {DIFFERS}"
    return f"TLS failed: {text or 'the other end broke it off'}"
