"""Keys as a far end sends them: RFC 4733 telephone-events, a press of 160 ms each.

It owns the payloads, tick by tick. The stream they go out in is `rtp.py`'s.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from dialer_core.sim import g711

KEYS: Final = "0123456789*#"
"""A key's place is its event code."""
PRESS_TICKS: Final = 8
END_PACKETS: Final = 3
"""The last packet goes out three times, so that the loss of one ends no key late (RFC 4733, 2.5.1.4)."""
VOLUME: Final = 10
"""-10 dBm0."""
_EVENT: Final = struct.Struct(">BBH")
_END: Final = 0x80


def press_payloads(key: str) -> Iterator[tuple[bytes, ...]]:
    """Yield what goes out in each 20 ms of one press; all of it has the timestamp at which the press began.

    The last of the ticks brings the end, as often as it is sent.
    """
    event = KEYS.index(key)
    for tick in range(1, PRESS_TICKS + 1):
        last = tick == PRESS_TICKS
        payload = _EVENT.pack(event, VOLUME | (_END if last else 0), tick * g711.FRAME_SAMPLES)
        yield (payload,) * (END_PACKETS if last else 1)
