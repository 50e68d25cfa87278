"""Builds a virtual environment of this checkout where it is missing or out of date, and runs a module in it.

Usage: ``python3 environment.py DIRECTORY EXTRAS MODULE [ARGUMENT…]``, where DIRECTORY is relative to the checkout. Needs
the standard library only, since it comes before everything else.

An environment is built beside its place under another name and renamed when it is complete, so an interrupted build
never looks like a finished one. Its stamp is the hash of all that it depends on. Two runs at once build once (a lock).
An environment that a process uses is never replaced under it: each process holds a shared lock on the stamp.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STAMP = "tagfs-stamp"
SWEPT = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_REQUIRE_VIRTUALENV", "VIRTUAL_ENV")
"""Variables that would make Python or pip work somewhere else than in the environment."""


class CannotBuild(Exception):
    """The environment cannot be made; the text tells the user why and what to do."""


def stamp(root: Path, place: Path, extras: str) -> str:
    """The hash of what an environment depends on: requirements, Python, and the paths that it has inside it."""
    build = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]
    parts = [(root / "setup.py").read_text(encoding="utf-8"), repr(sorted(build.items())), extras]
    parts += [sys.version, sys.base_prefix, str(place), Path(__file__).read_text(encoding="utf-8")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_current(place: Path, wanted: str) -> bool:
    try:
        return (place / STAMP).read_text() == wanted and (place / "bin/python").exists()
    except OSError:
        return False


@contextmanager
def build_lock(place: Path) -> Iterator[None]:
    """Held by the one run that builds; the others wait for it."""
    with open(place.with_name(place.name + ".lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another run is building {place.name}; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def hold(place: Path, how: int) -> int | None:
    """A lock on an environment in use, as an open file descriptor; None where it cannot be had."""
    try:
        descriptor = os.open(place / STAMP, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def install(place: Path, root: Path, extras: str) -> None:
    """Installs the checkout (editable) and what it requires, from wheels only: nothing is compiled here."""
    environment = {key: value for key, value in os.environ.items() if key not in SWEPT}
    environment |= {"PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    project = f"{root}[{extras}]" if extras else str(root)
    command = [
        str(place / "bin/python"),
        "-m",
        "pip",
        "install",
        "-qq",
        "--only-binary",
        ":all:",
        "--editable",
        project,
    ]
    if subprocess.run(command, env=environment, check=False).returncode:
        raise CannotBuild("pip could not install what is needed; it said why above. Run this again to try again.")


def rename_inside(place: Path, final: Path) -> None:
    """Writes the final path into the scripts, which name their interpreter by its whole path."""
    for script in (place / "bin").iterdir():
        if not script.is_symlink() and str(place).encode() in (text := script.read_bytes()):
            script.write_bytes(text.replace(str(place).encode(), str(final).encode()))


def check(place: Path) -> None:
    """Asks twistd for its plug-ins: tagfs must be among them. It also writes their cache, for users who cannot."""
    command = [str(place / "bin/python"), str(place / "bin/twistd"), "--help"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode or " tagfs " not in done.stdout:
        raise CannotBuild(f"the new environment does not know `twistd tagfs`: {done.stderr or done.stdout}")


def build(place: Path, root: Path, extras: str, wanted: str) -> None:
    """Makes the environment under another name, then puts it in its place. Call it with the lock held."""
    # The longer name: were it the shorter one, a first line of a script could become too long for the kernel.
    building, old = place.with_name(place.name + ".building"), place.with_name(place.name + ".old")
    for rest in (building, old):
        shutil.rmtree(rest, ignore_errors=True)
    if (place / STAMP).exists() and hold(place, fcntl.LOCK_EX) is None:
        raise CannotBuild(f"what tagfs requires has changed, but {place} is in use. Stop what runs from it first.")
    say(f"Preparing {place.name} (only at the first run; about a minute).")
    venv.create(building, with_pip=True, symlinks=True, prompt="tagfs")
    install(building, root, extras)
    check(building)
    rename_inside(building, place)
    (building / STAMP).write_text(wanted)
    os.sync()  # after a power cut, a stamp means that all files are whole
    if place.exists():
        place.rename(old)
    building.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def ensure(place: Path, root: Path, extras: str) -> int:
    """Makes sure that the environment is there and current; returns the lock that keeps it. Raises CannotBuild."""
    wanted = stamp(root, place, extras)
    while True:
        if is_current(place, wanted) and (held := hold(place, fcntl.LOCK_SH)) is not None:
            return held
        with build_lock(place):
            if not is_current(place, wanted):
                build(place, root, extras, wanted)


def explain(error: OSError, root: Path) -> str:
    text = f"{error.filename or root}: {error.strerror}"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        text += f". At the first run {root} must be writable for you (user id {os.getuid()})"
    return text


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(directory: str, extras: str, module: str, *arguments: str) -> None:
    place = ROOT / directory
    try:
        os.set_inheritable(ensure(place, ROOT, extras), True)
    except CannotBuild as error:
        sys.exit(f"tagfs: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"tagfs: {error}\n{(error.output or b'').decode(errors='replace')}")
    except OSError as error:
        sys.exit(f"tagfs: {explain(error, ROOT)}")
    for variable in ("PYTHONHOME", "PYTHONPATH"):
        os.environ.pop(variable, None)
    python = str(place / "bin/python")
    os.execv(python, [python, "-m", module, *arguments])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
