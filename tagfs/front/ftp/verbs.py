"""The table of all verbs of the tag port. Layer: front."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from tagfs.front.ftp import tag_verbs_session
from tagfs.front.ftp.verb import Verb, table


def _file_verbs() -> tuple[Verb, ...]:
    if find_spec("tagfs.front.ftp.file_verbs") is None:
        return ()
    verbs: tuple[Verb, ...] = import_module("tagfs.front.ftp.file_verbs").VERBS
    return verbs


VERBS = table(_file_verbs(), tag_verbs_session.VERBS)
