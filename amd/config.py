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
RESUMES_S = 0.35
"""Mean pause between two phrases of a recorded greeting."""
HEARD_OUT_S = 1.5
"""How much longer than `limit_s` a row is listened to in which somebody spoke: a recording that began late is told from its length."""
MAX_COST = 1e6
"""No cost may be higher; what counts are their ratios."""


class Preset(StrEnum):
    """Ready sets of thresholds, named after the campaign's detection mode."""

    FAST = "fast"
    """Connect soon: greetings that pause are passed at first and revised."""
    STRICT = "strict"
    """Wait longer: both a lost person and a passed machine cost more, against the same delay."""


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
    cost_told_person : float
        What it costs to tell an agent, who talks to a person already, that a machine speaks.
    longest_pause_s : float
        Quiet after a greeting from which it is a person's, whatever the odds: nobody is left in silence for longer.
    longest_greeting_s : float
        From its first to its last word, the length from which a greeting is a machine's, unless its rhythm speaks against it.
    limit_s : float
        An undecided row gets its final verdict this long after join or answer: `silence`; or `unknown` if somebody spoke, who is
        heard `HEARD_OUT_S` longer.
    revise_s : float
        How long after a person's verdict the row listens on and may be revised.

    Raises
    ------
    AmdInputError
        A cost or a limit is not positive, or too high; the error names it.

    Examples
    --------
    >>> DetectorConfig.preset("strict").machine_log_odds > DetectorConfig.preset("fast").machine_log_odds
    True
    """

    cost_lost_person: float = 500.0
    cost_passed_machine: float = 1.0
    cost_delay_s: float = 0.385
    cost_told_person: float = 0.6
    longest_pause_s: float = 0.86
    longest_greeting_s: float = 5.2
    limit_s: float = 6.5
    revise_s: float = 3.0

    def __post_init__(self) -> None:
        """Refuse costs and limits that cannot be."""
        for f in fields(self):
            value, cost = getattr(self, f.name), f.name.startswith("cost_")
            most, unit = (MAX_COST, "") if cost else (MAX_S, " s")
            if not 0.0 < value <= most:
                raise AmdInputError(f.name, f"{value}{unit} is outside (0, {most:g}]")

    @property
    def machine_log_odds(self) -> float:  # numpydoc ignore=RT01
        """Log odds of a machine from which hanging up costs less than connecting: odds times the machine's cost reach the person's."""
        return math.log(self.cost_lost_person / self.cost_passed_machine)

    @property
    def person_log_odds(self) -> float:  # numpydoc ignore=RT01
        """Log odds of a machine up to which connecting costs less than waiting.

        While it is quiet, a recording goes on within
        `RESUMES_S` on average, so that a moment's wait saves the machine's cost that often and costs a person its delay.
        """
        return math.log(self.cost_delay_s * RESUMES_S / self.cost_passed_machine)

    @property
    def revise_log_odds(self) -> float:  # numpydoc ignore=RT01
        """Log odds of a machine from which what resumes after a greeting's pause is told to be one."""
        return math.log(self.cost_told_person / self.cost_passed_machine)

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
            return cls(
                cost_lost_person=1500.0,
                cost_passed_machine=2.0,
                cost_told_person=1.2,
                longest_pause_s=1.2,
                longest_greeting_s=6.2,
                limit_s=8.0,
            )
        raise AmdInputError("preset", f"{name!r} is not one of {', '.join(Preset)}")
