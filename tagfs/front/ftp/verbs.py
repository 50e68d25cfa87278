"""The table of all verbs of the tag port. Layer: front."""

from __future__ import annotations

from collections.abc import Awaitable

from attrs import evolve

from tagfs.front.ftp import (
    file_verbs,
    tag_verbs_change,
    tag_verbs_cluster,
    tag_verbs_content,
    tag_verbs_find,
    tag_verbs_session,
    tag_verbs_users,
)
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb, table

TAG_VERBS = table(
    tag_verbs_find.VERBS,
    tag_verbs_content.VERBS,
    tag_verbs_change.VERBS,
    tag_verbs_cluster.VERBS,
    tag_verbs_users.VERBS,
    tag_verbs_session.VERBS,
)
"""The tag protocol without FTP."""


def _list(of_path: Verb, of_query: Verb) -> Verb:
    """LIST of both protocols: FTP's where a data connection was set up for it (RFC 959), else that of a query."""

    def run(exchange: Exchange) -> Awaitable[None] | None:
        files = exchange.session.files
        return (of_path if files is not None and files.data_set_up else of_query).run(exchange)

    return evolve(of_path, run=run, usage=of_query.usage, summary=of_query.summary)


_FILE_VERBS = table(file_verbs.VERBS)

VERBS = {**_FILE_VERBS, **TAG_VERBS, b"LIST": _list(_FILE_VERBS[b"LIST"], TAG_VERBS[b"LIST"])}
"""The tag protocol and FTP. What both have (HELP, NOOP, QUIT) is the former's."""
