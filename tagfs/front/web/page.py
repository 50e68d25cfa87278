"""The page for people: packaged files, served under a strict policy. Layer: front."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from importlib.resources import files

from tagfs.front.web.conditions import is_unchanged
from tagfs.front.web.exchange import Exchange
from tagfs.front.web.login import PAGE
from tagfs.front.web.reply import Reply
from tagfs.front.web.routes import Route

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""The page has no script or style of its own text, and nothing comes from elsewhere."""
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_ASSETS = tuple(sorted(item.name for item in files(__package__).joinpath("assets").iterdir()))


@cache
def _asset(name: str) -> tuple[bytes, str]:
    """The bytes of an asset, and its tag."""
    data = files(__package__).joinpath("assets", name).read_bytes()
    return data, sha256(data).hexdigest()[:32]


def _route(path: str, name: str, public: bool = True) -> Route:
    async def answer(exchange: Exchange) -> Reply:
        data, tag = _asset(name)
        reply = Reply(200, data, _TYPES[name.rpartition(".")[2]], policy=POLICY, cache="no-cache")
        reply.headers.append(("ETag", f'"{tag}"'))
        if is_unchanged(exchange.header("if-none-match"), tag):
            reply.status, reply.body, reply.type = 304, b"", ""
        return reply

    return Route("GET", path, answer, public=public, for_people=True)


_PAGES = {"index.html", "login.html"}
ROUTES = (
    _route("/", "index.html", public=False),
    _route(PAGE, "login.html"),
    *(_route(f"/assets/{name}", name) for name in _ASSETS if name not in _PAGES),  # code, no secrets
)
