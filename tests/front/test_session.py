"""Sessions of the tag port: order, overlap, bounds, ends."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from tagfs.front.ftp.protocol import TagFtpFactory
from tagfs.model.principal import OWNER


class Node:
    name = "n"

    def anonymous(self):
        return OWNER


def test_greets_and_answers() -> None:
    """A session greets, answers what it knows and what it does not, and ends by QUIT."""
    protocol = TagFtpFactory(Node(), Clock()).buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    protocol.dataReceived(b"noop\nXYZZY\r\nhelp quit\nQUIT\nNOOP\n")
    lines = transport.value().split(b"\r\n")
    assert [line[:4] for line in lines] == [b"220 ", b"200 ", b"500 ", b"214-", b" end", b"214 ", b"221 ", b""]
    assert transport.disconnecting
    protocol.connectionLost()
