"""Decision thresholds of the detector and their presets.

Owns what a campaign may choose. Constants of the signal processing live beside the code that uses them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self

from amd.errors import AmdInputError


class Preset(StrEnum):
    """Ready sets of thresholds, named after the campaign's detection mode."""

    FAST = "fast"
    """Connect people as early as possible; greetings that pause are passed at first and revised."""
    STRICT = "strict"
    """Wait longer before a pause counts as the end of a greeting: fewer machines passed, people connected later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Thresholds of the sequential decision, all in seconds of sound.

    Parameters
    ----------
    human_pause_s : float
        Silence after a short utterance (up to 1 s of speech) that ends a person's greeting.
    human_long_pause_s : float
        The same after `human_speech_s` of speech; in between, the pause needed grows linearly.
    human_speech_s : float
        Longest greeting still taken for a person's, first to last word.
    machine_speech_s : float
        Greeting length, first word to now, from which it is a machine's.
    limit_s : float
        An undecided row gets its final verdict (`silence` or `unknown`) this long after join or answer.
    revise_s : float
        How long after a person's verdict the row listens on and may be revised.

    Raises
    ------
    AmdInputError
        A threshold is not positive, or they contradict one another; the error names it.

    Examples
    --------
    >>> DetectorConfig.preset("strict").human_pause_s > DetectorConfig.preset("fast").human_pause_s
    True
    """

    human_pause_s: float = 0.5
    human_long_pause_s: float = 0.7
    human_speech_s: float = 3.6
    machine_speech_s: float = 4.2
    limit_s: float = 6.0
    revise_s: float = 3.0

    def __post_init__(self) -> None:
        """Refuse thresholds that are not positive or contradict one another."""
        for f in fields(self):
            value = getattr(self, f.name)
            if not 0.0 < value <= 60.0:  # noqa: PLR2004 - a minute of listening is beyond any use
                raise AmdInputError(f.name, f"{value} s is outside (0, 60]")
        if self.human_long_pause_s < self.human_pause_s:
            raise AmdInputError("human_long_pause_s", "shorter than human_pause_s")
        if self.machine_speech_s < self.human_speech_s:
            raise AmdInputError("machine_speech_s", "shorter than human_speech_s: no length may be both")

    @classmethod
    def preset(cls, name: str) -> Self:
        """Return a ready set of thresholds.

        Parameters
        ----------
        name : str
            One of `Preset`.

        Returns
        -------
        DetectorConfig
            Its thresholds.

        Raises
        ------
        AmdInputError
            There is no such preset.
        """
        match name:
            case Preset.FAST:
                return cls()
            case Preset.STRICT:
                return cls(human_pause_s=0.8, human_long_pause_s=1.0, human_speech_s=3.2, limit_s=7.0)
            case _:
                raise AmdInputError("preset", f"{name!r} is not one of {', '.join(Preset)}")
