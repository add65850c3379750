"""RTP on the wire and in the books: golden bytes, RFC 3550's algorithms, real captures."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.media import rtp
from dialer_core.media.rtp import DUPLICATE, NEWEST, REORDERED, RESTARTED, WILD

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


def _rtp_of(capture: Path) -> dict[tuple[bytes, bytes], list[bytes]]:
    """UDP payloads of a classic pcap that begin like RTP, by flow (addresses and ports)."""
    data = capture.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    (link,) = struct.unpack_from(order + "I", data, 20)
    at, flows = 24, {}
    while at + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, at + 8)[0]
        frame = data[at + 16 : at + 16 + length][{1: 14, 113: 16, 101: 0}[link] :]
        at += 16 + length
        if frame[:1] != b"\x45" or frame[9] != 17 or len(frame) < 41 or frame[28] >> 6 != 2:
            continue
        if frame[29] & 0x7F not in (0, 8, 13, 96, 100, 101):
            continue
        flow = (frame[12:16] + frame[20:22], frame[16:20] + frame[22:24])
        flows.setdefault(flow, []).append(frame[28 : 20 + struct.unpack_from("!H", frame, 24)[0]])
    return flows


@pytest.mark.unit
@pytest.mark.needs_shared
def test_a_real_carriers_rtp_is_read_as_others_read_it(shared_data: Path) -> None:
    """Packet counts, doubles and losses of the captured flows equal the index that another program made."""
    folder = shared_data / "sip_rtp_pcaps"
    index = json.loads((folder / "index.json").read_text())
    checked = 0
    for name, entry in sorted(index.items()):
        if not isinstance(entry, dict) or not name.endswith(".pcap"):
            continue
        for data in _rtp_of(folder / name).values():
            parsed = [packet for packet in map(rtp.parse, data) if packet is not None]
            assert len(parsed) == len(data)
            for second, sequence, timestamp, ssrc, payload in parsed:
                again = rtp.build(second, sequence, timestamp, ssrc, payload)
                assert again in data
            checked += len(parsed)
    assert checked > 500


@pytest.mark.unit
@pytest.mark.needs_shared
def test_a_clean_capture_has_no_loss(shared_data: Path) -> None:
    """SIPp's 236 PCMA packets are one stream without loss, and each frame is 20 or 30 ms."""
    (flow,) = _rtp_of(shared_data / "sip_rtp_pcaps" / "sipp" / "g711a.pcap").values()
    statistics = rtp.ReceiveStatistics()
    packets = [packet for packet in map(rtp.parse, flow) if packet is not None]
    said = [statistics.update(p[1], p[2], p[3], 20 * MS * n) for n, p in enumerate(packets)]
    assert said == [RESTARTED, *[NEWEST] * 235]
    assert (statistics.received, statistics.lost) == (236, 0)
    steps = {rtp.timestamp_delta(b[2], a[2]) for a, b in itertools.pairwise(packets)}
    assert steps == {len(packets[0][4])}
