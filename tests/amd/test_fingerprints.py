"""Known recordings are recognised through other lines, and other speech is not; rows that join and leave do not disturb one another."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from amd import AmdInputError, FingerprintIndex, Label, MarkKind, Reason, Recogniser, detect_all, g711
from amd.fingerprints import LEARNED, Matcher
from tests.amd import sounds

pytestmark = pytest.mark.unit

TICK = 160


def announcement(seed: int, seconds: float = 4.0) -> NDArray[np.int16]:
    """A recording of speech, as the index learns it."""
    return sounds.pcm(sounds.speech(seconds, np.random.default_rng(seed)), noise_dbfs=None)


def heard(
    pcm: NDArray[np.int16], *, lead: int, gain: float, noise_dbfs: float, seed: int
) -> NDArray[np.int16]:
    """The same through a line: later, louder or softer, without its lows and highs, in noise, in A-law."""
    spectrum = np.fft.rfft(np.concatenate([np.zeros(lead), pcm / 32768.0 * gain]))
    hz = np.linspace(0, 4000, spectrum.size)
    spectrum[(hz < 300) | (hz > 3400)] = 0
    line = np.fft.irfft(spectrum)
    line += np.random.default_rng(seed).standard_normal(line.size) * 10 ** (noise_dbfs / 20)
    linear = np.clip(np.rint(line * 32768), -32768, 32767).astype(np.int16)
    return g711.decode_pcma(g711.encode_pcma(linear))


KNOWN = [(f"announcement {seed}", announcement(seed)) for seed in range(6)]
INDEX = FingerprintIndex.of(KNOWN)


@pytest.mark.parametrize("number", range(6))
def test_a_known_recording_is_recognised_through_another_line(number: int) -> None:
    """Whatever tick it begins at, at a fifth of its level, band-limited and in noise, within a second and a half of its first sound."""
    lead = 3000 + 37 * number
    call = heard(KNOWN[number][1], lead=lead, gain=0.2, noise_dbfs=-58, seed=number)
    ((_, marks),) = detect_all([call], known=INDEX)
    (last,) = [mark for mark in marks if mark.reason is Reason.FINGERPRINT]
    assert last.label is Label.ANNOUNCEMENT
    assert last is marks[-1]
    assert (last.tick + 1) * 0.02 - lead / 8000 < 1.5


@pytest.mark.parametrize("label", LEARNED)
def test_a_recording_is_told_as_what_it_was_learned_as(label: Label) -> None:
    """Each label that can be learned is given; an index from before there were labels holds announcements."""
    index = FingerprintIndex.of(KNOWN[:2]).with_recordings(FingerprintIndex.of(KNOWN[2:4], label))
    call = heard(KNOWN[3][1], lead=2500, gain=0.5, noise_dbfs=-60, seed=4)
    ((_, marks),) = detect_all([call], known=index)
    assert (marks[-1].label, marks[-1].reason, marks[-1].provisional) == (label, Reason.FINGERPRINT, False)
    old = {name: array for name, array in index.arrays().items() if name != "labels"}
    assert set(FingerprintIndex.from_arrays(old).labels) == {Label.ANNOUNCEMENT}


def test_what_cannot_be_learned_is_refused() -> None:
    """A person, a tone: no label of a recording that is always the same."""
    with pytest.raises(AmdInputError, match="announcement, machine, screening, ivr, music"):
        FingerprintIndex.of(KNOWN[:1], Label.HUMAN)


def test_other_speech_is_not() -> None:
    """Forty other calls of speech match nothing."""
    calls = [heard(announcement(100 + n, 5.0), lead=800, gain=0.5, noise_dbfs=-60, seed=n) for n in range(40)]
    for _, marks in detect_all(calls, known=INDEX):
        assert not [mark for mark in marks if mark.reason is Reason.FINGERPRINT]


def test_without_an_index_nothing_changes() -> None:
    """An empty index says what the detector alone says."""
    call = announcement(50)
    assert list(detect_all([call], known=FingerprintIndex.of([]))) == list(detect_all([call]))


def test_early_media_is_recognised_before_the_answer() -> None:
    """An early row gets its verdict too, and one that was provisionally a person is revised."""
    recogniser = Recogniser(1, known=INDEX)
    row = recogniser.join(early=True)
    call = heard(KNOWN[2][1], lead=1600, gain=1.0, noise_dbfs=-65, seed=3)
    marks = []
    for frame in call[: call.size // TICK * TICK].reshape(-1, 1, TICK):
        marks += recogniser.step(frame, np.array([row]))
    assert [(mark.kind, mark.label) for mark in marks][-1] == (MarkKind.VERDICT, Label.ANNOUNCEMENT)


def test_rows_are_heard_alone() -> None:
    """The matches of a row are the same whoever joins, leaves and stands still beside it."""
    call = heard(KNOWN[4][1], lead=2000, gain=0.4, noise_dbfs=-60, seed=9)
    frames = call[: call.size // TICK * TICK].reshape(-1, TICK)
    alone, beside = Matcher(INDEX, 1), Matcher(INDEX, 2)
    alone.join(0)
    beside.join(7)
    rng = np.random.default_rng(5)
    for tick, frame in enumerate(frames):
        others = rng.choice([row for row in range(12) if row != 7], size=tick % 4, replace=False)
        for row in others:
            beside.join(int(row))
        rows = np.array([7, *others])
        pcm = np.stack([frame, *rng.integers(-9000, 9000, (len(others), TICK)).astype(np.int16)])
        mine = [match._replace(row=0) for match in beside.step(pcm, rows) if match.row == 7]
        assert mine == alone.step(frame[None], np.array([0]))


def test_an_index_survives_its_arrays() -> None:
    """Stored and read again it recognises the same; two are joined; what is no index is refused."""
    stored = FingerprintIndex.from_arrays(INDEX.arrays())
    call = heard(KNOWN[1][1], lead=900, gain=0.6, noise_dbfs=-60, seed=2)
    assert list(detect_all([call], known=stored)) == list(detect_all([call], known=INDEX))
    both = FingerprintIndex.of(KNOWN[:3]).with_recordings(FingerprintIndex.of(KNOWN[3:]))
    assert both.names == INDEX.names
    assert list(detect_all([call], known=both)) == list(detect_all([call], known=INDEX))
    with pytest.raises(AmdInputError):
        FingerprintIndex.from_arrays({"names": np.array(["x"])})
    with pytest.raises(AmdInputError, match="only 0 pairs"):
        FingerprintIndex.of([("quiet", np.zeros(8000, np.int16))])
