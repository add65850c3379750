"""What the host and the engine say to each other. See `messages.py`, from which everybody imports them."""

from __future__ import annotations

from typing import Any

import msgspec

from dialer_core.ipc.base import Message


class HostCommand(Message, frozen=True, kw_only=True, tag="host_command"):
    """Host → engine: one command of `/api/v1`, e.g. `agents.login`, `campaigns.pause`; answered by a `HostReply` with the same id."""

    request_id: int
    name: str
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    actor: str = ""


class HostReply(Message, frozen=True, kw_only=True, tag="host_reply"):
    """`error` empty: done. `kind`: `refused` (understood, not now), `unknown` (no such thing), `invalid` (bad arguments), `internal`."""

    request_id: int
    result: Any = None
    error: str = ""
    kind: str = ""


class EventsCommitted(Message, frozen=True, kw_only=True, tag="events_committed"):
    """Engine → host: the event log has rows up to `seq` of source `engine`: read them. Bulk-free wake-up, never the events themselves."""

    seq: int


EngineToHost = HostReply | EventsCommitted
HostToEngine = HostCommand
