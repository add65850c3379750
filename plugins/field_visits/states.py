"""The states of a visit, what moves it from one to the next, and what comes of it. It owns these tables and nothing else."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class VisitState(enum.StrEnum):
    """Where a visit is."""

    PROPOSED = "proposed"
    """Somebody should go there; it is nobody's yet."""
    ASSIGNED = "assigned"
    """It is on a visitor's list of a day."""
    UNDER_WAY = "under_way"
    """They are at the door."""
    DONE = "done"
    """They spoke with the person."""
    FAILED = "failed"
    """They went, and did not speak with the person."""
    CANCELLED = "cancelled"
    """Taken back before they went."""


class Cue(enum.StrEnum):
    """What moves a visit."""

    ASSIGN = "assign"
    WITHDRAW = "withdraw"
    BEGIN = "begin"
    SPEAK = "speak"
    MISS = "miss"
    CANCEL = "cancel"


LATE: Final = "late"
_S = VisitState
TRANSITIONS: Final = MappingProxyType(
    {
        (_S.PROPOSED, Cue.ASSIGN): _S.ASSIGNED,
        (_S.PROPOSED, Cue.CANCEL): _S.CANCELLED,
        (_S.ASSIGNED, Cue.ASSIGN): _S.ASSIGNED,  # to somebody else, or for another day
        (_S.ASSIGNED, Cue.WITHDRAW): _S.PROPOSED,
        (_S.ASSIGNED, Cue.BEGIN): _S.UNDER_WAY,
        (_S.ASSIGNED, Cue.CANCEL): _S.CANCELLED,
        (_S.UNDER_WAY, Cue.SPEAK): _S.DONE,
        (_S.UNDER_WAY, Cue.MISS): _S.FAILED,
        (
            _S.PROPOSED,
            Cue.BEGIN,
        ): _S.UNDER_WAY,  # withdrawn while its visitor was away from the network: they went all the same
        (_S.CANCELLED, Cue.BEGIN): _S.UNDER_WAY,  # cancelled meanwhile, likewise
    }
)
"""State and cue to the next state. What is not here comes too late: the state stays, and what was told is kept as a note."""


def next_state(state: VisitState, cue: Cue) -> VisitState | None:
    """Return the next state; None: the cue comes too late."""
    return TRANSITIONS.get((state, cue))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a visit."""

    cue: Cue
    reached: bool
    """It was a contact: it counts for the caps."""


OUTCOMES: Final = MappingProxyType(
    {
        "spoke": Outcome(Cue.SPEAK, reached=True),
        "third_party": Outcome(Cue.MISS, reached=True),
        "nobody": Outcome(Cue.MISS, reached=True),  # a card is left, and it is seen that somebody came
        "wrong_address": Outcome(Cue.MISS, reached=False),
        "not_safe": Outcome(Cue.MISS, reached=False),
    }
)
"""In the order in which they stand on the page."""
OPEN: Final = frozenset({_S.PROPOSED, _S.ASSIGNED, _S.UNDER_WAY})
