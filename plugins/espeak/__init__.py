"""The voice that is always there: espeak-ng, a Debian program, one process for each sentence.

It owns calling the program. The text goes in on its standard input, so that no name or amount stands in the list of processes.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dialer_core.plugin_api import Voice, VoiceError, hookimpl

PROGRAM = "espeak-ng"
VOICES = {"es": "es-419", "en": "en-us"}
WORDS_PER_MINUTE = 150
"""Slower than its default of 175: numbers and dates have to be understood at once."""


class Espeak:
    """espeak-ng as a voice."""

    name = "espeak"
    languages = tuple(VOICES)

    async def speak(self, text: str, language: str) -> tuple[NDArray[np.float32], int]:
        """Return a text as sound of shape (n_samples,) in [-1, 1], and its rate in Hz; `VoiceError` where the program fails."""
        try:
            process = await asyncio.create_subprocess_exec(
                PROGRAM, "--stdin", "--stdout", "-v", VOICES[language], "-s", str(WORDS_PER_MINUTE),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError:
            raise VoiceError(f"{PROGRAM} is not installed: apt-get install espeak-ng") from None
        try:
            wav, _ = await process.communicate(text.encode())
        finally:
            if process.returncode is None:  # cancelled, or over its limit
                process.kill()
        return parse(wav)


def parse(wav: bytes) -> tuple[NDArray[np.float32], int]:
    """Return the samples and the rate of a 16-bit mono WAV that was written to a pipe: its header does not know its length."""
    at = wav.find(b"data")
    if wav[:4] != b"RIFF" or at < 0 or len(wav) < at + 10:
        raise VoiceError(f"{PROGRAM} gave no sound")
    rate_hz = int.from_bytes(wav[24:28], "little")
    body = wav[at + 8 :]
    pcm = np.frombuffer(body[: len(body) // 2 * 2], dtype="<i2")
    return pcm.astype(np.float32) / 32768.0, rate_hz


@hookimpl
def dialer_register_voices() -> Sequence[Voice]:
    """Offer the program where it is installed."""
    return [Espeak()] if shutil.which(PROGRAM) else []
