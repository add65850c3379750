"""What a person hears while waiting: an agent's tone, or some other loud sound.

Owns the judgement of received sound while a call is up, 20 ms at a time. The exact judgement of whole
conversations, made after the run from the recordings, is `audio_check.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dialer_core.sim import g711

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dialer_core.sim.rtp import Received

AUDIBLE_RMS = 10 ** (-45 / 20)
"""A 20 ms frame below -45 dBFS is quiet."""
PURE_SHARE = 0.7
"""Share of a frame's energy that one agent's tone must hold for the frame to be that tone."""
AGENT_FRAMES = 3
"""Frames of one agent's tone in a row by which a person knows that an agent speaks."""
MESSAGE_MS = 300
"""Loud sound that is no agent's tone, in all, which a person takes for a spoken message."""

_SAMPLE_NS = 1_000_000_000 // g711.SAMPLE_RATE_HZ
_FRAME_MS = 20


@dataclass(frozen=True, slots=True)
class Heard:
    """Something noticed for the first time: an agent (`hz`) or a message (`hz` None)."""

    hz: int | None
    first_audible_ns: int


class Ear:
    """Listens to one leg.

    Parameters
    ----------
    tones_hz
        The agents' tones. Multiples of 50 Hz, so that a 20 ms frame tells any two apart.
    """

    def __init__(self, tones_hz: tuple[int, ...]) -> None:
        self._tones_hz = tones_hz
        t_s = np.arange(g711.FRAME_SAMPLES) / g711.SAMPLE_RATE_HZ
        turns = np.exp(-2j * np.pi * np.asarray(tones_hz)[:, np.newaxis] * t_s).astype(np.complex64)
        self._basis: NDArray[np.complex64] = turns
        self._agent_run: tuple[int, int, int] | None = None  # tone, frames in a row, first audible ns
        self._message_since_ns = 0
        self.agent: Heard | None = None
        self.message: Heard | None = None
        self.message_ms = 0

    def listen(self, packet: Received) -> Heard | None:
        """Takes one packet of sound (any length; judged as a whole); returns what it made certain."""
        law = g711.LAW_OF_PAYLOAD_TYPE[packet.payload_type]
        silence = g711.SILENCE_BYTE[law]
        if packet.payload.count(silence) == len(packet.payload):
            self._agent_run = None
            return None
        samples = g711.decode(packet.payload[: g711.FRAME_SAMPLES], law)
        energy = float(samples @ samples)
        if energy < AUDIBLE_RMS**2 * len(samples):
            self._agent_run = None
            return None
        first_ns = packet.arrival_ns + int(np.argmax(np.abs(samples) > AUDIBLE_RMS)) * _SAMPLE_NS
        power = np.abs(self._basis[:, : len(samples)] @ samples) ** 2 * (2 / len(samples)) / energy
        loudest = int(power.argmax())
        if power[loudest] >= PURE_SHARE:
            return self._tone(self._tones_hz[loudest], first_ns)
        self._agent_run = None
        return self._other_sound(first_ns)

    def _tone(self, hz: int, first_ns: int) -> Heard | None:
        run = self._agent_run
        self._agent_run = run = (hz, run[1] + 1, run[2]) if run and run[0] == hz else (hz, 1, first_ns)
        if run[1] != AGENT_FRAMES or (self.agent is not None and self.agent.hz == hz):
            return None
        self.agent = Heard(hz, run[2])
        return self.agent

    def _other_sound(self, first_ns: int) -> Heard | None:
        self._message_since_ns = self._message_since_ns or first_ns
        self.message_ms += _FRAME_MS
        if self.message is not None or self.message_ms < MESSAGE_MS:
            return None
        self.message = Heard(None, self._message_since_ns)
        return self.message
