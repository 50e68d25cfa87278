"""Many contents into files, several in flight. Layer: cli."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from tagfs.cli.arriving import Arriving
from tagfs.cli.failure import Failure
from tagfs.cli.pages import AT_ONCE
from tagfs.cli.progress import Bar, Share
from tagfs.cli.times import milliseconds

if TYPE_CHECKING:
    from tagfs.client import Client, Information
    from tagfs.client.pipeline import Command


class Wanted(NamedTuple):
    """A content to fetch and the directory for it."""

    id: str
    name: str
    info: Information
    directory: str


def download(
    client: Client, wanted: list[Wanted], bar: Bar, reserved: str = ""
) -> Iterator[tuple[Wanted, str | Failure]]:
    """Fetches each into its directory; yields the name it got there, or why it failed. The path ``reserved`` is never taken."""
    from tagfs.client import SourceFailed, insistently

    open_files: dict[str, _Opening] = {}

    def command(item: Wanted) -> Command:
        from tagfs.client import Command

        before = open_files.pop(item.id, None)
        if before is not None:
            before.abort()  # the connection broke in it
        opening = open_files[item.id] = _Opening(item, bar)
        return Command(f"GET {item.id}", receive=opening.write)

    try:
        for item, reply in insistently(client, wanted, command, window=AT_ONCE):
            assert not isinstance(reply, SourceFailed)
            opening = open_files.pop(item.id)
            opening.share.done()
            if reply.code >= 400:
                opening.abort()
                yield item, Failure(f"{item.name}: {reply.text}")
                continue
            yield item, _outcome(lambda item=item, opening=opening: opening.finish(item, reserved))  # type: ignore[misc]
    finally:
        for opening in open_files.values():
            opening.abort()


def _outcome(act: Callable[[], str]) -> str | Failure:
    try:
        return act()
    except Failure as failure:
        return failure
    except OSError as error:
        return Failure(f"{error.filename}: {error.strerror}")


class _Opening:
    """Opens its file with the first byte: many are asked for before the first has come."""

    def __init__(self, item: Wanted, bar: Bar) -> None:
        self._directory = item.directory
        size = item.info.get("size")
        self.share = Share(bar, int(size) if size.isdigit() else 0)
        self._file: Arriving | None = None

    def write(self, piece: bytes) -> None:
        if self._file is None:
            self._file = Arriving(self._directory)
        self._file.write(piece)
        self.share.piece(len(piece))

    def finish(self, item: Wanted, reserved: str) -> str:
        file = self._file or Arriving(self._directory)
        modified = milliseconds(item.info.get("modified"))
        return file.finish(item.name, item.id, item.info.get("digest"), modified, reserved)

    def abort(self) -> None:
        if self._file is not None:
            self._file.abort()
