"""What the shell may complete: tags from the node, asked with a short time-out. Layer: cli.

Completion never shows an error: a node that does not answer gives no completions.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from tagfs.cli.session import Session

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

TIMEOUT = 0.7
"""Seconds that a person waits for a completion."""
MOST = 200
_LAST_WORD = re.compile(r"(.*[\s(])?(-?)([^\s(]*)\Z", re.DOTALL)


def complete_tag(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Tags that begin so, the most used first."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(tag, help=str(count)) for tag, count in known_tags(context, incomplete)]


def complete_query(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The same for the last word of a query."""
    from click.shell_completion import CompletionItem

    from tagfs.model.query.lexicon import write_tag

    match = _LAST_WORD.match(incomplete)
    assert match is not None
    before, minus, word = match[1] or "", match[2], match[3]
    found = known_tags(context, word.lstrip('"'))
    return [CompletionItem(before + minus + write_tag(tag), help=str(count)) for tag, count in found]


def known_tags(context: click.Context, prefix: str) -> list[tuple[str, int]]:
    """Tags that begin with ``prefix``; none where the node does not answer."""
    from tagfs.client.errors import ClientError
    from tagfs.errors import TagfsError

    session = context.find_root().ensure_object(Session)
    try:
        with session.connect(TIMEOUT) as client:
            return client.tags(prefix=prefix or None, limit=MOST, sort="count")
    except (ClientError, TagfsError, click.ClickException, OSError):
        return []
