"""RTCP (RFC 3550 section 6): compound packets with SR or RR, SDES with a CNAME, and BYE: built and read.

Pure: no sockets, no clock. Extended reports, feedback and application packets are skipped when read and never built.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
SOURCE_DESCRIPTION: Final = 202
BYE: Final = 203

NTP_UNIX_OFFSET_S: Final = 2_208_988_800
"""Seconds from 1900, where NTP time begins, to 1970."""

_CNAME = 1
_HEAD = struct.Struct("!BBH")
_SENDER = struct.Struct("!IIIIII")
_BLOCK = struct.Struct("!IIIIII")
_WORD = struct.Struct("!I")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportBlock:
    """How one receiver hears one stream. Loss in [0, 1]; jitter in samples; `last_report` and `delay` in 1/65536 s."""

    ssrc: int
    fraction_lost: float
    lost: int
    highest_sequence: int
    jitter: int
    last_report: int = 0
    delay: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An SR or, without `ntp`, an RR. `ntp` is the 64-bit NTP time of `timestamp`."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()
    ntp: int | None = None
    timestamp: int = 0
    packets: int = 0
    octets: int = 0

    @property
    def middle_of_ntp(self) -> int:
        """The middle 32 bits of `ntp`: what the other side returns as `last_report`."""
        return 0 if self.ntp is None else self.ntp >> 16 & 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Bye:
    """The named streams have ended."""

    ssrcs: tuple[int, ...]


def ntp_time(unix_s: float) -> int:
    """Return 64-bit NTP time of a time in seconds since 1970."""
    return int((unix_s + NTP_UNIX_OFFSET_S) * (1 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def build(report: Report, cname: str, *, bye: bool = False) -> bytes:
    """Return a compound packet: the report, an SDES with the CNAME, and a BYE where asked.

    Every compound packet begins with a report and holds a CNAME (RFC 3550, 6.1).
    """
    body = b"".join(_build_block(block) for block in report.blocks)
    if report.ntp is None:
        packet = _packet(RECEIVER_REPORT, len(report.blocks), _WORD.pack(report.ssrc) + body)
    else:
        sender = _SENDER.pack(
            report.ssrc,
            report.ntp >> 32,
            report.ntp & 0xFFFF_FFFF,
            report.timestamp & 0xFFFF_FFFF,
            report.packets & 0xFFFF_FFFF,
            report.octets & 0xFFFF_FFFF,
        )
        packet = _packet(SENDER_REPORT, len(report.blocks), sender + body)
    name = cname.encode("ascii")
    item = _WORD.pack(report.ssrc) + bytes((_CNAME, len(name))) + name + b"\0"
    packet += _packet(SOURCE_DESCRIPTION, 1, item + bytes(-len(item) % 4))
    if bye:
        packet += _packet(BYE, 1, _WORD.pack(report.ssrc))
    return packet


def parse(data: bytes) -> Iterator[Report | Bye]:
    """Yield the reports and BYEs of a compound packet; stop at the first thing that is not RTCP."""
    at = 0
    while at + _HEAD.size <= len(data):
        first, kind, words = _HEAD.unpack_from(data, at)
        body = data[at + 4 : at + 4 + 4 * words]
        if first & 0xC0 != 0x80 or len(body) < 4 * words:
            return
        at += 4 + 4 * words
        count = first & 0x1F
        if kind == BYE:
            if len(body) < 4 * count:
                return
            yield Bye(ssrcs=struct.unpack_from(f"!{count}I", body))
        elif kind == SENDER_REPORT and len(body) >= _SENDER.size + count * _BLOCK.size:
            ssrc, ntp_s, ntp_fraction, timestamp, packets, octets = _SENDER.unpack_from(body)
            yield Report(
                ssrc=ssrc,
                blocks=_parse_blocks(body, _SENDER.size, count),
                ntp=ntp_s << 32 | ntp_fraction,
                timestamp=timestamp,
                packets=packets,
                octets=octets,
            )
        elif kind == RECEIVER_REPORT and len(body) >= _WORD.size + count * _BLOCK.size:
            yield Report(ssrc=_WORD.unpack_from(body)[0], blocks=_parse_blocks(body, _WORD.size, count))
        elif kind in (SENDER_REPORT, RECEIVER_REPORT):
            return


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEAD.pack(0x80 | count, kind, len(body) // 4) + body


def _build_block(block: ReportBlock) -> bytes:
    # 24 bits, signed: clamped, as RFC 3550 A.3 asks
    lost = max(-0x80_0000, min(0x7F_FFFF, block.lost)) & 0xFF_FFFF
    fraction = min(255, int(block.fraction_lost * 256))
    return _BLOCK.pack(
        block.ssrc,
        fraction << 24 | lost,
        block.highest_sequence,
        block.jitter,
        block.last_report,
        block.delay,
    )


def _parse_blocks(body: bytes, at: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for i in range(count):
        ssrc, loss, highest, jitter, last, delay = _BLOCK.unpack_from(body, at + i * _BLOCK.size)
        lost = loss & 0xFF_FFFF
        blocks.append(
            ReportBlock(
                ssrc=ssrc,
                fraction_lost=(loss >> 24) / 256,
                lost=lost - 0x100_0000 if lost & 0x80_0000 else lost,
                highest_sequence=highest,
                jitter=jitter,
                last_report=last,
                delay=delay,
            )
        )
    return tuple(blocks)
