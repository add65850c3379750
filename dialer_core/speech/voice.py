"""What a voice is: something that makes sound of a text, in some languages.

It owns that shape and its error. Voices are plugins'; which one speaks is `flow_speech.py`'s.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dialer_core.errors import DialerError


class VoiceError(DialerError):
    """A voice cannot say something; the message says why, and never what."""


class Voice(Protocol):
    """Something that speaks: what `dialer_register_voices` returns."""

    @property
    def name(self) -> str:
        """Of the voice, for `speech.voice`; another name means another sound."""

    @property
    def languages(self) -> tuple[str, ...]:
        """What it speaks: `es`, `en`."""

    async def speak(self, text: str, language: str) -> tuple[NDArray[np.float32], int]:
        """Return a text as sound of shape (n_samples,) in [-1, 1], and its rate in Hz. It must not block the loop."""
