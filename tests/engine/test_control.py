"""Commands: what they do, and that every failure is a reply."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from dialer_core.control import Control
from dialer_core.ipc.messages import HostCommand, HostReply
from dialer_core.store import restrictions
from dialer_core.store.models import Restriction
from dialer_core.vocabulary import AgentId, AgentState, CampaignId, Outcome, RestrictionKind, RestrictionScope
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts, verified
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, DEMO = AgentId("a0"), CampaignId("demo")


async def asked(floor: Floor, name: str, **args: Any) -> HostReply:
    """Give a command inside a story and wait for its reply."""
    replies: list[HostReply] = []
    Control(floor.engine).answer(HostCommand(request_id=7, name=name, args=args), replies.append)
    await floor.until(lambda: bool(replies), 5)
    (reply,) = replies
    return reply


def test_a_disposition_ends_the_wrap_up_and_restricts_whom_it_names(make_floor: MakeFloor) -> None:
    """`do_not_call` is more than a word: the agent is ready again, and the person is not called any more."""
    floor = make_floor(leads=["01"], agents=1, campaign={"wrap_up_s": 60.0})

    async def story() -> None:
        await floor.start()
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.WRAP_UP)
        reply = await asked(floor, "attempts.disposition", agent="a0", disposition="do_not_call")
        assert not reply.error
        assert agent.state is AgentState.READY
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (attempt,) = attempts(floor)
    assert attempt.disposition == "do_not_call"
    with floor.database.read() as tx:
        assert RestrictionKind.DO_NOT_CALL in set(tx.scalars(select(Restriction.kind)))


@pytest.mark.parametrize(
    ("name", "args", "kind"),
    [
        ("agents.login", {"agent": "nobody"}, "unknown"),
        ("campaigns.start", {"campaign": "nothing"}, "unknown"),
        ("no.such.command", {}, "unknown"),
        ("agents.login", {}, "invalid"),
        ("attempts.disposition", {"agent": "a0", "disposition": "nonsense"}, "invalid"),
        ("attempts.disposition", {"agent": "a0", "disposition": "promise"}, "refused"),
        ("agents.ready", {"agent": "a0"}, "refused"),
        ("campaigns.start", {"campaign": "demo"}, "refused"),
        ("calls.hangup", {"attempt": "none"}, "unknown"),
    ],
)
def test_what_cannot_be_done_is_told_and_changes_nothing(
    make_floor: MakeFloor, name: str, args: dict[str, str], kind: str
) -> None:
    """Each failure is a reply of its kind with a line that says why."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        await floor.start(login=False)
        reply = await asked(floor, name, **args)
        assert (reply.kind, bool(reply.error)) == (kind, True)
        await floor.stop()

    floor.loop.run_until_complete(story())


def test_status_says_what_is_going_on(make_floor: MakeFloor) -> None:
    """Agents, campaign and trunk as they are, in plain data."""
    floor = make_floor(leads=["01"], agents=1)

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.TALKING)
        status = (await asked(floor, "status")).result
        assert status["agents"][0]["state"] == "talking"
        assert status["campaigns"][0]["talking"] == 1
        assert status["trunks"][0]["lines_used"] == 1
        (call,) = (await asked(floor, "calls.list")).result
        assert call["agent"] == "a0"
        await floor.stop()

    floor.loop.run_until_complete(story())


def test_what_rings_is_cancelled_when_it_comes_to_be_forbidden(make_floor: MakeFloor) -> None:
    """A do-not-call list that arrives while the telephone rings stops that call within a second or so (I12)."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(final_s=None)

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: any(a.sent_ns for a in floor.engine.machine.attempts.values()))
        (attempt,) = floor.engine.machine.attempts.values()
        with floor.database.write() as tx:
            restrictions.add(
                tx, RestrictionKind.DO_NOT_CALL, RestrictionScope.NUMBER, attempt.number, source="test", from_utc=floor.clock.utc()
            )  # fmt: skip
        await floor.until(lambda: not floor.engine.machine.attempts, 2.0)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    (row,) = attempts(floor)
    assert row.outcome == Outcome.CANCELLED
