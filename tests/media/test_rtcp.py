"""RTCP on the wire: golden bytes, both ways, and anything at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.media import rtcp
from tests.media.captures import read_udp

pytestmark = pytest.mark.unit

BLOCK = rtcp.ReportBlock(
    ssrc=0x11111111,
    fraction_lost=0.25,
    lost=-2,
    highest_sequence=0x0001FFFE,
    jitter=80,
    last_report=5,
    delay=65536,
)
GOLDEN = bytes.fromhex(
    "81c8000c cafebabe 83aa7e80 80000000 00000140 00000002 00000140"
    "11111111 40fffffe 0001fffe 00000050 00000005 00010000"
    "81ca0003 cafebabe 0103612e62 000000"
    "81cb0001 cafebabe"
)


def test_a_report_is_these_bytes() -> None:
    """SR, SDES with CNAME and BYE stand as RFC 3550 6.4 to 6.6 has them; 1970 is 2,208,988,800 in NTP."""
    report = rtcp.Report(
        ssrc=0xCAFEBABE, blocks=(BLOCK,), ntp=rtcp.ntp_time(0.5), timestamp=320, packets=2, octets=320
    )
    assert rtcp.build(report, "a.b", bye=True) == GOLDEN
    assert list(rtcp.parse(GOLDEN)) == [report, rtcp.Bye(ssrcs=(0xCAFEBABE,))]
    assert report.middle_of_ntp == 0x7E808000


def test_without_packets_sent_it_is_a_receiver_report() -> None:
    """Without an NTP time the report is an RR, which parses to the same."""
    report = rtcp.Report(ssrc=1, blocks=(BLOCK,))
    packet = rtcp.build(report, "x")
    assert packet[1] == rtcp.RECEIVER_REPORT
    assert list(rtcp.parse(packet)) == [report]
    assert len(packet) % 4 == 0


def test_the_total_lost_is_clamped_to_24_bits() -> None:
    """A loss beyond the field is its greatest value, not a wrapped one."""
    block = rtcp.ReportBlock(ssrc=1, fraction_lost=1.0, lost=1 << 30, highest_sequence=0, jitter=0)
    (report,) = rtcp.parse(rtcp.build(rtcp.Report(ssrc=1, blocks=(block,)), "x"))
    assert isinstance(report, rtcp.Report)
    assert report.blocks[0].lost == 0x7FFFFF
    assert report.blocks[0].fraction_lost == 255 / 256


@given(st.binary(max_size=200), st.integers(0, len(GOLDEN)), st.integers(0, 255))
def test_any_bytes_can_be_parsed(noise: bytes, at: int, value: int) -> None:
    """Noise, and a good packet with one octet bent or its end cut off, never raise."""
    list(rtcp.parse(noise))
    list(rtcp.parse(GOLDEN[:at] + bytes((value,)) + GOLDEN[at + 1 :]))
    list(rtcp.parse(GOLDEN[:at]))


@pytest.mark.needs_shared
def test_captured_reports_are_read(shared_data: Path) -> None:
    """FreeSWITCH's SRs and the RRs that answer them are read, each out of its compound packet."""
    capture = shared_data / "sip_rtp_pcaps" / "ndpi" / "rtcp_multiple_pkts_in_the_same_datagram.pcap"
    said = [list(rtcp.parse(datagram.data)) for datagram in read_udp(capture)]
    assert [len(parts) for parts in said] == [1] * 5
    first, second = said[0][0], said[1][0]
    assert isinstance(first, rtcp.Report)
    assert isinstance(second, rtcp.Report)
    assert (first.ssrc, first.ntp is None) == (0x5D931534, False)
    assert second.ntp is None
    assert (first.packets, first.octets, first.timestamp) == (200, 32_000, 32_000)
    assert second.blocks[0].highest_sequence == 48_834
