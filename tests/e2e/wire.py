"""What went over the loopback: captured by dumpcap, read by tshark.

Owns the capture and its reading. Judges nothing. Capturing needs root, or a dumpcap that may (`setcap`).
"""

from __future__ import annotations

import functools
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from dialer_core.sim.recording import Recorder, Recording
from tests.e2e.ports import Ports
from tests.polling import wait_until

_FIELDS = (
    "frame.time_epoch", "udp.srcport", "udp.dstport", "rtp.ssrc", "rtp.seq", "rtp.timestamp", "rtp.marker", "rtp.p_type", "rtp.payload",
    "rtcp.pt", "rtcp.senderssrc", "sip.Method", "sip.Status-Code", "sip.Call-ID", "sip.CSeq.method",
)  # fmt: skip
HOW = "dumpcap may not capture here: run as root, or setcap cap_net_raw,cap_net_admin+eip on dumpcap"


@dataclass(frozen=True, slots=True)
class Rtp:
    """One RTP packet."""

    at_ns: int
    """Monotonic, as the dialer's own times."""
    source: int
    target: int
    """Ports; every address is 127.0.0.1."""
    ssrc: int
    sequence: int
    timestamp: int
    marker: bool
    payload_type: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Rtcp:
    """One compound RTCP packet."""

    at_ns: int
    source: int
    target: int
    kinds: tuple[int, ...]
    """Packet types: 200 SR, 201 RR, 202 SDES, 203 BYE."""
    ssrc: int
    """Of its sender."""


@dataclass(frozen=True, slots=True)
class Sip:
    """One SIP message."""

    at_ns: int
    source: int
    target: int
    start: str
    """Method or status code."""
    call_id: str
    method: str
    """Of its CSeq."""


@dataclass(slots=True)
class Wire:
    """A capture, read."""

    rtp: list[Rtp]
    rtcp: list[Rtcp]
    sip: list[Sip]

    def received(self, target: int, source: int | None = None) -> list[Rtp]:
        """The RTP packets to a port, of one source or of all."""
        return [p for p in self.rtp if p.target == target and source in (None, p.source)]

    def recording(self, target: int, source: int | None = None) -> Recording:
        """The same as the simulator's checkers take it."""
        recorder = Recorder()
        for p in self.received(target, source):
            recorder.add(
                (p.at_ns, p.sequence, p.timestamp, p.ssrc, p.marker, p.payload_type, p.source), p.payload
            )
        return recorder.finish()


@functools.cache
def may_capture() -> bool:
    """Say whether dumpcap may capture on the loopback."""
    if shutil.which("dumpcap") is None:
        return False
    opened = subprocess.run(["dumpcap", "-i", "lo", "-L"], capture_output=True, check=False)
    return opened.returncode == 0


requires_capture = pytest.mark.skipif(not may_capture(), reason=HOW)


class Capture:
    """A running dumpcap on a block of ports."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        self.file = folder / "wire.pcapng"
        self._first, self._last = ports.everything
        self._said = (folder / "dumpcap.log").open("w+b")
        self._process = subprocess.Popen(
            ["dumpcap", "-q", "-i", "lo", "-B", "16", "-f", f"udp portrange {self._first}-{self._last}", "-w", str(self.file)],
            stdout=self._said, stderr=self._said,
        )  # fmt: skip
        self._mark_seen(10.0)

    def _mark_seen(self, timeout_s: float) -> None:
        """Wait until what is sent now is in the file: marks go over the wire until one of them is."""
        marks: list[bytes] = []

        def seen() -> bool:
            assert self._process.poll() is None, Path(self._said.name).read_text()
            marks.append(b"mark" + secrets.token_bytes(12))
            with socket.socket(type=socket.SOCK_DGRAM) as sender:
                sender.sendto(marks[-1], ("127.0.0.1", self._last))
            if not self.file.exists():
                return False
            with self.file.open("rb") as file:
                file.seek(max(0, self.file.stat().st_size - (1 << 16)))
                tail = file.read()
            return any(mark in tail for mark in marks)

        wait_until(seen, timeout_s, "the capture to show what is on the wire")

    def close(self) -> None:
        """End it, whole."""
        if self._process.poll() is None:
            self._mark_seen(10.0)
            self._process.terminate()
        self._process.wait()
        self._said.close()

    def read(self) -> Wire:
        """Close it and read it with tshark."""
        self.close()
        epoch_to_mono_ns = time.monotonic_ns() - time.time_ns()
        arguments = [
            "tshark",
            "-n",
            "-r",
            str(self.file),
            "-o",
            "rtp.heuristic_rtp:FALSE",
            "-T",
            "fields",
            "-E",
            "separator=|",
        ]
        for field in _FIELDS:
            arguments += ["-e", field]
        read = subprocess.run(
            [*arguments, "-Y", "rtp || rtcp || sip"], capture_output=True, text=True, check=True, timeout=60
        )
        wire = Wire([], [], [])
        for line in read.stdout.splitlines():
            row = dict(zip(_FIELDS, line.split("|"), strict=True))
            seconds, _, fraction = row["frame.time_epoch"].partition(".")
            at_ns = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0")) + epoch_to_mono_ns
            source, target = int(row["udp.srcport"]), int(row["udp.dstport"])
            if row["rtp.ssrc"]:
                wire.rtp.append(
                    Rtp(
                        at_ns, source, target, int(row["rtp.ssrc"], 16), int(row["rtp.seq"]), int(row["rtp.timestamp"]),
                        row["rtp.marker"] in ("1", "True"), int(row["rtp.p_type"]), bytes.fromhex(row["rtp.payload"].replace(":", "")),
                    )
                )  # fmt: skip
            elif row["rtcp.pt"]:
                kinds = tuple(int(kind) for kind in row["rtcp.pt"].split(","))
                ssrc = int((row["rtcp.senderssrc"] or "0x0").split(",")[0], 16)
                wire.rtcp.append(Rtcp(at_ns, source, target, kinds, ssrc))
            elif row["sip.Call-ID"]:
                start = row["sip.Method"] or row["sip.Status-Code"]
                wire.sip.append(Sip(at_ns, source, target, start, row["sip.Call-ID"], row["sip.CSeq.method"]))
        return wire


@contextmanager
def capture(folder: Path, ports: Ports) -> Iterator[Capture]:
    """Capture while the block runs."""
    running = Capture(folder, ports)
    try:
        yield running
    finally:
        running.close()
