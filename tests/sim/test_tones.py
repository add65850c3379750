"""The codec, the frequency plan, and the ear of a waiting person."""

import io
from itertools import combinations

import numpy as np
import pytest
import soundfile as sf

from dialer_core.sim import g711, tone_plan, voices
from dialer_core.sim.audio_check import tone_levels_dbfs
from dialer_core.sim.ear import Ear, Heard
from dialer_core.sim.rtp import Received

pytestmark = pytest.mark.unit

SUBTYPE = {g711.Law.PCMU: "ULAW", g711.Law.PCMA: "ALAW"}
FRAME_NS = 20_000_000


@pytest.mark.parametrize("law", g711.Law)
def test_the_codec_agrees_with_libsndfile(law: g711.Law) -> None:
    """All 65,536 samples code as libsndfile codes them, and all 256 codes decode so."""
    pcm = np.arange(-32768, 32768).astype(np.int16)
    # where a negative sample lies exactly between two codes, the A-law of libsndfile and of Sun choose differently
    if law is g711.Law.PCMA:
        pcm = pcm[(pcm >= 0) | (pcm % 16 != 0)]
    raw = io.BytesIO()
    sf.write(raw, pcm, 8000, format="RAW", subtype=SUBTYPE[law])
    assert g711.encode(pcm, law) == raw.getvalue()
    codes = bytes(range(256))
    decoded, _ = sf.read(
        io.BytesIO(codes), samplerate=8000, channels=1, format="RAW", subtype=SUBTYPE[law], dtype="int16"
    )
    assert np.array_equal(g711.decode(codes, law), decoded / np.float32(32768))


@pytest.mark.parametrize("law", g711.Law)
def test_any_two_tones_are_told_apart(law: g711.Law) -> None:
    """A 200 ms window separates each tone from every other by more than 30 dB, the codec's distortion included."""
    for hz in tone_plan.ALL_TONES_HZ:
        samples = g711.decode(tone_plan.tone_frame(hz, law) * 10, law)
        (levels,) = tone_levels_dbfs(samples, tone_plan.ALL_TONES_HZ)
        own = levels[tone_plan.ALL_TONES_HZ.index(hz)]
        others = [level for level, other in zip(levels, tone_plan.ALL_TONES_HZ, strict=True) if other != hz]
        assert own - max(others) > 30, hz


def test_tones_keep_their_distance() -> None:
    """Tones are 50 Hz apart or more, 40 Hz from every network tone, and enough for the demo."""
    assert min(b - a for a, b in combinations(tone_plan.ALL_TONES_HZ, 2)) >= 50
    assert all(abs(hz - n) >= 40 for hz in tone_plan.ALL_TONES_HZ for n in tone_plan.NETWORK_TONES_HZ)
    assert len(tone_plan.AGENT_TONES_HZ) >= 5
    # only customers with an agent speak; some more, so that a tone rests before it is lent again
    assert len(tone_plan.CUSTOMER_TONES_HZ) >= len(tone_plan.AGENT_TONES_HZ) + 5
    assert not set(tone_plan.AGENT_TONES_HZ) & set(tone_plan.CUSTOMER_TONES_HZ)


@pytest.mark.parametrize("law", g711.Law)
def test_a_tone_goes_on_without_a_click(law: g711.Law) -> None:
    """Repeated frames are one sine: every frame holds whole periods."""
    for hz in tone_plan.ALL_TONES_HZ:
        samples = g711.decode(tone_plan.tone_frame(hz, law) * 2, law)
        ideal = tone_plan.TONE_AMPLITUDE * np.sin(2 * np.pi * hz * np.arange(320) / 8000)
        assert np.abs(samples - ideal).max() < 0.02


def test_tones_are_lent_once_and_rest_longest() -> None:
    """No two holders have one tone; a tone given back goes out after all others; an empty pool says so."""
    pool = tone_plan.TonePool((700, 750, 800))
    taken = [pool.take(holder) for holder in "abc"]
    assert set(taken) == {700, 750, 800}
    assert pool.take("a") == taken[0]
    assert pool.take("d") is None
    pool.give_back("b")
    pool.give_back("a")
    assert [pool.take("d"), pool.take("e")] == [taken[1], taken[0]]


def _packets(payload: bytes, count: int, first: int = 0, pt: int = 0) -> list[Received]:
    return [Received((first + i) * FRAME_NS, pt, payload) for i in range(count)]


@pytest.mark.parametrize("law", g711.Law)
def test_an_agent_is_heard_from_the_first_audible_sample(law: g711.Law) -> None:
    """Three frames of one agent's tone are an agent, noted with the moment of the first frame's first sound."""
    ear, hz, pt = Ear(tone_plan.AGENT_TONES_HZ), tone_plan.AGENT_TONES_HZ[4], g711.PAYLOAD_TYPE[law]
    noticed = [ear.listen(p) for p in _packets(g711.silent_frame(law), 5, pt=pt)]
    noticed += [ear.listen(p) for p in _packets(tone_plan.tone_frame(hz, law), 5, 5, pt)]
    assert [n for n in noticed if n] == [ear.agent]
    assert ear.agent is not None
    assert ear.agent.hz == hz
    assert 5 * FRAME_NS <= ear.agent.first_audible_ns < 5 * FRAME_NS + 1_000_000
    assert ear.message is None


def test_speech_is_a_message_and_no_agent() -> None:
    """Every packaged clip is taken for a message once 300 ms of it were loud, and never for an agent."""
    for group in voices.GROUPS:
        for clip in voices.clips_of(group):
            ear = Ear(tone_plan.AGENT_TONES_HZ)
            frames = g711.frames(clip.pcm, g711.Law.PCMU)
            heard: list[Heard] = []
            for index, frame in enumerate(frames):
                noticed = ear.listen(Received(index * FRAME_NS, 0, frame))
                heard += [noticed] if noticed else []
            assert ear.agent is None, clip.name
            assert len(heard) == (ear.message_ms >= 300), clip.name


def test_quiet_and_short_sounds_are_nothing() -> None:
    """Two frames of a tone, and noise below -45 dBFS, are noticed by nobody."""
    ear = Ear(tone_plan.AGENT_TONES_HZ)
    noise = np.random.default_rng(1).normal(0, 60, 16000).astype(np.int16)
    packets = _packets(tone_plan.tone_frame(tone_plan.AGENT_TONES_HZ[0], g711.Law.PCMU), 2)
    packets += [
        Received((10 + index) * FRAME_NS, 0, frame)
        for index, frame in enumerate(g711.frames(noise, g711.Law.PCMU))
    ]
    assert [ear.listen(packet) for packet in packets] == [None] * len(packets)
