"""What a listener behind a jitter buffer hears of a recording: packets put on one time line of samples.

Pure functions over recordings. Judges nothing (`audio_check.py` does).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dialer_core.sim import g711

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dialer_core.sim.recording import Recording

Interval = tuple[int, int]
"""From and to, in monotonic ns."""

SAMPLE_NS = 1_000_000_000 // g711.SAMPLE_RATE_HZ
RESYNC_PACKETS = 5
"""So many packets in a row too late, and the listener's clock starts anew with them."""
JUMP_NS = 200_000_000
"""A packet so much ahead of its run's fastest begins a new run."""


@dataclass(frozen=True, slots=True)
class Playout:
    """What a listener hears: samples at 8 kHz, silence where nothing came in time."""

    start_ns: int
    samples: NDArray[np.float32]
    late_packets: int


def play_out(recording: Recording, interval: Interval, jitter_buffer_ms: float = 60.0) -> Playout:
    """Puts the packets of an interval on the listener's time line.

    Packets lie where their RTP timestamps put them, in runs that share one clock: a new SSRC, a jump of the
    timestamp, or five packets in a row too late begin a new run. A run's place in time is its fastest
    packet's; a packet that came more than `jitter_buffer_ms` after its own place is lost.

    Parameters
    ----------
    recording
        What a leg received.
    interval
        From and to, monotonic ns.
    jitter_buffer_ms
        How late a packet may be.
    """
    start_ns, end_ns = interval
    out = np.zeros(max(0, (end_ns - start_ns) // SAMPLE_NS), np.float32)
    buffer_ns = int(jitter_buffer_ms * 1e6)
    late_packets = 0
    for run in _runs(recording, (start_ns - JUMP_NS, end_ns + JUMP_NS), buffer_ns):
        transit_ns = min(t for _, _, t in run)
        base = run[0][1]
        base_sample = round((transit_ns + base * SAMPLE_NS - start_ns) / SAMPLE_NS)
        for index, media_time, own_transit_ns in run:
            if own_transit_ns - transit_ns > buffer_ns:
                late_packets += 1
                continue
            law = g711.LAW_OF_PAYLOAD_TYPE[int(recording.payload_type[index])]
            samples = g711.decode_table(law)[recording.payload_of(index)]
            first = base_sample + media_time - base
            clipped = samples[max(0, -first) : max(0, len(out) - first)]
            out[max(0, first) : max(0, first) + len(clipped)] = clipped
    return Playout(start_ns, out, late_packets)


_Placed = tuple[int, int, int]
"""A packet: its index, its media time in samples (timestamp, unwrapped), its transit in ns (arrival minus media time)."""


def _runs(recording: Recording, span: Interval, buffer_ns: int) -> list[list[_Placed]]:
    """The audio packets of a span, in runs that share one clock."""
    runs: list[list[_Placed]] = []
    late: list[_Placed] = []
    ssrc, media_time, fastest_ns = -1, 0, 0
    audio = np.isin(recording.payload_type, list(g711.LAW_OF_PAYLOAD_TYPE))
    inside = (recording.arrival_ns >= span[0]) & (recording.arrival_ns <= span[1])
    for index in np.flatnonzero(audio & inside).tolist():
        timestamp = int(recording.timestamp[index])
        step = (timestamp - media_time + 0x80000000) % 0x100000000 - 0x80000000
        media_time += step
        transit_ns = int(recording.arrival_ns[index]) - media_time * SAMPLE_NS
        placed = (index, media_time, transit_ns)
        fresh = not runs or int(recording.ssrc[index]) != ssrc
        if fresh or fastest_ns - transit_ns > JUMP_NS:
            ssrc, fastest_ns, late = int(recording.ssrc[index]), transit_ns, []
            runs.append([placed])
            continue
        if transit_ns - fastest_ns <= buffer_ns:
            fastest_ns = min(fastest_ns, transit_ns)
            late = []
            runs[-1].append(placed)
            continue
        late.append(placed)
        runs[-1].append(placed)
        if len(late) == RESYNC_PACKETS:
            del runs[-1][-RESYNC_PACKETS:]
            runs.append(late)
            fastest_ns, late = min(t for _, _, t in late), []
    return runs
