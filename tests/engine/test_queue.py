"""People who call: who they are, whom they get, how long they wait, and that neither they nor those who are dialed starve. On virtual time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import select, update

from dialer_core.agents.blending import PATIENCE_S, Blend
from dialer_core.campaigns.callbacks_asked import ask
from dialer_core.store import callbacks
from dialer_core.store.models import EventRow, Lead, Phone
from dialer_core.vocabulary import AccountId, AgentId, AgentState, CampaignId, LeadId, TalkState
from tests.engine.callers import INBOUND, OUR_NUMBER, CallerCarrier, take_calls, talking
from tests.engine.conftest import MakeFloor
from tests.engine.held import Behaviour
from tests.engine.readings import attempts, event_names, verified
from tests.engine.virtual import Floor

pytestmark = pytest.mark.unit

A0, A1 = AgentId("a0"), AgentId("a1")
Story = Callable[[Any, CallerCarrier], Coroutine[Any, Any, None]]


def run(floor: Floor, story: Story, *, workers: int = 1) -> None:
    """Start the floor with workers that take calls, run a story, drain, and check the invariants."""
    carrier = take_calls(floor, workers)

    async def whole() -> None:
        await floor.start()
        await floor.until(
            lambda: bool(carrier.expected.get(INBOUND)) and all(a.leg_up for a in floor.engine.roster.all())
        )
        await story(floor.engine, carrier)
        await floor.stop()

    floor.loop.run_until_complete(whole())
    verified(floor)


def told(floor: Floor, name: str) -> list[Any]:
    """Return the events of a name."""
    with floor.database.read() as tx:
        return list(
            tx.execute(select(EventRow.__table__).where(EventRow.name == name).order_by(EventRow.seq))
        )


def number(floor: Floor) -> str:
    """Return the only person's number."""
    with floor.database.read() as tx:
        return str(tx.scalar(select(Phone.e164)))


def quiet(**inbound: Any) -> dict[str, Any]:
    """Return a campaign that dials nobody by itself."""
    return {"caller_id": OUR_NUMBER, "start": False, "inbound": inbound}


def test_a_caller_waits_with_music_and_gets_the_next_free_agent(make_floor: MakeFloor) -> None:
    """The second caller hears music until the first has gone; whoever waits longest is next; each call is told to its end, once."""
    floor = make_floor(leads=0, agents=1, campaign=quiet())

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        first = carrier.call_in("+525500000001", talk_s=10)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING)
        assert carrier.hearing.music == set()
        second = carrier.call_in("+525500000002", talk_s=10)
        await floor.pass_s(1)
        third = carrier.call_in("anonymous", talk_s=10)
        await floor.until(lambda: carrier.hearing.music == {second, third})
        await floor.until(lambda: first not in carrier.calls)
        await floor.until(lambda: talking(engine) == [("a0", second)])
        assert carrier.hearing.music == {third}
        await floor.until(lambda: not carrier.calls.keys() & set(carrier.callers))

    run(floor, story)
    assert [name for name in event_names(floor) if name.startswith("call.")].count("call.ended") == 3
    assert len(told(floor, "call.queued")) == 2


def test_a_known_caller_goes_to_the_agent_who_promised_them(make_floor: MakeFloor) -> None:
    """While that agent talks they are kept for them although another is idle; after `promised_agent_s` anybody will do. Their leads rest."""
    floor = make_floor(leads=1, agents=2, campaign=quiet(promised_agent_s=15.0))
    now = floor.clock.utc()
    with floor.database.write() as tx:
        lead = LeadId(str(tx.scalar(select(Lead.id))))
        callbacks.add(
            tx,
            lead_id=lead,
            campaign_id=CampaignId("demo"),
            due_at_utc=now + dt.timedelta(hours=3),
            agent_id=A0,
        )
    known = number(floor)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        engine.roster.pause(A1, "coffee")
        carrier.call_in("+525500000009", talk_s=8)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING)
        engine.roster.ready(A1)
        mine = carrier.call_in(known.removeprefix("+52"), talk_s=20)
        await floor.pass_s(5)
        assert engine.roster[A1].state is AgentState.READY
        await floor.until(lambda: ("a0", mine) in talking(engine), limit_s=20)
        again = carrier.call_in(known, talk_s=20)
        await floor.until(lambda: ("a1", again) in talking(engine), limit_s=20)
        await floor.until(lambda: not carrier.calls.keys() & set(carrier.callers))

    run(floor, story)
    [first, _] = told(floor, "call.identified")
    assert first.data["promised_agent"] == "a0"
    with floor.database.read() as tx:
        row = tx.execute(select(Lead.next_at_utc, Lead.blocked_rule)).one()
        state = tx.scalar(select(callbacks._TABLE.c.state))
    assert row.next_at_utc > floor.clock.utc() + dt.timedelta(hours=20)
    assert (row.blocked_rule, state) == ("called_in", "made")


def test_what_a_caller_asks_for_in_the_talk_stays(make_floor: MakeFloor) -> None:
    """A call-back that is written while they talk is not taken for made by that talk, and its hour is kept."""
    floor = make_floor(leads=1, agents=1, campaign=quiet())
    known = number(floor)
    due = floor.clock.utc() + dt.timedelta(hours=3)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        carrier.call_in(known, talk_s=20)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING)
        await floor.pass_s(5)
        with floor.database.write() as tx:
            account = AccountId(str(tx.scalar(select(Lead.account_id))))
            ask(
                tx, account_id=account, campaign_id=CampaignId("demo"), at_utc=due, now=floor.clock.utc(), actor="agent a0"
            )  # fmt: skip
        await floor.until(lambda: not carrier.calls.keys() & set(carrier.callers))

    run(floor, story)
    with floor.database.read() as tx:
        assert tx.scalar(select(callbacks._TABLE.c.state)) == "open"
        assert tx.scalar(select(Lead.next_at_utc)) == due


def test_nobody_waits_for_ever(make_floor: MakeFloor) -> None:
    """After `max_wait_s` the closing prompt is told and the call ends; one who hangs up before is told of too."""
    floor = make_floor(leads=0, agents=1, campaign=quiet(max_wait_s=30.0))

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        carrier.call_in("+525500000001", talk_s=100)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING)
        patient = carrier.call_in("+525500000002")
        carrier.call_in("+525500000003", patience_s=5)
        began = floor.loop.time()
        await floor.until(lambda: patient not in carrier.calls)
        assert 30 <= floor.loop.time() - began < 36
        assert carrier.played[-1][1] == ("abandonment-es",)

    run(floor, story)
    assert [event.data["talked"] for event in told(floor, "call.ended")] == [False, False, True]


@pytest.mark.parametrize("at_work", [False, True], ids=["nobody at work", "while they wait"])
def test_a_callback_is_taken(make_floor: MakeFloor, at_work: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A known caller is offered it, presses the digit, is told so, and is due in an hour; another digit means nothing."""
    its = quiet(callback_offer="offer", callback_taken="taken", max_wait_s=60.0)
    floor = make_floor(leads=1, agents=1, campaign=its)
    known = number(floor)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        if at_work:
            carrier.call_in("+525500000001", talk_s=100)
            await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING)
        else:
            engine.roster.logout(A0)
        mine = carrier.call_in(known)
        await floor.until(lambda: bool(carrier.played))
        assert carrier.played[-1][1] == ("offer",)
        carrier.press(mine, "5")
        await floor.pass_s(1.0)
        carrier.press(mine, "1")
        carrier.press(mine, "1")
        await floor.pass_s(0.1)
        assert carrier.played[-1][1] == ("taken",)
        await floor.until(lambda: mine not in carrier.calls)

    run(floor, story)
    [event] = told(floor, "callback.taken")
    with floor.database.read() as tx:
        [row] = tx.execute(select(callbacks._TABLE)).all()
        lead = tx.execute(select(Lead.__table__)).one()
    assert (row.id, row.state, row.agent_id) == (event.data["callback_id"], "open", None)
    assert row.due_at_utc == lead.next_at_utc
    assert dt.timedelta(minutes=59) < row.due_at_utc - floor.clock.utc() <= dt.timedelta(hours=1)


def test_no_callback_is_told_that_is_not_written(make_floor: MakeFloor) -> None:
    """A caller whose lead waits for their promise presses the digit: nothing is written, so nothing is told; they wait, and hear the message."""
    floor = make_floor(leads=1, agents=1, campaign=quiet(callback_offer="offer", callback_taken="taken"))
    known = number(floor)
    with floor.database.write() as tx:
        tx.execute(update(Lead.__table__).values(state="waiting", waiting_for="promise"))

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        engine.roster.logout(A0)
        mine = carrier.call_in(known)
        await floor.until(lambda: bool(carrier.played))
        await floor.pass_s(1.0)
        carrier.press(mine, "1")
        await floor.until(lambda: mine not in carrier.calls)
        assert [prompts for _, prompts in carrier.played] == [("offer",), ("abandonment-es",)]

    run(floor, story)
    assert told(floor, "callback.taken") == []
    with floor.database.read() as tx:
        assert tx.execute(select(callbacks._TABLE)).all() == []


def test_who_presses_nothing_while_nobody_is_at_work_hears_the_message(make_floor: MakeFloor) -> None:
    """After the offer some seconds are left to press; then the closing prompt, and the end. A stranger is offered nothing."""
    floor = make_floor(leads=1, agents=1, campaign=quiet(callback_offer="offer"))
    known = number(floor)

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        engine.roster.logout(A0)
        mine = carrier.call_in(known)
        await floor.until(lambda: mine not in carrier.calls)
        assert [prompts for _, prompts in carrier.played] == [("offer",), ("abandonment-es",)]
        stranger = carrier.call_in("+525500000077")
        await floor.until(lambda: stranger not in carrier.calls)
        assert [prompts for _, prompts in carrier.played[2:]] == [("abandonment-es",)]

    run(floor, story)
    assert told(floor, "callback.taken") == []


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_blending_starves_neither_side(make_floor: MakeFloor, share: float) -> None:
    """With always more callers than agents and always leads to dial, callers get their share of the agents, and nobody dialed is abandoned for it."""
    floor = make_floor(
        leads=400,
        agents=6,
        campaign={
            "caller_id": OUR_NUMBER,
            "wrap_up_s": 1.0,
            "inbound": {"share": share, "max_wait_s": 600.0},
        },
    )

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        carrier.default = Behaviour(final_s=4, talk_s=12)
        for _ in range(50):
            while engine.inbound.queue.waiting_for(CampaignId("demo")) < 3 and any(carrier.expected.values()):
                worker = next(name for name, legs in carrier.expected.items() if legs)
                carrier.call_in("anonymous", talk_s=12, worker=worker)
                await floor.pass_s(0.05)
            await floor.pass_s(4)
        engine.dialing.pause(CampaignId("demo"), "over")

    run(floor, story, workers=3)
    called, dialed = (
        len(told(floor, "call.bridged")),
        sum(row.bridged_mono_ns is not None for row in attempts(floor)),
    )
    assert called + dialed > 50
    # every agent goes to somebody dialed before the first caller waits: 6 of some 70 talks, and as much again for the last round
    assert abs(called / (called + dialed) - share) < 12 / (called + dialed), (called, dialed)
    assert not any(row.abandoned for row in attempts(floor))


def test_the_account_of_turns() -> None:
    """Contested agents are shared by turns; an agent left to dialing and not used goes to a caller; an empty queue forgets what was owed."""
    blend, got = Blend(0.6), {"caller": 0, "dialed": 0}
    for step in range(1000):
        if blend.may_take(step * 1.0, dialing=True):
            blend.caller_took()
            got["caller"] += 1
        else:
            blend.dialed_took()
            got["dialed"] += 1
    assert abs(got["caller"] - 600) <= 1
    blend = Blend(0.6)
    blend.caller_took()
    assert not blend.may_take(0.0, dialing=True)
    assert blend.owed(5) == 0
    assert blend.may_take(0.1, dialing=False)
    assert blend.may_take(PATIENCE_S, dialing=True)
    blend.dialed_took()
    blend.dialed_took()
    assert (blend.owed(5), blend.owed(1)) == (2, 1)
    blend.emptied()
    assert blend.owed(5) == 1


def test_a_caller_and_an_agent_go_on_when_the_engine_dies(make_floor: MakeFloor) -> None:
    """The next engine has the talk: hold and resume work, the waiting caller waits on, and their ends are told once."""
    floor = make_floor(leads=0, agents=1, campaign=quiet())

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        first = carrier.call_in("+525500000001", talk_s=60)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING)
        engine.desk.hold(A0)
        second = carrier.call_in("+525500000002", talk_s=5)
        await floor.until(lambda: second in carrier.hearing.music)
        floor.kill_engine()
        await floor.pass_s(1)
        await floor.start_again()
        assert floor.engine.desk.talks[A0].state is TalkState.HELD
        floor.engine.desk.resume(A0)
        assert carrier.hearing.of(first) == {floor.engine.roster[A0].leg_id}
        await floor.until(lambda: not carrier.calls.keys() & set(carrier.callers), limit_s=200)

    run(floor, story)
    assert sorted(event.data["talked"] for event in told(floor, "call.ended")) == [True, True]


def test_a_caller_whose_worker_dies_with_the_engine_is_told_of(make_floor: MakeFloor) -> None:
    """Nobody is left to say how it ended: the next engine does, sends the BYE, and the agent is free."""
    floor = make_floor(leads=0, agents=1, campaign=quiet())

    async def story(engine: Any, carrier: CallerCarrier) -> None:
        leg = carrier.call_in("+525500000001", talk_s=60)
        await floor.until(lambda: engine.roster[A0].state is AgentState.TALKING)
        await floor.pass_s(2)
        floor.kill_engine()
        floor.kill_worker(INBOUND)
        await floor.pass_s(1)
        await floor.start_again()
        assert carrier.orphan_byes == [leg]
        assert floor.engine.roster[A0].state is not AgentState.TALKING

    run(floor, story)
    [ended] = told(floor, "call.ended")
    assert (ended.campaign_id, ended.data["talked"], ended.data["by_us"]) == ("demo", True, True)
    assert 2.5 < ended.data["seconds"] < 5
