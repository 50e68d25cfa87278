"""A control connection under TLS. Layer: front."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from twisted.logger import Logger

from tagfs.front.ftp.session import Channel
from tagfs.front.ftp.tls import Tls


class SecuredChannel:
    """To a session what its plain channel was before ``AUTH TLS``.

    :param channel: the connection.
    :param tls: its TLS, not begun.
    :param received: is told what the client sends.
    :param ended: is told that the client sends nothing more, though its connection may still be there.
    """

    log = Logger()

    def __init__(
        self, channel: Channel, tls: Tls, received: Callable[[bytes], None], ended: Callable[[], None]
    ) -> None:
        self._channel = channel
        self._tls = tls
        self._received = received
        self._ended = ended
        self._agreed = False  # whether the handshake is over
        self._broken = False
        self._told = False  # that the client sends nothing more
        self._early: list[bytes] = []  # said before the handshake was over
        self.pauseProducing = channel.pauseProducing
        self.resumeProducing = channel.resumeProducing
        self.unregisterProducer = channel.unregisterProducer
        self.abortConnection = channel.abortConnection

    def feed(self, data: bytes) -> None:
        """Takes what came from the network."""
        if self._broken:
            return
        try:
            self._tls.feed(data)
            opened = self._tls.opened() if self._agreed or self._shake() else b""
        except ssl.SSLError as error:
            self._break(error)
            return
        self._say(self._tls.due())
        if opened:
            self._received(opened)
        if self._tls.ended and not self._told:
            self._told = True
            self._ended()

    def write(self, data: bytes) -> None:
        """Sends bytes, once the handshake is over."""
        if not self._agreed:
            self._early.append(data)
        elif not self._broken:
            self._say(self._tls.sealed(data))

    def loseConnection(self) -> None:
        """Says goodbye and ends the connection when all is sent."""
        if self._agreed and not self._broken:
            self._say(self._tls.goodbye())
        self._channel.loseConnection()

    def _shake(self) -> bool:
        self._agreed = self._tls.shake()
        if self._agreed:
            for data in self._early:
                self._say(self._tls.sealed(data))
            self._early.clear()
        return self._agreed

    def _break(self, error: ssl.SSLError) -> None:
        self._broken = True
        self.log.info("TLS broke on a control connection: {reason}", reason=error.reason or str(error))
        self._say(self._tls.due())  # tells the client what is wrong
        self._channel.loseConnection()

    def _say(self, data: bytes) -> None:
        if data:
            self._channel.write(data)
