"""How much of everything a connection between nodes may take. Layer: node. docs/protocols/node.md tells the same."""

from __future__ import annotations

from typing import Final

ASKED, ASKED_BYTES, ASKED_QUEUE = 64, 16 << 20, 1024
"""Of one verb to one node: requests under way, bytes of their bodies, and how many more may wait (as many bytes again)."""
RUNNING, RUNNING_BYTES, WAITING = 16, 16 << 20, 256
"""Of one verb on one connection: requests that are worked on, bytes of their bodies, how many more may wait before BUSY."""
START_BELOW: Final = 4 << 20
"""Bytes of answers not yet taken, over which no further request is worked on."""
UNSENT_LIMIT: Final = 24 << 20
"""Bytes of answers not yet taken, over which nothing is read."""
TURN: Final = 64
"""Requests of one connection that are taken before others get their turn."""
STRANGERS, STRANGERS_PER_HOST = 256, 32
MEMBERS, CONNECTIONS_PER_NODE = 1024, 8
STRANGER_UNREAD: Final = 1 << 16
"""Bytes of a stranger's requests that are answered while earlier answers were not taken."""
STRANGER_SILENCE_S: Final = 30.0
"""A stranger that says nothing for so long is cut off."""
NODE_SILENCE_S: Final = 60.0
"""A node is asked for by its peers every second: one that is not is gone."""
HAND_SILENCE_S: Final = 600.0
STALL_S: Final = 30.0
"""Whoever takes nothing of what is for him for so long is cut off."""
DIAL_S: Final = 3.0
"""Seconds that connecting may take, of one address."""
GREET_S: Final = 5.0
"""Seconds from connected to proved."""
PAUSE_S, LONGEST_PAUSE_S = 0.1, 4.0
"""Pauses between rounds of dialling: they double, and vary by a quarter."""
SETTLED_S: Final = 5.0
"""A connection that lasted so long was a good one: after it, pauses begin anew."""
STALLED_S: Final = 1.0
"""A timer that comes so late tells that this node stood still itself: what others sent meanwhile is not read yet."""
DEAF_S: Final = 5.0
"""A node that sends nothing for so long, though it owes answers, is dialled anew."""
