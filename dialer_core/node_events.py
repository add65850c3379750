"""Events of the nodes that share a database.

It owns these classes; `events.py`, which imports them, says what an event is.
"""

from __future__ import annotations

from dialer_core.event_base import Event, event_named


@event_named("node.lost")
class NodeLost(Event, frozen=True, kw_only=True):
    """Another node that shares the database has not been heard of: its calls were ended as interrupted, and its leads are dialed by others."""

    lost_node: str
    attempts: int
    """Of its that were live."""
    agents: int
    """Who were logged in there."""
