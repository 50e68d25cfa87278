"""The transcripts in docs/protocols/tag.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagfs.node.interfaces import INode
from tests.front.fake_node import FakeNode
from tests.front.real_node import real_node
from tests.front.transcripts import replay, transcripts
from tests.front.wire_session import WireSession

DOCUMENT = Path(__file__).parents[2] / "docs/protocols/tag.md"
BLOCKS = dict(transcripts(DOCUMENT))
NODES = {"fake": FakeNode, "real": real_node}


@pytest.fixture(params=NODES)
def node(request: pytest.FixtureRequest) -> INode:
    return NODES[request.param]()


@pytest.mark.parametrize("place", BLOCKS)
def test_transcript(place: str, node: INode) -> None:
    """What the document shows is what happens, over a real node as over the one that other tests use."""
    session = WireSession(node)
    replay(BLOCKS[place], session)
    session.lose()


def test_there_are_transcripts() -> None:
    """The document is read as it is meant to be."""
    assert len(BLOCKS) >= 8
