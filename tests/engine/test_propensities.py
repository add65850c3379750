"""Scores of leads, from the list to the pacer: through the real claim, pools and kernel, on virtual time."""

from __future__ import annotations

import asyncio
import datetime as dt

import numpy as np
import pytest
from sqlalchemy import select

from dialer_core.campaigns import propensity
from dialer_core.plugin_records import Records
from dialer_core.store import lead_ranks, models
from dialer_core.store.leads import ReadyLead
from dialer_core.vocabulary import AccountId, CampaignId, LeadId, PersonId
from pacing import Decision, Pacer, Snapshot
from pacing.learned import PRIOR_ANSWER_RATE
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified
from tests.engine.virtual import START, Behaviour, Floor

pytestmark = pytest.mark.unit

NOON = 12
"""The hour in Mexico City when a floor starts."""


Seen = list[tuple[Snapshot, Decision]]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """Watch every real step of every pacer."""
    found: Seen = []
    step = Pacer.step

    def watching(pacer: Pacer, snapshot: Snapshot) -> Decision:
        decision = step(pacer, snapshot)
        found.append((snapshot, decision))
        return decision

    monkeypatch.setattr(Pacer, "step", watching)
    return found


def tell(floor: Floor, chances: list[float], *, hours: slice = slice(0, 24)) -> None:
    """Score the list as a plugin does, first to last, the first of the highest priority."""
    table = models.Lead.__table__.c
    with floor.database.read() as tx:
        accounts = [AccountId(one) for one in tx.scalars(select(table.account_id).order_by(table.id))]
    told = np.full((len(accounts), 24), np.nan)
    told[: len(chances), hours] = np.array(chances)[: len(accounts), None]
    records = Records(floor.database, clock=floor.clock, actor="plugin:scores")
    order = -np.arange(len(accounts), dtype=float)
    asyncio.run(records.leads.rank_many(CampaignId("demo"), accounts, order, told))
    asyncio.set_event_loop(floor.loop)


def play(floor: Floor, seconds: float = 20.0) -> None:
    """Dial for a while, and hold the store to the invariants."""

    async def shift() -> None:
        await floor.start()
        await floor.pass_s(seconds)
        await floor.stop()

    floor.loop.run_until_complete(shift())
    verified(floor)


def test_scores_reach_the_pacer(make_floor: MakeFloor, seen: Seen) -> None:
    """Each ringing call stands before the pacer with its own lead's probability of this hour, the next leads with theirs, in the list's order."""
    floor = make_floor(leads=60, agents=3, campaign={"pacing": "predictive"})
    floor.carrier.default = Behaviour(final_s=None)  # nobody answers: who rings stays
    chances = [round(0.2 + 0.01 * index, 2) for index in range(60)]
    tell(floor, chances, hours=slice(NOON, NOON + 1))
    play(floor)
    scored = [snapshot for snapshot, _ in seen if snapshot.ring_propensity is not None]
    assert scored
    last = scored[-1]
    ringing = len(last.ring_age_s)
    assert last.ring_propensity == pytest.approx(chances[:ringing])
    assert last.next_propensity == pytest.approx(chances[ringing:])
    words = floor.engine.dialing.campaigns[CampaignId("demo")].last_decision
    assert "% answer, by their scores" in words


def test_silence_is_filled_with_what_was_learned(make_floor: MakeFloor, seen: Seen) -> None:
    """Among scored leads, one of whom nobody says anything counts as the pool's own rate; everything stays a probability."""
    floor = make_floor(leads=40, agents=3, campaign={"pacing": "predictive"})
    floor.carrier.default = Behaviour(final_s=4.0, talk_s=3.0)
    tell(floor, [1.0, np.nan, 0.0, np.nan] * 10)
    play(floor, 30.0)
    (pool,) = floor.engine.dialing.pools
    assert pool._pacer is not None
    given = [
        np.concatenate([np.asarray(one.ring_propensity), np.asarray(one.next_propensity)])
        for one, _ in seen
        if one.ring_propensity is not None and one.next_propensity is not None
    ]
    every = np.concatenate(given)
    assert given
    assert every.min() == 0.0
    assert every.max() == 1.0
    filled = every[(every > 0) & (every < 1)]
    assert filled.size
    assert np.isclose(
        filled, PRIOR_ANSWER_RATE
    ).any()  # at first, and then as it is learned that everybody answers
    assert np.isclose(filled, pool._pacer.answer_rate).any()


@pytest.mark.parametrize("told", ["never", "four days ago", "of other hours"])
def test_without_a_fresh_word_of_this_hour_the_pool_goes_by_its_own(
    make_floor: MakeFloor, seen: Seen, told: str
) -> None:
    """Nobody has scored the list, or has stopped, or says nothing of this hour: the pacer is given no propensities at all."""
    floor = make_floor(leads=20, agents=2, campaign={"pacing": "predictive"})
    floor.carrier.default = Behaviour(final_s=None)
    if told == "four days ago":
        floor.clock.step_wall(dt.timedelta(days=-4))
        tell(floor, [0.5] * 20)
        floor.clock.step_wall(dt.timedelta(days=4))
    elif told == "of other hours":
        tell(floor, [0.5] * 20, hours=slice(NOON + 1, NOON + 8))
    play(floor)
    assert seen
    assert all(one.ring_propensity is None and one.next_propensity is None for one, _ in seen)


def test_the_hour_is_the_callees() -> None:
    """At one moment a number in Tijuana is asked for its own hour, one whose zone nobody knows for the campaign's; outside told hours nobody says."""
    told = np.full((1, 24), np.nan)
    told[0, 10:13] = 0.1, 0.2, 0.3
    (row,) = lead_ranks.encoded(told)
    lead = ReadyLead(
        LeadId("l"), CampaignId("c"), AccountId("a"), PersonId("p"), 0, None, "es", None, None, row, START
    )
    assert propensity.of(lead, ("America/Mexico_City",), "UTC", START) == 0.3
    assert propensity.of(lead, ("America/Tijuana",), "UTC", START) == 0.1
    assert propensity.of(lead, (), "America/Mexico_City", START) == 0.3
    assert propensity.of(lead, ("UTC",), "UTC", START) is None
    assert (
        propensity.of(lead, ("America/Tijuana",), "UTC", START + propensity.HOLDS + dt.timedelta(seconds=1))
        is None
    )


def test_a_list_that_hardly_answers_is_dialed_deeper(make_floor: MakeFloor, seen: Seen) -> None:
    """Before anything is learned: of leads told to answer one in twenty more are placed for the same agents than of leads told to answer always."""
    placed = {}
    for chance in (0.05, 0.95):
        floor = make_floor(folder=str(chance), leads=120, agents=5, campaign={"pacing": "predictive"}, trunks={
            "carrier": {"host": "127.0.0.1", "lines": 200, "calls_per_second": 100},
        }, workers=20)  # fmt: skip
        floor.carrier.default = Behaviour(final_s=None)
        tell(floor, [chance] * 120)
        seen.clear()
        play(floor, 4.0)
        placed[chance] = sum(decision.place for _, decision in seen)
    assert placed[0.05] > 2 * placed[0.95]
