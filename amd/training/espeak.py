"""Synthetic voices: espeak-ng reads the scripts in several languages with its many variants.

Owns the choice of voices and the calls of the program. A voice (variant) belongs to one split whatever its language.
"""

from __future__ import annotations

import io
import random
import shutil
import subprocess
from collections.abc import Iterator, Sequence

import numpy as np
import soundfile
from scipy.signal import resample_poly

from amd.training.parts import Part, Sound, levelled, voice_split
from amd.training.scripts import Script, scripts, spoken

LANGUAGES = {
    "es": ("es-419", "es"),
    "en": ("en-us", "en-gb", "en-gb-scotland"),
    "pt": ("pt-br", "pt"),
    "fr": ("fr-fr",),
    "it": ("it",),
    "de": ("de",),
}
"""espeak-ng's voices of each language."""
VARIANTS = (
    "Alex", "Alicia", "Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Gene2", "Henrique", "Hugo",
    "Jacky", "Lee", "Marco", "Mario", "Michael", "Mike", "Nguyen", "RicishayMax", "RicishayMax2",
    "RicishayMax3", "Storm", "Tweaky", "adam", "anika", "announcer", "antonio", "aunty", "belinda",
    "benjamin", "boris", "caleb", "david", "ed", "edward", "edward2", "f1", "f2", "f3", "f4", "f5",
    "grandma", "grandpa", "gustave", "iven", "iven2", "iven3", "iven4", "john", "kaukovalta", "linda", "m1",
    "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max", "michel", "miguel", "norbert", "pablo",
    "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby", "steph", "steph2", "steph3", "travis",
    "victor", "zac",
)  # fmt: skip
"""Its variants that sound like people: no whispering, no robots."""
LINES_OF_A_VOICE = {
    "hello": 14, "who": 8, "business": 7, "more": 6, "voicemail": 16, "announcement": 3, "ivr": 3, "screening": 2,
}  # fmt: skip
"""How many lines of each kind every voice reads."""


def available() -> bool:
    """Return whether espeak-ng is installed."""
    return shutil.which("espeak-ng") is not None


def say(text: str, voice: str, *, words_per_minute: int, pitch: int) -> Sound:
    """Return a text as sound at 8 kHz."""
    command = [
        "espeak-ng",
        "-v",
        voice,
        "-s",
        str(words_per_minute),
        "-p",
        str(pitch),
        "--stdout",
        "--",
        text,
    ]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  # a program of the system, no shell
    sound, rate = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
    return np.asarray(resample_poly(sound, 8000, rate), np.float32)


def read_scripts(seed: int, variants: Sequence[str] | None = None) -> Iterator[Part]:
    """Let every voice read lines of its own split, at a pace and pitch of its own each time."""
    for variant in variants or VARIANTS:
        split = voice_split(variant)
        rng = random.Random(f"{seed} {variant}")
        for kind, wanted in LINES_OF_A_VOICE.items():
            lines = [script for script in scripts() if script.kind == kind and script.split == split]
            weights = [
                (3 if script.language in {"es", "en"} else 1) * (3 if "[" in script.text else 1)
                for script in lines
            ]
            for script in rng.choices(lines, weights, k=wanted) if lines else ():
                yield _read(script, variant, split, rng)


def _read(script: Script, variant: str, split: str, rng: random.Random) -> Part:
    base = rng.choice(LANGUAGES[script.language])
    pace = (
        rng.randint(125, 205)
        if script.kind in {"voicemail", "ivr", "announcement"}
        else rng.randint(130, 240)
    )
    pitch = rng.randint(25, 75)
    phrases = [
        say(phrase, f"{base}+{variant}", words_per_minute=pace, pitch=pitch) for phrase in spoken(script, rng)
    ]
    return Part(script.kind, f"espeak-{variant}", script.language, "espeak-ng", split, levelled(phrases))
