"""Real voices: simulated calls made from the shared clips, through gain, noise and µ-law, and the share told right.

The bars are what the detector reaches with a margin for the sample (three standard errors). Most of these clips were in its
training; what it reaches on others is in its model card. The clips are parts: people's are one short utterance each, machines'
are prompts read in a studio.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from amd import Label, Mark, MarkKind, g711
from tests.amd.hearing import hear

pytestmark = [pytest.mark.sim, pytest.mark.needs_shared]

SECONDS = 9


def trimmed(path: Path) -> np.ndarray:
    """Return a clip from its first to its last loud frame."""
    sound = soundfile.read(path, dtype="float64")[0]
    level = (sound[: sound.size // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1)
    loud = np.flatnonzero(level > level.max() * 1e-3)
    return sound[160 * loud[0] : 160 * loud[-1] + 160]


def call(sound: np.ndarray, rng: np.random.Generator, noise_dbfs: float) -> tuple[np.ndarray, float]:
    """Return a call of SECONDS with the clip after 0.2 to 1.5 s, at a random level, and where the clip ends in seconds."""
    lead_s = rng.uniform(0.2, 1.5)
    loud = sound[np.abs(sound) > 0.1 * np.abs(sound).max()]
    level_dbfs = rng.uniform(max(-30.0, noise_dbfs + 14.0), -16.0)
    line = np.zeros(SECONDS * 8000)
    first = round(lead_s * 8000)
    part = sound[: line.size - first] * 10 ** (level_dbfs / 20) / np.sqrt((loud**2).mean())
    line[first : first + part.size] = part
    line += rng.standard_normal(line.size) * 10 ** (noise_dbfs / 20)
    linear = np.clip(np.rint(line * 32768), -32768, 32767).astype(np.int16)
    return g711.decode_pcmu(g711.encode_pcmu(linear)), lead_s + sound.size / 8000


def clips(shared_data: Path, wanted: Callable[[dict[str, str]], bool], step: int) -> list[np.ndarray]:
    """Return every `step`-th clip of the manifest that is wanted."""
    with (shared_data / "amd" / "manifest.csv").open(encoding="utf-8") as manifest:
        rows = [row for row in csv.DictReader(manifest) if wanted(row)]
    return [trimmed(shared_data / "amd" / row["file"]) for row in rows[::step]]


def first_verdict(marks: list[Mark]) -> Mark:
    """Return the first verdict that is no ringback."""
    return next(mark for mark in marks if mark.kind is MarkKind.VERDICT and mark.label is not Label.RINGBACK)


def last_label(marks: list[Mark]) -> Label:
    """Return the label after any revision."""
    return next((mark.label for mark in marks if mark.kind is MarkKind.REVISED), first_verdict(marks).label)


def bar(share: float, n: int) -> float:
    """Return the share less three standard errors of a sample of n."""
    return share - 3.0 * np.sqrt(share * (1.0 - share) / n)


@pytest.mark.parametrize(
    ("noise_dbfs", "kept", "wait_s"), [(-65.0, 0.995, 0.4), (-50.0, 0.995, 0.4), (-40.0, 0.99, 0.47)]
)
def test_people_are_kept(shared_data: Path, noise_dbfs: float, kept: float, wait_s: float) -> None:
    """Almost no short utterance of a person ends as anything but a person, and half the verdicts come within 0.4 s, in loud noise 0.47."""
    rng = np.random.default_rng(20)
    made = [
        call(sound, rng, noise_dbfs) for sound in clips(shared_data, lambda row: row["kind"] == "human", 6)
    ]
    heard = hear([sound for sound, _ in made])
    share = np.mean([last_label(marks) in {Label.HUMAN, Label.SILENCE, Label.UNKNOWN} for marks in heard])
    late_s = [
        (first_verdict(marks).tick + 1) * 0.02 - end_s
        for marks, (_, end_s) in zip(heard, made, strict=True)
        if first_verdict(marks).label is Label.HUMAN
    ]
    assert share >= bar(kept, len(made)), share
    assert np.median(late_s) <= wait_s


@pytest.mark.parametrize(
    ("noise_dbfs", "at_first", "finally_"), [(-65.0, 0.86, 0.92), (-50.0, 0.84, 0.89), (-40.0, 0.82, 0.86)]
)
def test_machines_are_caught(shared_data: Path, noise_dbfs: float, at_first: float, finally_: float) -> None:
    """Most recordings of 5.5 s and more are machines at the first verdict, and nearly all after revision."""
    rng = np.random.default_rng(21)

    def wanted(row: dict[str, str]) -> bool:
        return row["kind"] == "machine" and "sit" not in row["label"] and float(row["duration_s"]) >= 5.5

    heard = hear([call(sound, rng, noise_dbfs)[0] for sound in clips(shared_data, wanted, 2)])
    first = np.mean([first_verdict(marks).label is Label.MACHINE for marks in heard])
    last = np.mean([last_label(marks) is Label.MACHINE for marks in heard])
    assert first >= bar(at_first, len(heard)), first
    assert last >= bar(finally_, len(heard)), last


def test_beeps_are_not_heard_in_speech(shared_data: Path) -> None:
    """Over every other clip of people and of machines that hold no beep: none is heard in some two hours."""
    rng = np.random.default_rng(22)
    sounds = clips(shared_data, lambda row: row["kind"] == "human", 2)
    sounds += clips(
        shared_data,
        lambda row: row["kind"] == "machine" and row["label"] in {"machine_prompt", "machine_prompt_tts"},
        2,
    )
    heard = hear([call(sound, rng, -60.0)[0] for sound in sounds])
    assert not [mark for marks in heard for mark in marks if mark.kind is MarkKind.BEEP]
    assert len(sounds) * SECONDS / 3600 > 2.0


def test_the_beeps_of_voicemail_greetings_are_heard(shared_data: Path) -> None:
    """Each of the 27 default voicemail greetings ends in a beep, which is marked once, within 100 ms of its end."""
    with (shared_data / "amd" / "manifest.csv").open(encoding="utf-8") as manifest:
        rows = [row for row in csv.DictReader(manifest) if row["label"] == "machine_voicemail_greeting"]
    sounds = [soundfile.read(shared_data / "amd" / row["file"], dtype="int16")[0] for row in rows]
    assert len(sounds) == 27
    for sound, marks in zip(sounds, hear([np.pad(sound, (0, 4000)) for sound in sounds]), strict=True):
        (beep,) = [mark for mark in marks if mark.kind is MarkKind.BEEP]
        loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > 500)
        assert abs((beep.beep_end_tick + 1) * 0.02 - loud[-1] / 8000) <= 0.03
        assert (beep.tick + 1) * 0.02 - loud[-1] / 8000 <= 0.1
