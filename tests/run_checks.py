"""What ./test does once its environment is ready: linters, types and all tests; with arguments, pytest alone with them.

mypy runs beside pytest, on the other core; what it says is shown at the end. The exit code is 1 when anything failed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

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


class Beside:
    """A check that runs while others do; its output is kept until :meth:`outcome`."""

    def __init__(self, name: str, *words: str) -> None:
        self.name = name
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by outcome)
        self._begin = time.monotonic()
        self._process = subprocess.Popen(command(*words), cwd=ROOT, stdout=self._output, stderr=subprocess.STDOUT)

    def outcome(self) -> Outcome:
        """Waits for the end, shows what was said, and tells how it went."""
        code = self._process.wait()
        print(f"== {self.name}", flush=True)
        self._output.seek(0)
        sys.stdout.write(self._output.read().decode(errors="replace"))
        self._output.close()
        return Outcome(self.name, code == 0, time.monotonic() - self._begin)

    def stop(self) -> None:
        """Ends it before its time."""
        self._process.kill()
        self._process.wait()


def check_everything() -> list[Outcome]:
    """All checks, the quick ones first."""
    types = Beside("types", "mypy")
    try:
        return [
            run("lint", "ruff", "check", "."),
            run("format", "ruff", "format", "--check", "."),
            run("tests", "pytest", "-q"),
            types.outcome(),
        ]
    except BaseException:
        types.stop()
        raise


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
