"""Who a node is: a private key with a self-signed certificate; the node id is the hash of the key. Layer: node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from attrs import frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tagfs.errors import StartError
from tagfs.model.entry import id_from_bytes
from tagfs.node.durable import write_durably

FILE = "node.pem"
_VALID = timedelta(days=365 * 50)


@frozen
class Identity:
    """``id`` is :func:`node_id` of the certificate; ``pem`` holds private key and certificate (RFC 7468)."""

    id: str
    pem: bytes


def node_id(certificate: x509.Certificate) -> str:
    """The first 16 bytes of SHA-256 over the certificate's public key (SubjectPublicKeyInfo, RFC 5280 section
    4.1.2.7), in the alphabet of entry ids."""
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    return id_from_bytes(digest.finalize()[:16])


def create(directory: Path, now: datetime | None = None) -> Identity:
    """Makes a fresh identity and stores it, readable by its owner only."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tagfs node")])
    moment = now or datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - timedelta(days=1))
        .not_valid_after(moment + _VALID)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    write_durably(directory / FILE, pem, 0o600)
    return Identity(node_id(certificate), pem)


def load(directory: Path) -> Identity:
    """The identity stored in ``directory``. Raises StartError where it is missing or damaged."""
    path = directory / FILE
    try:
        pem = path.read_bytes()
        return Identity(node_id(x509.load_pem_x509_certificate(pem)), pem)
    except (OSError, ValueError) as error:
        raise StartError(
            f"the node's identity {path} cannot be read: {error}; restore it from a back-up, since entries were "
            "written under its id"
        ) from error
