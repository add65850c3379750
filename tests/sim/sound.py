"""Synthetic recordings for the tests of the sound checks: what a leg would have received, defects included."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from dialer_core.sim import g711, tone_plan
from dialer_core.sim.recording import Recorder, Recording

FRAME_NS = 20_000_000
START_NS = 1_000_000_000_000
LAW = g711.Law.PCMU


def at_ns(second: float) -> int:
    """A moment of the synthetic time line."""
    return START_NS + round(second * 1e9)


def sine(hz: int, amplitude: float = tone_plan.TONE_AMPLITUDE) -> bytes:
    """20 ms of a tone."""
    t_s = np.arange(160) / 8000
    return g711.encode((amplitude * 32767 * np.sin(2 * np.pi * hz * t_s)).astype(np.int16), LAW)


def mixed(*payloads: bytes) -> bytes:
    """20 ms of several sounds at once."""
    total = sum(g711.decode(payload, LAW) for payload in payloads)
    return g711.encode((np.clip(total, -1, 1) * 32767).astype(np.int16), LAW)


@dataclass
class Stream:
    """A received stream of 20 ms packets, silent until told otherwise; then spoilt as a test likes."""

    seconds: float
    payloads: list[bytes] = field(default_factory=list)
    dropped: set[int] = field(default_factory=set)
    delays_ms: dict[int, float] = field(default_factory=dict)
    timestamp_shift: dict[int, int] = field(default_factory=dict)
    """From this packet on, the timestamp runs so many samples ahead."""
    ssrcs: dict[int, int] = field(default_factory=dict)
    """From this packet on, this SSRC."""

    def __post_init__(self) -> None:
        self.payloads = [g711.silent_frame(LAW)] * round(self.seconds * 50)

    def play(self, payload: bytes, begin_s: float, end_s: float) -> "Stream":
        """Puts the payload into every packet of a stretch."""
        for index in range(round(begin_s * 50), round(end_s * 50)):
            self.payloads[index] = payload
        return self

    def drop(self, indices: Iterable[int]) -> "Stream":
        """Loses packets."""
        self.dropped.update(indices)
        return self

    def delay(self, indices: Iterable[int], by_ms: float) -> "Stream":
        """Delivers packets late."""
        self.delays_ms.update(dict.fromkeys(indices, by_ms))
        return self

    def recording(self) -> Recording:
        """What the leg kept, in the order of arrival."""
        packets = []
        shift, ssrc = 0, 7
        for index, payload in enumerate(self.payloads):
            shift = self.timestamp_shift.get(index, shift)
            ssrc = self.ssrcs.get(index, ssrc)
            if index in self.dropped:
                continue
            # a fixed jitter of up to 0.4 ms, other for each packet, as a real network has
            jitter_ns = (index * 7919) % 400_000
            arrival = START_NS + index * FRAME_NS + jitter_ns + int(self.delays_ms.get(index, 0) * 1e6)
            timestamp = (0xFFFF_0000 + index * 160 + shift) & 0xFFFF_FFFF  # wraps within the stream
            head = (arrival, (65000 + index) & 0xFFFF, timestamp, ssrc, index == 0, 0, 4000)
            packets.append((head, payload))
        recorder = Recorder()
        for head, payload in sorted(packets, key=lambda packet: packet[0][0]):
            recorder.add(head, payload)
        return recorder.finish()
