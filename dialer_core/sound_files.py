"""Sound files of any rate and channel count as 8 kHz mono: how recordings and prompts come in.

It owns decoding, mixing, the checks and the resampling, which is causal: a sample of the result depends on nothing of the file that
is later than it. What the sound is for is the caller's.
"""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import soundfile

from dialer_core.errors import SoundFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ: Final = 8000
SUFFIXES: Final = (".wav", ".flac")
LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 4000, 384_000
"""Rates of a file outside these are taken for a wrong header."""
_LOBES: Final = 32
"""Length of the anti-alias filter to each side, in samples of the lower rate: flat to 3.4 kHz, 80 dB down at 4 kHz, 4 ms late."""
_CUTOFF: Final = 0.92
_KAISER: Final = 8.0


def sound_files(path: Path) -> list[Path]:
    """Return the WAV and FLAC files of a folder and its subfolders, in order; a file alone.

    Raises
    ------
    SoundFileError
        There is no such path, the folder cannot be read, or no such file is in it.
    """
    if not path.is_dir():
        return [path]
    try:
        found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    except OSError as error:
        raise SoundFileError(f"{path}: the folder cannot be read: {error.strerror}") from error
    if not found:
        raise SoundFileError(f"{path}: no WAV or FLAC file is in this folder")
    return found


def read_sound(path: Path, *, channel: int | None = None, first_s: float | None = None) -> NDArray[np.int16]:
    """Return a sound file, or its beginning, as 8 kHz mono, shape (n_samples,).

    Parameters
    ----------
    path
        WAV or FLAC, and whatever else libsndfile reads.
    channel
        Only this one, counted from 1; None: all of them mixed, in equal parts.
    first_s
        Seconds to read at most; None: all.

    Raises
    ------
    SoundFileError
        It cannot be decoded, holds no sample or samples that are no numbers, has no such channel, or its header names a rate that no
        recording has.
    """
    try:
        if path.is_file() and not path.stat().st_size:
            raise SoundFileError(f"{path}: is empty: 0 bytes")
        with soundfile.SoundFile(path) as file:
            rate_hz, channels = int(file.samplerate), int(file.channels)
            if not LOWEST_RATE_HZ <= rate_hz <= HIGHEST_RATE_HZ:
                raise SoundFileError(
                    f"{path}: its header says {rate_hz} Hz; a recording has {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz"
                )
            if channel is not None and not 1 <= channel <= channels:
                raise SoundFileError(
                    f"{path}: has {channels} channel(s), and channel {channel} was asked for"
                )
            frames = -1 if first_s is None else math.ceil(first_s * rate_hz)
            sound: NDArray[np.float32] = file.read(frames, dtype="float32", always_2d=True)
    except FileNotFoundError:
        raise SoundFileError(f"{path}: there is no such file") from None
    except (OSError, RuntimeError, TypeError, ValueError) as error:
        if not path.exists():
            raise SoundFileError(f"{path}: there is no such file") from None
        raise SoundFileError(f"{path}: is not a readable WAV or FLAC file: {_problem(error)}") from error
    if not len(sound):
        raise SoundFileError(f"{path}: holds no sound: its length is 0")
    finite = np.isfinite(sound).all(axis=1)
    if not finite.all():
        at_s = int(np.argmin(finite)) / rate_hz
        raise SoundFileError(
            f"{path}: holds samples that are no numbers (NaN or infinite), the first at {at_s:.3f} s"
        )
    mono = sound.mean(axis=1) if channel is None else sound[:, channel - 1]
    pcm: NDArray[np.int16] = np.clip(
        np.rint(np.clip(resampled(mono, rate_hz), -1.0, 1.0) * 32768.0), -32768, 32767
    ).astype(np.int16)
    return pcm


def resampled(sound: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """Return sound of shape (n_samples,) at 8 kHz, 4 ms later; as it is where it has that rate."""
    if rate_hz == RATE_HZ:
        return sound
    # scipy.signal takes a third of a second to import: only for whoever needs it
    from scipy.signal import upfirdn  # noqa: PLC0415

    divisor = math.gcd(RATE_HZ, rate_hz)
    up, down = RATE_HZ // divisor, rate_hz // divisor
    length = -(-len(sound) * up // down)
    converted: NDArray[np.float32] = upfirdn(_low_pass(up, down), sound, up, down)[:length]
    return converted


@functools.lru_cache(maxsize=16)
def _low_pass(up: int, down: int) -> NDArray[np.float32]:
    from scipy.signal import firwin  # noqa: PLC0415

    longer = max(up, down)
    taps = firwin(2 * _LOBES * longer + 1, _CUTOFF / longer, window=("kaiser", _KAISER))
    scaled: NDArray[np.float32] = (up * taps).astype(np.float32)
    return scaled


def _problem(error: Exception) -> str:
    """Return what the library says, without the path that it begins with."""
    text = str(getattr(error, "error_string", "") or error)
    return text.rsplit(": ", 1)[-1].rstrip(".")
