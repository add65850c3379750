"""Digits by RFC 4733 (telephone-event), received: one digit per press, whatever is lost, repeated or reordered.

Pure. Passing the packets on to a bridged partner under its own payload type is `relay.py`.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from dialer_core.media.rtp import timestamp_delta

DIGITS: Final = "0123456789*#ABCD"

_EVENT = struct.Struct("!BBH")
_END = 0x80
_LONGEST_SEGMENT = 0xFFFF


class Event(NamedTuple):
    """One telephone-event payload. `duration` in samples since the packet's timestamp."""

    code: int
    end: bool
    duration: int


def parse(payload: bytes) -> Event | None:
    """Return the event, or None when the payload is too short to be one."""
    if len(payload) < _EVENT.size:
        return None
    code, flags, duration = _EVENT.unpack_from(payload)
    return Event(code, bool(flags & _END), duration)


class DigitReceiver:
    """Turns the packets of presses into digits. A press is told at its first packet that arrives."""

    __slots__ = ("_last", "_timestamp")

    def __init__(self) -> None:
        self._timestamp = -1
        self._last = Event(-1, end=True, duration=0)

    def receive(self, timestamp: int, payload: bytes) -> str | None:
        """Return the digit of a press that begins with this packet, else None.

        The packets of one press share a timestamp (the end is sent three times). A press longer than 65,535 samples goes on under a new
        timestamp without an end (RFC 4733, 2.5.1.3) and is still one press.
        """
        event = parse(payload)
        if event is None:
            return None
        last = self._last
        if self._timestamp >= 0:
            ahead = timestamp_delta(timestamp, self._timestamp)
            if -_LONGEST_SEGMENT < ahead <= 0:
                if ahead == 0 and event.code == last.code and event.end:
                    self._last = event
                return None
            if ahead == _LONGEST_SEGMENT and event.code == last.code and not last.end:
                self._timestamp, self._last = timestamp, event
                return None
        self._timestamp, self._last = timestamp, event
        return DIGITS[event.code] if event.code < len(DIGITS) else None

    def restart(self) -> None:
        """Forget the past: the far end's stream begins anew."""
        self._timestamp = -1
