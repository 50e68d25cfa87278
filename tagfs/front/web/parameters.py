"""Parameters of the URL and JSON bodies, read into values; whatever is wrong is BadRequest with its name. Layer: front."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl

import orjson

from tagfs.errors import BadRequest

_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
MAX_PARAMETERS = 1100
"""Parameters of one URL: all the tags that one request may give, and some."""


class Parameters:
    """The query part of a URL. Names that the route does not know, and repeated ones, are refused: a typing error in
    ``limit`` must not give everything."""

    def __init__(self, raw: str, known: Collection[str], several: Collection[str] = ()) -> None:
        self._given: dict[str, list[str]] = {}
        if not raw:
            return
        if _PERCENT.search(raw):
            raise BadRequest("the part behind ? has a % without two hex digits after it")
        try:
            pairs = parse_qsl(raw, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
        except UnicodeDecodeError:
            raise BadRequest("the part behind ? is not UTF-8") from None
        except ValueError:
            raise BadRequest(f"the part behind ? has more than {MAX_PARAMETERS} parameters") from None
        for name, value in pairs:
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise BadRequest(f"{name[:40]!r} is no parameter here; known are: {allowed}")
            if name in self._given and name not in several:
                raise BadRequest(f"the parameter {name} is given twice")
            self._given.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """A parameter's value."""
        return self._given.get(name, [default])[0]

    def optional(self, name: str) -> str | None:
        """A parameter's value, or None where it is not given."""
        return self._given.get(name, [None])[0]

    def texts(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated."""
        return self._given.get(name, [])

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        text = self.optional(name)
        if text is None:
            return default
        if not re.fullmatch("[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise BadRequest(f"{name}={text[:40]}: give a whole number from {low} to {high}")
        return int(text)

    def switch(self, name: str) -> bool:
        """true or false; false where it is not given."""
        text = self.text(name, "false")
        if text not in ("true", "false"):
            raise BadRequest(f"{name}={text[:40]}: give true or false")
        return text == "true"


NO_PARAMETERS = Parameters("", ())


def read_object(data: bytes, members: Mapping[str, type]) -> dict[str, object]:
    """A JSON object whose members are among ``members``, with values of their types: ``str``, or ``list`` of texts."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body is JSON, but not an object")
    for name, given in value.items():
        if name not in members:
            raise BadRequest(f"{name[:40]!r} is no member here; known are: {', '.join(members)}")
        if members[name] is str and not isinstance(given, str):
            raise BadRequest(f"{name} must be a text")
        if members[name] is list and not (isinstance(given, list) and all(isinstance(each, str) for each in given)):
            raise BadRequest(f"{name} must be a list of texts")
    return value
