"""Asterisk's app_amd restated: what the usual algorithm says of the same calls.

Owns its rules and its default settings. It is a yardstick and nothing of the dialer uses it: energy against a fixed threshold, then
lengths of words and silences.

References
----------
Asterisk 20, application AMD, documentation and default `amd.conf`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

INITIAL_SILENCE_S, GREETING_S, AFTER_GREETING_S, TOTAL_S = 2.5, 1.5, 0.8, 5.0
MIN_WORD_S, BETWEEN_WORDS_S, MAX_WORDS, MAX_WORD_S = 0.1, 0.05, 2, 5.0
THRESHOLD = 256
"""Mean absolute sample of a frame under which it is silence."""


class Said(NamedTuple):
    """Label (`human`, `machine` or `unknown`) of each call and when, in seconds from the answer."""

    label: list[str]
    at_s: NDArray[np.float64]


def app_amd(frames: NDArray[np.int16]) -> Said:
    """Judge calls.

    Parameters
    ----------
    frames : numpy.ndarray of int16, shape (n, n_ticks, 160)
        Sound at 8 kHz.

    Returns
    -------
    Said
        Its verdicts.
    """
    loud = np.abs(frames.astype(np.int32)).mean(axis=2) >= THRESHOLD
    verdicts = [_one(call) for call in loud]
    return Said([label for label, _ in verdicts], np.array([at for _, at in verdicts]))


def _one(loud: NDArray[np.bool_]) -> tuple[str, float]:
    # names follow the algorithm's own: a word is voice of MIN_WORD_S after a silence of BETWEEN_WORDS_S
    silence = voice = greeting = 0.0
    words, in_word, in_initial_silence, in_greeting = 0, False, True, False
    for tick, sounds in enumerate(loud):
        now = (tick + 1) * 0.02
        if now >= TOTAL_S:
            return "unknown", now
        if not sounds:
            silence += 0.02
            if silence >= BETWEEN_WORDS_S:
                in_word, voice = False, 0.0
            if in_initial_silence and silence >= INITIAL_SILENCE_S:
                return "machine", now
            if in_greeting and silence >= AFTER_GREETING_S:
                return "human", now
            if in_greeting:
                greeting += 0.02
        else:
            voice += 0.02
            greeting += 0.02 * in_greeting
            if voice >= MIN_WORD_S and silence >= BETWEEN_WORDS_S:
                words, in_word = words + 1, True
            if voice >= MIN_WORD_S:
                silence, in_initial_silence, in_greeting = 0.0, False, True
            if in_word and voice >= MAX_WORD_S:
                return "machine", now
            if words >= MAX_WORDS + 1 or (in_greeting and greeting >= GREETING_S):
                return "machine", now
    return "unknown", len(loud) * 0.02
