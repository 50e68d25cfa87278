"""What goes wrong in a campaign: each scenario does it again and again for some seconds, and undoes it before it returns."""

from __future__ import annotations

import random
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import define

from tests.campaigns.cluster.network import Switch
from tests.campaigns.cluster.nodes import Member, all_see, until

FULL_DISK = 4
"""The node whose data lie on a small file system of their own."""
STOP_S = 20.0
"""Seconds that a stop may take here, where five nodes, their clients and their faults share the processors."""
WRONG_CLOCK = 3
"""The node whose clock can be set wrong."""


@define(eq=False)
class Stage:
    """What scenarios act on."""

    members: Sequence[Member]
    switch: Switch
    chance: random.Random
    ends_s: float

    @property
    def left_s(self) -> float:
        """Seconds until the scenario should be over."""
        return self.ends_s - time.monotonic()

    def wait(self, low_s: float, high_s: float) -> None:
        """Lets the clients work for a while."""
        time.sleep(max(0.0, min(self.left_s, self.chance.uniform(low_s, high_s))))

    def some(self, number: int) -> list[int]:
        """So many nodes, by chance."""
        return self.chance.sample(range(len(self.members)), number)


def kill(stage: Stage) -> None:
    """kill -9 of one node, which is started again."""
    _kill(stage, 1)


def kill_two(stage: Stage) -> None:
    """kill -9 of two nodes at once."""
    _kill(stage, 2)


def kill_all(stage: Stage) -> None:
    """kill -9 of every node at once: power is gone in the whole house."""
    _kill(stage, len(stage.members))


def _kill(stage: Stage, number: int) -> None:
    while stage.left_s > 0:
        stage.wait(2, 5)
        victims = [stage.members[index] for index in stage.some(number)]
        for victim in victims:
            victim.kill()
        stage.wait(0, 12)
        for victim in victims:
            victim.start()


def freeze(stage: Stage) -> None:
    """SIGSTOP of one node, for shorter and longer than it takes to be dead."""
    while stage.left_s > 0:
        stage.wait(1, 3)
        victim = stage.members[stage.some(1)[0]]
        victim.freeze()
        stage.wait(1, 14)
        victim.thaw()


def restart(stage: Stage) -> None:
    """Clean stops and starts of one node after the other."""
    while stage.left_s > 0:
        for member in stage.members:
            if stage.left_s > 0:
                member.stop(STOP_S)
                stage.wait(0, 2)
                member.start()
                stage.wait(1, 3)


def isolate(stage: Stage) -> None:
    """One node is cut off from all others."""
    _cut(stage, 1)


def split(stage: Stage) -> None:
    """Two nodes are cut off from three; both sides go on."""
    _cut(stage, 2)


def _cut(stage: Stage, number: int) -> None:
    while stage.left_s > 0:
        stage.wait(1, 3)
        few = stage.some(number)
        stage.switch.part(few, [index for index in range(len(stage.members)) if index not in few])
        stage.wait(3, 15)
        stage.switch.heal()


def deaf(stage: Stage) -> None:
    """One node hears nobody, and is heard."""
    while stage.left_s > 0:
        stage.wait(1, 3)
        stage.switch.cut(stage.some(1), range(len(stage.members)))
        stage.wait(3, 12)
        stage.switch.heal()


def mute(stage: Stage) -> None:
    """One node is heard by nobody, and hears."""
    while stage.left_s > 0:
        stage.wait(1, 3)
        stage.switch.cut(range(len(stage.members)), stage.some(1))
        stage.wait(3, 12)
        stage.switch.heal()


def broken_triangle(stage: Stage) -> None:
    """Two nodes cannot reach each other, and all others reach both."""
    while stage.left_s > 0:
        stage.wait(1, 3)
        one, other = stage.some(2)
        stage.switch.part([one], [other])
        stage.wait(3, 12)
        stage.switch.heal()


def flap(stage: Stage) -> None:
    """A link that comes and goes many times a minute."""
    while stage.left_s > 0:
        few = stage.some(stage.chance.choice((1, 2)))
        stage.switch.part(few, [index for index in range(len(stage.members)) if index not in few])
        stage.wait(0.2, 2)
        stage.switch.heal()
        stage.wait(0.2, 2)


def full_disk(stage: Stage) -> None:
    """The file system of one node is filled to the last byte by somebody else, and is given back."""
    directory = stage.members[FULL_DISK].data.parent
    ballast = Path(directory, "ballast")
    while stage.left_s > 0:
        stage.wait(1, 3)
        subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=1M"], capture_output=True, check=False)
        stage.wait(5, 15)
        ballast.unlink()


def wrong_clock(stage: Stage) -> None:
    """One node runs hours ahead of the others, then hours behind."""
    member = stage.members[WRONG_CLOCK]
    while stage.left_s > 0:
        for hours in (stage.chance.choice((2, 30)), -stage.chance.choice((2, 30))):
            member.stop(STOP_S)
            member.clock_offset = f"{hours:+d}h"
            member.start()
            stage.wait(5, 15)
        member.stop(STOP_S)
        member.clock_offset = ""
        member.start()
        stage.wait(1, 3)


def lost_disk(stage: Stage) -> None:
    """One node's machine burns down under load; it is forgotten, and a new, empty one takes its place."""
    victim = stage.members[stage.chance.choice((1, 2))]
    others = [member for member in stage.members if member is not victim]
    stage.wait(5, 8)
    old = victim.id
    victim.kill()
    shutil.rmtree(victim.data)
    until(lambda: all(member.nodes()[old].state == "dead" for member in others), "the node is dead for all", 20)
    with others[0].client() as client:
        client.request(f"NODE-FORGET {old}")
    until(lambda: all(old not in member.nodes() for member in others), "the node is forgotten by all", 20)
    stage.wait(3, 6)
    victim.start()
    until(lambda: all_see(stage.members), "the new node is seen by all", 30)
    while stage.left_s > 0:
        stage.wait(1, 2)


def everything(stage: Stage) -> None:
    """All of it, in any order."""
    while stage.left_s > 0:
        part = Stage(stage.members, stage.switch, stage.chance, min(stage.ends_s, time.monotonic() + 10))
        stage.chance.choice([each for each in SCENARIOS.values() if each not in (everything, lost_disk)])(part)


SCENARIOS: Mapping[str, Callable[[Stage], None]] = {
    scenario.__name__.replace("_", "-"): scenario
    for scenario in (kill, kill_two, kill_all, freeze, restart, isolate, split, deaf, mute, broken_triangle, flap,
                     full_disk, wrong_clock, lost_disk, everything)
}  # fmt: skip
