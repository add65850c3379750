"""Mixing: sums held against a slow one, and sources that stay where they belong on the clock, whatever their packets do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amd import g711
from dialer_core.media.mixer import DELAY_SAMPLES, MAX_AHEAD, Rings, Tap, encode, mix
from dialer_core.media.rtp import FRAME_NS, NEWEST, PCMA, PCMU, RESTARTED, SAMPLE_NS

pytestmark = pytest.mark.unit

START_NS = 7_000_000_000 // FRAME_NS * FRAME_NS


def _slowly(pcm: NDArray[np.int16], sources: list[list[int]]) -> list[list[int]]:
    return [
        [max(-32768, min(32767, sum(int(pcm[row, n]) for row in heard))) for n in range(pcm.shape[1])]
        for heard in sources
    ]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.lists(st.integers(0, 4), max_size=5), min_size=1, max_size=6))
def test_a_mix_is_the_clipped_sum(seed: int, sources: list[list[int]]) -> None:
    """Sample by sample as an obvious loop adds it up."""
    pcm = np.random.default_rng(seed).integers(-32768, 32768, (5, 12)).astype(np.int16)
    assert mix(pcm, sources).tolist() == _slowly(pcm, sources)


def test_frames_are_of_each_listeners_own_law() -> None:
    """One row µ-law, one A-law, both the same sound."""
    pcm = np.tile((np.sin(np.arange(160) / 5) * 9000).astype(np.int16), (2, 1))
    ulaw, alaw = encode(pcm, [PCMU, PCMA])
    assert ulaw == g711.encode_pcmu(pcm[0]).tobytes()
    assert alaw == g711.encode_pcma(pcm[0]).tobytes()


class Source:
    """A far end: packets of a rising ramp, so that each sample says when it was spoken."""

    def __init__(self, tap: Tap, payload_type: int = PCMU, timestamp: int = 0xFFFF_FF00) -> None:
        self.tap = tap
        self.payload_type = payload_type
        self.timestamp = timestamp
        self.sent = 0

    def packet(self, arrives_ns: int, sound: bytes, arrival: int = NEWEST) -> None:
        """Send the next 20 ms."""
        stamp = (self.timestamp + 160 * self.sent) & 0xFFFF_FFFF
        self.tap.push(arrival if self.sent else RESTARTED, self.payload_type, stamp, sound, arrives_ns)
        self.sent += 1


def _tone(octet: int) -> bytes:
    return bytes([octet]) * 160


def _read(rings: Rings, first_ns: int, frames: int) -> NDArray[np.int16]:
    return np.concatenate([rings.read(first_ns + k * FRAME_NS) for k in range(frames)], axis=1)


def test_sound_comes_out_whole_and_once_whatever_the_jitter() -> None:
    """Packets up to 40 ms late, two at a time or overtaken, are heard in order, without a gap, and silence before and after."""
    rings = Rings()
    source = Source(rings.open())
    frames = [g711.encode_pcmu(np.full(160, 400 + 100 * n, np.int16)).tobytes() for n in range(10)]
    late_ms = [0, 5, 30, 38, 31, 10, 0, 35, 25, 1]
    arrivals = sorted((START_NS + n * FRAME_NS + late * 1_000_000, n) for n, late in enumerate(late_ms))
    heard = []
    waiting = list(arrivals)
    for tick in range(20):
        due_ns = START_NS + tick * FRAME_NS
        while waiting and waiting[0][0] <= due_ns:
            at_ns, n = waiting.pop(0)
            source.sent = n
            source.packet(at_ns, frames[n])
        heard.append(rings.read(due_ns)[source.tap.row])
    sound = np.concatenate(heard)
    spoken = sound[np.flatnonzero(sound)[0] : np.flatnonzero(sound)[-1] + 1]
    expected = np.concatenate([g711.decode_pcmu(np.frombuffer(frame, np.uint8)) for frame in frames])
    assert spoken.tolist() == expected.tolist()


def test_two_sources_that_speak_at_once_are_heard_at_once_to_the_sample() -> None:
    """What two legs said at one moment is in one place of both rows, though one came in other packets and another law."""
    rings = Rings()
    left, right = Source(rings.open()), Source(rings.open(), PCMA, timestamp=5)
    for n in range(6):
        at_ns = START_NS + n * FRAME_NS + 3_000_000
        left.packet(at_ns, _tone(0x80) if n >= 3 else _tone(0xFF))
        right.packet(at_ns, _tone(0xAA) if n >= 3 else _tone(0xD5))
    sound = _read(rings, START_NS, 12)
    begins = [int(np.argmax(np.abs(sound[source.tap.row]) > 100)) for source in (left, right)]
    assert begins[0] == begins[1] == DELAY_SAMPLES + 3 * 160 + 24


def test_what_is_read_is_gone_and_a_silent_source_is_silence() -> None:
    """Nothing of a second ago is heard again when the ring comes round."""
    rings = Rings()
    source = Source(rings.open())
    source.packet(START_NS, _tone(0x80))
    sound = _read(rings, START_NS, 120)
    assert np.count_nonzero(sound[source.tap.row]) == 160


def test_a_burst_after_a_stall_does_not_become_delay() -> None:
    """A backlog that arrives at once is placed at most 200 ms ahead, and a source that comes back late begins where the clock is."""
    rings = Rings()
    source = Source(rings.open())
    source.packet(START_NS, _tone(0x80))
    for _ in range(30):
        source.packet(START_NS + FRAME_NS, _tone(0x80))
    sound = _read(rings, START_NS, 40)[source.tap.row]
    assert np.flatnonzero(sound)[-1] <= DELAY_SAMPLES + 160 + MAX_AHEAD + 320


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_source_with_another_clock_stays_within_20_ms(ppm: int) -> None:
    """A sound card 200 ppm off is followed, a sample at a time: after ten minutes it is no more beside the clock than at the start."""
    rings = Rings()
    source = Source(rings.open())
    period_ns = int(FRAME_NS * (1 + ppm / 1e6))
    at_ns = due_ns = START_NS
    mark_ns = 0
    for n in range(30_000):
        loud = n % 1000 == 999
        source.packet(at_ns, _tone(0x80) if loud else _tone(0xFF))
        mark_ns = at_ns if loud else mark_ns
        at_ns += period_ns
        while due_ns < at_ns:
            frame = rings.read(due_ns)[source.tap.row]
            if mark_ns and np.any(frame):
                window = (due_ns // SAMPLE_NS - DELAY_SAMPLES) // 160 * 160
                spoken = window + int(np.flatnonzero(frame)[0])
                assert abs(spoken - mark_ns // SAMPLE_NS) <= 160
                mark_ns = 0
            due_ns += FRAME_NS


def test_rows_grow_and_are_used_again() -> None:
    """There is a row for each tap, and a closed one's sound is not the next one's."""
    rings = Rings()
    taps = [rings.open() for _ in range(40)]
    assert len({tap.row for tap in taps}) == len(rings) == 40
    taps[7].push(RESTARTED, PCMU, 0, _tone(0x80), START_NS)
    rings.close(taps[7])
    again = rings.open()
    assert again.row == taps[7].row
    assert not np.any(_read(rings, START_NS, 10)[again.row])
