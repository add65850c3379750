"""The telephone line of a simulated call: microphone, room, noise, codecs, loss, gain.

Owns everything that happens to sound between a mouth and the detector. Every choice is drawn the same way for people and for
machines, so that no line tells who speaks.
"""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, lfilter, sosfilt

from amd import g711

Sound = NDArray[np.float32]
Pcm = NDArray[np.int16]

NOISE_SAMPLES = 300 * 8000
"""Noise that is made once and cut from: five minutes of each colour."""
PROGRAM_CODECS: dict[str, tuple[list[str], list[str]]] = {
    "gsm": (["-c:a", "libgsm", "-f", "gsm"], ["-f", "gsm"]),
    "speex": (["-c:a", "libspeex", "-b:a", "8k", "-compression_level", "1", "-f", "ogg"], ["-f", "ogg"]),
    "opus": (["-c:a", "libopus", "-b:a", "8k", "-compression_level", "0", "-f", "ogg"], ["-f", "ogg"]),
    "mp3": (["-c:a", "libmp3lame", "-b:a", "16k", "-f", "mp3"], ["-f", "mp3"]),
    "g726": (["-c:a", "g726", "-b:a", "24k", "-f", "wav"], ["-f", "wav"]),
}
"""Codecs of ffmpeg: its options to write and to read."""
DELAY_SAMPLES = {"mp3": 1105, "speex": 80}
"""How much later sound comes out of those whose delay the program leaves in."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one call's line does, drawn once.

    Attributes
    ----------
    level_dbfs : float
        Level of the speech while it sounds.
    noise_dbfs : float
        Level of the noise at the ear.
    codec : str
        `g711` alone, or a codec of `PROGRAM_CODECS` before it.
    """

    level_dbfs: float
    noise_dbfs: float
    colour: str
    codec: str
    a_law: bool
    loss: float
    silence_suppressed: bool
    echo: bool
    hum: bool
    clipped: bool
    offset: float
    low_hz: float
    high_hz: float
    tilt_db: float

    @property
    def clean(self) -> bool:
        """Whether nothing but noise, hum and gain stands between the two ends."""
        return self.codec == "g711" and not (self.loss or self.echo or self.clipped)

    @property
    def noise_band(self) -> str:
        """The band of noise the evaluation counts the call in."""
        for top in (-60, -50, -42, -36):
            if self.noise_dbfs < top:
                return f"under {top} dBFS"
        return "-36 dBFS and more"


def draw_line(rng: np.random.Generator, codecs: tuple[str, ...], *, hard: bool = False) -> Line:
    """Draw a line; `hard` for a recipe with wider limits than those trained on."""
    level = float(np.clip(rng.normal(-21.0, 6.5 if not hard else 8.0), -44.0, -9.0))
    noise = float(rng.uniform(-76.0, -34.0 if not hard else -31.0))
    noise = min(noise, level - rng.uniform(9.0, 22.0))
    return Line(
        level_dbfs=level,
        noise_dbfs=noise,
        colour=str(rng.choice(["white", "pink", "brown", "street"], p=[0.3, 0.4, 0.15, 0.15])),
        codec=str(rng.choice(codecs)) if codecs and rng.random() < 0.25 else "g711",
        a_law=bool(rng.random() < 0.5),
        loss=float(rng.choice([0.0, 0.01, 0.03, 0.06 if not hard else 0.1], p=[0.6, 0.2, 0.12, 0.08])),
        silence_suppressed=bool(rng.random() < 0.15),
        echo=bool(rng.random() < 0.25),
        hum=bool(rng.random() < 0.12),
        clipped=bool(rng.random() < 0.06),
        offset=float(rng.normal(0, 0.004)) if rng.random() < 0.2 else 0.0,
        low_hz=float(rng.uniform(120, 380)),
        high_hz=float(rng.uniform(2600, 3800)),
        tilt_db=float(rng.normal(0, 4.0)),
    )


@cache
def _noises() -> dict[str, Sound]:
    rng = np.random.default_rng(8)
    white = rng.standard_normal(NOISE_SAMPLES).astype(np.float32)
    pink = lfilter([1.0, -0.98444], [1.0, -0.83392], lfilter([1.0, -0.83392], [1.0, -0.99572], white))
    brown = lfilter([1.0], [1.0, -0.97], white)
    swell = np.interp(
        np.arange(NOISE_SAMPLES),
        np.arange(0, NOISE_SAMPLES, 4000),
        rng.uniform(0.5, 1.6, -(-NOISE_SAMPLES // 4000)),
    )
    made = {"white": white, "pink": pink, "brown": brown, "street": pink * swell}
    return {
        name: (sound / np.sqrt(np.square(sound).mean())).astype(np.float32) for name, sound in made.items()
    }


def noise(kind: str, n: int, rng: np.random.Generator) -> Sound:
    """Return noise of power 1: `white`, `pink`, `brown`, or `street`, which swells slowly."""
    at = int(rng.integers(0, NOISE_SAMPLES - n))
    return _noises()[kind][at : at + n] * np.float32(rng.choice([-1.0, 1.0]))


def active(sound: Sound) -> Sound:
    """Return sound at active level 1: the power of its louder frames."""
    power = np.square(sound[: sound.size // 160 * 160].reshape(-1, 160)).mean(axis=1)
    loud = power[power > power.max() * 0.01] if power.size and power.max() > 0.0 else np.ones(1)
    return np.asarray(sound / np.sqrt(loud.mean()), np.float32)


def to_the_codec(speech: Sound, beep: Sound, line: Line, rng: np.random.Generator) -> Sound:
    """Return what a call's codec is given: speech, and a beep of level 1 to the speech's, through microphone, room, noise and gain."""
    n = speech.size
    sounds = np.stack([speech, beep]).astype(np.float32)
    if line.echo:
        taps = np.zeros(2400, np.float32)
        taps[0] = 1.0
        decay = np.exp(-np.arange(1, 2400) / rng.uniform(150, 700))
        taps[1:] = rng.standard_normal(2399) * decay * rng.uniform(0.02, 0.09)
        sounds = fftconvolve(sounds, taps[None], axes=1)[:, :n].astype(np.float32)
    lean = np.tanh(line.tilt_db / 12.0)
    sounds = lfilter([1.0, -lean * 0.7], [1.0], sounds)
    low, high = line.low_hz / 4000.0, line.high_hz / 4000.0
    phone = butter(2, [low, min(high, 0.98)], "bandpass", output="sos")
    sounds = sosfilt(phone, sounds)
    # what the phone's filter leaves of the speech has the level, whatever voice it is; the noise stands on both sides of the filter
    near = rng.uniform(0.2, 0.95)
    gain, floor = 10.0 ** (line.level_dbfs / 20.0), 10.0 ** (line.noise_dbfs / 20.0)
    sound = gain * (active(sounds[0]) + sounds[1])
    sound = sound + floor * np.sqrt(near) * sosfilt(phone, noise(line.colour, n, rng))
    sound = sound + floor * np.sqrt(1.0 - near) * noise("white", n, rng)
    if line.hum:
        t = np.arange(n) / 8000.0
        hz = rng.choice([50.0, 60.0])
        sound = sound + floor * sum(np.sin(2 * np.pi * hz * k * t + k) / k for k in (1, 2, 3, 5))
    if line.clipped:
        sound = np.clip(sound * rng.uniform(2.0, 5.0), -0.6, 0.6)
    return np.asarray(sound + line.offset, np.float32)


def after_the_codec(
    sound: Pcm, line: Line, rng: np.random.Generator, speaking: NDArray[np.bool_]
) -> tuple[Pcm, NDArray[np.bool_]]:
    """Return what arrives, and which frames: G.711, suppressed silence and loss; lost frames are given as zeros or as what was before."""
    encode, decode = (
        (g711.encode_pcma, g711.decode_pcma) if line.a_law else (g711.encode_pcmu, g711.decode_pcmu)
    )
    frames = decode(encode(sound)).reshape(-1, 160).copy()
    arrived = np.ones(len(frames), np.bool_)
    if line.silence_suppressed:
        # a phone goes on sending for a while after speech, then sends nothing or zeros
        held = np.convolve(speaking, np.ones(13), "full")[: len(frames)] > 0
        frames[~held] = 0
        if rng.random() < 0.5:
            arrived = held.copy()
    if line.loss:
        lost = rng.random(len(frames)) < line.loss
        lost |= np.roll(lost, 1) & (rng.random(len(frames)) < 0.4)
        if rng.random() < 0.5:
            arrived &= ~lost
        frames[lost] = 0 if rng.random() < 0.5 else frames[np.maximum(np.nonzero(lost)[0] - 1, 0)]
    return frames.reshape(-1), arrived


def available_codecs() -> tuple[str, ...]:
    """Return the codecs that ffmpeg has here; empty without ffmpeg."""
    if shutil.which("ffmpeg") is None:
        return ()
    return tuple(name for name in PROGRAM_CODECS if _works(name))


def _works(name: str) -> bool:
    try:
        return through_program(name, np.zeros(8000, np.int16)).size > 0
    except subprocess.CalledProcessError:
        return False


def through_program(codec: str, sound: Pcm) -> Pcm:
    """Return sound through a codec of ffmpeg, of the same length, its delay taken out."""
    write, read = PROGRAM_CODECS[codec]
    raw = ["-f", "s16le", "-ar", "8000", "-ac", "1"]
    base = ["ffmpeg", "-hide_banner", "-loglevel", "error"]
    delay = DELAY_SAMPLES.get(codec, 0)
    coded = _run([*base, *raw, "-i", "-", *write, "-"], np.pad(sound, (0, delay)).tobytes())
    back = np.frombuffer(_run([*base, *read, "-i", "-", *raw, "-"], coded), np.int16)[delay:]
    return back[: sound.size] if back.size >= sound.size else np.pad(back, (0, sound.size - back.size))


def _run(command: list[str], data: bytes) -> bytes:
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout  # noqa: S603  # a program of the system, no shell
