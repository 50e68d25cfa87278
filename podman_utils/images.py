"""The images: which there are, what they are built of, and in which order."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from attrs import frozen

from podman_utils.bases import PYTHON_BASE, ROUTER_BASE
from podman_utils.description import GENERAL_IMAGE, NODE_IMAGE
from podman_utils.engine import Engine
from podman_utils.errors import EngineFault, Fault
from podman_utils.plan import ROUTER_IMAGE

IGNORE_FILE = ".containerignore"
LABELS = {"tagfs.made-by": "tagfs-podman"}


@frozen
class Image:
    """One dockerfile: the image that it makes, what that is built on, and the local base that can take its place."""

    name: str
    dockerfile: str
    on: str | None = None
    local_base: str | None = None


IMAGES = (
    Image(GENERAL_IMAGE, "dockerfiles/distributed_python.dockerfile", local_base=PYTHON_BASE),
    Image(NODE_IMAGE, "dockerfiles/tagfs.dockerfile", on=GENERAL_IMAGE),
    Image(ROUTER_IMAGE, "dockerfiles/router.dockerfile", local_base=ROUTER_BASE),
)
"""In the order in which they must be built."""


def build(engine: Engine, source: Path, *, local: bool, say: Callable[[str], None]) -> dict[str, str]:
    """Builds all images from a checkout, on local bases or on those of the dockerfiles; their ids by name."""
    context = make_context(source)
    ids = {}
    for image in IMAGES:
        base = image.on or (image.local_base if local else None)
        say(f"building {image.name}")
        arguments = {"BASE": base} if base else {}
        try:
            for text in engine.build(image.dockerfile, io.BytesIO(context), image.name, arguments, LABELS):
                for line in text.splitlines():
                    say(f"  {line}")
        except EngineFault as fault:
            if base is None:
                raise EngineFault(f"{fault} (where no registry can be reached: --local-bases)") from fault
            raise
        ids[image.name] = engine.image_id(image.name) or ""
        say(f"{image.name}: {ids[image.name]}")
    return ids


def make_context(source: Path) -> bytes:
    """What the dockerfiles copy, as a tar: what .containerignore lets through. Fault: this is no checkout of tagfs.

    ``podman build`` reads the same file. It says ``*`` first, then one ``!NAME`` for each file or folder that is taken, then
    patterns of names that are left out wherever they are.
    """
    try:
        lines = (source / IGNORE_FILE).read_text().split()
    except OSError as error:
        raise Fault(f"{source} is no checkout of tagfs: {IGNORE_FILE}: {error.strerror}") from error
    taken = [line[1:] for line in lines if line.startswith("!")]
    left_out = {line.removeprefix("**/") for line in lines if line.startswith("**/")}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for path in _files(source, taken, left_out):
            archive.add(path, path.relative_to(source).as_posix(), recursive=False, filter=_anonymous)
    return buffer.getvalue()


def _files(source: Path, taken: Sequence[str], left_out: set[str]) -> Iterator[Path]:
    for name in taken:
        top = source / name
        if not top.exists():
            raise Fault(f"{source} is no checkout of tagfs: it has no {name}")
        for path in [top, *sorted(top.rglob("*"))]:
            if not left_out.intersection(path.relative_to(source).parts):
                yield path


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the owner and the time: they would make layers differ that are the same."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    return entry
