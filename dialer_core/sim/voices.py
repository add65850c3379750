"""What the simulated far ends say: packaged clips, tone sequences, and a call's sounds as coded 20 ms frames.

Owns the clip groups (`clips/`, see `clips/SOURCES.md`), the tone sequences and the cache of coded frames:
each clip is coded once per law, whatever the number of calls. Knows no call.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np
import soundfile as sf

from dialer_core.sim import g711
from dialer_core.sim.behaviours import CallPlan, Pause, Speech

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

_AMPLITUDE = 0.16  # -19 dBFS as RMS, a usual level of network tones
_FSK_BITS_HZ = (1850.0, 1650.0)  # V.21 channel 2: zero, one
_FSK_RATE = 300
_HDLC_FLAG = (0, 1, 1, 1, 1, 1, 1, 0)

GROUPS = ("hello", "who", "business", "voicemail", "voicemail_first", "voicemail_rest", "announcement")


def _tones(*parts: tuple[float, float]) -> NDArray[np.int16]:
    """Consecutive sines; each part is (Hz, seconds), 0 Hz being silence."""
    out = []
    for hz, length_s in parts:
        t_s = np.arange(round(length_s * g711.SAMPLE_RATE_HZ)) / g711.SAMPLE_RATE_HZ
        out.append(_AMPLITUDE * np.sin(2 * np.pi * hz * t_s))
    return np.rint(np.concatenate(out) * 32767).astype(np.int16)


def _v21_flags(length_s: float) -> NDArray[np.int16]:
    """HDLC flags by 300 bit/s FSK, as a fax machine sends before its DIS (ITU-T T.30 5.3.1, V.21 channel 2)."""
    n = round(length_s * g711.SAMPLE_RATE_HZ)
    bit = np.arange(n) * _FSK_RATE // g711.SAMPLE_RATE_HZ
    hz = np.asarray(_FSK_BITS_HZ)[np.asarray(_HDLC_FLAG)[bit % len(_HDLC_FLAG)]]
    phase = 2 * np.pi * np.cumsum(hz) / g711.SAMPLE_RATE_HZ
    return np.rint(_AMPLITUDE * np.sin(phase) * 32767).astype(np.int16)


TONE_SEQUENCES: Mapping[str, NDArray[np.int16]] = {
    "beep": _tones((1000, 0.5)),
    "ced": _tones((2100, 3.0)),
    "v21_flags": _v21_flags(1.2),
    # ITU-T E.180: 950, 1400, 1800 Hz of 330 ms. US (Bellcore TR-NWT-000674): low or high, short (274) or long
    # (380 ms)
    "sit_itu": _tones((950, 0.33), (1400, 0.33), (1800, 0.33)),
    "sit_ic": _tones((913.8, 0.274), (1370.6, 0.274), (1776.7, 0.38)),
    "sit_ro": _tones((913.8, 0.274), (1428.5, 0.38), (1776.7, 0.38)),
    "sit_vc": _tones((985.2, 0.38), (1370.6, 0.274), (1776.7, 0.38)),
}


@dataclass(frozen=True, slots=True)
class Clip:
    """A packaged recording: its name and int16 samples at 8 kHz."""

    name: str
    pcm: NDArray[np.int16]


@cache
def clips_of(group: str) -> tuple[Clip, ...]:
    """The clips of a group, ordered by name.

    Raises
    ------
    LookupError
        If the group has no clip, which means that the package was built without its data.
    """
    found = []
    for entry in resources.files("dialer_core.sim").joinpath("clips").iterdir():
        name, _, kind = entry.name.rpartition(".")
        if (
            kind == "flac"
            and max((g for g in GROUPS if name.startswith(f"{g}_")), key=len, default="") == group
        ):
            pcm, rate_hz = sf.read(io.BytesIO(entry.read_bytes()), dtype="int16")
            if rate_hz != g711.SAMPLE_RATE_HZ or pcm.ndim != 1:
                raise LookupError(f"clip {entry.name}: not 8 kHz mono")
            found.append(Clip(name, pcm))
    if not found:
        raise LookupError(
            f"no clip of group {group!r} in dialer_core/sim/clips: the package lacks its .flac files"
        )
    return tuple(sorted(found, key=lambda clip: clip.name))


@dataclass(frozen=True, slots=True)
class Utterance:
    """One sound of a call, ready to be sent."""

    name: str
    frames: tuple[bytes, ...]
    audible: bool
    length_s: float
    """Without the silence that fills the last frame."""


@cache
def _coded_clip(group: str, index: int, law: g711.Law) -> Utterance:
    clip = clips_of(group)[index]
    return Utterance(
        clip.name, g711.frames(clip.pcm, law), audible=True, length_s=len(clip.pcm) / g711.SAMPLE_RATE_HZ
    )


@cache
def _coded_tones(name: str, law: g711.Law) -> Utterance:
    pcm = TONE_SEQUENCES[name]
    return Utterance(name, g711.frames(pcm, law), audible=True, length_s=len(pcm) / g711.SAMPLE_RATE_HZ)


def utterances(plan: CallPlan, law: g711.Law) -> Iterator[Utterance]:
    """The sounds of a call in order, coded by the law that was negotiated."""
    for sound, pause_s, choice in zip(plan.behaviour.plays, plan.pauses_s, plan.choices, strict=True):
        if isinstance(sound, Pause):
            count = round(pause_s * g711.SAMPLE_RATE_HZ / g711.FRAME_SAMPLES)
            yield Utterance("pause", (g711.silent_frame(law),) * count, audible=False, length_s=pause_s)
        elif isinstance(sound, Speech):
            yield _coded_clip(sound.group, int(choice * len(clips_of(sound.group))), law)
        else:
            yield _coded_tones(sound.names[int(choice * len(sound.names))], law)


def load_all() -> None:
    """Codes every clip by both laws, so that no call waits for it."""
    for law in g711.Law:
        for group in GROUPS:
            for index in range(len(clips_of(group))):
                _coded_clip(group, index, law)
        for name in TONE_SEQUENCES:
            _coded_tones(name, law)
