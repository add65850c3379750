"""The parts simulated calls are made of: utterances with who said them, and the split they belong to.

Owns reading them from folders with a manifest, as `../shared/data/amd` is one, and their trimming. What espeak-ng says is
`espeak.py`'s business, how parts become calls `scenes.py`'s.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from amd.training.scripts import split_of

Sound = NDArray[np.float32]

HELD_OUT_SPEAKERS = {"armelle": "dev", "fsdd-george": "train", "fsdd-jackson": "dev", "fsdd-lucas": "test"}
"""Speakers of the shared data whose split is not left to their name; all others there are for training."""
QUIETEST_SHARE = 1e-3
"""Frames below this share of the loudest frame's power at both ends of a clip are cut off."""
KINDS = {
    "human_short_utterance": "hello",
    "human_business": "business",
    "human_more": "more",
    "machine_greeting": "voicemail",
    "machine_greeting_sit": "announcement",
    "machine_prompt": "prompt",
    "machine_prompt_tts": "prompt",
    "machine_voicemail_greeting": "whole",
    "machine_announcement": "announcement",
    "machine_ivr": "ivr",
    "machine_screening": "screening",
    "music_on_hold": "music",
}
"""What a manifest's label is used as."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something somebody says.

    Attributes
    ----------
    kind : str
        What it is used as: a `kind` of `scripts.csv`, or `prompt` (a sentence of a recording), `whole` (a greeting with its beep), `music`.
    speaker : str
        Who says it; clips of unknown speakers bear the name of their source.
    phrases : tuple of numpy.ndarray of float32
        8 kHz, one array a phrase, silence at both ends cut off, the whole scaled to a peak of 0.5.
    """

    kind: str
    speaker: str
    language: str
    source: str
    split: str
    phrases: tuple[Sound, ...]

    @property
    def seconds(self) -> float:
        """Length of its phrases together."""
        return sum(phrase.size for phrase in self.phrases) / 8000


def trimmed(sound: Sound) -> Sound:
    """Return a clip from its first to its last loud frame; empty if there is none."""
    frames = sound[: sound.size // 80 * 80].reshape(-1, 80)
    power = np.square(frames).mean(axis=1) if frames.size else np.zeros(0)
    if power.size == 0 or power.max() <= 0.0:
        return np.zeros(0, np.float32)
    (loud,) = np.nonzero(power > power.max() * QUIETEST_SHARE)
    return sound[80 * loud[0] : 80 * loud[-1] + 80]


def levelled(phrases: Iterable[Sound]) -> tuple[Sound, ...]:
    """Trim phrases and scale them together to a peak of 0.5."""
    cut = [part for phrase in phrases if (part := trimmed(phrase)).size >= 800]
    peak = max((float(np.abs(part).max()) for part in cut), default=1.0)
    return tuple((part * (0.5 / peak)).astype(np.float32) for part in cut)


def read_sound(path: Path) -> Sound:
    """Return a sound file as one channel at 8 kHz."""
    sound, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = sound.mean(axis=1)
    return np.asarray(mono if rate == 8000 else resample_poly(mono, 8000, rate), np.float32)


def read_manifest(manifest: Path, *, split: str | None = None) -> list[Part]:
    """Return the parts a manifest names; its files are beside it.

    Rows whose notes are ``kind:number:phrase`` are phrases of one line. `split` puts all of them there; without it, speakers are
    split by `HELD_OUT_SPEAKERS`.
    """
    folder = manifest.parent
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in KINDS]
    groups: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        note = row["notes"].split(":")
        phrase = len(note) == 3 and note[1].isdigit() and note[2].isdigit()
        groups[row["speaker"], ":".join(note[:2]) if phrase else row["file"]].append(row)
    parts = []
    for group in groups.values():
        first = group[0]
        phrases = levelled(read_sound(folder / row["file"]) for row in group)
        if phrases:
            speaker = first["speaker"] or first["source"]
            where = split or HELD_OUT_SPEAKERS.get(speaker, "train")
            kind = KINDS[first["label"]]
            if kind == "hello" and sum(phrase.size for phrase in phrases) > 1.3 * 8000:
                kind = "who"
            parts.append(Part(kind, speaker, first["language"][:2], first["source"], where, phrases))
    return parts


def voice_split(voice: str) -> str:
    """Return the split of a synthetic voice."""
    return split_of(voice)
