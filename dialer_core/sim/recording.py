"""What one leg received, packet by packet: kept while the leg lives, saved at its end, read back by checkers.

Owns the file format (`.npz`) and the statistics of a received stream. Judges no sound (`audio_check.py`
does).

A file holds, one entry a packet in the order of arrival: `arrival_ns` (int64, `time.monotonic_ns()` of this
machine's boot), `sequence` (uint16), `timestamp` (uint32), `ssrc` (uint32), `marker` (bool), `payload_type`
(uint8), `source_port` (uint16); and `payload` (uint8, all payloads end to end) with `payload_end` (int64,
where each packet's payload ends in it).
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Recording:
    """Received packets as arrays; see the module's docstring for each."""

    arrival_ns: NDArray[np.int64]
    sequence: NDArray[np.uint16]
    timestamp: NDArray[np.uint32]
    ssrc: NDArray[np.uint32]
    marker: NDArray[np.bool_]
    payload_type: NDArray[np.uint8]
    source_port: NDArray[np.uint16]
    payload: NDArray[np.uint8]
    payload_end: NDArray[np.int64]

    def __len__(self) -> int:
        """Packets."""
        return len(self.arrival_ns)

    def payload_of(self, index: int) -> NDArray[np.uint8]:
        """The payload bytes of one packet."""
        start = int(self.payload_end[index - 1]) if index else 0
        return self.payload[start : int(self.payload_end[index])]

    def save(self, path: Path) -> None:
        """Writes the file, not compressed: saving must not cost the sound of the calls that go on."""
        with path.open("wb") as file:
            np.savez(file, **{f.name: getattr(self, f.name) for f in fields(self)})


def load_recording(path: Path) -> Recording:
    """Reads a file that `Recording.save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        return Recording(**{f.name: arrays[f.name] for f in fields(Recording)})


def recording_name(call_id: str) -> str:
    """The file name of a call's recording: a hash, because a Call-ID may hold any character."""
    return f"{hashlib.sha256(call_id.encode()).hexdigest()[:16]}.npz"


@dataclass(slots=True)
class Recorder:
    """Collects packets; cheap to add to, one `Recording` at the end."""

    _heads: list[tuple[int, int, int, int, bool, int, int]] = field(default_factory=list)
    _payloads: list[bytes] = field(default_factory=list)

    def add(self, head: tuple[int, int, int, int, bool, int, int], payload: bytes) -> None:
        """One packet; `head` is (arrival_ns, sequence, timestamp, ssrc, marker, payload_type, source_port)."""
        self._heads.append(head)
        self._payloads.append(payload)

    def finish(self) -> Recording:
        """Everything received so far."""
        columns = list(zip(*self._heads, strict=True)) or [()] * 7
        arrival, sequence, timestamp, ssrc, marker, payload_type, source_port = columns
        return Recording(
            arrival_ns=np.array(arrival, np.int64),
            sequence=np.array(sequence, np.uint16),
            timestamp=np.array(timestamp, np.uint32),
            ssrc=np.array(ssrc, np.uint32),
            marker=np.array(marker, np.bool_),
            payload_type=np.array(payload_type, np.uint8),
            source_port=np.array(source_port, np.uint16),
            payload=np.frombuffer(b"".join(self._payloads), np.uint8),
            payload_end=np.cumsum([len(p) for p in self._payloads], dtype=np.int64),
        )


@dataclass(frozen=True, slots=True)
class StreamStats:
    """A received stream in numbers; a perfect sender gives one SSRC and zeros (and about 20 ms between packets)."""

    packets: int
    ssrcs: int
    lost: int
    """Sequence numbers never seen, between the first and the last of each SSRC."""
    duplicates: int
    reordered: int
    """Packets that came after one of a higher sequence number."""
    timestamp_jumps: int
    """Steps of the timestamp that do not fit the step of the sequence number at 20 ms a packet."""
    max_interarrival_ms: float

    def as_fields(self) -> dict[str, int | float]:
        """The numbers as fields of a log line."""
        return asdict(self)


def _unwrapped(values: NDArray[np.uint16] | NDArray[np.uint32], bits: int) -> NDArray[np.int64]:
    """A counter of so many bits, continued through its wraps, from the order of arrival."""
    half, modulus = 1 << (bits - 1), 1 << bits
    steps = np.mod(np.diff(values.astype(np.int64)) + half, modulus) - half
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(steps)))


def stream_stats(recording: Recording) -> StreamStats:
    """The statistics of a recording; telephone-events share the stream's sequence and count as packets."""
    lost = duplicates = reordered = jumps = 0
    ssrcs = np.unique(recording.ssrc)
    for ssrc in ssrcs:
        mine = recording.ssrc == ssrc
        sequence = _unwrapped(recording.sequence[mine], 16)
        timestamp = _unwrapped(recording.timestamp[mine], 32)
        seen, first = np.unique(sequence, return_index=True)
        lost += int(seen[-1] - seen[0] + 1 - len(seen))
        duplicates += len(sequence) - len(seen)
        fresh = np.sort(first)
        reordered += int(np.sum(sequence[fresh] < np.maximum.accumulate(sequence[fresh])))
        audio = recording.payload_type[mine][first] < 96
        jumps += int(np.sum(np.diff(timestamp[first][audio]) != 160 * np.diff(seen[audio])))
    gaps_ns = np.diff(recording.arrival_ns)
    return StreamStats(
        packets=len(recording),
        ssrcs=len(ssrcs),
        lost=lost,
        duplicates=duplicates,
        reordered=reordered,
        timestamp_jumps=jumps,
        max_interarrival_ms=float(gaps_ns.max()) / 1e6 if len(gaps_ns) else 0.0,
    )
