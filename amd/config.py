"""Decision thresholds of the detector and their presets.

Owns what a campaign may choose. Constants of the signal processing live beside the code that uses them.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self

from amd.errors import AmdInputError

MAX_S = 60.0
"""No threshold may be longer: a minute of listening serves nobody."""


class Preset(StrEnum):
    """Ready sets of thresholds, named after the campaign's detection mode."""

    FAST = "fast"
    """Decide early: people are connected soonest, greetings that pause are passed at first and revised."""
    STRICT = "strict"
    """Wait longer: a greeting must be longer to be a machine's, and the quiet after it longer to be a person's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Thresholds of the sequential decision, all in seconds of sound.

    Attributes
    ----------
    pause_s : float
        Quiet after a greeting of up to 1 s that ends it: a person waits for an answer.
    long_pause_s : float
        The same after the longest greeting; in between, the pause needed grows linearly.
    longest_greeting_s : float
        From its first to its last word, the length from which a greeting is a machine's.
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
    >>> DetectorConfig.preset("strict").pause_s > DetectorConfig.preset("fast").pause_s
    True
    """

    pause_s: float = 0.5
    long_pause_s: float = 0.7
    longest_greeting_s: float = 4.8
    limit_s: float = 6.5
    revise_s: float = 3.0

    def __post_init__(self) -> None:
        """Refuse thresholds that are not positive or contradict one another."""
        for f in fields(self):
            value = getattr(self, f.name)
            if not 0.0 < value <= MAX_S:
                raise AmdInputError(f.name, f"{value} s is outside (0, {MAX_S:g}]")
        if self.long_pause_s < self.pause_s:
            raise AmdInputError(
                "long_pause_s", f"{self.long_pause_s} s is shorter than pause_s ({self.pause_s} s)"
            )

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
        if name == Preset.FAST:
            return cls()
        if name == Preset.STRICT:
            return cls(pause_s=0.7, long_pause_s=0.9, longest_greeting_s=5.8, limit_s=8.0)
        raise AmdInputError("preset", f"{name!r} is not one of {', '.join(Preset)}")
