"""What a supervisor steers while the engine runs: mode and boldness of a campaign, whom an agent works for; kept over a restart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from dialer_core import steering
from dialer_core.ipc.messages import HostReply
from dialer_core.store import scan
from dialer_core.store import steering as rows
from dialer_core.vocabulary import AgentId, AgentState, CampaignId, PacingMode
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified
from tests.engine.test_control import asked
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

A0, DEMO, OTHER = AgentId("a0"), CampaignId("demo"), CampaignId("other")


async def steer(floor: Floor, **what: Any) -> HostReply:
    """Steer the demo campaign."""
    return await asked(floor, "campaigns.steer", campaign="demo", what=what)


def test_mode_and_boldness_are_changed_and_outlive_a_restart(make_floor: MakeFloor) -> None:
    """From the next decision on the pacer has the new mode and its share of the ceiling; the next engine too, until it is as written again."""
    floor = make_floor(leads=30, agents=2, campaign={"pacing": "progressive"})
    floor.carrier.default = Behaviour(final_s=None)

    async def story() -> None:
        await floor.start()
        await floor.until(lambda: len(floor.engine.machine.attempts) == 2)
        reply = await steer(floor, pacing="ratio", ratio=3.0, ceiling_share=0.5)
        assert reply.result == {"pacing": "ratio", "ratio": 3.0, "ceiling_share": 0.5}
        await floor.until(lambda: len(floor.engine.machine.attempts) == 6)
        run = floor.engine.dialing[DEMO]
        assert run.paced_ceiling == pytest.approx(run.ceiling / 2)
        (pool,) = floor.engine.dialing.pools
        assert pool._config is not None
        assert pool._config.abandonment_ceiling == pytest.approx(run.ceiling / 2)
        (seen,) = (await asked(floor, "status")).result["campaigns"]
        assert (seen["pacing"], seen["ceiling_share"], seen["steered"]) == ("ratio", 0.5, True)
        assert seen["abandonment_ceiling"] == run.ceiling
        await floor.stop()
        await floor.start()
        await steering.take_up(floor.engine)
        assert floor.engine.dialing[DEMO].settings.pacing is PacingMode.RATIO
        assert not (await steer(floor)).error
        assert floor.engine.dialing[DEMO].settings is floor.settings.campaigns[DEMO]
        await floor.stop()
        await floor.start()
        await steering.take_up(floor.engine)
        assert floor.engine.dialing[DEMO].settings is floor.settings.campaigns[DEMO]
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    with floor.database.read() as tx:
        assert [row.action for row in scan.rows(tx, "audit", order_by=("seq",))].count(
            "campaign.steered"
        ) == 2


def test_what_another_node_is_told_holds_here_too(make_floor: MakeFloor) -> None:
    """Its share of the ceiling and its move are taken up within seconds; told something else here, both hold; taken back there, so it is here."""
    floor = make_floor(leads=1, agents=2)
    floor.settings.campaigns[OTHER] = floor.settings.campaigns[DEMO].model_copy(update={"start": False})

    def elsewhere(campaign: dict[str, Any], agent: dict[str, Any]) -> None:
        with floor.database.write() as tx:
            rows.keep(tx, "campaign", DEMO, campaign, actor="elsewhere")
            rows.keep(tx, "agent", A0, agent, actor="elsewhere")

    async def story() -> None:
        await floor.start()
        following = asyncio.create_task(steering.follow(floor.engine))
        run, agent = floor.engine.dialing[DEMO], floor.engine.roster[A0]
        by_the_file = agent.works_for
        elsewhere({"ceiling_share": 0.5}, {"campaigns": ["other"]})
        reply = await steer(floor, ratio=3.0)  # here nobody has seen the share yet
        assert reply.result["ceiling_share"] == 0.5
        await floor.pass_s(steering.FOLLOW_S + 1)
        assert (run.settings.ceiling_share, run.settings.ratio, agent.works_for) == (0.5, 3.0, {OTHER})
        elsewhere({}, {})
        await floor.pass_s(steering.FOLLOW_S + 1)
        assert run.settings is floor.settings.campaigns[DEMO]
        assert agent.works_for == by_the_file
        following.cancel()
        await floor.stop()

    floor.loop.run_until_complete(story())


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ({"pacing": "agentless"}, "refused"),
        ({"pacing": "wild"}, "invalid"),
        ({"ceiling_share": 1.5}, "invalid"),
        ({"ceiling_share": 0.0}, "invalid"),
        ({"ratio": 99}, "invalid"),
        ({"abandonment_ceiling": 0.1}, "invalid"),
    ],
)
def test_nothing_beyond_the_ceiling_or_the_files_rules_is_steered(
    make_floor: MakeFloor, what: dict[str, Any], kind: str
) -> None:
    """More than the whole ceiling, the ceiling itself, an unknown mode: refused in words, and nothing changes."""
    floor = make_floor(leads=1, agents=1)

    async def story() -> None:
        await floor.start()
        reply = await steer(floor, **what)
        assert (reply.kind, bool(reply.error)) == (kind, True)
        assert floor.engine.dialing[DEMO].settings is floor.settings.campaigns[DEMO]
        await floor.stop()

    floor.loop.run_until_complete(story())


def test_an_agent_is_moved_and_the_pools_follow(make_floor: MakeFloor) -> None:
    """Moved away, an agent in conversation finishes it and gets nobody more of the old campaign; moved back, they do; a restart keeps it."""
    floor = make_floor(leads=40, agents=2, campaign={"wrap_up_s": 1.0})
    floor.settings.campaigns[OTHER] = floor.settings.campaigns[DEMO].model_copy(update={"start": False})
    floor.carrier.default = Behaviour(final_s=1.0, talk_s=10.0)

    async def story() -> None:
        await floor.start()
        agent = floor.engine.roster[A0]
        await floor.until(lambda: agent.state is AgentState.TALKING)
        reply = await asked(floor, "agents.move", agent="a0", campaigns=["other"])
        assert reply.result == {"agent": "a0", "campaigns": ["other"]}
        assert agent.state is AgentState.TALKING
        await floor.until(lambda: agent.state is AgentState.READY)
        before = agent.conversations
        await floor.pass_s(60)
        assert agent.conversations == before
        assert floor.engine.roster[AgentId("a1")].conversations > 1
        assert {pool.key for pool in floor.engine.dialing.pools} == {"demo+other", "other"}
        await floor.stop()
        await floor.start()
        await steering.take_up(floor.engine)
        agent = floor.engine.roster[A0]
        assert agent.works_for == {OTHER}
        assert not (await asked(floor, "agents.move", agent="a0", campaigns=[])).error
        await floor.until(lambda: agent.conversations > 0, 120)
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)


def test_a_move_to_nowhere_is_refused(make_floor: MakeFloor) -> None:
    """An unknown campaign or agent is told by name, and nobody is moved."""
    floor = make_floor(leads=1, agents=1)

    async def story() -> None:
        await floor.start()
        assert (await asked(floor, "agents.move", agent="a0", campaigns=["nothing"])).kind == "unknown"
        assert (await asked(floor, "agents.move", agent="nobody", campaigns=["demo"])).kind == "unknown"
        assert (await asked(floor, "agents.move", agent="a0")).kind == "invalid"
        assert floor.engine.roster[A0].works_for == {DEMO}
        await floor.stop()

    floor.loop.run_until_complete(story())
