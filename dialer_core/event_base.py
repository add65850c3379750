"""What every event is made of: the common fields, the stored row, and the registry by name.

It owns the shapes. The events themselves are `events.py`'s, `voice_events.py`'s and `message_events.py`'s;
`EVENTS` holds all of them once `events` is imported.
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from dialer_core.vocabulary import AccountId, AttemptId, CampaignId

COMMON_FIELDS = frozenset({"campaign_id", "account_id", "attempt_id", "at_mono_ns"})


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base: the ids an event may carry. `at_mono_ns` is when it happened at its source (0: when it is written)."""

    name: ClassVar[str] = ""
    campaign_id: CampaignId | None = None
    account_id: AccountId | None = None
    attempt_id: AttemptId | None = None
    at_mono_ns: int = 0

    def data(self) -> dict[str, Any]:
        """Return what goes into the row's `data` column."""
        return {
            field: value for field, value in msgspec.to_builtins(self).items() if field not in COMMON_FIELDS
        }


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the event log, as plugins and the API see it."""

    node: str
    source: str
    seq: int
    id: str
    boot_id: str
    at_utc: str
    at_mono_ns: int
    name: str
    campaign_id: str | None
    account_id: str | None
    attempt_id: str | None
    data: dict[str, Any]


EVENTS: dict[str, type[Event]] = {}


def event_named(name: str) -> Any:
    """Return the decorator that registers an event class under a name."""

    def register(cls: type[Event]) -> type[Event]:
        cls.name = name
        EVENTS[name] = cls
        return cls

    return register
