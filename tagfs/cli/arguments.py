"""Arguments and options that several commands take. Layer: cli."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from tagfs.cli.completion import complete_query, complete_tag

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def query_words(*, required: bool) -> Callable[[Decorated], Decorated]:
    """The words of a query as one text, ``query``."""

    def join(context: click.Context, _: click.Parameter, words: Sequence[str]) -> str:
        query = checked_query(" ".join(words))
        if required and not query and not context.resilient_parsing:
            raise click.UsageError("say which entries: the query is empty")
        return query

    return click.argument("query", nargs=-1, required=required, callback=join, shell_complete=complete_query)


def one_query(*, empty: bool = False) -> Callable[[Decorated], Decorated]:
    """A query as one argument (quote it in the shell), where other arguments follow; ``empty``: all entries may be meant."""

    def check(context: click.Context, _: click.Parameter, query: str) -> str:
        if not empty and not query.strip() and not context.resilient_parsing:
            raise click.UsageError("say which entries: the query is empty")
        return checked_query(query)

    return click.argument("query", callback=check, shell_complete=complete_query)


def checked_query(query: str) -> str:
    """The query, if it can be sent as one line."""
    from tagfs.client.errors import ClientError
    from tagfs.client.text import check_query

    try:
        return check_query(query.strip())
    except ClientError as error:
        raise click.UsageError(str(error)) from error


def tag_words() -> Callable[[Decorated], Decorated]:
    """One or more tags, each checked before anything is sent."""
    return click.argument("tags", nargs=-1, required=True, callback=_checked_tags, shell_complete=complete_tag)


def tag_option() -> Callable[[Decorated], Decorated]:
    """``-t TAG``, several times."""
    return click.option(
        "-t", "--tag", "tags", multiple=True, metavar="TAG", callback=_checked_tags, shell_complete=complete_tag,
        help="Give this tag; several times for several tags.",
    )  # fmt: skip


def _checked_tags(context: click.Context, parameter: click.Parameter, tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(checked_tag(tag) for tag in tags)


def checked_tag(tag: str) -> str:
    """The tag, if it is one."""
    from tagfs.errors import BadRequest
    from tagfs.model.names import check_tag

    try:
        return check_tag(tag)
    except BadRequest as error:
        raise click.UsageError(str(error)) from error


def yes_option() -> Callable[[Decorated], Decorated]:
    """``-y``: no question is asked."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def dry_run_option() -> Callable[[Decorated], Decorated]:
    """``--dry-run``: say what would be done."""
    return click.option("-n", "--dry-run", is_flag=True, help="Only say what would be done.")
