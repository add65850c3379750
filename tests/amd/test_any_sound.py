"""Whatever is fed to the detector, and whoever joins and leaves: no crash, and no row that is stuck."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from amd import AmdInputError, Detector, DetectorConfig, FingerprintIndex, Label, Mark, MarkKind, Recogniser
from amd.config import HEARD_OUT_S
from amd.frames import TICK_S
from tests.amd import sounds

pytestmark = pytest.mark.unit

CONFIG = DetectorConfig(limit_s=1.5, revise_s=1.0, longest_greeting_s=1.2)
LIMIT_TICKS, REVISE_TICKS = 75 + round(HEARD_OUT_S / TICK_S), 50
MOST_TICKS = LIMIT_TICKS + REVISE_TICKS + 2
INDEX = FingerprintIndex.of([("known", sounds.pcm(sounds.speech(3.0, np.random.default_rng(1))))])

SOUNDS = st.sampled_from(
    ["bytes", "silence", "constant", "clipped", "noise", "speech", "tone", "busy", "spikes", "lost"]
)


def frame(kind: str, tick: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Return 20 ms of a kind of sound."""
    t = np.arange(tick * 160, tick * 160 + 160) / 8000
    made = {
        "bytes": lambda: np.frombuffer(rng.bytes(320), np.int16),
        "constant": lambda: np.full(160, 12345),
        "clipped": lambda: np.where(np.sin(700 * t) > 0, 32767, -32768),
        "noise": lambda: rng.normal(0, 300, 160),
        "speech": lambda: 9000 * np.sin(800 * t) * np.sin(25 * t) ** 2 + rng.normal(0, 20, 160),
        "tone": lambda: 6000 * np.sin(2 * np.pi * 1000 * t),
        "busy": lambda: 6000 * np.sin(2 * np.pi * 425 * t) * (tick // 12 % 2),
        "spikes": lambda: np.where(rng.random(160) < 0.02, 32767, 0),
    }
    return np.asarray(made[kind]() if kind in made else np.zeros(160), np.int16)


def check(marks: list[Mark], ticks: int) -> None:
    """Hold one row's marks against what `Detector` promises: one verdict by the limit, and what was provisional ends in time."""
    verdicts = [m for m in marks if m.kind is MarkKind.VERDICT and m.label is not Label.RINGBACK]
    assert len(verdicts) <= 1
    assert verdicts or ticks < LIMIT_TICKS, "no verdict at the limit"
    for mark in marks:
        assert 0.0 <= mark.confidence <= 1.0
        assert -1 <= mark.greeting_end_tick <= mark.tick < ticks
    ends = [m for m in marks if m.kind in (MarkKind.REVISED, MarkKind.SETTLED)]
    assert len(ends) <= sum(m.provisional for m in verdicts)
    if verdicts:
        assert verdicts[0].tick < LIMIT_TICKS
        if verdicts[0].provisional and ticks > verdicts[0].tick + REVISE_TICKS:
            assert len(ends) == 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    calls=st.lists(
        st.tuples(
            st.integers(0, 60),  # the tick it joins at
            st.integers(1, MOST_TICKS),  # how long it stays
            st.lists(SOUNDS, min_size=1, max_size=4),
        ),
        min_size=1,
        max_size=8,
    ),
    seed=st.integers(0, 2**32 - 1),
    known=st.booleans(),
)
def test_any_sound_in_any_company(calls: list[tuple[int, int, list[str]]], seed: int, *, known: bool) -> None:
    """Rows of random bytes, clipped, constant, lost and other sound that join and leave at any tick each keep what is promised."""
    rng = np.random.default_rng(seed)
    detector = Recogniser(1, CONFIG, INDEX) if known else Recogniser(1, CONFIG)
    rows: dict[int, tuple[int, list[str], list[Mark]]] = {}
    joined: dict[int, int] = {}
    for tick in range(62 + MOST_TICKS):
        for number, (begin, _, kinds) in enumerate(calls):
            if begin == tick:
                row = detector.join()
                joined[number] = row
                rows[row] = (tick, kinds, [])
        for number, (begin, stay, _) in enumerate(calls):
            if begin + stay == tick:
                row = joined.pop(number)
                began, _, marks = rows.pop(row)
                check(marks, tick - began)
                detector.leave(row)
        if not rows:
            continue
        playing = [kinds[(tick - began) // 20 % len(kinds)] for began, kinds, _ in rows.values()]
        pcm = np.stack([frame(kind, tick, rng) for kind in playing])
        valid = np.array([kind != "lost" for kind in playing])
        for mark in detector.step(pcm, np.fromiter(rows, np.intp, len(rows)), valid):
            rows[mark.row][2].append(mark)


@pytest.mark.parametrize(
    "pcm", [np.full((1, 160), np.nan), np.zeros((1, 160), np.float32), np.zeros((1, 159), np.int16)]
)
def test_rows_that_are_no_samples_are_refused(pcm: NDArray[np.float64]) -> None:
    """NaN, floating point and part frames are an error, and no row has advanced."""
    detector = Detector(1)
    row = np.array([detector.join()])
    with pytest.raises(AmdInputError):
        detector.step(pcm, row)  # type: ignore[arg-type]
    assert not np.isfinite(detector.evidence(row).level_dbfs).any()
