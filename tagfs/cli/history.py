"""Line editing, history and completion of the shell's prompt, where readline is there. Layer: cli."""

from __future__ import annotations

import os
from types import ModuleType, TracebackType

import click

from tagfs.cli.completion import TIMEOUT
from tagfs.cli.session import Session

KEPT = 2000
"""Lines of history."""
SECRET = ("PASS", "USER-ADD", "USER-PASSWD")
"""Verbs whose lines are not remembered."""
QUERY_VERBS = (
    "FIND",
    "LIST",
    "COUNT",
    "TAGS",
    "ADD-TAGS",
    "DELETE-TAGS",
    "DELETE",
    "RESTORE",
    "PURGE",
    "RENAME-TAG",
    "SAVE",
    "PUT",
)
VERBS = (
    *QUERY_VERBS, "INFO", "GET", "RENAME", "DELETE-TAG", "SAVED", "UNSAVE", "NODES", "SYNC", "HELP", "NOOP", "QUIT",
)  # fmt: skip


class Editing:
    """Reads lines with editing; the history is kept under XDG_STATE_HOME."""

    def __init__(self, session: Session, local: list[str]) -> None:
        self._session = session
        self._words = sorted({*local, *(verb.lower() for verb in VERBS)})
        self._readline: ModuleType | None = None
        self._matches: list[str] = []

    def __enter__(self) -> Editing:
        try:
            import readline
        except ImportError:
            return self
        self._readline = readline
        readline.set_completer(self._complete)
        readline.set_completer_delims(" \t()")
        readline.parse_and_bind("tab: complete")
        readline.set_history_length(KEPT)
        try:
            readline.read_history_file(_file())
        except OSError:
            pass  # none yet
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._readline is None:
            return
        try:
            os.makedirs(os.path.dirname(_file()), mode=0o700, exist_ok=True)
            self._readline.write_history_file(_file())
        except OSError as problem:
            click.echo(f"tagfs: the history was not kept: {problem}", err=True)

    def line(self, prompt: str) -> str:
        """The next line. Raises EOFError at the end."""
        text = input(prompt)
        if self._readline is not None and text.split(" ")[0].upper() in SECRET:
            self._readline.remove_history_item(self._readline.get_current_history_length() - 1)
        return text

    def _complete(self, text: str, state: int) -> str | None:
        if state == 0:
            assert self._readline is not None
            before = self._readline.get_line_buffer()[: self._readline.get_begidx()].split()
            self._matches = self._choices(text, before)
        return self._matches[state] if state < len(self._matches) else None

    def _choices(self, text: str, before: list[str]) -> list[str]:
        if not before:
            return [word + " " for word in self._words if word.startswith(text.lower())]
        if before[0].upper() == "PUT" and len(before) == 1:
            return _files(text)
        return self._tags(text) if before[0].upper() in QUERY_VERBS else []

    def _tags(self, text: str) -> list[str]:
        from tagfs.client import ClientError
        from tagfs.model.query.lexicon import write_tag

        try:
            with self._session.connect(TIMEOUT) as client:
                return [write_tag(tag) + " " for tag, _ in client.tags(prefix=text.lstrip('"') or None, limit=100)]
        except (ClientError, click.ClickException):
            return []


def _files(text: str) -> list[str]:
    from glob import escape, glob

    return sorted(name + "/" if os.path.isdir(name) else name for name in glob(escape(text) + "*"))


def _file() -> str:
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "tagfs", "history")
