"""Services that only members of the cluster get an answer from. Layer: node."""

from __future__ import annotations

from collections.abc import Callable

from tagfs.cluster.view import View
from tagfs.errors import Forbidden, Unavailable
from tagfs.node.peers.interfaces import Caller, Service
from tagfs.wire.node_messages import Answer, Call


def members_only(me: str, view: Callable[[], View | None], service: Service) -> Service:
    """``service`` of the node ``me`` for those who belong to the cluster by its present ``view``.

    Who left or was forgotten has to join anew, and merges nothing of its old records; who is not known yet may try again.
    """

    async def checked(caller: Caller, call: Call) -> Answer:
        seen = view()
        member = None if seen is None else seen.members.get(caller.node)
        if member is None:
            raise Unavailable(f"{me} does not know {caller.node or 'the caller'} as a member (yet)")
        if not member.present:
            raise Forbidden(f"{caller.node} has left the cluster or was forgotten; it has to join anew")
        return await service(caller, call)

    return checked
