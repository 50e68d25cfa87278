"""A recording of what real processes decided leads the same code, replayed, to the same decisions."""

from __future__ import annotations

from pathlib import Path

import pytest

from tagfs.clustering import TRACE
from tagfs.node.cluster.trace import replay
from tests.campaigns.cluster.nodes import NOTICED_S, Cluster, all_see, until

pytestmark = pytest.mark.slow


def test_a_recording_of_real_processes_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Founding, joining, a frozen node, a killed one and its return, a changed setting: replayed, every effect is the same."""
    cluster = Cluster(tmp_path)
    recordings = []
    members = []

    def start(member) -> None:  # type: ignore[no-untyped-def]
        recordings.append(tmp_path / f"trace{len(recordings)}.jsonl")
        monkeypatch.setenv(TRACE, str(recordings[-1]))
        member.start()

    try:
        for name in "abc":
            member = cluster.node(name, join=members[:1], discovery=False)
            start(member)
            members.append(member)
        first, second, third = members
        until(lambda: all_see(members), "all see each other")
        third.freeze()
        until(lambda: all_see([first, second], [third], "dead"), "the frozen one is dead for the others", NOTICED_S)
        third.thaw()
        until(lambda: all_see(members), "it is alive again, and blames nobody")
        second.kill()
        with first.client() as client:
            client.set_cluster_settings(["copies=2"])
        start(second)
        until(lambda: all_see(members), "the killed one is back")
    finally:
        cluster.end()
    kinds = set()
    for recording in recordings:
        # The last line may have been cut off where the process was killed.
        lines = [line for line in recording.read_text().splitlines(keepends=True) if line.endswith("\n")]
        steps = list(replay(lines))
        assert len(steps) > 5
        for event, recorded, again in steps:
            assert again == recorded, event
            kinds |= {event["is"], *(effect["is"] for effect in recorded)}
    assert {"Tick", "Met", "Asked", "Answered", "Failed", "Change", "Merge", "Persist", "Say"} <= kinds
