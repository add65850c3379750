"""A pacing decision in words: why the dialer placed what it placed, for supervisors and for `dialer pacing explain`.

It owns the sentence. The numbers are the event's (`PacingDecided`), the decision is `pacing`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dialer_core.events import PacingDecided

BOUND_BY: Final[Mapping[str, str]] = {
    "stop": "the hard stop",
    "preview": "preview mode: agents place calls",
    "brake": "the brake: one call per idle agent",
    "ceiling": "the abandonment ceiling: one call per idle agent",
    "lines": "the lines of the trunks",
    "idle": "one call per idle agent",
    "ratio": "the ratio",
    "erlang_c": "Erlang's rate",
    "alpha": "alpha: the next live answer would too likely be abandoned",
}
"""What each `pacing.Binding` means. A test holds the two together."""


HORIZON_S: Final = 6.0
"""How far ahead expected live answers are told: about half a ring."""


def decision_words(told: PacingDecided) -> str:
    """Return one sentence: who is there, what is under way, what the ceiling leaves, what was done, and what bound it."""
    agents = f"{told.idle} idle, {told.talking} talking, {told.wrapping} in wrap-up"
    if told.finishing:
        agents += f", {told.finishing} finishing"
    parts = [f"{agents}, {told.ringing} ringing, {told.listening} listening, {told.waiting} waiting"]
    if told.expected_live_hz is not None:
        parts.append(f"{told.expected_live_hz * HORIZON_S:.1f} will be live in {HORIZON_S:g} s")
    if told.next_propensity is not None:
        parts.append(f"of the next leads {told.next_propensity * 100:.0f} % answer, by their scores")
    if told.ledger_live or told.ledger_abandoned:
        left = told.ceiling * told.ledger_live - told.ledger_abandoned
        leaves = f"leaves {left:.1f}" if left >= 0 else f"is passed by {-left:.1f}"
        parts.append(f"ceiling {told.ceiling * 100:g} % {leaves} of {told.ledger_live}")
    done = f"placing {told.place}"
    if told.release:
        done += f", releasing {told.release}"
    parts.append(done)
    bound = f"bound by {BOUND_BY.get(told.binding, told.binding)}"
    if told.alpha is not None and told.p_marginal is not None:
        bound += f" ({told.p_marginal * 100:.2g} % against {told.alpha * 100:.2g} %)"
    parts.append(bound + (f" ({told.reason})" if told.reason else ""))
    return "; ".join(parts)
