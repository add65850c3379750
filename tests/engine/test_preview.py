"""Mode preview: an agent is shown one lead, and it is dialed for them alone when they accept it; what is shown is nobody else's."""

import datetime as dt
from typing import Any

import pytest

from dialer_core.store import events, restrictions
from dialer_core.store.leads import READY_UTC
from dialer_core.vocabulary import AgentId, AgentState, RestrictionKind, RestrictionScope
from tests.campaigns.lists import rows
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, verified
from tests.engine.test_control import asked
from tests.engine.virtual import Floor

pytestmark = pytest.mark.unit

A0, A1 = AgentId("a0"), AgentId("a1")
PREVIEW: dict[str, Any] = {"pacing": "preview", "preview": {"limit_s": 30}}


def lead_states(floor: Floor) -> list[tuple[str, str | None]]:
    """Return every lead's state and what it waits for."""
    with floor.database.read() as tx:
        return sorted((row["state"], row["waiting_for"]) for row in rows(tx, "lead"))


def shown(floor: Floor, agent: AgentId) -> str | None:
    """Return the lead that an agent is shown."""
    found = floor.engine.previews.view(agent)
    return found["lead"] if found else None


def test_each_agent_dials_their_own(make_floor: MakeFloor) -> None:
    """Two agents are shown two leads; nothing is dialed until one says yes, and that person is theirs; the other is not disturbed."""
    floor = make_floor(leads=["01", "01", "01"], agents=2, campaign=PREVIEW | {"preview": {"limit_s": 600}})

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: bool(shown(floor, A0) and shown(floor, A1)), 30)
        assert shown(floor, A0) != shown(floor, A1)
        assert not attempts(floor)
        assert (await asked(floor, "agents.preview", agent="a0")).result["seconds_left"] > 20
        reply = await asked(floor, "agents.accept", agent="a1")
        assert not reply.error
        agent = floor.engine.roster[A1]
        await floor.until(lambda: agent.state is AgentState.TALKING, 30)
        assert floor.engine.roster[A0].state is AgentState.READY
        again = await asked(floor, "agents.accept", agent="a1")
        assert again.kind == "refused"
        await floor.until(lambda: agent.state is AgentState.READY and shown(floor, A1) is not None, 300)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert attempt.agent_id == "a1"


def test_a_lead_that_is_skipped_rests_and_the_next_comes(make_floor: MakeFloor) -> None:
    """By word or by time; the event says who and why, and an accepted one that nobody answers ends in the next one."""
    floor = make_floor(leads=["01", "01"], agents=1, campaign=PREVIEW)

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: shown(floor, A0) is not None, 30)
        first = shown(floor, A0)
        assert not (await asked(floor, "agents.skip", agent="a0", reason="paid yesterday")).error
        await floor.until(lambda: shown(floor, A0) not in {None, first}, 10)
        await floor.until(lambda: shown(floor, A0) is None, 60)  # the limit of 30 s
        assert (await asked(floor, "agents.skip", agent="a0")).kind == "refused"
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    assert not attempts(floor)
    with floor.database.read() as tx:
        told = [one.data["reason"] for one in events.tail(tx, {}, ["lead.skipped"])]
        assert told == ["paid yesterday", "time_is_up"]
        for row in rows(tx, "lead"):
            assert row["state"] == "dialable"
            assert row["next_at_utc"] > floor.clock.utc() + dt.timedelta(minutes=58)


def test_time_may_dial(make_floor: MakeFloor) -> None:
    """With `then = "dial"` what nobody decided about is dialed."""
    settings = {"pacing": "preview", "preview": {"limit_s": 10, "then": "dial"}}
    floor = make_floor(leads=["01"], agents=1, campaign=settings)

    async def story() -> None:
        await floor.start()
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING, 60)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    assert len(attempts(floor)) == 1


def test_who_pauses_gives_it_back(make_floor: MakeFloor) -> None:
    """The lead is anybody's at once, and the drained engine leaves none behind."""
    floor = make_floor(leads=["01"], agents=1, campaign=PREVIEW)

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: shown(floor, A0) is not None, 30)
        assert lead_states(floor) == [("waiting", "preview")]
        assert not (await asked(floor, "agents.pause", agent="a0", reason="lunch")).error
        await floor.until(lambda: lead_states(floor) == [("dialable", None)], 10)
        assert not (await asked(floor, "agents.ready", agent="a0")).error
        await floor.until(lambda: shown(floor, A0) is not None, 10)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    assert lead_states(floor) == [("dialable", None)]
    with floor.database.read() as tx:
        assert rows(tx, "lead")[0]["next_at_utc"] == READY_UTC


def test_the_gate_decides_again_when_it_is_dialed(make_floor: MakeFloor) -> None:
    """A restriction that came while they looked: nothing is dialed, and the lead is finished with that reason."""
    floor = make_floor(leads=["01"], agents=1, campaign=PREVIEW)

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: shown(floor, A0) is not None, 30)
        with floor.database.write() as tx:
            person = rows(tx, "lead")[0]["person_id"]
            restrictions.add(
                tx, RestrictionKind.DO_NOT_CALL, RestrictionScope.PERSON, person, source="t", from_utc=floor.clock.utc()
            )  # fmt: skip
        reply = await asked(floor, "agents.accept", agent="a0")
        assert reply.kind == "refused"
        assert "do_not_call" in reply.error
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    assert not attempts(floor)
    assert lead_states(floor) == [("finished", None)]
