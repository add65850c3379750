"""Drafts and archived campaigns: what a state allows, for commands, for a restart, and for imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialer_core.campaigns.leads_import import import_leads
from dialer_core.campaigns.run import TABLE, CampaignCue, possible
from dialer_core.clock import SystemClock
from dialer_core.errors import CommandRefusedError
from dialer_core.store import campaigns, events
from dialer_core.vocabulary import AgentState, CampaignId, CampaignState
from tests.engine.conftest import MakeFloor
from tests.engine.readings import attempts
from tests.engine.test_control import A0, DEMO, asked

pytestmark = pytest.mark.unit


def test_a_draft_dials_nobody_before_it_is_released(make_floor: MakeFloor) -> None:
    """Its file says that it starts by itself, and it does not; a start is refused with what can be done; released and started, it dials."""
    floor = make_floor(leads=["01"], agents=1, campaign={"draft": True})

    async def story() -> None:
        await floor.start()
        await floor.pass_s(20)
        assert floor.engine.dialing.campaigns["demo"].state is CampaignState.DRAFT
        refused = await asked(floor, "campaigns.start", campaign="demo")
        assert refused.error == "campaign demo is draft: cannot start now; it can release or archive"
        assert not [leg for leg in floor.carrier.placed if leg.kind == "customer"]
        assert not (await asked(floor, "campaigns.release", campaign="demo")).error
        assert not (await asked(floor, "campaigns.start", campaign="demo")).error
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.TALKING)
        await floor.stop()

    floor.loop.run_until_complete(story())
    assert len(attempts(floor)) == 1


def test_an_archived_campaign_stays_so(make_floor: MakeFloor, tmp_path: Path) -> None:
    """It cannot be started and takes no leads, is not started by its file at the next start, and loses nothing: reopened, it dials."""
    floor = make_floor(leads=["01"], agents=1)
    (tmp_path / "l.csv").write_text("telefono\n5512345678\n", encoding="utf-8")

    async def story() -> None:
        await floor.start()
        for verb, wrong in (("archive", True), ("stop", False), ("archive", False), ("start", True)):
            assert (
                bool((await asked(floor, f"campaigns.{verb}", campaign="demo", reason="sold")).error) is wrong
            ), verb
        with floor.database.write() as tx:
            assert campaigns.states(tx)[DEMO] is CampaignState.ARCHIVED
            campaigns.sync(tx, {DEMO: floor.engine.dialing[DEMO].settings.model_dump(mode="json")})
            campaigns.sync(tx, {})  # its file is gone
            assert campaigns.states(tx)[DEMO] is CampaignState.ARCHIVED
        with pytest.raises(CommandRefusedError, match="takes no leads; 'dialer campaign reopen demo' first"):
            import_leads(
                floor.database,
                tmp_path / "l.csv",
                CampaignId("demo"),
                clock=SystemClock(),
                reject_dir=tmp_path,
            )
        assert not (await asked(floor, "campaigns.reopen", campaign="demo")).error
        assert not (await asked(floor, "campaigns.start", campaign="demo")).error
        await floor.until(lambda: floor.engine.roster[A0].state is AgentState.TALKING)
        await floor.stop()

    floor.loop.run_until_complete(story())
    with floor.database.read() as tx:
        names = [one.name for one in events.tail(tx, {}, ["campaign.archived", "campaign.reopened"])]
    assert names == ["campaign.archived", "campaign.reopened"]


def test_no_state_is_a_dead_end() -> None:
    """From every state some command leads on, and every state but a draft, which is a beginning, can be come to."""
    for state in CampaignState:
        assert possible(state)
    reached = {state for state in TABLE.values() if state is not None}
    assert set(CampaignState) - reached == {CampaignState.DRAFT}
    assert all(
        TABLE[state, CampaignCue.START] is None for state in (CampaignState.DRAFT, CampaignState.ARCHIVED)
    )
