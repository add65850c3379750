"""What outlives a restart of the engine, and what is told of the strangest endings."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dialer_core.ipc.messages import LegEnded, LegOpened, LegSent
from dialer_core.store.models import Contact, EventRow
from dialer_core.vocabulary import AgentId, CampaignId, CampaignState, EndedBy, LegKind, Outcome
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, verified
from tests.engine.virtual import Behaviour

pytestmark = pytest.mark.unit

A0, DEMO = AgentId("a0"), CampaignId("demo")


@pytest.mark.parametrize("word", ["stop", "pause"])
def test_a_supervisors_word_outlives_a_restart(make_floor: MakeFloor, word: str) -> None:
    """A campaign that was stopped or paused by command does not dial again because the engine was started again."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(final_s=None)

    async def story() -> None:
        await floor.start()
        campaign = floor.engine.dialing.campaigns[DEMO]
        assert campaign.state is CampaignState.RUNNING
        getattr(floor.engine.dialing, word)(DEMO, "by the supervisor")
        await floor.stop()
        await floor.start()
        again = floor.engine.dialing.campaigns[DEMO]
        assert again.state is campaign.state
        assert "before the engine started" in again.reason
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)


def test_a_drained_campaign_goes_on_after_the_restart(make_floor: MakeFloor) -> None:
    """Nobody stopped it: SIGTERM ends the process, not the campaign."""
    floor = make_floor(leads=["01", "02"], agents=1)

    async def story() -> None:
        await floor.start()
        await floor.stop()
        await floor.start()
        assert floor.engine.dialing.campaigns[DEMO].state is CampaignState.RUNNING
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)


def test_what_never_left_counts_for_no_cap(make_floor: MakeFloor) -> None:
    """An attempt cancelled before its INVITE reached nobody: its contact is void."""
    floor = make_floor(leads=["01"], agents=1, campaign={"start": False})

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: floor.engine.roster[A0].offered)
        floor.carrier.hold_back = {LegOpened}
        floor.engine.dialing.start(DEMO)
        await floor.until(lambda: bool(floor.engine.machine.attempts))
        floor.engine.dialing.stop(DEMO, "")
        floor.carrier.let_go()
        await floor.until(lambda: not floor.engine.machine.attempts)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert (attempt.outcome, attempt.sent_mono_ns) == (Outcome.CANCELLED, None)
    with floor.database.read() as tx:
        assert list(tx.scalars(select(Contact.settlement))) == ["void"]


def test_an_invite_names_its_row_before_anybody_tells_of_it(make_floor: MakeFloor) -> None:
    """The Call-ID is committed with the attempt and is what the worker is asked to place: an engine that dies in between loses no call."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(final_s=None)

    async def story() -> None:
        await floor.start()
        floor.carrier.hold_back = {LegSent}

        def placed() -> list[str]:
            return [place.leg_id for place in floor.carrier.placed if place.kind is LegKind.CUSTOMER]

        await floor.until(lambda: bool(placed()))
        (attempt,) = attempts(floor)
        assert (attempt.call_id, attempt.sent_mono_ns) == (attempt.id, None)
        assert placed() == [attempt.call_id]
        floor.carrier.let_go()
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)


def test_a_200_that_crossed_our_cancel_is_told(make_floor: MakeFloor) -> None:
    """Somebody picked up and heard nothing: the event of the ending says so."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(final_s=None)

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: any(a.sent_ns for a in floor.engine.machine.attempts.values()))
        (attempt,) = floor.engine.machine.attempts.values()
        floor.carrier.hold_back = {LegEnded}
        floor.engine.flow.release(attempt, Outcome.CANCELLED)
        assert attempt.worker is not None
        ended = LegEnded(
            at_ns=floor.clock.mono_ns(), leg_id=attempt.leg_id, code=200, by=EndedBy.US, crossed=True
        )
        floor.engine.workers.receive(attempt.worker, ended)
        floor.carrier.let_go()
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    with floor.database.read() as tx:
        (data,) = tx.scalars(select(EventRow.data).where(EventRow.name == "attempt.ended"))
    assert (data["outcome"], data["crossed"]) == ("cancelled", True)


def test_the_sound_of_a_call_is_told_when_its_leg_is_closed(make_floor: MakeFloor) -> None:
    """One event for each leg that had sound, the customer's with the attempt's ids."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(talk_s=5.0)

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: floor.carrier.ended != [], 60)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    with floor.database.read() as tx:
        told = list(
            tx.execute(select(EventRow.attempt_id, EventRow.data).where(EventRow.name == "leg.measured"))
        )
    (customers,) = [row for row in told if row.data["kind"] == "customer"]
    assert customers.attempt_id == attempt.id
    assert (customers.data["rx_packets"], customers.data["one_way"]) == (1, False)
