"""The click classes of tagfs: global options that may stand anywhere, lazy loading, and one way to fail. Layer: cli."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from tagfs.cli.failure import BROKEN_PIPE, INTERRUPTED, UsageFailure, as_failure
from tagfs.cli.session import Session, debugging


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and value is not False and not context.resilient_parsing:
        assert parameter.name is not None
        setattr(context.ensure_object(Session), parameter.name, value)
    elif value and context.resilient_parsing and parameter.name == "server":
        context.ensure_object(Session).server = value  # completion asks the same server


def global_options(*, environment: bool) -> list[click.Parameter]:
    """The options that every command takes, before or after its name; the environment is read once, by the group."""

    def variable(name: str) -> str | None:
        return name if environment else None

    def option(*names: str, **more: Any) -> click.Option:
        return click.Option(names, callback=_keep, expose_value=False, hidden=not environment, **more)

    return [
        option("--server", metavar="HOST:PORT", envvar=variable("TAGFS_SERVER"), help="The node [127.0.0.1:2121]."),
        option("--user", metavar="NAME", envvar=variable("TAGFS_USER"), help="Log in as this user."),
        option(
            "--password-file", metavar="FILE", envvar=variable("TAGFS_PASSWORD_FILE"),
            help="Its first line is the password; - is the standard input.",
        ),
        option("--json", is_flag=True, default=None, help="Print JSON, for machines."),
        option("--timeout", type=click.FloatRange(0.1, 3600), metavar="SECONDS", help="Give up after this much silence [60]."),
        option("--tls", is_flag=True, default=None, help="Secure the connection (AUTH TLS)."),
        option(
            "--tls-certificate", metavar="FILE", envvar=variable("TAGFS_TLS_CERTIFICATE"),
            help="Secure it, and trust just this certificate (PEM).",
        ),
    ]  # fmt: skip


class Command(click.Command):
    """A command that also takes the global options, behind its own; one that it has itself means something else there."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        taken = {name for parameter in self.params for name in parameter.opts}
        self.params += [option for option in global_options(environment=False) if taken.isdisjoint(option.opts)]


class QueryCommand(Command):
    """A command with a query: explains what to do where ``-tag`` was taken for an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            hint = "to exclude a tag write 'not TAG', or put -- before the query"
            raise click.UsageError(f"{error.format_message()} ({hint})", ctx) from error


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used.

    ``lazy`` maps a command's name to ``module:attribute``.
    """

    command_class = Command

    def __init__(self, *args: Any, lazy: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order they were given: the common ones first."""
        return [*self._lazy, *sorted(self.commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        place = self._lazy.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; a name that is almost one says which."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            if near and "mean" not in error.format_message():
                raise click.UsageError(f"{error.format_message()} Did you mean '{near[0]}'?", ctx) from error
            raise


class MainGroup(LazyGroup):
    """The outermost group: turns every error into one line and an exit code, and closes the connection."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command."""
        session = ctx.ensure_object(Session)
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except KeyboardInterrupt:
            click.echo("tagfs: interrupted", err=True)
            ctx.exit(INTERRUPTED)
        except EOFError:
            raise UsageFailure("an answer was needed and there is none (-y answers yes)") from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            # The reader of our output has gone. What is still buffered must not be written at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(BROKEN_PIPE)
        except Exception as error:
            failure = as_failure(error)
            if failure is None or debugging():
                raise
            raise failure from error
        finally:
            session.close()
