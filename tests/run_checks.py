"""What ./test does once its environment is ready: linters, types and all tests; with arguments, pytest alone with them.

mypy runs beside pytest, on the other core; what it says is shown at the end. The exit code is 1 when anything failed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Outcome(NamedTuple):
    """How one check ended."""

    name: str
    passed: bool
    seconds: float


def command(*words: str) -> list[str]:
    """A command line for a tool that is a module of this environment."""
    return [sys.executable, "-m", *words]


def run(name: str, *words: str) -> Outcome:
    """Runs one check with its output on the terminal."""
    print(f"== {name}", flush=True)
    begin = time.monotonic()
    code = subprocess.run(command(*words), cwd=ROOT, check=False).returncode
    return Outcome(name, code == 0, time.monotonic() - begin)


def run_silently(name: str, *words: str) -> tuple[Outcome, str]:
    """Runs one check beside others; its output is returned, to be shown when they are through."""
    begin = time.monotonic()
    done = subprocess.run(command(*words), cwd=ROOT, check=False, capture_output=True, text=True, errors="replace")
    return Outcome(name, done.returncode == 0, time.monotonic() - begin), done.stdout + done.stderr


def check_everything() -> list[Outcome]:
    """All checks, the quick ones first."""
    with ThreadPoolExecutor(1) as beside:
        types = beside.submit(run_silently, "types", "mypy")
        outcomes = [
            run("lint", "ruff", "check", "."),
            run("format", "ruff", "format", "--check", "."),
            run("tests", "pytest", "-q"),
        ]
        outcome, output = types.result()
    print(f"== {outcome.name}\n{output}", end="", flush=True)
    return [*outcomes, outcome]


def main(arguments: Sequence[str]) -> int:
    """The exit code of ./test."""
    if arguments:
        return subprocess.run(command("pytest", *arguments), cwd=ROOT, check=False).returncode
    outcomes = check_everything()
    print("\n== summary")
    for each in outcomes:
        print(f"{'passed' if each.passed else 'FAILED'}  {each.name} ({each.seconds:.0f} s)")
    return 0 if all(each.passed for each in outcomes) else 1


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
