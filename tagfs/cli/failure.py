"""How a command fails: one line on the standard error and an exit code. Layer: cli.

0: done. 1: nothing matched, or it failed. 2: wrong usage, a query that cannot be read included. 130: interrupted.
"""

from __future__ import annotations

from typing import IO, Any

import click

NOTHING = 1
FAILED = 1
USAGE = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 + SIGPIPE, as every Unix tool ends whose reader has gone."""


class Failure(click.ClickException):
    """Something failed; exit code 1."""

    exit_code = FAILED

    def show(self, file: IO[Any] | None = None) -> None:
        """One line, in which nothing can move the cursor."""
        from tagfs.cli.output import printable

        click.echo(f"tagfs: {printable(self.format_message())}", file=file, err=file is None)


class UsageFailure(Failure):
    """Something was asked wrongly; exit code 2."""

    exit_code = USAGE


def as_failure(error: Exception) -> Failure | None:
    """What an error of the layers below means to the user; None for one that is a bug."""
    from tagfs.client.errors import BadArgument, ClientError, NoGreeting, NotLoggedIn, TimedOut, Untrusted
    from tagfs.errors import BadRequest, TagfsError

    if isinstance(error, BadArgument | BadRequest):
        return UsageFailure(str(error))
    if isinstance(error, NotLoggedIn):
        return Failure(f"{error} (--user or TAGFS_USER, and TAGFS_PASSWORD_FILE)")
    if isinstance(error, Untrusted):
        return Failure(f"{error} (--tls-certificate FILE trusts the node's own certificate)")
    if isinstance(error, TimedOut) and not isinstance(error, NoGreeting):
        return Failure(f"{error} (--timeout gives it longer)")
    if isinstance(error, ClientError | TagfsError):
        return Failure(str(error))
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Failure(f"{where}{error.strerror or error}")
    return None
