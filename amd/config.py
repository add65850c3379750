"""What the detector's mistakes and delays cost, the thresholds that follow from it, and their presets.

Owns what a campaign may choose. Constants of the signal processing live beside the code that uses them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Self

from amd.errors import AmdInputError

MAX_S = 60.0
"""No threshold may be longer: a minute of listening serves nobody."""
MAX_COST = 1e6
"""No cost may be higher; what counts are their ratios."""


class Preset(StrEnum):
    """Ready sets of thresholds, named after the campaign's detection mode."""

    FAST = "fast"
    """Decide early: people are connected soonest, greetings that pause are passed at first and revised."""
    STRICT = "strict"
    """Wait longer: a greeting must be longer to be a machine's, and the quiet after it longer to be a person's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorConfig:
    """Costs and limits of the sequential decision; limits in seconds of sound.

    Attributes
    ----------
    cost_lost_person : float
        What a person taken for a machine costs, in any unit; the others are in the same.
    cost_passed_machine : float
        What a machine connected to an agent costs.
    cost_delay_s : float
        What a second of silence costs that a person hears after their greeting.
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

    cost_lost_person: float = 50.0
    cost_passed_machine: float = 1.0
    cost_delay_s: float = 1.0
    pause_s: float = 0.5
    long_pause_s: float = 0.7
    longest_greeting_s: float = 4.8
    limit_s: float = 6.5
    revise_s: float = 3.0

    def __post_init__(self) -> None:
        """Refuse thresholds that are not positive or contradict one another."""
        for f in fields(self):
            value, cost = getattr(self, f.name), f.name.startswith("cost_")
            most, unit = (MAX_COST, "") if cost else (MAX_S, " s")
            if not 0.0 < value <= most:
                raise AmdInputError(f.name, f"{value}{unit} is outside (0, {most:g}]")
        if self.long_pause_s < self.pause_s:
            raise AmdInputError(
                "long_pause_s", f"{self.long_pause_s} s is shorter than pause_s ({self.pause_s} s)"
            )

    @property
    def machine_log_odds(self) -> float:  # numpydoc ignore=RT01
        """Log odds of a machine from which hanging up costs less than connecting: odds times the machine's cost reach the person's."""
        return math.log(self.cost_lost_person / self.cost_passed_machine)

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
