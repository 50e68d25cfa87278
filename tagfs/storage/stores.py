"""Stores by URL: the scheme names an entry point, so that another engine can take an embedded store's place. Layer: storage.

An entry point of the group :data:`CATALOGS` is a function ``(url, node) -> ICatalog``, one of :data:`BLOBS` a
function ``(url) -> IBlobStore``; both raise :class:`~tagfs.errors.StartError`. The embedded schemes are known
without any installed metadata (running from a source tree) and cannot be taken over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from tagfs.errors import StartError
from tagfs.storage.interfaces import IBlobStore, ICatalog

CATALOGS = "tagfs.catalogs"
BLOBS = "tagfs.blobs"
_EMBEDDED = {
    CATALOGS: {"sqlite": "tagfs.storage.catalog:open_catalog", "memory": "tagfs.storage.memory:open_catalog"},
    BLOBS: {"file": "tagfs.storage.blobs:open_blobs", "memory": "tagfs.storage.memory_blobs:open_blobs"},
}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)


def open_catalog(url: str, node: str) -> ICatalog:
    """The catalog at ``url`` (``sqlite:///path``, ``memory:``, …), which numbers changes for the node of that id.

    Raises :class:`StartError` where the scheme is unknown or the catalog cannot be opened.
    """
    return _opener(CATALOGS, url)(url, node)  # type: ignore[no-any-return]


def open_blobs(url: str) -> IBlobStore:
    """The blob store at ``url`` (``file:///path``, ``memory:``, …). Raises as :func:`open_catalog`."""
    return _opener(BLOBS, url)(url)  # type: ignore[no-any-return]


def _opener(group: str, url: str) -> Callable[..., Any]:
    match = _SCHEME.match(url)
    if match is None:
        raise StartError(f"{url!r} is no URL of a store: it begins with a scheme, one of {_known(group)}")
    scheme = match.group(1).lower()
    embedded = _EMBEDDED[group].get(scheme)
    try:
        if embedded is not None:
            module, name = embedded.split(":")
            return getattr(import_module(module), name)  # type: ignore[no-any-return]
        for found in entry_points(group=group, name=scheme):
            return found.load()  # type: ignore[no-any-return]
    except (ImportError, AttributeError) as error:
        raise StartError(f"the store for {scheme}: cannot be loaded: {error}") from error
    raise StartError(f"no store is installed for {scheme}: (of {url!r}); there are {_known(group)}")


def _known(group: str) -> str:
    return ", ".join(f"{name}:" for name in sorted({*_EMBEDDED[group], *entry_points(group=group).names}))
