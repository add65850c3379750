"""A voice's sound as a telephone carries it: 8 kHz, equally loud whoever spoke it, without silence around it.

Pure but for the resampling, which is `sound_files.py`'s.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from amd import g711
from dialer_core.sound_files import resampled

PEAK: Final = 0.9
"""No sample is louder, of full scale: what is quieter in the mean than asked for has sharp peaks, and stays so."""
_FRAME: Final = 160
_SPEECH_DB: Final = 35.0
"""A frame belongs to the speech when it is within so much of the loudest one."""
_PAD: Final = 400
"""Samples left before and after the speech: 50 ms."""


def for_the_line(sound: NDArray[np.float32], rate_hz: int, level_dbfs: float) -> bytes:
    """Return sound as PCMU at 8 kHz.

    Parameters
    ----------
    sound
        Shape (n_samples,), in [-1, 1].
    rate_hz
        Of it.
    level_dbfs
        How loud its speech is made: root mean square over frames that hold speech, below full scale.

    Raises
    ------
    ValueError
        There is no sound in it.
    """
    narrow = np.nan_to_num(resampled(np.asarray(sound, np.float32), rate_hz))
    frames = len(narrow) // _FRAME
    if not frames:
        raise ValueError("the voice has said nothing")
    power = (narrow[: frames * _FRAME].reshape(frames, _FRAME) ** 2).mean(axis=1)
    loudest = float(power.max())
    if loudest < 1e-10:  # -100 dBFS
        raise ValueError("the voice has said nothing")
    speech = power >= loudest * 10 ** (-_SPEECH_DB / 10)
    first, last = int(np.argmax(speech)), frames - int(np.argmax(speech[::-1]))
    level = float(np.sqrt(power[speech].mean()))
    cut = narrow[max(0, first * _FRAME - _PAD) : last * _FRAME + _PAD]
    gain = min(10 ** (level_dbfs / 20) / level, PEAK / float(np.abs(cut).max()))
    pcm = np.clip(np.rint(cut * gain * 32768.0), -32768, 32767).astype(np.int16)
    return g711.encode_pcmu(pcm).tobytes()
