"""Which path and method belong to which answer. Layer: front."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from tagfs.front.web.reply import Refused, Reply

if TYPE_CHECKING:
    from tagfs.front.web.exchange import Exchange

Answer = Callable[["Exchange"], Coroutine[Any, Any, Reply]]
"""Answers one request. Raises TagfsError or Refused for whatever is wrong with it."""


class Route(NamedTuple):
    """A method on a path; ``{name}`` in the path stands for one segment. ``query`` are the parameters it knows, and
    ``several`` those of them that may be repeated. ``public``: answered without a login, too. ``for_people``: a part of the
    page, so other parameters (links in mails get some appended) are passed over. ``lasting``: the answer depends on nothing
    but who asks, the URL, and what the node keeps, and holds until something changes."""

    method: str
    path: str
    answer: Answer
    query: tuple[str, ...] = ()
    several: tuple[str, ...] = ()
    public: bool = False
    for_people: bool = False
    lasting: bool = False


class Routes:
    """All routes of a listener. HEAD goes where GET goes, and OPTIONS is answered everywhere."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.all = tuple(routes)
        self._fixed: dict[tuple[str, ...], dict[str, Route]] = {}
        self._open: list[tuple[tuple[str, ...], dict[str, Route]]] = []
        for route in self.all:
            self._methods(tuple(route.path.split("/")))[route.method] = route

    def find(self, method: str, segments: tuple[str, ...]) -> tuple[Route, dict[str, str]]:
        """The route and the values of its placeholders. Raises Refused: 404 for an unknown path, 405 for a method that it
        does not have."""
        methods, values = self._at(segments)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is not None:
            return route, values
        if method == "OPTIONS":
            return Route(method, next(iter(methods.values())).path, _options(_allowed(methods))), values
        allowed = _allowed(methods)
        raise Refused(405, f"{method[:20]} is not possible here; {allowed} are", ("Allow", allowed))

    def _methods(self, pattern: tuple[str, ...]) -> dict[str, Route]:
        if not any(part.startswith("{") for part in pattern):
            return self._fixed.setdefault(pattern, {})
        for known, methods in self._open:
            if known == pattern:
                return methods
        self._open.append((pattern, {}))
        return self._open[-1][1]

    def _at(self, segments: tuple[str, ...]) -> tuple[dict[str, Route], dict[str, str]]:
        fixed = self._fixed.get(segments)
        if fixed is not None:
            return fixed, {}
        for pattern, methods in self._open:
            if len(pattern) == len(segments):
                values = {part[1:-1]: given for part, given in zip(pattern, segments, strict=True) if part[:1] == "{"}
                if all(part[:1] == "{" or part == given for part, given in zip(pattern, segments, strict=True)):
                    return methods, values
        raise Refused(404, "there is nothing at this address")


def _allowed(methods: Iterable[str]) -> str:
    extra = ("HEAD", "OPTIONS") if "GET" in methods else ("OPTIONS",)
    return ", ".join(sorted({*methods, *extra}))


def _options(allowed: str) -> Answer:
    async def options(_: Exchange) -> Reply:
        return Reply(204, headers=[("Allow", allowed)])

    return options
