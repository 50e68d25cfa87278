"""Runs the commands of a document against a node and compares what they say with what the document shows.

A fenced block of ``sh`` is a part of one shell session; a block of ``text`` after it holds lines that its output must
have, in that order, where ``…`` stands for anything. Standard error belongs to the output.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARK = "@@@ end of a block"


class Step(NamedTuple):
    """Commands, and the lines that must be in what they say."""

    commands: str
    expected: tuple[str, ...]


def steps_of(document: str) -> list[Step]:
    """The commands of a document, each with what is shown for it."""
    steps: list[Step] = []
    for language, text in _FENCE.findall(document):
        if language == "sh":
            steps.append(Step(text, ()))
        elif language == "text" and steps:
            last = steps.pop()
            steps.append(Step(last.commands, (*last.expected, *text.splitlines())))
    return steps


def missing_line(output: str, expected: tuple[str, ...]) -> str | None:
    """The first expected line that the output does not have after the one before it; None where all are there."""
    lines = iter(line.rstrip("\r") for line in output.splitlines())
    for wanted in expected:
        pattern = re.compile(".*".join(re.escape(part) for part in wanted.split("…")))
        if not any(pattern.fullmatch(line) for line in lines):
            return wanted
    return None


def run_steps(steps: list[Step], directory: Path, environ: Mapping[str, str], limit_s: float = 60) -> None:
    """Runs all steps in one shell; AssertionError where a command fails or an expected line is not there."""
    script = "set -eu\n" + "".join(f"{step.commands}\necho '{_MARK}'\n" for step in steps)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=directory,
        env={**os.environ, **environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=limit_s,
    )
    outputs = done.stdout.split(_MARK + "\n")
    assert done.returncode == 0, f"failed: {steps[min(len(outputs), len(steps)) - 1].commands}\n{outputs[-1]}"
    for step, output in zip(steps, outputs, strict=False):
        missing = missing_line(output, step.expected)
        assert missing is None, f"{missing!r} is not where it should be in what this says:\n{step.commands}\n{output}"
