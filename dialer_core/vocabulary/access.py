"""Words of access: what people who log in are here for, and what a bearer may do.

Which role has which scopes is in `web/principals.py`.
"""

from __future__ import annotations

import enum


class Scope(enum.StrEnum):
    """What a bearer may do. The node's own token may do all."""

    READ = "read"
    """See status, calls, agents, campaigns and events."""
    CONTROL = "control"
    """Command campaigns, agents and calls."""
    RECORDS = "records"
    """See people's data: accounts, leads and recordings."""
    DESK = "desk"
    """Be an agent: their own state, their own conversation and whom they talk to. Of no use without an agent's name."""
    VISITS = "visits"
    """Visit people: their own visits, and nobody else's."""
    PBX = "pbx"
    """Speak for another telephone system: how its agents are, and that one of them has a call."""
    ADMIN = "admin"
    """Make, change and disable users and tokens."""


class Role(enum.StrEnum):
    """What somebody who logs in is here for."""

    ADMIN = "admin"
    """Everything, users included."""
    SUPERVISOR = "supervisor"
    """The status page, commands, listening in, recordings."""
    AGENT = "agent"
    """Their own desk, and nothing else."""
    VISITOR = "visitor"
    """Their own visits, and nothing else."""
