"""Id types, and the making of ids.

It owns what an id is called and what it looks like; whose id it is, the tables say.
"""

from __future__ import annotations

import secrets
import threading
import time
from typing import NewType

AttemptId = NewType("AttemptId", str)
LegId = NewType("LegId", str)
AccountId = NewType("AccountId", str)
PersonId = NewType("PersonId", str)
PhoneId = NewType("PhoneId", str)
LeadId = NewType("LeadId", str)
MessageId = NewType("MessageId", str)
AgentId = NewType("AgentId", str)
"""The agent's name in `agents.toml`."""
CampaignId = NewType("CampaignId", str)
"""The campaign's name: the file name in `config/campaigns/` without `.toml`."""
TrunkId = NewType("TrunkId", str)
"""The trunk's name in `trunks.toml`."""
WorkerId = NewType("WorkerId", str)
"""`customers-3` or `agents-0`: the pool and the index of a line worker."""


def new_id() -> str:
    """Return a new UUIDv7 in its canonical text form: unique over nodes, and ordered by time.

    Each is above the one before it in this process, and of several processes in the order of their making, to a quarter of a
    microsecond: the twelve bits after the milliseconds hold their fraction (RFC 9562, 6.2, method 3). `verify` reads that order.
    """
    global _last_tick  # noqa: PLW0603 - the one thing that ids of a process share
    ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    tick = ms << 12 | rest_ns * 4096 // 1_000_000
    with _tick_lock:
        _last_tick = tick = max(tick, _last_tick + 1)
    value = tick >> 12 << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_ids(count: int) -> list[str]:
    """Return so many ids of the kind of `new_id`, in order, at a third of its cost."""
    global _last_tick  # noqa: PLW0603 - the one thing that ids of a process share
    ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    tick = ms << 12 | rest_ns * 4096 // 1_000_000
    with _tick_lock:
        first = max(tick, _last_tick + 1)
        _last_tick = first + count - 1
    drawn = secrets.token_hex(8 * count)
    found = []
    for nth in range(count):
        tick, begin = first + nth, 16 * nth
        ms_text = f"{tick >> 12:012x}"
        variant = "89ab"[int(drawn[begin], 16) & 3]
        found.append(
            f"{ms_text[:8]}-{ms_text[8:]}-7{tick & 0xFFF:03x}-{variant}{drawn[begin + 1 : begin + 4]}-{drawn[begin + 4 : begin + 16]}"
        )
    return found


_tick_lock = threading.Lock()
_last_tick = 0
