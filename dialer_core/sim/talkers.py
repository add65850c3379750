"""Far ends of sound alone, hundreds in one process: each sends speech every 20 ms and counts what comes. They speak no SIP.

It owns one UDP socket, from which all of them talk, and their schedule. Run as `python -m dialer_core.sim.talkers`; a line of JSON on the
standard input, `[port, port, …]`, says whom to talk to from now on (on 127.0.0.1); each such line, and an empty list too, is answered by a line:
what was done since the one before. It ends with its input.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import struct
import sys
import time

import numpy as np

from dialer_core.sim import voices
from dialer_core.sim.g711 import FRAME_SAMPLES, SILENCE_BYTE, Law, encode

FRAME_NS = 20_000_000
_HEADER = struct.Struct("!BBHII")
_BUFFER_BYTES = 4 * 1024 * 1024
_READ_AT_ONCE = 256
_OCTETS = 2048


def speech() -> list[bytes]:
    """Return the packaged voicemail greetings, one after another, as 20 ms frames of mu-law."""
    clips = [clip.pcm for clip in voices.clips_of("voicemail")]
    octets = encode(np.concatenate(clips), Law.PCMU)
    frames = [octets[at : at + FRAME_SAMPLES] for at in range(0, len(octets) - FRAME_SAMPLES, FRAME_SAMPLES)]
    silent = bytes([SILENCE_BYTE[Law.PCMU]]) * FRAME_SAMPLES
    return [frame for frame in frames if frame != silent]


class Talkers:
    """The talkers and their one socket."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self._frames = speech()
        self._targets: list[tuple[str, int]] = []
        self._begin_ns = 0
        self._due = 0
        self._sequence: dict[int, int] = {}
        self._counts = dict.fromkeys(("sent", "received", "missing"), 0)
        self._since_ns = time.monotonic_ns()
        self._late_ns = 0

    @property
    def port(self) -> int:
        """Where all of them are."""
        return int(self._socket.getsockname()[1])

    def aim(self, ports: list[int]) -> dict[str, float]:
        """Talk to these ports from now on; return what was done since it was last called."""
        now_ns = time.monotonic_ns()
        told = {
            **self._counts,
            "seconds": (now_ns - self._since_ns) / 1e9,
            "worst_late_ms": self._late_ns / 1e6,
            "cpu_s": time.process_time(),
        }
        self._counts = dict.fromkeys(self._counts, 0)
        self._late_ns = 0
        self._since_ns = self._begin_ns = now_ns
        self._due = 0
        self._targets = [("127.0.0.1", port) for port in ports]
        self._sequence = {}
        return told

    def serve(self) -> None:
        """Talk until the standard input ends."""
        while True:
            ready, _, _ = select.select([self._socket, sys.stdin], [], [], 0.001 if self._targets else None)
            if sys.stdin in ready:
                line = sys.stdin.readline()
                if not line:
                    return
                sys.stdout.write(json.dumps(self.aim(json.loads(line))) + "\n")
                sys.stdout.flush()
            self._receive()
            self._send()

    def _receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_READ_AT_ONCE):
                data, source = self._socket.recvfrom(_OCTETS)
                if len(data) != _HEADER.size + FRAME_SAMPLES:
                    continue  # an RTCP report
                self._counts["received"] += 1
                number, port = data[2] << 8 | data[3], source[1]
                before = self._sequence.get(port)
                if before is not None:
                    self._counts["missing"] += max(0, ((number - before) & 0xFFFF) - 1) & 0x7FFF
                self._sequence[port] = number

    def _send(self) -> None:
        """Send what is due: the talkers' packets are spread evenly over the 20 ms."""
        count = len(self._targets)
        if not count:
            return
        now_ns = time.monotonic_ns()
        due = (now_ns - self._begin_ns) * count // FRAME_NS
        if due > self._due:
            self._late_ns = max(self._late_ns, now_ns - self._begin_ns - self._due * FRAME_NS // count)
        frames = self._frames
        for n in range(self._due, due):
            turn, i = divmod(n, count)
            header = _HEADER.pack(
                0x80, 0, turn & 0xFFFF, turn * FRAME_SAMPLES & 0xFFFF_FFFF, self._begin_ns + i & 0xFFFF_FFFF
            )
            with contextlib.suppress(OSError):
                self._socket.sendto(header + frames[(turn + 7 * i) % len(frames)], self._targets[i])
                self._counts["sent"] += 1
        self._due = due


def main() -> int:
    """Tell the port and our pid, then talk."""
    talkers = Talkers()
    sys.stdout.write(json.dumps({"port": talkers.port, "pid": os.getpid()}) + "\n")
    sys.stdout.flush()
    talkers.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
