"""Which nodes hold the content of which rows. Layer: storage."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from pyroaring import BitMap


class Holders:
    """Rows by the node that confirmed a durable copy of their content.

    This node holds every row that it was not told to lack. Copies of a row are counted among the nodes that are
    alive; at first that is this node alone.
    """

    def __init__(self, node: str) -> None:
        self.node = node
        self.lacking = BitMap()
        """Rows whose content this node does not hold."""
        self.others: dict[str, BitMap] = {}
        """Per other node, the rows whose content it holds."""
        self.news = BitMap()
        """Rows with something new about this node's copy."""
        self.alive: frozenset[str] = frozenset((node,))

    def put(self, node: str, rows: Iterable[int], held: bool) -> None:
        """Notes that a node holds, or does not hold, the contents of these rows."""
        changed = BitMap(rows)
        if node == self.node:
            self.news |= changed & self.lacking if held else changed - self.lacking
            held = not held
        known = self.lacking if node == self.node else self.others.setdefault(node, BitMap())
        if held:
            known |= changed
        else:
            known -= changed

    def forget(self, row: int) -> None:
        """Forgets what is known of a row."""
        self.news.discard(row)
        self.lacking.discard(row)
        for rows in self.others.values():
            rows.discard(row)

    def renew(self, row: int, here: bool) -> None:
        """A row has a new content; whether this node holds it."""
        self.forget(row)
        self.begin((row,), here)

    def begin(self, rows: Iterable[int], here: bool) -> None:
        """These rows are new; whether this node holds their contents."""
        self.news.update(rows)
        if not here:
            self.lacking.update(rows)

    def take_news(self, limit: int) -> BitMap:
        """At most ``limit`` of :attr:`news`, which are none any more."""
        taken = self.news[:limit] if len(self.news) > limit else self.news
        self.news = self.news - taken
        return taken

    def nodes(self) -> Collection[str]:
        """All nodes that may hold something."""
        return (self.node, *self.others)

    def rows(self, node: str, within: BitMap) -> BitMap:
        """Those rows of ``within`` whose content the node holds."""
        if node == self.node:
            return within - self.lacking
        return within & self.others.get(node, BitMap())

    def with_copies(self, low: int | None, high: int | None, within: BitMap) -> BitMap:
        """Those rows of ``within`` that have from ``low`` to ``high`` copies."""
        alive = [node for node in self.nodes() if node in self.alive]
        least = max(0, low or 0)
        most = len(alive) if high is None else min(high, len(alive))
        if least > most:
            return BitMap()
        # at_least[n]: rows held by n or more of the nodes seen so far.
        at_least = [within, *(BitMap() for _ in range(most + 1))]
        for node in alive:
            held = self.rows(node, within)
            for count in range(most, -1, -1):
                at_least[count + 1] = at_least[count + 1] | (at_least[count] & held)
        return at_least[least] - at_least[most + 1]
