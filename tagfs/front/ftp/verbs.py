"""The table of all verbs of the tag port. Layer: front."""

from __future__ import annotations

from collections.abc import Awaitable
from importlib import import_module
from importlib.util import find_spec

from attrs import evolve

from tagfs.front.ftp import (
    tag_verbs_change,
    tag_verbs_cluster,
    tag_verbs_content,
    tag_verbs_find,
    tag_verbs_session,
)
from tagfs.front.ftp.exchange import Exchange
from tagfs.front.ftp.verb import Verb, table

TAG_VERBS = table(
    tag_verbs_find.VERBS,
    tag_verbs_content.VERBS,
    tag_verbs_change.VERBS,
    tag_verbs_cluster.VERBS,
    tag_verbs_session.VERBS,
)
"""The tag protocol without FTP."""


def _file_verbs() -> dict[bytes, Verb]:
    if find_spec("tagfs.front.ftp.file_verbs") is None:
        return {}
    return table(import_module("tagfs.front.ftp.file_verbs").VERBS)


def _list(of_path: Verb, of_query: Verb) -> Verb:
    """LIST of both protocols: FTP's where a data connection was set up for it (RFC 959), else that of a query."""

    def run(exchange: Exchange) -> Awaitable[None] | None:
        files = exchange.session.files
        return (of_path if files is not None and files.data_set_up else of_query).run(exchange)

    return evolve(of_path, run=run, usage=of_query.usage, summary=of_query.summary)


def _all() -> dict[bytes, Verb]:
    files = _file_verbs()
    verbs = {**TAG_VERBS, **{name: verb for name, verb in files.items() if name not in TAG_VERBS}}
    if b"LIST" in files:
        verbs[b"LIST"] = _list(files[b"LIST"], TAG_VERBS[b"LIST"])
    return verbs


VERBS = _all()
"""The tag protocol and FTP."""
