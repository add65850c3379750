"""An engine that was stopped (SIGSTOP, a machine that slept) past its leases and goes on: what it had claimed before is not dialed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dialer_core.store.leases import TTL
from dialer_core.vocabulary import AgentState, Outcome
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts
from tests.engine.test_control import A0

pytestmark = pytest.mark.unit


def test_a_claim_that_outlived_the_leases_is_not_dialed(make_floor: MakeFloor) -> None:
    """Stopped between the claim's commit and its INVITE for longer than leases last: no INVITE leaves; asked anew, it dials again."""
    floor = make_floor(
        leads=["01"], agents=1, campaign={"recycle": {"cancelled": {"after_minutes": 0.1, "max_attempts": 9}}}
    )
    placed: list[int] = []

    async def story() -> None:
        await floor.start()
        dialing, nodes = floor.engine.dialing, floor.engine.nodes
        claimed = dialing._claimed

        def after_a_long_stop(*arguments: Any) -> None:
            dialing._claimed = claimed  # type: ignore[method-assign]
            nodes._asked_ns -= int(TTL.total_seconds() * 1e9) + 1
            claimed(*arguments)
            placed.append(sum(leg.kind == "customer" for leg in floor.carrier.placed))

        dialing._claimed = after_a_long_stop  # type: ignore[method-assign]
        await floor.until(lambda: bool(attempts(floor)) and not attempts(floor)[0].live)
        placed.append(sum(leg.kind == "customer" for leg in floor.carrier.placed))
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.TALKING, 60)
        await floor.stop()

    asyncio.set_event_loop(floor.loop)
    floor.loop.run_until_complete(story())
    assert placed == [0, 0]
    first, second = attempts(floor)
    assert (first.outcome, first.sent_mono_ns) == (Outcome.CANCELLED, None)
    assert second.answered_mono_ns is not None
