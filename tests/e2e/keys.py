"""Keys pressed on a phone, as a capture that SIPp plays: RFC 4733, 120 ms each, the end sent three times.

Owns the file alone. SIPp puts the addresses and the ports of its call into the packets.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

PAYLOAD_TYPE = 101
_CODES = "0123456789*#"
_UPDATES, _ENDS, _FRAME_S = 6, 3, 0.02
_SSRC = 0x1DEA
_EPOCH_S = 1_000_000
"""SIPp waits for nothing after a packet of time 0."""


def write_keys(file: Path, presses: Sequence[tuple[float, str]]) -> Path:
    """Write presses, each (seconds from the answer, key), and return the file."""
    packets: list[tuple[float, bytes]] = []
    for at_s, key in presses:
        timestamp = int(at_s * 8000)
        for step in range(_UPDATES + _ENDS):
            ended = step >= _UPDATES
            duration = 160 * min(step + 1, _UPDATES)
            marker = 0x80 if step == 0 else 0
            rtp = struct.pack("!BBHII", 0x80, marker | PAYLOAD_TYPE, len(packets) + 1, timestamp, _SSRC)
            event = struct.pack("!BBH", _CODES.index(key), (0x80 if ended else 0) | 10, duration)
            packets.append((at_s + step * _FRAME_S, rtp + event))
    packets.insert(0, (0.0, struct.pack("!BBHII", 0x80, 0, 0, 0, _SSRC) + bytes([0xFF]) * 160))
    out = [struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
    for at_s, payload in packets:
        udp = struct.pack("!HHHH", 6000, 6000, 8 + len(payload), 0) + payload
        ip = struct.pack(
            "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0, b"\x7f\0\0\1", b"\x7f\0\0\1"
        )
        frame = bytes(12) + b"\x08\0" + ip + udp
        out.append(
            struct.pack("=IIII", _EPOCH_S + int(at_s), int(at_s % 1 * 1e6), len(frame), len(frame)) + frame
        )
    file.write_bytes(b"".join(out))
    return file
