"""Agent pools on virtual time: the predictive mode through the real call loop, what it learned kept over a restart, its words."""

from __future__ import annotations

import msgspec
import pytest

from dialer_core.events import PacingDecided
from dialer_core.pacing_words import BOUND_BY, decision_words
from dialer_core.store import events as event_rows
from dialer_core.store import pacing_state
from pacing import Binding
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified
from tests.engine.virtual import Behaviour

pytestmark = pytest.mark.unit


def test_a_predictive_shift_teaches_its_pacer_and_keeps_to_the_invariants(make_floor: MakeFloor) -> None:
    """The predictive mode dials ahead of agents who finish, tells alpha, abandons within its ceiling, and what it learned is stored."""
    floor = make_floor(leads=300, agents=4, campaign={"pacing": "predictive", "wrap_up_s": 5.0})
    floor.carrier.default = Behaviour(final_s=6.0, talk_s=40.0)

    async def shift() -> None:
        await floor.start()
        await floor.pass_s(900)
        await floor.stop()

    floor.loop.run_until_complete(shift())
    verified(floor)
    with floor.database.read() as tx:
        told = [
            msgspec.convert(event.data, PacingDecided)
            for event in event_rows.tail(tx, {}, ("pacing.decided",), 10_000)
        ]
        learned = pacing_state.best(tx, "demo", "", floor.clock.utc())
    assert any(decision.place for decision in told if decision.idle == 0), "it never dialed ahead of an agent"
    assert all(decision.alpha is not None for decision in told)
    assert learned is not None
    assert learned["learned"]["talk"]


@pytest.mark.parametrize("binding", list(Binding))
def test_every_binding_has_its_words(binding: Binding) -> None:
    """Whatever bound a decision is said in words, with who is there, what the ceiling leaves, and what was placed."""
    told = PacingDecided(
        at_mono_ns=0, pool="demo", place=9, release=1, idle=12, talking=40, wrapping=3, ringing=31, listening=2, waiting=0,
        ledger_live=412, ledger_abandoned=7, ceiling=0.03, alpha=0.031, p_marginal=0.034, expected_live_hz=0.7, binding=binding,
    )  # fmt: skip
    words = decision_words(told)
    assert words.startswith(
        "12 idle, 40 talking, 3 in wrap-up, 31 ringing, 2 listening, 0 waiting; 4.2 will be live in 6 s"
    )
    assert "ceiling 3 % leaves 5.4 of 412; placing 9, releasing 1; bound by" in words
    assert BOUND_BY[binding] in words
