"""RTCP of one leg: what the far end says of our stream, and what we say of its (RFC 3550, section 6.4).

Pure but for what is remembered between two reports: no sockets, no clock. How packets are built and read is `rtcp.py`'s; when a report is due,
`exchange.py`'s.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from dialer_core.media import rtcp, rtp

_SENT_KEPT: Final = 8
"""Our last sender reports: a far end answers one of these, or none."""
_SAMPLES_PER_MS: Final = 8


class Reports:
    """The reports of one leg, in both directions.

    Attributes
    ----------
    far_reports
        How often the far end has reported on our stream.
    far_lost
        Packets of ours that it says it never got, in all.
    far_jitter_ms
        Of our stream as it arrives there, by its last report.
    round_trip_ms
        There and back, by its last report that answers one of ours; None before.
    """

    __slots__ = ("_sender_report", "_sent", "far_jitter_ms", "far_lost", "far_reports", "round_trip_ms")

    def __init__(self) -> None:
        self.far_reports = 0
        self.far_lost = 0
        self.far_jitter_ms = 0.0
        self.round_trip_ms: float | None = None
        self._sender_report: tuple[int, int] | None = None
        self._sent: deque[tuple[int, int]] = deque(maxlen=_SENT_KEPT)

    def receive(self, data: bytes, ssrc: int, now_ns: int) -> None:
        """Take one RTCP datagram of the far end; `ssrc` is our stream's."""
        for part in rtcp.parse(data):
            if not isinstance(part, rtcp.Report):
                continue
            if part.ntp is not None:
                self._sender_report = (part.middle_of_ntp, now_ns)
            for block in part.blocks:
                if block.ssrc == ssrc:
                    self._take(block, now_ns)

    def _take(self, block: rtcp.ReportBlock, now_ns: int) -> None:
        self.far_reports += 1
        self.far_lost = max(0, block.lost)
        self.far_jitter_ms = block.jitter / _SAMPLES_PER_MS
        sent_ns = next((at_ns for middle, at_ns in self._sent if middle == block.last_report), None)
        if block.last_report and sent_ns is not None:
            # by our own clock, not by NTP time: the wall clock may have been set in between
            held_ns = block.delay * 1_000_000_000 // 65536
            self.round_trip_ms = max(0, now_ns - sent_ns - held_ns) / 1e6

    def build(
        self,
        stream: rtp.OutgoingStream,
        heard: rtp.ReceiveStatistics,
        now_ns: int,
        unix_s: float,
        cname: str,
        *,
        bye: bool = False,
    ) -> bytes:
        """Return an SR (or an RR, when we have sent nothing), with a BYE at the end. `unix_s` is the wall clock at `now_ns`."""
        blocks: tuple[rtcp.ReportBlock, ...] = ()
        if heard.received:
            middle, at_ns = self._sender_report or (0, now_ns)
            blocks = (
                rtcp.ReportBlock(
                    ssrc=heard.ssrc,
                    fraction_lost=heard.fraction_lost(),
                    lost=heard.lost,
                    highest_sequence=heard.extended_highest_sequence,
                    jitter=int(heard.jitter),
                    last_report=middle,
                    delay=(now_ns - at_ns) * 65536 // 1_000_000_000 & 0xFFFF_FFFF,
                ),
            )
        report = rtcp.Report(
            ssrc=stream.ssrc,
            blocks=blocks,
            ntp=rtcp.ntp_time(unix_s) if stream.packets else None,
            timestamp=stream.position(now_ns),
            packets=stream.packets,
            octets=stream.octets,
        )
        if report.ntp is not None:
            self._sent.append((report.middle_of_ntp, now_ns))
        return rtcp.build(report, cname, bye=bye)
