"""The transcripts in docs/protocols/ftp.md."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from tagfs.front.ftp.file_state import FileDoor
from tagfs.front.ftp.protocol import TagFtpFactory
from tests.front.real_node import real_node
from tests.front.transcripts import replay, transcripts
from tests.front.wire_session import WireSession

DOCUMENT = Path(__file__).parents[2] / "docs/protocols/ftp.md"
BLOCKS = dict(transcripts(DOCUMENT))


@pytest.mark.parametrize("place", BLOCKS)
def test_transcript(place: str) -> None:
    """What the document shows is what happens."""
    node, clock = real_node(), Clock()
    factory = TagFtpFactory(node, clock, files=FileDoor(clock))
    session = WireSession(node, factory=factory)
    replay(BLOCKS[place], session)
    session.lose()
