"""The prompt of ``tagfs shell``: protocol commands go to the node as they are; put, get and a few others are done here. Layer: cli."""

from __future__ import annotations

import getpass
import os
import shlex
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tagfs.cli.failure import Failure, as_failure
from tagfs.cli.history import Editing
from tagfs.cli.output import note, printable, printable_row
from tagfs.cli.progress import Share, progress
from tagfs.cli.session import Session, debugging

if TYPE_CHECKING:
    from tagfs.client import Client

HELP = """\
find QUERY, tags, info ID, add-tags QUERY | TAG ..., delete QUERY, ... go to the node as they are; "help" asks it for them.
Here:
  put FILE [TAG ...]     store a file        get ID [FILE]   fetch a content      cat ID   show it
  lcd [DIR]  lpwd  lls   the local folder    ! COMMAND       run a local command  quit     leave (also Ctrl-D)"""
REFUSED = {
    "ADD": "here, put FILE [TAG ...] stores a file",
    "AUTH": "start tagfs with --tls instead",
}
SECOND_LINE = ("USER-ADD", "USER-PASSWD")


class Prompt:
    """One run of the shell."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._people = sys.stdin.isatty() and sys.stdout.isatty()
        self._well = True
        self._local: dict[str, Callable[[list[str]], None]] = {
            "put": self._put,
            "get": self._get,
            "cat": self._cat,
            "lcd": self._lcd,
            "lpwd": lambda _: click.echo(os.getcwd()),
            "lls": lambda words: self._run_local(shlex.join(["ls", *words])),
        }

    def run(self) -> bool:
        """Until the end of input or quit; whether nothing failed. Only a first connection that fails is raised."""
        client = self._session.client()
        if not self._people:
            while (line := sys.stdin.readline()) and self._do(line.strip()):
                pass
            return self._well
        click.echo(f"{client.address}: {printable(client.greeting)}\nhelp tells what there is; quit or Ctrl-D leaves.")
        with Editing(self._session, sorted(self._local)) as editing:
            while True:
                try:
                    line = editing.line("tagfs> ")
                except EOFError:
                    click.echo()
                    return True
                except KeyboardInterrupt:
                    click.echo()
                    continue
                if not self._do(line.strip()):
                    return True

    def _do(self, line: str) -> bool:
        """One line; False for the last one."""
        if line.lower() in ("quit", "exit", "bye"):
            return False
        try:
            self._dispatch(line)
        except KeyboardInterrupt:
            note("interrupted")
            self._session.client().reconnect()
        except click.ClickException as error:
            self._failed(error.format_message())
        except Exception as error:
            failure = as_failure(error)
            if failure is None or debugging():
                raise
            self._failed(failure.format_message())
        return True

    def _failed(self, text: str) -> None:
        self._well = False
        note(text)

    def _dispatch(self, line: str) -> None:
        if not line or line.startswith("#"):
            return
        if line.startswith("!"):
            self._run_local(line[1:])
            return
        word, _, rest = line.partition(" ")
        if word.lower() in self._local:
            try:
                words = shlex.split(rest)
            except ValueError as error:
                raise Failure(f"{word}: {error}") from error
            self._local[word.lower()](words)
        elif word.upper() in REFUSED:
            raise Failure(REFUSED[word.upper()])
        else:
            if word.lower() == "help" and not rest:
                click.echo(HELP)
            self._ask(line)

    def _ask(self, line: str) -> None:
        """Sends a line and shows the answer; rows without their space, so that they can be copied."""
        client = self._session.client()
        code = 0
        for text in client.dialogue(line):
            code = int(text[:3]) if text[:3].isdigit() else code
            click.echo(printable_row(text.removeprefix(" ")))
        if code >= 400:
            self._well = False
        elif code == 331 and line.split(" ")[0].upper() in (*SECOND_LINE, "USER"):
            secret = getpass.getpass("Password: ") if self._people else sys.stdin.readline().rstrip("\n")
            self._ask_secret(client, secret, "PASS " if line[:5].upper() == "USER " else "")

    def _ask_secret(self, client: Client, secret: str, before: str) -> None:
        for text in client.dialogue(before + secret):
            click.echo(printable(text))
            self._well = self._well and not text.startswith(("4", "5"))

    def _put(self, words: list[str]) -> None:
        from tagfs.cli.times import file_time
        from tagfs.client import Body

        if not words:
            raise Failure("put FILE [TAG ...]")
        path = os.path.expanduser(words[0])
        found = os.stat(path)
        name = os.path.basename(os.path.abspath(path))
        with progress(self._session, 1, "storing") as bar:
            share = Share(bar, found.st_size)
            body = Body(lambda: open(path, "rb"), found.st_size, path, share.piece)  # noqa: SIM115 (Body closes it)
            stored = self._session.client().add(name, body, tags=words[1:], modified=file_time(found))
        click.echo(f"{stored.id} copies={stored.have}/{stored.want}")

    def _get(self, words: list[str]) -> None:
        from tagfs.cli.downloads import Wanted, download
        from tagfs.cli.identifiers import whole_id

        if not 1 <= len(words) <= 2:
            raise Failure("get ID [FILE]")
        client = self._session.client()
        identifier = whole_id(client, words[0])
        info = client.info(identifier)
        target = os.path.expanduser(words[1]) if len(words) > 1 else info.get("name")
        directory, name = os.path.split(target) if len(words) > 1 else ("", target)
        with progress(self._session, 1, "fetching") as bar:
            ((_, outcome),) = download(client, [Wanted(identifier, name, info, directory or ".")], bar)
        if isinstance(outcome, Failure):
            raise outcome
        click.echo(os.path.join(directory, outcome))

    def _cat(self, words: list[str]) -> None:
        from tagfs.cli.identifiers import whole_id

        if len(words) != 1:
            raise Failure("cat ID")
        client = self._session.client()
        client.get(whole_id(client, words[0]), sys.stdout.buffer.write)
        sys.stdout.buffer.flush()

    def _lcd(self, words: list[str]) -> None:
        os.chdir(os.path.expanduser(words[0] if words else "~"))
        click.echo(os.getcwd())

    def _run_local(self, command: str) -> None:
        import subprocess

        if subprocess.run(command, shell=True, check=False).returncode:
            self._well = False
