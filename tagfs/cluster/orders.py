"""What operators may order about members, and what that writes. Layer: cluster."""

from __future__ import annotations

from collections.abc import Mapping

from tagfs.cluster.members import check_settings
from tagfs.cluster.view import Member, View
from tagfs.errors import Conflict, NotFound, Unavailable
from tagfs.model.record import Value


def find_member(view: View, text: str) -> Member:
    """The member of that id, name, or beginning of an id. Raises NotFound, or Conflict where there are several."""
    found = view.members.get(text)
    if found is not None:
        return found
    shown = [member for member in view.members.values() if member.state != "forgotten"]
    fit = [member for member in shown if member.name == text] or [
        member for member in shown if len(text) >= 4 and member.id.startswith(text)
    ]
    if not fit:
        raise NotFound(f"there is no node {text[:64]!r} in the cluster; NODES lists them")
    if len(fit) > 1:
        raise Conflict(
            f"{text[:64]!r} may mean {len(fit)} nodes; give an id: {', '.join(member.id for member in fit[:8])}"
        )
    return fit[0]


def order(view: View, what: str, member: Member) -> Mapping[str, Value]:
    """The fields that ``leave``, ``forget`` or ``drain`` writes to a member's record; none where it is so already.

    Raises Conflict where that must not be done to this node now.
    """
    state = {"leave": "left", "forget": "forgotten", "drain": "draining"}[what]
    name = f"node {member.name} ({member.id})"
    alive = member.id in view.alive or view.states.get(member.id) in ("alive", "suspect")
    if not view.cluster:
        raise Unavailable("this node is not in a cluster yet")
    me = view.members.get(view.me)
    if me is None or not me.present:
        raise Unavailable("this node does not belong to the cluster any more; ask another one")
    if member.state == state or (what == "leave" and member.state == "forgotten"):
        return {}
    if what == "forget" and member.present and alive:
        raise Conflict(f"{name} is alive; let it leave")
    if what == "leave" and not alive:
        raise Conflict(
            f"{name} does not answer, so it cannot hand over what it has; forget it, if it does not come back"
        )
    if what == "drain" and not member.present:
        raise Conflict(f"{name} does not belong to the cluster any more")
    if {place.node for place in view.layout.places} <= {member.id} and what != "forget":
        raise Conflict(f"{name} is the last one that contents are placed on")
    return {"state": state}


def settings_change(view: View, changed: Mapping[str, Value]) -> Mapping[str, Value]:
    """The fields that new settings write. Raises BadRequest, or Conflict where they do not go together."""
    if not view.cluster:
        raise Unavailable("this node is not in a cluster yet")
    check_settings(changed)
    after = view.settings._replace(**changed)  # type: ignore[arg-type]
    if after.write_copies > after.copies:
        raise Conflict(f"write_copies {after.write_copies} is more than copies {after.copies}")
    return {key: value for key, value in changed.items() if getattr(view.settings, key) != value}
