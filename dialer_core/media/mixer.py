"""Sound of several legs added up: every mixed leg's packets on one sample clock, and one pass over all of them every 20 ms.

It owns the rings and the arithmetic. Who hears whom is `hearing.py`'s, what is recorded `recording.py`'s; both ask for rows of one pass. It
opens no socket and knows no leg.

All rings share one clock, the plane's own in samples: a packet is written where it belongs by its timestamp, and the pass reads the same
window of every row. So sources are aligned to the sample, whatever the order and the bursts in which their packets came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from amd import g711
from dialer_core.media.rtp import PCMA, RESTARTED, SAMPLE_NS, SAMPLES_PER_FRAME, timestamp_delta

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

RING_SAMPLES: Final = 50 * SAMPLES_PER_FRAME
"""A second, and a whole number of frames: a window never wraps."""
DELAY_SAMPLES: Final = 3 * SAMPLES_PER_FRAME
"""Sound is mixed so long after it came (60 ms, of which the frame itself is 20)."""
LATEST_SAMPLES: Final = DELAY_SAMPLES - SAMPLES_PER_FRAME
"""A packet later than this (40 ms) finds its place read already."""
BEGIN_ANEW_AFTER: Final = 3
"""So many of them in a row, and the source is taken to be later by that for good."""
MAX_AHEAD: Final = 1600
"""A packet placed so far (200 ms) before its time, after a burst, begins anew where the clock is."""
SLACK_SAMPLES: Final = 80
"""How far (10 ms), in the mean, a source may run beside the clock before it is moved, a sample each packet."""
_FIRST_ROWS: Final = 16
_PCMU_SILENCE: Final = 0xFF
_PCMA_SILENCE: Final = 0xD5
_OCTETS: Final = np.arange(256, dtype=np.uint8)
_VALUES: Final = np.concatenate([g711.decode_pcmu(_OCTETS), g711.decode_pcma(_OCTETS)])
"""Both tables in one: an A-law octet stands 256 further on."""


def mix(pcm: NDArray[np.int16], sources: Sequence[Sequence[int]]) -> NDArray[np.int16]:
    """Add up sources for each listener, clipped to 16 bits.

    Parameters
    ----------
    pcm : numpy.ndarray of int16, shape (n_sources, n_samples)
        What each source says.
    sources : sequence of n_listeners sequences of int
        Rows of `pcm` that each listener hears; empty: silence.

    Returns
    -------
    numpy.ndarray of int16, shape (n_listeners, n_samples)
        The sums.

    Examples
    --------
    >>> pcm = np.array([[30000, 1], [30000, 2]], np.int16)
    >>> mix(pcm, [(0, 1), (1,), ()]).tolist()
    [[32767, 3], [30000, 2], [0, 0]]
    """
    most = max((len(heard) for heard in sources), default=0)
    total = np.zeros((len(sources), pcm.shape[1]), np.int32)
    for place in range(most):
        rows = [row for row, heard in enumerate(sources) if len(heard) > place]
        total[rows] += pcm[[sources[row][place] for row in rows]]
    return np.clip(total, -32768, 32767).astype(np.int16)


class Tap:
    """One leg's place in the rings, from the first who wants to hear it to the last."""

    __slots__ = ("_error", "_law", "_offset", "_rings", "_too_late", "row", "uses")

    def __init__(self, rings: Rings, row: int) -> None:
        self._rings = rings
        self.row = row
        self.uses = 0
        """Listeners and recordings that read it."""
        self._law = -1
        self._offset: int | None = None
        self._error = 0.0
        self._too_late = 0

    def push(self, arrival: int, payload_type: int, timestamp: int, payload: bytes, now_ns: int) -> None:
        """Write a packet of sound at its place on the clock."""
        now = now_ns // SAMPLE_NS
        if payload_type != self._law:
            self._law = payload_type
            self._rings.set_law(self.row, a_law=payload_type == PCMA)
            self._offset = None
        position = now if self._offset is None else now + timestamp_delta(timestamp + self._offset, now)
        late = now - position
        if late > LATEST_SAMPLES and self._offset is not None and arrival != RESTARTED:
            self._too_late += 1
            if self._too_late < BEGIN_ANEW_AFTER:
                return  # its place has been read
        if self._offset is None or arrival == RESTARTED or late > LATEST_SAMPLES or late < -MAX_AHEAD:
            self._offset, position, self._error = now - timestamp, now, 0.0
            self._too_late = 0
        else:
            self._too_late = 0
            self._error += (late - self._error) / 16
            if self._error > SLACK_SAMPLES:  # it falls behind: a sample later, the first one twice
                self._offset += 1
                payload = payload[:1] + payload
                self._error -= 1
            elif self._error < -SLACK_SAMPLES:
                self._offset -= 1
                position -= 1
                self._error += 1
        self._rings.write(self.row, position, payload)


class Rings:
    """The last second of every tapped leg, and the pass over it."""

    def __init__(self) -> None:
        self._octets = np.full((_FIRST_ROWS, RING_SAMPLES), _PCMU_SILENCE, np.uint8)
        self._laws = np.zeros(_FIRST_ROWS, np.uint16)
        self._free = list(range(_FIRST_ROWS - 1, -1, -1))
        self._used = 0

    def __len__(self) -> int:
        return self._used

    def open(self) -> Tap:
        """Return a tap with a row of its own."""
        if not self._free:
            rows = len(self._octets)
            more = np.full((rows, RING_SAMPLES), _PCMU_SILENCE, np.uint8)
            self._octets = np.concatenate([self._octets, more])
            self._laws = np.concatenate([self._laws, np.zeros(rows, np.uint16)])
            self._free = list(range(2 * rows - 1, rows - 1, -1))
        row = self._free.pop()
        self.set_law(row, a_law=False)
        self._used += 1
        return Tap(self, row)

    def close(self, tap: Tap) -> None:
        """Free a tap's row."""
        self._free.append(tap.row)
        self._used -= 1

    def set_law(self, row: int, *, a_law: bool) -> None:
        """Empty a row for sound of this law."""
        self._laws[row] = 256 if a_law else 0
        self._octets[row] = _PCMA_SILENCE if a_law else _PCMU_SILENCE

    def write(self, row: int, position: int, payload: bytes) -> None:
        """Write octets from `position` on, in samples of the plane's clock."""
        begin = position % RING_SAMPLES
        octets = np.frombuffer(payload[:RING_SAMPLES], np.uint8)
        room = RING_SAMPLES - begin
        ring = self._octets[row]
        if len(octets) <= room:
            ring[begin : begin + len(octets)] = octets
        else:
            ring[begin:] = octets[:room]
            ring[: len(octets) - room] = octets[room:]

    def read(self, due_ns: int) -> NDArray[np.int16]:
        """Take the frame that is due out of every row, silence left behind: linear samples, shape (n_rows, 160).

        Frames are those of the plane's schedule: the next `due_ns` is 20 ms later, or a whole number of them.
        """
        begin = window_of(due_ns) % RING_SAMPLES
        block = self._octets[:, begin : begin + SAMPLES_PER_FRAME]
        laws = self._laws[:, None]
        pcm: NDArray[np.int16] = _VALUES.take(block + laws)
        block[:] = np.where(laws, _PCMA_SILENCE, _PCMU_SILENCE)
        return pcm


def window_of(due_ns: int) -> int:
    """Return the first sample, on the plane's clock, of the frame that a tick mixes."""
    return (due_ns // SAMPLE_NS - DELAY_SAMPLES) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME


def encode(pcm: NDArray[np.int16], payload_types: Sequence[int]) -> list[bytes]:
    """Return each row of `pcm` (n_rows, 160) as a frame of its own payload type, PCMU or PCMA."""
    mu_law = g711.encode_pcmu(pcm)
    a_rows = [row for row, kind in enumerate(payload_types) if kind == PCMA]
    if a_rows:
        mu_law[a_rows] = g711.encode_pcma(np.ascontiguousarray(pcm[a_rows]))
    coded = mu_law.tobytes()
    width = pcm.shape[1]
    return [coded[at : at + width] for at in range(0, len(coded), width)]
