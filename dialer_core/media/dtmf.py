"""Digits by RFC 4733 (telephone-event): received, one per press, whatever is lost, repeated or reordered; and the payloads of our own.

Pure. Passing the packets on to a bridged partner under its own payload type is `relay.py`.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from dialer_core.media.rtp import SAMPLES_PER_FRAME, timestamp_delta

DIGITS: Final = "0123456789*#ABCD"

_EVENT = struct.Struct("!BBH")
_END = 0x80
_LONGEST_SEGMENT = 0xFFFF
PRESS_FRAMES: Final = 6
"""A press lasts 120 ms: above the 40 ms that receivers need (ITU-T Q.24), and fast enough for a card number."""
_END_FRAMES: Final = 3
"""The end is sent three times (RFC 4733, 2.5.1.4)."""
_PAUSE_FRAMES: Final = 3
"""Between two presses, in which nothing is sent of either."""
_VOLUME: Final = 10
"""-10 dBm0."""
LONGEST_DIGITS: Final = 64
DIGITS_PER_S: Final = 15
"""Of a far end that are told in the long run: a press and its pause last 80 ms at least (ITU-T Q.24)."""
BURST_DIGITS: Final = 20
"""Told at once: a whole account's number that a network has bunched together."""


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


class DigitLimit:
    """How many digits of a far end are told: as many as fingers press and a network may bunch together; a storm is cut down to that."""

    __slots__ = ("_left", "_since_ns")

    def __init__(self) -> None:
        self._left = float(BURST_DIGITS)
        self._since_ns = 0

    def allows(self, now_ns: int) -> bool:
        """Count a digit; return whether it is told."""
        if self._since_ns:
            self._left = min(BURST_DIGITS, self._left + (now_ns - self._since_ns) / 1e9 * DIGITS_PER_S)
        self._since_ns = now_ns
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class DigitSender:
    """Presses of our own, one payload every 20 ms: updates, the end three times, a pause."""

    __slots__ = ("_at", "_waiting", "begins")

    def __init__(self) -> None:
        self._waiting = ""
        self._at = 0
        self.begins = False
        """The payload returned last is the first of its press."""

    @property
    def done(self) -> bool:
        """Whether everything has been sent."""
        return not self._waiting

    def add(self, digits: str) -> None:
        """Send these after what is being sent.

        Raises
        ------
        ValueError
            One is none of `DIGITS`.
        """
        if strange := set(digits) - set(DIGITS):
            msg = f"{len(strange)} of the digits are none of {DIGITS}"
            raise ValueError(msg)
        self._waiting += digits

    def next_payload(self) -> bytes | None:
        """Return this tick's payload, or None in the pause after a press."""
        at, self._at = self._at, self._at + 1
        self.begins = at == 0
        if at >= PRESS_FRAMES + _END_FRAMES:
            if self._at >= PRESS_FRAMES + _END_FRAMES + _PAUSE_FRAMES:
                self._waiting, self._at = self._waiting[1:], 0
            return None
        ended = at >= PRESS_FRAMES
        duration = min(at + 1, PRESS_FRAMES) * SAMPLES_PER_FRAME
        return _EVENT.pack(DIGITS.index(self._waiting[0]), (_END if ended else 0) | _VOLUME, duration)
