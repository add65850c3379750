"""What is heard of a call over the wire is what is heard of its recording: the same verdicts, as soon, and a message after the beep.

The calls are spoken by espeak-ng and played by SIPp to the real dialer; the same octets go through the detector offline.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from amd import DetectorConfig, Label, Mark, MarkKind, detect_all
from dialer_core.media import prompts
from dialer_core.media.clips import read_clip
from dialer_core.sound_files import read_sound
from tests.e2e.floor import Floor
from tests.e2e.live import Dialer, number
from tests.e2e.scenario import Answer, Behaviour, Ring, Stay
from tests.e2e.sounds import RATE_HZ, Samples, Sounds, silence, tone
from tests.skips import requires_program

pytestmark = [
    pytest.mark.sip,
    requires_program("sipp"),
    requires_program("baresip"),
    requires_program("espeak-ng"),
]

TICK_S = 0.02
CLIP_KEY = bytes(range(32))
MESSAGE = "connect"
"""A prompt of a tenth of a second, so that the test does not wait."""
PROMPTS = Path(prompts.__file__).parent / "prompts"
MAILBOX_ES = (
    "Este es el buzón de voz del número que usted marcó y en este momento no podemos atender su llamada "
    "por favor deje su nombre y su teléfono después del tono"
)
MAILBOX_EN = (
    "You have reached the voice mailbox of the person that you are calling and nobody can come to the phone at the moment "
    "so please leave your name and a short message after the tone"
)
SAID = {
    # number: voice, words, law, and what follows them
    1: ("es-419", "¿Bueno?", "PCMU"),
    2: ("es-419+f2", "Sí, ¿quién habla?", "PCMA"),
    4: ("es", "Ferretería López, buenas tardes, ¿en qué le ayudo?", "PCMU"),
    11: ("es-419+f3", MAILBOX_ES, "PCMU"),
    12: ("en-us+m3", MAILBOX_EN, "PCMA"),
}  # fmt: skip
MACHINES = (11, 12)
"""They read without a pause for longer than any greeting that is left undecided, so that their first verdict does not hang on the odds:
`made` checks it."""
LEAD_S, BEEP_S, PAUSE_S = 0.4, 0.4, 0.6


@dataclass(frozen=True, slots=True)
class Call:
    """One call's octets, as they are played and as they are heard."""

    file: Path
    law: str
    pcm: NDArray[np.int16]


def spoken(folder: Path, voice: str, words: str) -> Samples:
    """Return words as espeak-ng says them, at 8 kHz."""
    wave = folder / "spoken.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", str(wave), words], check=True)
    return read_sound(wave).astype(np.float64) / 32768.0 * 0.5


def made(folder: Path) -> dict[int, Call]:
    """Return every call: a pause, the words, a beep where it is a machine, and the noise of a line through all of it."""
    calls = {}
    for suffix, (voice, words, law) in SAID.items():
        speech = spoken(folder, voice, words)
        parts = [silence(LEAD_S), speech]
        if suffix in MACHINES:
            assert speech.size / RATE_HZ >= DetectorConfig.preset("fast").longest_greeting_s + 0.5
            parts += [silence(PAUSE_S), tone(1000, BEEP_S) * 0.6]
        sound = np.concatenate([*parts, silence(14.0)])
        sound += np.random.default_rng(suffix).standard_normal(sound.size) * 10 ** (-62 / 20)
        file = folder / f"call-{suffix}.{law.lower()}"
        subtype = {"PCMU": "ULAW", "PCMA": "ALAW"}[law]
        soundfile.write(file, sound, RATE_HZ, format="RAW", subtype=subtype)
        heard, _ = soundfile.read(
            file, dtype="int16", format="RAW", subtype=subtype, samplerate=RATE_HZ, channels=1
        )
        calls[suffix] = Call(file, law, heard)
    return calls


def verdicts(marks: list[Mark]) -> list[Mark]:
    """Return the verdict and its revision, where there is one."""
    return [mark for mark in marks if mark.kind in (MarkKind.VERDICT, MarkKind.REVISED)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> tuple[Dialer, Mapping[int, Call]]:
    """Play every call once, two agents at work, a message for machines; return the dialer, which has ended."""
    folder = tmp_path_factory.mktemp("detection")
    calls = made(folder)
    table: dict[int, Behaviour] = {
        suffix: (
            Ring(100),
            Answer(call.file, law=call.law),
            # a machine that nobody hangs up on ends the call by itself, as recordings do
            Stay(20000 if suffix in MACHINES else 4000 + 2500 * (suffix == 4)),
        )
        for suffix, call in sorted(calls.items(), reverse=True)
    }
    with Floor(folder, sounds) as floor:
        floor.carrier(table)
        for _ in range(4):
            floor.softphone()
        dialer = floor.dialer(
            trunks={"first": {}},
            campaign={"wrap_up_s": 0.1, "machines": {"message": MESSAGE, "keep_clips": True}},
            environment={"MARCADOR_CLIPS__KEY_ENV": "E2E_CLIP_KEY", "E2E_CLIP_KEY": CLIP_KEY.hex()},
        )
        dialer.import_numbers([number(suffix) for suffix in table])
        dialer.start()
        dialer.wait_outcomes(len(table), timeout_s=60.0)
        dialer.close()
    return dialer, calls


@pytest.mark.parametrize("suffix", SAID)
def test_a_call_is_judged_on_the_wire_as_its_recording_is(
    played: tuple[Dialer, Mapping[int, Call]], suffix: int
) -> None:
    """The same label for the same reason; as soon within two ticks, from the answer or from the end of the greeting."""
    dialer, calls = played
    (attempt,) = dialer.attempts(number(suffix))
    told = dialer.events("attempt.verdict_given", "attempt.verdict_revised", attempt=attempt.id)
    ((_, marks),) = detect_all([calls[suffix].pcm], DetectorConfig.preset("fast"))
    offline = verdicts(marks)[: len(told)]
    assert [(event.data["label"], event.data["reason"]) for event in told] == [
        (mark.label.word, mark.reason.word) for mark in offline
    ]
    assert len(told) == len(verdicts(marks)) or attempt.ended_by == "far"
    first, mark = told[0], offline[0]
    # a packet that SIPp sends late moves one of the two, and its first comes a moment after the answer
    apart_s = [first.data["decision_ms"] / 1000 - (mark.tick + 1) * TICK_S]
    if mark.greeting_end_tick >= 0:
        since_s = (first.at_mono_ns - first.data["greeting_end_mono_ns"]) / 1e9
        apart_s.append(since_s - (mark.tick - mark.greeting_end_tick) * TICK_S)
    assert min(abs(apart) for apart in apart_s) <= 2 * TICK_S, apart_s


@pytest.mark.parametrize("suffix", MACHINES)
def test_the_message_is_spoken_after_the_beep(played: tuple[Dialer, Mapping[int, Call]], suffix: int) -> None:
    """A machine's beep is heard over the wire, the whole message follows it, and the outcome says so."""
    dialer, calls = played
    (attempt,) = dialer.attempts(number(suffix))
    assert (attempt.outcome, attempt.verdict) == ("message_left", Label.MACHINE.word)
    (began,) = dialer.events("attempt.message_started", attempt=attempt.id)
    assert began.data == {"after": "beep", "prompt": MESSAGE}
    ((_, marks),) = detect_all([calls[suffix].pcm], DetectorConfig.preset("fast"))
    (beep,) = [mark for mark in marks if mark.kind is MarkKind.BEEP]
    told, mark = dialer.events("attempt.verdict_given", attempt=attempt.id)[0], verdicts(marks)[0]
    # from the answer or from the verdict: SIPp's first packet may come a moment after the one, and then moves both others alike
    apart_s = (
        (began.at_mono_ns - attempt.answered_mono_ns) / 1e9 - (beep.tick + 1) * TICK_S,
        (began.at_mono_ns - told.at_mono_ns) / 1e9 - (beep.tick - mark.tick) * TICK_S,
    )
    assert min(map(abs, apart_s)) <= 2 * TICK_S, apart_s
    message_s = soundfile.info(PROMPTS / f"{MESSAGE}.wav").duration
    assert (attempt.ended_mono_ns - began.at_mono_ns) / 1e9 >= message_s


@pytest.mark.parametrize("suffix", [1, 2])
def test_the_first_seconds_are_kept_encrypted(played: tuple[Dialer, Mapping[int, Call]], suffix: int) -> None:
    """The clip of a call holds the very octets that were played, in their own law, and no more than was asked for."""
    dialer, calls = played
    (attempt,) = dialer.attempts(number(suffix))
    clip = read_clip(dialer.settings.clips_dir / f"{attempt.id}.clip", CLIP_KEY)
    assert clip.law == calls[suffix].law
    assert calls[suffix].file.read_bytes()[:8000] in clip.octets
    assert len(clip.octets) <= 8 * RATE_HZ
