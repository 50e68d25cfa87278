"""Entry ids as people give them: whole, or their last characters. Layer: cli."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tagfs.cli.failure import Failure, UsageFailure

if TYPE_CHECKING:
    from tagfs.client import Client

ID_LENGTH = 26
SHORTEST = 4
_ALPHABET = frozenset("0123456789abcdefghjkmnpqrstvwxyz")


def whole_id(client: Client, text: str) -> str:
    """The entry id that ``text`` is, or is the end of. In the trash, too."""
    folded = text.lower().removeprefix("id:")
    if not _ALPHABET.issuperset(folded) or not SHORTEST <= len(folded) <= ID_LENGTH:
        raise UsageFailure(
            f"{text[:80]!r} is no entry id: list shows them; its last {SHORTEST} characters or more will do"
        )
    if len(folded) == ID_LENGTH:
        return folded
    for query in (f"id:{folded}", f"id:{folded} and in:trash"):
        found = list(client.find(query, limit=2))
        if len(found) > 1:
            raise Failure(f"{text}: more than one entry id ends so; give more of it")
        if found:
            return found[0].id
    raise Failure(f"{text}: no entry id ends so")
