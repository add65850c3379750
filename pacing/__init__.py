"""Pacing: how many calls to place now. Pure: numpy and scipy, no I/O, no clock, no randomness.

`Pacer` is driven with a `Snapshot` of one agent pool and answers with a `Decision`; `pacing.erlang` holds the queueing formulas.
"""

from pacing.errors import PacingInputError
from pacing.interface import Binding, Decision, EventKind, Mode, PacerConfig, Snapshot
from pacing.pacer import Pacer, step_many

__all__ = [
    "Binding",
    "Decision",
    "EventKind",
    "Mode",
    "Pacer",
    "PacerConfig",
    "PacingInputError",
    "Snapshot",
    "step_many",
]
