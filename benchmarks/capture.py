"""RTP as it went over the loopback: captured by dumpcap in records of one size, read as arrays.

It owns the filter, the file and its reading. Only packets of 160 octets of sound are taken, without header extensions: what both ends
of the benchmarks send.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

RTP_BYTES = 172
_FRAME_BYTES = 14 + 20 + 8 + RTP_BYTES
_HEADER_BYTES = 24
"""Of a pcap file."""


def _record(captured: int) -> np.dtype[Any]:
    sound = captured - 54
    fields: list[Any] = [
        ("s", "<u4"), ("fraction", "<u4"), ("captured", "<u4"), ("length", "<u4"), ("below", "V34"),
        ("source", ">u2"), ("target", ">u2"), ("udp", "V4"),
        ("first", "u1"), ("second", "u1"), ("sequence", ">u2"), ("timestamp", ">u4"), ("ssrc", ">u4"),
    ]  # fmt: skip
    return np.dtype([*fields, ("sound", "u1", (sound,))] if sound else fields)


@dataclass(frozen=True, slots=True)
class Packets:
    """Captured packets in their order."""

    at_ns: NDArray[np.int64]
    """Monotonic."""
    rows: NDArray[Any]
    """Fields source, target, sequence, timestamp, ssrc, second (payload type and marker) and, where it was asked for, sound."""

    def __len__(self) -> int:
        return len(self.rows)

    def between(self, first_ns: int, last_ns: int) -> Packets:
        """Return those of a stretch of time."""
        inside = (self.at_ns >= first_ns) & (self.at_ns < last_ns)
        return Packets(self.at_ns[inside], self.rows[inside])

    def lost(self) -> int:
        """Return the sequence numbers that are missing in between, over all streams."""
        missing = 0
        flow = self.rows["source"].astype(np.int64) << 16 | self.rows["target"]
        for one in np.unique(flow):
            numbers = self.rows["sequence"][flow == one].astype(np.int64)
            steps = np.diff(numbers) & 0xFFFF
            missing += int(np.sum(steps[(steps > 0) & (steps < 0x8000)] - 1))
        return missing


class Capture:
    """A running dumpcap.

    Parameters
    ----------
    file
        Where to write.
    ports
        The media plane's range; packets to or from it are taken.
    one_in
        Only every so many-th pair of ports, a power of two: the machine has other things to do.
    sound
        Keep the payload.
    """

    def __init__(self, file: Path, ports: tuple[int, int], *, one_in: int = 1, sound: bool = False) -> None:
        self._file = file
        self._captured = _FRAME_BYTES if sound else 54
        mask = 2 * (one_in - 1)
        ends = [
            f"(udp[{at}:2] >= {ports[0]} and udp[{at}:2] <= {ports[1]} and udp[{at}:2] & {mask} = 0)"
            for at in (0, 2)
        ]
        rule = f"udp and len = {_FRAME_BYTES} and udp[8] = 0x80 and ({' or '.join(ends)})"
        self._process = subprocess.Popen(
            ["dumpcap", "-q", "-P", "-i", "lo", "-B", "64", "-s", str(self._captured), "-f", rule, "-w", str(file)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def wait_ready(self, limit_s: float = 10.0) -> None:
        """Wait until it captures."""
        deadline = time.monotonic() + limit_s
        while not self._file.exists() or self._file.stat().st_size < _HEADER_BYTES:
            if self._process.poll() is not None or time.monotonic() > deadline:
                error = self._process.stderr.read().decode() if self._process.stderr else ""
                raise SystemExit(
                    f"dumpcap does not capture on lo: {error.strip()}; run as root, or setcap it"
                )
            time.sleep(0.05)

    def read(self) -> Packets:
        """End it and read what it has."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.communicate()
        data = self._file.read_bytes()
        layout = _record(self._captured)
        whole = (len(data) - _HEADER_BYTES) // layout.itemsize
        rows = np.frombuffer(data, layout, whole, _HEADER_BYTES)
        if whole and not np.all(rows["captured"] == self._captured):
            raise SystemExit("the capture holds packets of other sizes")
        finer = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}[int.from_bytes(data[:4], "little")]
        to_mono_ns = time.monotonic_ns() - time.time_ns()
        at_ns = (
            rows["s"].astype(np.int64) * 1_000_000_000
            + rows["fraction"].astype(np.int64) * finer
            + to_mono_ns
        )
        return Packets(at_ns, rows)

    def __enter__(self) -> Self:
        self.wait_ready()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
