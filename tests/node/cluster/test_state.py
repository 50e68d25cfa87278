"""What a node remembers of its cluster on disk; and recordings that replay."""

import io
import json

import pytest

from tagfs.errors import StartError
from tagfs.node.cluster.state import FILE, StateFile, Stored
from tagfs.node.cluster.trace import Trace, replay
from tagfs.node.offload import Inline
from tests.sim.member_world import MemberWorld


def test_what_is_saved_is_loaded(tmp_path):
    """Nothing at first; then what was saved last, readable by the owner only."""
    file = StateFile(tmp_path, Inline())
    assert file.load() == Stored()
    stored = Stored("0123456789abcdef", 301, ("a:1", "[::1]:2"))
    file.save(stored)
    assert StateFile(tmp_path, Inline()).load() == stored
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "cluster": "c", "incarnations": "x"}']
)
def test_a_damaged_file_is_told(tmp_path, text):
    """A node that cannot read what it remembers does not start: it might found a second cluster."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(StartError, match=r"cluster\.json"):
        StateFile(tmp_path, Inline()).load()


def test_a_recording_replays_to_the_same_effects():
    """Founding, joining, death, out, return, settings: the recorded events lead a fresh membership to the same effects."""
    world = MemberWorld(seed=6)
    files: dict[str, io.StringIO] = {}

    def record(node):
        files[f"{node.name}.{node.starts}"] = made = io.StringIO()
        return Trace(made)

    world.recording = record
    one, two, three = world.form(3)
    three.crash()
    world.until(lambda: one.state_of(three) == "dead")
    world.wait(one.cluster.set_settings({"out_after": 20}))
    world.until(lambda: two.state_of(three) == "out", 60)
    three.start()
    world.until(lambda: world.agree() and len(one.view.layout.places) == 3, 30)
    world.stop()
    assert len(files) == 4
    kinds = set()
    for file in files.values():
        steps = 0
        for event, recorded, again in replay(file.getvalue().splitlines()):
            assert again == recorded
            kinds |= {event["is"], *(effect["is"] for effect in recorded)}
            steps += 1
        assert steps > 10
    assert {
        "Tick",
        "Learnt",
        "Asked",
        "Answered",
        "Failed",
        "Met",
        "Ask",
        "Reply",
        "Change",
        "Merge",
        "Persist",
    } <= kinds


def test_a_recording_that_differs_is_noticed():
    """A replay compares: where the decisions are others than those recorded, it shows."""
    world = MemberWorld(seed=7)
    file = io.StringIO()
    world.recording = lambda node: Trace(file)
    world.form(1)
    world.run(5)
    world.stop()
    lines = file.getvalue().splitlines()
    first = json.loads(lines[0])
    first["seed"] += 1
    steps = list(replay([json.dumps(first), *lines[1:]]))
    assert any(recorded != again for _event, recorded, again in steps)
