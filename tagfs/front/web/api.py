"""All routes of the web endpoint (PROTOCOLS, "Web endpoint"). Layer: front."""

from __future__ import annotations

from tagfs.front.web import bulk, contents, entries, feed, page, status, thumbnails

ROUTES = (
    *entries.ROUTES,
    *contents.ROUTES,
    *thumbnails.ROUTES,
    *bulk.ROUTES,
    *status.ROUTES,
    *feed.ROUTES,
    *page.ROUTES,
)
