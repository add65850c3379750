"""Which frequency belongs to whom: the tones by which the sound of every call is told from every other.

Owns the frequency plan, a tone's 20 ms frame, and the lending of tones to customers. Knows no call and no
RTP.

Every frequency is a multiple of 50 Hz: a 20 ms frame then holds whole periods, so one frame repeated is a
continuous sine, a frame lost or inserted shifts no phase, and the frames of any two tones are orthogonal over
20 ms. Every frequency is at least 40 Hz from the tones of networks, fax machines and SIT, so that no detector
takes a person for one.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from dialer_core.sim import g711

if TYPE_CHECKING:
    from collections.abc import Hashable

NETWORK_TONES_HZ = (
    *(350.0, 400.0, 425.0, 440.0, 450.0, 480.0, 620.0),  # dial tone, ringback, busy, congestion
    *(913.8, 950.0, 985.2, 1370.6, 1400.0, 1428.5, 1776.7, 1800.0),  # special information tones
    *(1000.0, 1100.0, 2100.0),  # beep, CNG, CED
)
SPACING_HZ = 50
CLEARANCE_HZ = 40.0
TONE_AMPLITUDE = 0.25
"""Peak of a tone, full scale being 1: -15 dBFS as RMS."""

AGENT_TONE_COUNT = 12


def _plan() -> tuple[int, ...]:
    grid = range(500, 3400, SPACING_HZ)
    return tuple(hz for hz in grid if min(abs(hz - n) for n in NETWORK_TONES_HZ) >= CLEARANCE_HZ)


ALL_TONES_HZ = _plan()
# The tone that a dialer plays to the agent at each bridge would pass for a customer of about its own frequency.
CONNECT_TONE_HZ = 1046.5
VOICE_TOP_HZ = 2000
"""Below it a steady tone is easily told from speech, so that what stands for a customer's voice in a talk is not taken for a greeting."""
CUSTOMER_TONES_HZ = tuple(
    hz for hz in ALL_TONES_HZ if hz <= VOICE_TOP_HZ and abs(hz - CONNECT_TONE_HZ) >= CLEARANCE_HZ
)
# Every second frequency above, where no customer is.
AGENT_TONES_HZ = tuple(hz for hz in ALL_TONES_HZ if hz > VOICE_TOP_HZ)[: 2 * AGENT_TONE_COUNT : 2]


@cache
def tone_frame(hz: int, law: g711.Law) -> bytes:
    """20 ms of the tone, coded; repeated, it is a continuous sine."""
    t_s = np.arange(g711.FRAME_SAMPLES) / g711.SAMPLE_RATE_HZ
    pcm = np.rint(TONE_AMPLITUDE * 32767 * np.sin(2 * np.pi * hz * t_s)).astype(np.int16)
    return g711.encode(pcm, law)


class TonePool:
    """Lends each speaking customer a tone that no other uses; the one given back longest ago goes out first."""

    def __init__(self, tones_hz: tuple[int, ...] = CUSTOMER_TONES_HZ) -> None:
        self._free = deque(tones_hz)
        self._lent: dict[Hashable, int] = {}

    def take(self, holder: Hashable) -> int | None:
        """The holder's tone in Hz, or None when every tone is lent."""
        if holder in self._lent:
            return self._lent[holder]
        if not self._free:
            return None
        self._lent[holder] = hz = self._free.popleft()
        return hz

    def give_back(self, holder: Hashable) -> None:
        """Ends the holder's loan, if there is one."""
        hz = self._lent.pop(holder, None)
        if hz is not None:
            self._free.append(hz)
