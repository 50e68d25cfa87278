"""IReplication: what storing and changing want of the other nodes; and the answers where there are none. Layer: node."""

from __future__ import annotations

from zope.interface import Attribute, Interface, implementer

from tagfs.node.interfaces import Copies


class IReplication(Interface):
    """How far what this node wrote has come. All methods are for the reactor's thread."""

    complete = Attribute("bool: whether all that every member had durable two seconds ago is here.")

    def check_reach() -> None:
        """Raises Unavailable where a new content could not get the copies that an answer needs: nothing is to be stored."""

    async def stored(entry: str, digest: bytes) -> Copies:
        """Waits until a new content of an entry, just made durable here, has the copies that an answer needs. Raises
        Unavailable where they are not to be had in time; the content is kept, and its copies will be completed."""

    async def changed() -> Copies:
        """The copies of what was last written here (records only), as known within a second."""

    def copies(have: int) -> Copies:
        """``have`` copies, of as many as there are to be."""

    def is_first(entry: str) -> bool:
        """Whether this node is the one that ends the entry's time in the trash: the first live owner of its partition."""


@implementer(IReplication)
class Unreplicated:
    """A node that is alone: one copy is all."""

    complete = True

    def check_reach(self) -> None:
        """There is nobody to reach."""

    async def stored(self, entry: str, digest: bytes) -> Copies:
        return Copies(1, 1)

    async def changed(self) -> Copies:
        return Copies(1, 1)

    def copies(self, have: int) -> Copies:
        return Copies(have, 1, have < 1)

    def is_first(self, entry: str) -> bool:
        return True
