"""The ear puts packets in order and cuts frames at the pace of time; the listener gives each frame the time it arrived at."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amd import MarkKind, detect
from amd.g711 import decode_pcma, encode_pcma, encode_pcmu
from dialer_core.ipc.messages import Listen
from dialer_core.media.listener import RING_FRAMES, STARVED_NS, Ear, Listener, level_dbfs
from dialer_core.media.prompts import SILENCE
from dialer_core.media.rtp import FRAME_NS, NEWEST, PCMA, PCMU, REORDERED, RESTARTED
from dialer_core.vocabulary import DetectionMode, LegId

pytestmark = pytest.mark.unit

START_NS = 1_000_000_000


def sound(begin: int, samples: int) -> bytes:
    """Octets that tell where in the sound they belong: position modulo 251."""
    return bytes(n % 251 for n in range(begin, begin + samples))


def drain(ear: Ear, now_ns: int) -> list[bytes | None]:
    """One tick: every frame the ear has."""
    ear.tick()
    frames = []
    while (frame := ear.pop(now_ns)) is not None:
        frames.append(frame[0])
    return frames


@pytest.mark.parametrize("samples", [40, 80, 160, 240, 320, 100])
def test_any_packet_length_becomes_frames(samples: int) -> None:
    """5 to 40 ms packets, and odd ones, come out as the same sound in frames of 20 ms."""
    ear, heard = Ear(), []
    for n in range(30):
        now_ns = START_NS + n * samples * 125_000
        ear.push(RESTARTED if n == 0 else NEWEST, PCMU, n * samples, sound(n * samples, samples), now_ns)
        heard += drain(ear, now_ns)
    whole = 30 * samples // 160
    assert heard == [sound(n * 160, 160) for n in range(whole)]


def test_overtaken_packets_are_put_back() -> None:
    """A packet that comes one or two late is in its place."""
    ear, heard = Ear(), []
    for n, (frame, arrival) in enumerate(
        [(0, RESTARTED), (2, NEWEST), (1, REORDERED), (3, NEWEST), (5, NEWEST), (4, REORDERED)]
    ):
        ear.push(arrival, PCMU, frame * 160, sound(frame * 160, 160), START_NS + n * FRAME_NS)
        heard += drain(ear, START_NS + n * FRAME_NS)
    assert heard == [sound(n * 160, 160) for n in range(6)]


def test_a_lost_packet_is_a_frame_not_heard() -> None:
    """When sound two frames beyond a missing one is here, it is given up, and time has passed all the same."""
    ear, heard = Ear(), []
    for n, frame in enumerate([0, 1, 3, 4, 5, 6]):
        ear.push(
            NEWEST if n else RESTARTED,
            PCMU,
            frame * 160,
            sound(frame * 160, 160),
            START_NS + frame * FRAME_NS,
        )
        heard += drain(ear, START_NS + frame * FRAME_NS)
    assert heard == [None if n == 2 else sound(n * 160, 160) for n in range(7)]


def test_time_goes_on_where_nothing_comes() -> None:
    """A far end that sends nothing at all, or stops, yields a frame not heard for every 20 ms."""
    ear = Ear()
    silent = [len(drain(ear, START_NS + n * FRAME_NS)) for n in range(100)]
    assert sum(silent) == 100
    ear.push(RESTARTED, PCMU, 0, sound(0, 160), START_NS + 100 * FRAME_NS)
    heard = [frame for n in range(100, 150) for frame in drain(ear, START_NS + n * FRAME_NS)]
    assert heard.count(None) == len(heard) - 1
    assert 49 <= len(heard) <= 51


def test_a_burst_after_a_stall_is_heard_whole() -> None:
    """What the network held back and then delivers at once is worked off, not thrown away."""
    ear = Ear()
    ear.push(RESTARTED, PCMU, 0, sound(0, 160), START_NS)
    drain(ear, START_NS)
    for n in range(1, 11):
        drain(ear, START_NS + n * FRAME_NS)
    now_ns = START_NS + 11 * FRAME_NS
    for n in range(1, 12):
        ear.push(NEWEST, PCMU, n * 160, sound(n * 160, 160), now_ns)
    assert [frame for frame in drain(ear, now_ns) if frame] == [sound(n * 160, 160) for n in range(1, 12)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_no_network_breaks_the_ear(seed: int, first: int) -> None:
    """Whatever comes, each frame is 160 octets or not heard, and frames keep to the pace of time."""
    rng = random.Random(seed)
    ear, frames, timestamp = Ear(), 0, first
    for n in range(400):
        now_ns = START_NS + n * FRAME_NS
        for _ in range(rng.choice([0, 1, 1, 1, 2, 12])):
            timestamp = (
                timestamp + rng.choice([160, 160, 160, 480, -320, 50_000, -1, rng.randrange(2**32)])
            ) & 0xFFFF_FFFF
            ear.push(
                rng.choice([NEWEST, NEWEST, REORDERED, RESTARTED]),
                rng.choice([PCMU, PCMU, PCMA]),
                timestamp,
                rng.randbytes(rng.choice([1, 80, 160, 240, 1400])),
                now_ns,
            )
        for frame in drain(ear, now_ns):
            assert frame is None or len(frame) == 160
            frames += 1
    # starved time is made up for by four frames at most, a backlog is never longer than the ring
    assert frames >= 400 - 4 - STARVED_NS // FRAME_NS - RING_FRAMES


class FakeLeg:
    """What the listener needs of a leg."""

    def __init__(self, name: str) -> None:
        self.leg_id = LegId(name)
        self.ear: Ear | None = None


def tone_then_quiet(hz: float, on_s: float, quiet_s: float) -> np.ndarray:
    """A call that plays one tone: 8 kHz int16."""
    t = np.arange(int(on_s * 8000)) / 8000
    rng = np.random.default_rng(1)
    pcm = np.concatenate([8000 * np.sin(2 * np.pi * hz * t), np.zeros(int(quiet_s * 8000))])
    return (pcm + rng.normal(0, 8, pcm.size)).astype(np.int16)


def test_the_listener_says_what_the_detector_says_offline() -> None:
    """A call heard packet by packet in A-law, between other rows that come and go, gives the marks of the same sound offline."""
    pcm = tone_then_quiet(2100, 1.5, 0.5)
    pcm = pcm[: pcm.size // 160 * 160]
    coded = encode_pcma(pcm).tobytes()
    offline = detect(decode_pcma(np.frombuffer(coded, np.uint8)))
    assert offline, "the detector knows a fax's answer tone"
    listener, fax, others, said = Listener(), FakeLeg("fax"), [FakeLeg(f"other{n}") for n in range(5)], []
    for n in range(len(coded) // 160):
        now_ns = START_NS + n * FRAME_NS
        if n % 20 == 0 and others:
            listener.listen(others.pop(), Listen(leg_id=LegId("x"), mode=DetectionMode.STRICT))  # type: ignore[arg-type]
        if n == 0:
            listener.listen(fax, Listen(leg_id=LegId("fax"), mode=DetectionMode.FAST))  # type: ignore[arg-type]
        assert fax.ear is not None or n > 0
        if fax.ear is not None:
            fax.ear.push(
                NEWEST if n else RESTARTED, PCMA, n * 160, coded[n * 160 :][:160], now_ns - 5_000_000
            )
        said += [heard for heard in listener.tick(now_ns) if heard.leg.leg_id == fax.leg_id]
    assert [heard.mark[1:] for heard in said] == [mark[1:] for mark in offline]
    assert fax.ear is None, "a final verdict ends the listening"


def test_a_leg_without_any_sound_still_reaches_its_limit() -> None:
    """No RTP after the answer means `silence` at the limit, not for ever nothing."""
    listener, leg, said = Listener(), FakeLeg("x"), []
    listener.listen(leg, Listen(leg_id=LegId("x"), mode=DetectionMode.FAST, limit_s=1.5))  # type: ignore[arg-type]
    for n in range(90):
        said += [(n, heard) for heard in listener.tick(START_NS + n * FRAME_NS)]
    ((tick, heard),) = said
    assert heard.mark.kind is MarkKind.VERDICT
    assert heard.mark.label.word == "silence"
    assert abs(tick - 75) <= 1
    assert heard.greeting_end_ns == 0
    assert len(listener) == 0


def test_the_level_of_what_we_say() -> None:
    """A tone's mean magnitude is told within a decibel from its octets, in both laws; silence has none."""
    tone = (3000 * np.sin(2 * np.pi * 440 * np.arange(160) / 8000)).astype(np.int16)
    wanted = 20 * np.log10(np.abs(tone.astype(float)).mean() / 32768)
    for law, encode in ((PCMU, encode_pcmu), (PCMA, encode_pcma)):
        assert level_dbfs(encode(tone).tobytes(), law) == pytest.approx(wanted, abs=1.0)
        assert level_dbfs(SILENCE[law], law) == -np.inf
