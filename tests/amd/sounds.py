"""Sounds made in tests: network tones by country, beeps, speech-like bursts, noise. Everything is 8 kHz and from a seed."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Sound = NDArray[np.float64]
"""Samples with full scale 1."""

SAMPLE_HZ = 8000

NETWORK_TONES: dict[str, tuple[str, tuple[float, ...], tuple[float, ...]]] = {
    # name: (label, frequencies in Hz, seconds on and off in turn)
    "us_ringback": ("ringback", (440.0, 480.0), (2.0, 4.0)),
    "us_busy": ("busy", (480.0, 620.0), (0.5, 0.5)),
    "us_reorder": ("reorder", (480.0, 620.0), (0.25, 0.25)),
    "mx_ringback": ("ringback", (425.0,), (1.0, 4.0)),
    "mx_busy": ("busy", (425.0,), (0.25, 0.25)),
    "es_ringback": ("ringback", (425.0,), (1.5, 3.0)),
    "es_busy": ("busy", (425.0,), (0.2, 0.2)),
    "es_reorder": ("reorder", (425.0,), (0.2, 0.2, 0.2, 0.2, 0.2, 0.6)),
    "uk_ringback": ("ringback", (400.0, 450.0), (0.4, 0.2, 0.4, 2.0)),
    "uk_busy": ("busy", (400.0,), (0.375, 0.375)),
    "uk_reorder": ("reorder", (400.0,), (0.4, 0.35, 0.225, 0.525)),
    "cl_ringback": ("ringback", (400.0,), (1.0, 3.0)),
    "ve_busy": ("busy", (425.0,), (0.5, 0.5)),
}

INFORMATION_TONES: dict[str, tuple[str, tuple[tuple[float, float], ...]]] = {
    # name: (reason, (Hz, seconds) of the three)
    "intercept": ("sit_intercept", ((913.8, 0.274), (1370.6, 0.274), (1776.7, 0.380))),
    "vacant": ("sit_vacant", ((985.2, 0.380), (1370.6, 0.274), (1776.7, 0.380))),
    "reorder": ("sit_reorder", ((913.8, 0.274), (1428.5, 0.380), (1776.7, 0.380))),
    "no_circuit": ("sit_no_circuit", ((985.2, 0.380), (1428.5, 0.380), (1776.7, 0.380))),
    "itu": ("sit_itu", ((950.0, 0.330), (1400.0, 0.330), (1800.0, 0.330))),
}


def silence(seconds: float) -> Sound:
    """Return digital silence."""
    return np.zeros(round(seconds * SAMPLE_HZ))


def tone(hz: Sequence[float] | float, seconds: float, dbfs: float = -15.0, phase: float = 0.0) -> Sound:
    """Return the sum of sinusoids of equal level, `dbfs` together, with 2 ms ramps."""
    frequencies = np.atleast_1d(hz)
    t = np.arange(round(seconds * SAMPLE_HZ)) / SAMPLE_HZ
    sound = sum(np.sin(2 * np.pi * f * t + phase + i) for i, f in enumerate(frequencies))
    sound = sound * 10 ** (dbfs / 20) * np.sqrt(2 / frequencies.size)
    ramp = min(16, t.size // 2)
    sound[:ramp] *= np.linspace(0, 1, ramp)
    sound[t.size - ramp :] *= np.linspace(1, 0, ramp)
    return sound


def cadenced(name: str, seconds: float, dbfs: float = -15.0, start_s: float = 0.0) -> Sound:
    """Return a tone of `NETWORK_TONES`, cut to `seconds` from `start_s` on."""
    _, hz, periods = NETWORK_TONES[name]
    parts: list[Sound] = []
    while sum(part.size for part in parts) < (seconds + start_s) * SAMPLE_HZ:
        for i, period in enumerate(periods):
            parts.append(silence(period) if i % 2 else tone(hz, period, dbfs))
    first = round(start_s * SAMPLE_HZ)
    return np.concatenate(parts)[first : first + round(seconds * SAMPLE_HZ)]


def information(name: str, dbfs: float = -15.0) -> Sound:
    """Return a tone of `INFORMATION_TONES`."""
    return np.concatenate([tone(hz, seconds, dbfs) for hz, seconds in INFORMATION_TONES[name][1]])


def speech(seconds: float, rng: np.random.Generator, dbfs: float = -22.0) -> Sound:
    """Return something with the rhythm and spectrum of speech: syllables of harmonics and of noise, no gap over 60 ms."""
    parts: list[Sound] = []
    while sum(part.size for part in parts) < seconds * SAMPLE_HZ:
        n = round(rng.uniform(0.09, 0.22) * SAMPLE_HZ)
        t = np.arange(n) / SAMPLE_HZ
        pitch_hz = np.cumsum(rng.uniform(90, 220) * (1 + rng.uniform(-0.25, 0.25) * t / t[-1])) / SAMPLE_HZ
        formants = rng.uniform([300, 900, 2100], [800, 2000, 3200])
        harmonics = np.arange(1, 30)
        centre_hz = harmonics * pitch_hz[-1] * SAMPLE_HZ / n
        weight = (
            sum(np.exp(-(((centre_hz - f) / 180.0) ** 2)) / (k + 1) for k, f in enumerate(formants)) + 0.01
        )
        voiced = (weight[:, None] * np.sin(2 * np.pi * harmonics[:, None] * pitch_hz)).sum(axis=0)
        syllable = (voiced + 0.3 * rng.standard_normal(n)) * np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 0.5
        parts += [syllable / np.sqrt((syllable**2).mean()), silence(rng.uniform(0.0, 0.06))]
    sound = np.concatenate(parts)[: round(seconds * SAMPLE_HZ)]
    return sound * 10 ** (dbfs / 20)


def pcm(*parts: Sound, noise_dbfs: float | None = -65.0, seed: int = 0) -> NDArray[np.int16]:
    """Return the parts one after another over white noise, as int16."""
    sound = np.concatenate(parts)
    if noise_dbfs is not None:
        sound = sound + np.random.default_rng(seed).standard_normal(sound.size) * 10 ** (noise_dbfs / 20)
    return np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
