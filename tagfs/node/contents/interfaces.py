"""IContents: the contents of a node that is not alone, wherever they lie. Layer: node.

Whoever merges records that came from elsewhere, or hears of copies from others, tells it here; whoever needs a content here or
wants to read one that is not here asks for it here. All methods are for the reactor's thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twisted.internet.defer import Deferred
from zope.interface import Interface

from tagfs.cluster.view import View
from tagfs.model.entry import Content, Entry
from tagfs.node.interfaces import Copies, Figure, IReading


class IContents(Interface):
    """What this node holds, what others hold, and the ways between."""

    def fetch(digest: bytes, size: int, sources: Sequence[str]) -> Deferred[None]:
        """Brings a content here: from the nodes ``sources`` in that order, then from any other live one that has it.

        Fires when it is durable, verified, and pinned once for this caller, who takes the pin off
        (:meth:`IBlobStore.unpin <tagfs.storage.interfaces.IBlobStore.unpin>`) once a record here refers to it. At once where it is
        here already. Several may ask for the same: it comes once. Fails with Unavailable (nobody has it, or all who do
        failed), StorageFull or ReadOnly. Cancelling gives up; the content still comes where others wait for it.
        """

    def held(node: str, contents: Iterable[tuple[str, bytes]], held: bool = True) -> Deferred[None]:
        """Notes that a node, this one included, has (or lacks) a durable copy of these contents: pairs of entry id and digest.

        Where the entry is not here (yet) or has another content, it is remembered for a while or dropped: so it may come before
        the record and too late. Of records that were merged from elsewhere this node counts as lacking the
        contents until it is told so here (or finds them in its store). What changes for this node the others hear soon.
        """

    async def read(entry: Entry, content: Content, offset: int, length: int) -> IReading:
        """A reading of a content of an entry (the current one, or a version): from here, else from nodes that have it, without
        storing it. Raises Unavailable where no live node has it; the text says which do."""

    async def copies(entry: Entry) -> tuple[Copies, Sequence[str]]:
        """How many live nodes have a durable copy of the entry's content, of how many; and the ids of all nodes that have one,
        live or not, in order."""

    def consider(ids: Iterable[str]) -> None:
        """Entries that came from elsewhere with versions: what is owed here of those is fetched, as the present contents are
        without being told."""

    def damaged(digest: bytes) -> None:
        """The copy of a content here seems to be bad: it is read again, and if it is, set aside, told to others as lacking, and
        fetched anew where this node owes it."""

    def see(view: View) -> None:
        """The cluster is now as in ``view``."""

    def figures() -> Iterable[Figure]:
        """For INode.figures: what is owed here, what moves."""
