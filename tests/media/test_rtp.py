"""RTP on the wire and in the books: golden bytes, RFC 3550's algorithms, real captures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.media import rtp
from dialer_core.media.rtp import DUPLICATE, NEWEST, REORDERED, RESTARTED, WILD
from tests.media.captures import read_udp

MS = 1_000_000


@pytest.mark.unit
def test_a_packet_is_these_bytes() -> None:
    """Header fields stand where RFC 3550 5.1 puts them."""
    packet = rtp.build(0x80 | 8, 0x1234, 0x01020304, 0xCAFEBABE, b"\xd5\xd5")
    assert packet == bytes.fromhex("80 88 1234 01020304 cafebabe d5d5")
    assert rtp.parse(packet) == (0x88, 0x1234, 0x01020304, 0xCAFEBABE, b"\xd5\xd5")


@pytest.mark.unit
def test_csrcs_extension_and_padding_are_taken_off() -> None:
    """The payload is what is left between the optional parts."""
    head = bytes.fromhex("b2 00 0001 00000002 00000003") + b"CSR1CSR2" + bytes.fromhex("bede 0001") + b"EXTN"
    assert rtp.parse(head + b"sound" + b"\0\0\3") == (0, 1, 2, 3, b"sound")


@pytest.mark.unit
@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(11),
        bytes.fromhex("80 00 0001 00000002 00000003"),  # no payload
        bytes.fromhex("40 00 0001 00000002 00000003") + bytes(160),  # version 1
        bytes.fromhex("8f 00 0001 00000002 00000003") + bytes(40),  # CSRCs beyond the end
        bytes.fromhex("90 00 0001 00000002 00000003 bede ffff") + bytes(40),  # extension beyond the end
        bytes.fromhex("90 00 0001 00000002 00000003 be"),  # cut in the extension's head
        bytes.fromhex("a0 00 0001 00000002 00000003") + bytes(20),  # padding of 0
        bytes.fromhex("a0 00 0001 00000002 00000003") + b"\xff" * 20,  # padding beyond the begin
    ],
)
def test_what_is_not_rtp_is_refused(data: bytes) -> None:
    """Cut, bent and foreign packets parse to None."""
    assert rtp.parse(data) is None


@pytest.mark.unit
@given(st.binary(max_size=300))
def test_any_bytes_can_be_parsed(data: bytes) -> None:
    """Nothing raises, and a payload is never longer than the packet."""
    packet = rtp.parse(data)
    assert packet is None or 0 < len(packet[4]) <= len(data) - 12


@pytest.mark.unit
@given(st.integers(0, 0xFFFF), st.integers(-32768, 32767))
def test_sequence_arithmetic_is_circular(sequence: int, ahead: int) -> None:
    """The distance of two sequence numbers is the step between them, over every wrap."""
    assert rtp.sequence_delta((sequence + ahead) & 0xFFFF, sequence) == ahead


@pytest.mark.unit
@given(st.integers(0, 2**32 - 1), st.integers(-(2**31), 2**31 - 1))
def test_timestamp_arithmetic_is_circular(timestamp: int, ahead: int) -> None:
    """The same for timestamps."""
    assert rtp.timestamp_delta((timestamp + ahead) & 0xFFFF_FFFF, timestamp) == ahead


def _feed(statistics: rtp.ReceiveStatistics, sequences: list[int], ssrc: int = 1) -> list[int]:
    return [
        statistics.update(sequence & 0xFFFF, 160 * sequence & 0xFFFF_FFFF, ssrc, 20 * MS * n)
        for n, sequence in enumerate(sequences)
    ]


@pytest.mark.unit
def test_order_is_told() -> None:
    """First, next, after a gap, overtaken, doubled: each is named, over a wrap of the sequence."""
    statistics = rtp.ReceiveStatistics()
    said = _feed(statistics, [65_534, 65_535, 65_537, 65_536, 65_536, 65_537, 65_538])
    assert said == [RESTARTED, NEWEST, NEWEST, REORDERED, DUPLICATE, DUPLICATE, NEWEST]
    assert (statistics.received, statistics.lost, statistics.duplicate, statistics.reordered) == (5, 0, 2, 1)
    assert statistics.extended_highest_sequence == 65_538


@pytest.mark.unit
def test_a_jump_needs_a_second_packet() -> None:
    """One wild sequence number is discarded, two in a row are a restart (A.1); what was lost before stays lost."""
    statistics = rtp.ReceiveStatistics()
    assert _feed(statistics, [1, 2, 5, 40_000, 6, 40_000, 40_001, 40_002]) == [
        RESTARTED, NEWEST, NEWEST, WILD, NEWEST, WILD, RESTARTED, NEWEST,
    ]  # fmt: skip
    assert (statistics.lost, statistics.wild) == (2, 2)
    assert _feed(statistics, [7], ssrc=2) == [RESTARTED]
    assert statistics.expected == 6 + 2 + 1


@pytest.mark.unit
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=1, max_size=300), st.integers(0, 65535))
def test_the_books_agree_with_a_slow_count(network: list[tuple[bool, int]], first: int) -> None:
    """Received, lost and doubled equal what a list of everything that was sent says, however packets are lost and held back."""
    sent = [(n + hold, n) for n, (_, hold) in enumerate(network)]
    arrivals = [n for _, n in sorted(sent) if not network[n][0]]
    arrivals = [n for n in arrivals if n >= arrivals[0]]
    doubled = arrivals[:: max(1, len(arrivals) // 3)]
    statistics = rtp.ReceiveStatistics()
    _feed(statistics, [first + n for n in [*arrivals, *doubled[-1:]]])
    if arrivals:
        assert statistics.received == len(set(arrivals))
        assert statistics.lost == max(arrivals) - arrivals[0] + 1 - len(set(arrivals))
        assert statistics.duplicate == 1


@pytest.mark.unit
def test_jitter_follows_the_rfc() -> None:
    """Interarrival jitter is the smoothed difference of transit times (A.8), as a slow rendering of the formula has it."""
    arrivals_ms = [0, 21, 39, 66, 80, 99, 125, 140, 161, 180]
    statistics, expected, transits = rtp.ReceiveStatistics(), 0.0, []
    for n, at_ms in enumerate(arrivals_ms):
        statistics.update(n, 160 * n, 1, at_ms * MS)
        transits.append(at_ms * 8 - 160 * n)
        if n:
            expected += (abs(transits[n] - transits[n - 1]) - expected) / 16
    assert statistics.jitter == pytest.approx(expected)


@pytest.mark.unit
def test_loss_between_two_reports() -> None:
    """The fraction lost is of the packets since the last report."""
    statistics = rtp.ReceiveStatistics()
    _feed(statistics, [1, 2, 3, 4])
    assert statistics.fraction_lost() == 0.0
    _feed(statistics, [6, 8])
    assert statistics.fraction_lost() == 0.5
    assert statistics.fraction_lost() == 0.0


@pytest.mark.unit
def test_paced_frames_go_on_by_one() -> None:
    """Frames of our own step by 1 and 160; the first has a marker; both numbers wrap."""
    stream = rtp.OutgoingStream(9, 65_535, 2**32 - 160, 0)
    packets = [rtp.parse(stream.paced(0, bytes(160), n * rtp.FRAME_NS) or b"") for n in range(3)]
    assert [p[:3] for p in packets if p] == [(0x80, 65_535, 2**32 - 160), (0, 0, 0), (0, 1, 160)]


@pytest.mark.unit
def test_a_pause_moves_the_timestamp_and_nothing_else() -> None:
    """After a pause the timestamp is the clock's, with a marker, and the sequence has no gap; ahead of its clock the stream waits."""
    stream = rtp.OutgoingStream(9, 1, 0, 0)
    stream.paced(0, bytes(160), 0)
    after = rtp.parse(stream.paced(0, bytes(160), 50 * rtp.FRAME_NS) or b"")
    assert after is not None
    assert after[:3] == (0x80, 2, 50 * 160)
    assert stream.paced(0, bytes(160), 50 * rtp.FRAME_NS) is None


@pytest.mark.unit
@pytest.mark.needs_shared
def test_captured_calls_are_counted_as_others_count_them(shared_data: Path) -> None:
    """Received, lost, doubled and overtaken of every G.711 flow (a carrier's, with comfort noise and a gap, and SIPp's) equal another program's."""
    folder = shared_data / "sip_rtp_pcaps"
    index = {Path(entry["file"]).name: entry for entry in json.loads((folder / "index.json").read_text())}
    for name in ("ndpi/FAX-Call-t38-CA-TDM-SIP-FB-1.pcap", "sipp/g711a.pcap"):
        datagrams = list(read_udp(folder / name))
        for expected in index[Path(name).name]["rtp"]:
            statistics = rtp.ReceiveStatistics()
            for datagram in datagrams:
                packet = rtp.parse(datagram.data) if datagram.flow == expected["flow"] else None
                if packet is not None and packet[3] == int(expected["ssrc"], 16):
                    statistics.update(packet[1], packet[2], packet[3], datagram.at_ns)
            assert (statistics.received, statistics.lost) == (expected["packets"], expected["lost"])
            assert (statistics.duplicate, statistics.reordered) == (expected["dup"], expected["reordered"])
