"""The transcripts in docs/protocols/tag.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.front.fake_node import FakeNode
from tests.front.transcripts import replay, transcripts
from tests.front.wire_session import WireSession

DOCUMENT = Path(__file__).parents[2] / "docs/protocols/tag.md"
BLOCKS = dict(transcripts(DOCUMENT))


@pytest.mark.parametrize("place", BLOCKS)
def test_transcript(place: str) -> None:
    """What the document shows is what happens."""
    session = WireSession(FakeNode())
    replay(BLOCKS[place], session)
    session.lose()


def test_there_are_transcripts() -> None:
    """The document is read as it is meant to be."""
    assert len(BLOCKS) >= 8
