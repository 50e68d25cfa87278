"""All routes of the web endpoint (PROTOCOLS, "Web endpoint"). Layer: front."""

from __future__ import annotations

from tagfs.front.web import account, archive, bulk, contents, entries, events, page, status, thumbnails

_PARTS = (account, entries, contents, thumbnails, archive, bulk, status, events, page)

ROUTES = tuple(route for part in _PARTS for route in part.ROUTES)
