"""Saved searches: records ``search``/<name> with the text of a tag-query in the field ``query``. Layer: model."""

from __future__ import annotations

from tagfs.model.names import check_name, name_key
from tagfs.model.record import Field, Record
from tagfs.model.stamp import Stamp

KIND = "search"


def check_search(name: str) -> str:
    """``name`` as that of a saved search, in NFC: it shows as a directory, so the rules of file names hold.
    Raises :class:`~tagfs.errors.BadRequest`."""
    return name_key(check_name(name))


def saved(name: str, query: str, stamp: Stamp) -> Record:
    """A change that saves a query under a name (:func:`check_search`), in place of any that was there."""
    return Record(KIND, name, {"query": Field(query, stamp)})


def forgotten(name: str, stamp: Stamp) -> Record:
    """A change that forgets a saved search."""
    return Record(KIND, name, {"query": Field(None, stamp)})


def query_of(record: Record) -> str | None:
    """The text of the saved query; None where it was forgotten."""
    query = record.value("query")
    return query if isinstance(query, str) else None
