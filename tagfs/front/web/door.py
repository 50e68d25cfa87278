"""What all connections of one web listener share: node, clock, routes, names, bounds, figures. Layer: front."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

from attrs import define, field
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from tagfs.front.tally import Tally
from tagfs.front.web.limits import Limits
from tagfs.front.web.metrics import Metrics
from tagfs.front.web.routes import Routes
from tagfs.front.web.sessions import Sessions
from tagfs.node.interfaces import INode

if TYPE_CHECKING:
    from tagfs.front.web.answers import Answers
    from tagfs.front.web.feed import Feed
    from tagfs.front.web.thumbnails import Studio

DOOR = "web"
"""The name of this door where things are counted."""


@define(eq=False)
class Door:
    """One listener of the web endpoint."""

    node: INode
    clock: IReactorTime
    routes: Routes
    tally: Tally
    metrics: Metrics
    studio: Studio
    feed: Feed
    sessions: Sessions
    answers: Answers
    limits: Limits = field(factory=Limits)
    names: frozenset[str] = frozenset()
    """Host names, in lower case, by which this listener may be asked for besides its address."""
    replacing: dict[str, DeferredLock] = field(factory=dict)
    """Held while a content is compared with If-Match and replaced, by entry id."""
    faults: count[int] = field(factory=lambda: count(1))
    """Numbers the internal errors, so that an answer can be found in the log."""
