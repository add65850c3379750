"""Flows for those who call: who has one, when, what they agree to, and that an agent, the queue and the call-back are what comes beside it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dialer_core.calls.flow_work import Prepared, Terms
from dialer_core.calls.inbound_call import CallState
from dialer_core.flows.interpreter import is_sensitive
from dialer_core.flows.reading import load_flow
from dialer_core.store.models import Lead
from dialer_core.store.portfolio_models import Promise
from dialer_core.vocabulary import AgentId, AgentState, LegId
from tests.engine.callers import CallerCarrier
from tests.engine.conftest import MakeFloor
from tests.engine.playing import MESSAGE_S
from tests.engine.readings import event_names, verified
from tests.engine.test_control import asked
from tests.engine.test_queue import number, quiet, run, told
from tests.engine.virtual import Floor

pytestmark = pytest.mark.unit

FLOW = load_flow(Path("dialer_core/config_defaults/flows/recordatorio.toml"))
PROMISE = Terms(120050, "2026-11-20")
PRESSING_S = MESSAGE_S + 0.5
A0 = AgentId("a0")


def floor_of(make_floor: MakeFloor, *, agents: int = 0, leads: int = 1, **inbound: Any) -> Floor:
    """Return a floor that takes calls and dials nobody, with the packaged flow for callers."""
    return make_floor(
        leads=leads,
        agents=agents,
        flows={"recordatorio": FLOW},
        campaign=quiet(flow="recordatorio", **inbound),
    )


def prepare(engine: Any, leg_id: LegId, *, debt: bool) -> bool:
    """Hand over, as the host does, what may be said."""
    names = [name for name, step in FLOW.steps.items() if is_sensitive(FLOW, step) == debt]
    told_now = Prepared(
        call=leg_id, language="es", values={"account.balance": 120050}, prompts={name: (f"speech:{name}",) for name in names},
        wrong=("speech:wrong",), terms={"promise": PROMISE} if debt else {}, debt=debt,
    )  # fmt: skip
    return bool(engine.flow_calls.prepared(told_now))


def host(floor: Floor, leg_id: LegId) -> asyncio.Task[None]:
    """Prepare one call in its two stages, as soon as each may be."""
    engine = floor.engine

    async def work() -> None:
        await floor.until(lambda: prepare(engine, leg_id, debt=False))
        call = engine.inbound._calls[leg_id]
        await floor.until(lambda: call.identified)
        prepare(engine, leg_id, debt=True)

    return asyncio.get_running_loop().create_task(work())


async def pressed(carrier: CallerCarrier, leg_id: LegId, keys: str) -> None:
    """Press keys, each well into its question."""
    for key in keys:
        await asyncio.sleep(PRESSING_S)
        carrier.press(leg_id, key)


def heard(floor: Floor) -> list[str]:
    """Return what was played, without the words before it."""
    return [prompts[-1].removeprefix("speech:") for _, prompts in floor.carrier.played]


def test_a_caller_makes_a_promise_by_keys_while_nobody_is_at_work(make_floor: MakeFloor) -> None:
    """At night: known by their number, they say who they are and agree; the promise is stored before it is confirmed, and the lead waits for it."""
    floor = floor_of(make_floor)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        leg_id = carrier.call_in(number(floor))
        working = host(floor, leg_id)
        await floor.until(lambda: engine.inbound._calls[leg_id].state is CallState.IN_FLOW, 5)
        await pressed(carrier, leg_id, "121")
        await floor.until(lambda: not engine.inbound, 60)
        working.cancel()

    run(floor, story)
    assert heard(floor) == ["hello", "who", "menu", "promise", "promised"]
    (ended,) = told(floor, "flow.ended")
    assert (ended.data["result"], ended.data["identified"]) == ("finished", True)
    with floor.database.read() as tx:
        assert tx.scalar(select(Promise.state)) == "open"
        assert tuple(tx.execute(select(Lead.state, Lead.waiting_for)).one()) == ("waiting", "promise")
    (said,) = told(floor, "call.dispositioned")
    assert said.data["disposition"] == "promise"
    names = event_names(floor)
    assert names.index("identity.verified") < names.index("promise.made") < names.index("call.ended")


def test_who_asks_for_an_agent_waits_for_one(make_floor: MakeFloor) -> None:
    """An IVR in front, though an agent is free: its key for an agent brings them to that agent, whose word about the call moves the lead."""
    floor = floor_of(make_floor, agents=1, flow_first=True)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        leg_id = carrier.call_in(number(floor), talk_s=5.0)
        working = host(floor, leg_id)
        await floor.until(lambda: engine.inbound._calls[leg_id].state is CallState.IN_FLOW, 5)
        assert engine.roster[A0].state is AgentState.READY
        await pressed(carrier, leg_id, "10")
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING, 20)
        await floor.until(lambda: engine.roster[A0].state is AgentState.WRAP_UP, 20)
        reply = await asked(floor, "agents.next_number", agent="a0")
        assert reply.kind == "refused"
        reply = await asked(floor, "attempts.disposition", agent="a0", disposition="wrong_number")
        assert not reply.error, reply.error
        assert engine.roster[A0].state is AgentState.READY
        working.cancel()

    run(floor, story)
    (ended,) = told(floor, "flow.ended")
    assert ended.data["result"] == "to_agent"
    (said,) = told(floor, "call.dispositioned")
    assert (said.data["agent_id"], said.data["disposition"]) == ("a0", "wrong_number")
    assert told(floor, "restriction.added")


def test_a_long_flow_is_no_waiting(make_floor: MakeFloor) -> None:
    """Whoever asks for an agent after a flow longer than the longest wait waits for one, and is not told at once that there is nobody."""
    floor = floor_of(make_floor, agents=1, leads=2, flow_after_s=3.0, max_wait_s=6.0)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        first = carrier.call_in("5599990000", talk_s=60.0)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING, 10)
        second = carrier.call_in(number(floor))
        working = host(floor, second)
        call = engine.inbound._calls[second]
        await floor.until(lambda: call.state is CallState.IN_FLOW, 8)
        await pressed(carrier, second, "10")
        await floor.until(lambda: call.state is CallState.QUEUED, 10)
        assert engine.runtime.clock.mono_ns() - call.arrived_ns > 6e9
        await floor.pass_s(2.0)
        assert (call.state, call.music) == (CallState.QUEUED, True)
        working.cancel()
        for leg_id in (first, second):
            carrier.hang_up(leg_id)

    run(floor, story)


def test_free_agents_come_before_the_flow(make_floor: MakeFloor) -> None:
    """Sticky and skilled agents first; with all busy they wait `flow_after_s`, then the flow speaks, and at its end the call is over."""
    floor = floor_of(make_floor, agents=1, leads=2, flow_after_s=10.0)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        first = carrier.call_in("5599990000", talk_s=60.0)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING, 10)
        with floor.database.read() as tx:
            known = number(floor)
            del tx
        second = carrier.call_in(known)
        working = host(floor, second)
        await floor.pass_s(5.0)
        call = engine.inbound._calls[second]
        assert (call.state, call.music) == (CallState.QUEUED, True)
        await floor.until(lambda: call.state is CallState.IN_FLOW, 8)
        carrier.hang_up(second)
        await floor.until(lambda: len(engine.inbound) == 1, 2)
        assert engine.inbound._calls[first].agent is not None
        working.cancel()

    run(floor, story)
    (ended,) = told(floor, "flow.ended")
    assert ended.data["result"] == "hung_up"


def test_the_call_back_is_offered_after_the_flow(make_floor: MakeFloor) -> None:
    """Nobody at work, and they want a person: the flow could not give them one, so they are offered to be called back."""
    floor = floor_of(make_floor, callback_offer="callback-offer-es", callback_taken="callback-taken-es")

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        leg_id = carrier.call_in(number(floor))
        working = host(floor, leg_id)
        await pressed(carrier, leg_id, "10")
        await floor.until(lambda: "callback-offer-es" in heard(floor), 20)
        await floor.pass_s(1.0)
        carrier.press(leg_id, "1")
        await floor.until(lambda: not engine.inbound, 30)
        working.cancel()

    run(floor, story)
    assert heard(floor)[-2:] == ["callback-offer-es", "callback-taken-es"]
    (taken,) = told(floor, "callback.taken")
    assert taken.data["callback_id"]


@pytest.mark.parametrize("unknown", [True, False])
def test_who_cannot_have_it_is_no_worse_off(make_floor: MakeFloor, unknown: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A number that is nobody's, or a host that prepares nothing: they get the free agent, at once or after the limit."""
    floor = floor_of(make_floor, agents=1, flow_first=True)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        carrier.call_in("5599990000" if unknown else number(floor), talk_s=2.0)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING, 1 if unknown else 4)
        await floor.until(lambda: not engine.inbound, 20)

    run(floor, story)
    assert not told(floor, "flow.started")


def test_opting_out_by_phone_is_a_restriction(make_floor: MakeFloor) -> None:
    """The key for it: written before it is confirmed, and nobody dials them any more."""
    floor = floor_of(make_floor)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        leg_id = carrier.call_in(number(floor))
        working = host(floor, leg_id)
        await pressed(carrier, leg_id, "9")
        await floor.until(lambda: not engine.inbound, 60)
        working.cancel()

    run(floor, story)
    assert told(floor, "optout.received")
    with floor.database.read() as tx:
        assert tx.scalar(select(Lead.state)) == "finished"


def test_deaths_in_a_flow(make_floor: MakeFloor) -> None:
    """A new media plane says the step again; a new engine does not know what they were told, and has them wait for an agent."""
    floor = floor_of(make_floor, agents=1, flow_first=True)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        leg_id = carrier.call_in(number(floor), talk_s=2.0)
        working = host(floor, leg_id)
        await floor.until(lambda: heard(floor) == ["hello"], 5)
        floor.lose_media()
        await floor.pass_s(0.3)
        floor.attach_media()
        await floor.until(lambda: heard(floor) == ["hello", "hello"], 2)
        working.cancel()
        floor.kill_engine()
        await floor.pass_s(0.2)
        await floor.start_again()
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.TALKING, 10)
        await floor.until(lambda: not floor.engine.inbound, 20)

    run(floor, story)
    verified(floor)
    assert [row.data["result"] for row in told(floor, "flow.ended")] == ["cut_off"]
