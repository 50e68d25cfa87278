"""TLS of the tag port (AUTH TLS). Layer: front.

Clients want their data connections to resume the session of the control connection (RFC 4217 section 10.2), which takes
one context for all, and tickets (RFC 5077). The version is TLS 1.2, with forward secrecy and authenticated encryption
only: in TLS 1.3 the server sends its tickets behind the handshake, and clients that upload (curl 7.88) never read them, so that
their close resets the connection and loses the end of the file. OpenSSL can leave such tickets out on data
connections (``SSL_set_num_tickets``), but pyOpenSSL cannot say so.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.internet.ssl import AcceptableCiphers, CertificateOptions, TLSVersion
from zope.interface import implementer

from tagfs.errors import StartError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


@implementer(IOpenSSLContextFactory)
class TlsContext:
    """One context for all connections of a listener, control and data.

    :param certificate: PEM of the certificate, those that lead to its root behind it.
    :param key: PEM of its private key, not encrypted.

    Raises :class:`~tagfs.errors.StartError` where these cannot be read or do not fit each other.
    """

    def __init__(self, certificate: bytes, key: bytes) -> None:
        try:
            own, *others = map(crypto.X509.from_cryptography, x509.load_pem_x509_certificates(certificate))
            private = crypto.PKey.from_cryptography_key(load_pem_private_key(key, None))  # type: ignore[arg-type]
            options = CertificateOptions(
                private,
                own,
                extraCertChain=others,
                enableSessionTickets=True,
                acceptableCiphers=AcceptableCiphers.fromOpenSSLCipherString(CIPHERS),
                insecurelyLowerMinimumTo=TLSVersion.TLSv1_2,
                lowerMaximumSecurityTo=TLSVersion.TLSv1_2,
            )
            self._context = options.getContext()
        except (ValueError, TypeError, SSL.Error, crypto.Error) as error:
            raise StartError(f"the certificate for FTP and its key cannot be used: {error}") from error
        # A client that offers protocols (FileZilla: x-filezilla-ftp) goes on without one; the default would cut it off.
        self._context.set_alpn_select_callback(lambda connection, offered: SSL.NO_OVERLAPPING_PROTOCOLS)

    def getContext(self) -> SSL.Context:
        """Twisted: the context for one connection."""
        return self._context
