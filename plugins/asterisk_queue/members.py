"""What Asterisk says of a queue's members, as states of agents. Pure.

It owns the reading of `QueueMember…` and `AgentConnect` events. How a member is comes from their device (`Status`), their pause, whether they are
in a call of the queue, and the wrap-up time that the queue still gives them: Asterisk tells no end of that, so the clock does.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from dialer_core.plugin_api import Presence
from plugins.asterisk_queue.ami import Block, first

ATTEMPT_VARIABLE: Final = "MARCADOR_ATTEMPT"
"""Channel variable that carries the call's id from the INVITE's `X-Marcador-Attempt` into the events (`channelvars` of manager.conf)."""


class Device(enum.IntEnum):
    """`Status` of a member: Asterisk's device states."""

    UNKNOWN = 0
    NOT_IN_USE = 1
    IN_USE = 2
    BUSY = 3
    INVALID = 4
    UNAVAILABLE = 5
    RINGING = 6
    RINGING_IN_USE = 7
    ON_HOLD = 8


_FREE: Final = frozenset({Device.UNKNOWN, Device.NOT_IN_USE})
"""`app_queue` rings a member whose device it knows nothing of."""
_GONE: Final = frozenset({Device.INVALID, Device.UNAVAILABLE})
_ORDER: Final = (Presence.BUSY, Presence.AVAILABLE, Presence.PAUSED, Presence.OFFLINE)
"""Of somebody who is in several queues: what of it counts."""
_TOLD: Final = frozenset({"QueueMember", "QueueMemberStatus", "QueueMemberPause", "QueueMemberAdded"})


@dataclass(frozen=True, slots=True)
class Member:
    """One member of one queue, as last told."""

    queue: str
    interface: str
    device: int
    paused: bool
    reason: str = ""
    in_call: bool = False
    wrap_up_until_s: float = 0.0
    """Unix time."""

    def presence(self, now_s: float) -> Presence:
        """Return how they are at a Unix time."""
        if self.device in _GONE:
            return Presence.OFFLINE
        if self.paused:
            return Presence.PAUSED
        if self.in_call or self.device not in _FREE or now_s < self.wrap_up_until_s:
            return Presence.BUSY
        return Presence.AVAILABLE


@dataclass(frozen=True, slots=True)
class Connected:
    """A member of a queue has been connected to a call."""

    attempt: str
    """Of ours, where the call is one; empty: it is another's."""
    interface: str


class Members:
    """Every member of the queues that are looked at.

    Parameters
    ----------
    queues
        Which; empty: all.
    wrap_up_s
        The queues' own `wrapuptime`, which Asterisk's events do not tell; a member's own counts before it.
    """

    def __init__(self, queues: frozenset[str], wrap_up_s: float = 0.0) -> None:
        self._queues = queues
        self._wrap_up_s = wrap_up_s
        self._members: dict[tuple[str, str], Member] = {}
        self._listing: set[tuple[str, str]] | None = None

    def begin_list(self) -> None:
        """All of them are asked for: who is not named until `QueueStatusComplete` is no member any more."""
        self._listing = set()

    def take(self, event: Block) -> Connected | None:
        """Take an event; what it says of a call is returned."""
        name, queue = first(event, "Event"), first(event, "Queue")
        if name == "QueueStatusComplete" and self._listing is not None:
            self._members = {key: one for key, one in self._members.items() if key in self._listing}
            self._listing = None
        if self._queues and queue not in self._queues:
            return None
        key = (queue, first(event, "Interface") or first(event, "Location"))
        if name in _TOLD:
            self._members[key] = _read(event, *key, self._wrap_up_s)
            if self._listing is not None:
                self._listing.add(key)
        elif name == "QueueMemberRemoved":
            self._members.pop(key, None)
        elif name == "AgentConnect":
            return Connected(_variable(event, ATTEMPT_VARIABLE), key[1])
        return None

    def presences(self, now_s: float) -> dict[str, tuple[Presence, str]]:
        """Return how everybody is at a Unix time, by interface, with the reason of a pause."""
        found: dict[str, tuple[Presence, str]] = {}
        for member in self._members.values():
            one = (member.presence(now_s), member.reason)
            before = found.get(member.interface)
            if before is None or _ORDER.index(one[0]) < _ORDER.index(before[0]):
                found[member.interface] = one
        return found


def names_of(interface: str) -> tuple[str, str]:
    """Return what an agent may be called for an interface: it, and its name without the technology.

    Examples
    --------
    >>> names_of("PJSIP/1001")
    ('PJSIP/1001', '1001')
    """
    return interface, interface.rpartition("/")[2].partition("@")[0]


def _read(event: Block, queue: str, interface: str, wrap_up_s: float) -> Member:
    last_call, wrap_up = _number(event, "LastCall"), _number(event, "Wrapuptime") or wrap_up_s
    return Member(
        queue=queue, interface=interface, device=_number(event, "Status"), paused=first(event, "Paused") == "1",
        reason=first(event, "PausedReason")[:48], in_call=first(event, "InCall") == "1",
        wrap_up_until_s=last_call + wrap_up if last_call and wrap_up else 0.0,
    )  # fmt: skip


def _number(event: Block, key: str) -> int:
    text = first(event, key)
    return int(text) if text.isascii() and text.isdigit() else 0


def _variable(event: Block, name: str) -> str:
    for text in event.get("ChanVariable", ()):
        key, _, value = text.partition("=")
        if key == name:
            return value
    return ""
