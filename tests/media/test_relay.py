"""Which numbers relayed packets get: the pure core of a bridge, over losses, bursts, drift and wraps."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dialer_core.media.relay import FILL_AFTER_NS, MAX_AHEAD, Relay
from dialer_core.media.rtp import DUPLICATE, FRAME_NS, WILD, OutgoingStream, ReceiveStatistics

pytestmark = pytest.mark.unit

START_NS = 5_000_000_000


class Direction:
    """A source, its statistics and a relay into one outgoing stream, on a clock of the test's own."""

    def __init__(self, *, sequence: int = 60_000, timestamp: int = 4_000_000_000) -> None:
        self.stream = OutgoingStream(7, sequence, timestamp, START_NS)
        self.relay = Relay(self.stream)
        self.statistics = ReceiveStatistics()
        self.sent: list[tuple[int, int]] = []

    def packet(
        self, sequence: int, timestamp: int, now_ns: int, *, ssrc: int = 1, samples: int = 160
    ) -> bool:
        """Feed one packet of the source; return whether it went on."""
        arrival = self.statistics.update(sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc, now_ns)
        if arrival in (DUPLICATE, WILD):
            return False
        place = self.relay.audio(arrival, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, samples, now_ns)
        if place is not None:
            self.sent.append(place)
        return place is not None

    def tick(self, now_ns: int) -> bool:
        """Pass one tick; return whether silence was filled in."""
        if not self.relay.filling(now_ns):
            return False
        before = (self.stream.next_sequence, self.stream.next_timestamp)
        if self.stream.paced(0, bytes(160), now_ns) is None:
            return False
        self.sent.append((before[0], self.stream.next_timestamp - 160))
        return True


def test_the_sources_numbers_are_replaced_and_its_gaps_kept() -> None:
    """Sequence and timestamp go on where the stream stands; a gap in the source is the same gap in the stream."""
    way = Direction()
    for n in [0, 1, 2, 5, 6]:
        assert way.packet(65_534 + n, 2**32 - 320 + 160 * n, START_NS + n * FRAME_NS)
    assert way.sent == [(60_000 + n, 4_000_000_000 + 160 * n) for n in [0, 1, 2, 5, 6]]


def test_an_overtaken_packet_takes_its_place_unless_that_is_gone() -> None:
    """What was overtaken is numbered in between, but nothing from before an anchor comes back."""
    way = Direction()
    for n in [10, 12, 11]:
        way.packet(n, n * 160, START_NS)
    assert way.sent == [(60_000, 4_000_000_000), (60_002, 4_000_000_320), (60_001, 4_000_000_160)]
    later_ns = START_NS + FILL_AFTER_NS + FRAME_NS
    assert way.tick(later_ns)
    way.packet(14, 14 * 160, later_ns)
    assert not way.packet(13, 13 * 160, later_ns), "silence stands in its place"
    assert way.relay.skipped == 1


def test_a_pause_is_filled_and_nothing_overlaps() -> None:
    """Silence begins when the source has been quiet for over 60 ms; what then comes late goes on behind it, with a marker."""
    way = Direction()
    for n in range(5):
        now_ns = START_NS + n * FRAME_NS
        way.packet(n, n * 160, now_ns)
        assert not way.tick(now_ns)
    last_ns = START_NS + 4 * FRAME_NS
    assert not way.tick(last_ns + FILL_AFTER_NS)
    filled = [way.tick(last_ns + FILL_AFTER_NS + k * FRAME_NS) for k in range(1, 6)]
    assert all(filled)
    now_ns = last_ns + FILL_AFTER_NS + 5 * FRAME_NS + 1_000_000
    way.stream.marker = False
    assert way.packet(5, 5 * 160, now_ns), "a source whose timestamps stood still in its pause"
    assert way.stream.marker
    sequences, timestamps = zip(*way.sent, strict=True)
    assert sequences == tuple(range(60_000, 60_011))
    assert all(b >= a + 160 for a, b in itertools.pairwise(timestamps))


def test_a_pause_with_running_timestamps_keeps_the_sources_time() -> None:
    """A source whose timestamps ran on through its pause is placed by them."""
    way = Direction()
    way.packet(0, 0, START_NS)
    for k in range(1, 20):
        way.tick(START_NS + k * FRAME_NS)
    assert way.packet(1, 20 * 160, START_NS + 20 * FRAME_NS)
    assert way.sent[-1][1] == 4_000_000_000 + 20 * 160


def test_a_backlog_in_one_burst_does_not_become_delay() -> None:
    """Of a second of sound that arrives at once, only so much goes on as keeps the stream 200 ms ahead of its clock at most."""
    way = Direction()
    way.packet(0, 0, START_NS)
    now_ns = START_NS + FRAME_NS
    passed = [way.packet(n, n * 160, now_ns) for n in range(1, 51)]
    assert passed == [True] * 11 + [False] * 39
    assert way.stream.next_timestamp - way.stream.position(now_ns) <= MAX_AHEAD + 160
    sequences = [sequence for sequence, _ in way.sent]
    assert sequences == list(range(60_000, 60_012))
    assert way.packet(51, 51 * 160, now_ns + FRAME_NS), "and it goes on at once after that"


@pytest.mark.parametrize("ppm", [-300, 300])
def test_a_source_with_another_clock_is_followed_for_hours(ppm: int) -> None:
    """A clock 300 ppm off never costs a packet, and the stream's sample clock stays within 5 ms of the source."""
    way = Direction()
    for n in range(180_000):  # an hour
        now_ns = START_NS + int(n * FRAME_NS * (1 - ppm / 1e6))
        assert way.packet(n, n * 160, now_ns)
    assert abs(way.stream.position(now_ns) - (way.stream.next_timestamp - 160)) < 40


def test_a_clock_that_jumps_is_anchored_anew() -> None:
    """A timestamp that jumps back or far ahead while the sequence goes on does not move the stream's."""
    way = Direction()
    way.packet(0, 1_000_000, START_NS)
    for n, jump in enumerate([0, 80_000, -5_000_000, 2_000_000_000], start=1):
        assert way.packet(n, 1_000_000 + jump + n * 160, START_NS + n * FRAME_NS)
    assert way.sent == [(60_000 + n, 4_000_000_000 + 160 * n) for n in range(5)]


def test_events_share_one_timestamp_and_two_presses_never_do() -> None:
    """All packets of a press have one timestamp in the stream, also a press so far ahead that its own could not be kept."""
    way = Direction()
    way.packet(0, 0, START_NS)
    places = []
    for n, timestamp in enumerate([160, 160, 160, 5_000, 5_000, 9_000], start=1):
        arrival = way.statistics.update(n, timestamp, 1, START_NS)
        places.append(way.relay.event(arrival, n, timestamp, START_NS))
    sequences, timestamps = zip(*[p for p in places if p is not None], strict=True)
    assert sequences == tuple(range(60_001, 60_007))
    assert timestamps[:3] == (4_000_000_160,) * 3
    assert timestamps[3] == timestamps[4]
    assert timestamps[2] < timestamps[3] < timestamps[5]


def test_withheld_packets_leave_no_gap() -> None:
    """Packets that are not for this leg are closed up, and one overtaken over such a place is not sent under a number already used."""
    way = Direction()
    way.packet(0, 0, START_NS)
    for n in (2, 3):
        way.relay.withhold(way.statistics.update(n, 320, 1, START_NS), n)
    assert not way.packet(1, 160, START_NS), "its number would be the next packet's"
    way.packet(4, 640, START_NS)
    assert [sequence for sequence, _ in way.sent] == [60_000, 60_002], "packet 1 is the gap"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), loss=st.floats(0, 0.3), swap=st.floats(0, 0.2), pauses=st.booleans())
def test_no_number_is_used_twice_whatever_the_network_does(
    seed: int, loss: float, swap: float, *, pauses: bool
) -> None:
    """Over loss, reordering, doubles, restarts and pauses: sequence numbers are unique and sound never overlaps in time."""
    rng = random.Random(seed)
    way = Direction(sequence=rng.randrange(65536), timestamp=rng.randrange(2**31))
    sequence, timestamp, ssrc = rng.randrange(65536), rng.randrange(2**32), 1
    flight: list[tuple[int, int, int]] = []
    paused = 0
    for n in range(400):
        now_ns = START_NS + n * FRAME_NS
        way.tick(now_ns)
        if pauses and not paused and rng.random() < 0.02:
            paused = rng.randrange(1, 30)
        if paused:
            paused -= 1
            timestamp += 160 * rng.randrange(2)
            continue
        if rng.random() < 0.01:
            sequence, timestamp, ssrc = rng.randrange(65536), rng.randrange(2**32), ssrc + 1
        sequence, timestamp = sequence + 1, timestamp + 160
        if rng.random() >= loss:
            flight.append((sequence, timestamp, ssrc))
        if rng.random() < swap:
            continue
        rng.shuffle(flight) if rng.random() < swap else None
        for one in flight:
            way.packet(*one[:2], now_ns + 3_000_000, ssrc=one[2])
            if rng.random() < 0.05:
                way.packet(*one[:2], now_ns + 3_000_000, ssrc=one[2])
        flight.clear()
    numbers = [number for number, _ in way.sent]
    assert len(set(numbers)) == len(numbers)
    in_order = [timestamp for _, timestamp in sorted(way.sent)]
    assert all(b >= a + 160 for a, b in itertools.pairwise(in_order))
    assert len(numbers) > 150
