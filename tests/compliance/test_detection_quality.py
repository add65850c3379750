"""How many people detection loses, from what agents heard: unbiased whatever the share drawn, with intervals that hold, and in the ledger."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from dialer_core.compliance import abandonment
from dialer_core.compliance.detection_quality import estimate, quality, wilson
from dialer_core.store.database import Database
from dialer_core.store.detection_samples import Tally
from dialer_core.store.tx import Tx
from dialer_core.verify import verify_store
from dialer_core.vocabulary import new_id
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, put_lead, put_list_campaign
from tests.compliance.packs_for_tests import pack_of
from tests.store.rows import put

LOST = pack_of(
    abandonment={
        "cite": ["test"],
        "ceiling": 0.03,
        "count_lost": True,
        "windows": [{"name": "day", "days": 1}, {"name": "campaign"}],
    }
)


def tally(calls: int, first: str = "machine", **of: object) -> Tally:
    """Return a tally of calls taken for machines and released, but for what is given."""
    given = {"last": first, "bridged": False, "disposition": None, "share": None, "connected": False} | of
    return Tally(first=first, calls=calls, **given)  # type: ignore[arg-type]


def drawn(calls: int, disposition: str | None, share: float) -> Tally:
    """Return a tally of machine verdicts connected under a share."""
    return tally(calls, bridged=True, disposition=disposition, share=share, connected=True)


@pytest.mark.unit
def test_the_estimate_is_what_it_says_by_hand() -> None:
    """1,000 machine verdicts, 20 drawn at 2 % of which 1 was a person, 400 people passed with 40 machines among them."""
    found = estimate(
        "c", None,
        [tally(980, share=0.02), drawn(1, "promise", 0.02), drawn(19, "machine", 0.02),
         tally(360, "human", bridged=True, disposition="right_party"), tally(40, "human", bridged=True, disposition="machine")],
    )  # fmt: skip
    # people: 5 % of 1,000 on the wrong side, 360 on the right one; machines: 40 passed, 950 caught
    assert found.people_lost.estimate == pytest.approx(50 / 410)
    assert found.machines_passed.estimate == pytest.approx(40 / 990)
    assert found.lost_calls == pytest.approx(49.0)
    assert found.people_lost.low < 50 / 410 < found.people_lost.high
    assert (found.machine_verdicts, found.sampled, found.sampled_people, found.passed) == (1000, 20, 1, 400)


@pytest.mark.unit
def test_in_mode_monitor_everybody_is_heard_and_counts_once() -> None:
    """Nobody is hung up on: of 50 machine verdicts connected, 5 were people; of 100 human verdicts, 20 were machines."""
    found = estimate(
        "c", None,
        [tally(5, bridged=True, disposition="promise"), tally(45, bridged=True, disposition="machine"),
         tally(80, "human", bridged=True, disposition="refuses"), tally(20, "human", bridged=True, disposition="machine")],
    )  # fmt: skip
    assert found.people_lost.estimate == pytest.approx(5 / 85)
    assert found.machines_passed.estimate == pytest.approx(20 / 65)
    assert found.lost_calls == 0


@pytest.mark.unit
def test_nothing_heard_is_unknown_and_not_zero() -> None:
    """Without evidence there is no estimate, and the interval is everything."""
    found = estimate("c", None, [tally(500), tally(100, "human", bridged=True)])
    assert found.people_lost.estimate is None
    assert (found.people_lost.low, found.people_lost.high) == (0.0, 1.0)
    assert "unknown" in found.words()


@pytest.mark.unit
def test_a_word_that_says_nothing_is_no_evidence() -> None:
    """`other` and no disposition do not count as heard."""
    found = estimate("c", None, [drawn(5, "other", 0.02), drawn(5, None, 0.02)])
    assert (found.sampled, found.sampled_heard, found.people_lost.estimate) == (10, 0, None)


@pytest.mark.sim
def test_drawing_more_in_bad_hours_does_not_bend_the_estimate() -> None:
    """Half the calls lose 6 % of people at a share of 1 %, half 1 % at 10 %: weighing gives the truth of all, counting would not.

    400 campaigns of 10,000 machine verdicts; the mean estimate lies within five of its standard errors, and the intervals hold the
    truth in at least 95 % of campaigns, less five binomial standard errors.
    """
    rng = np.random.default_rng(7)
    truth, estimates, held, n = 0.035, [], 0, 400
    for _ in range(n):
        tallies = []
        for people, share in ((0.06, 0.01), (0.01, 0.10)):
            heard = rng.binomial(5000, share)
            lost = rng.binomial(heard, people)
            tallies += [
                tally(5000 - heard, share=share),
                drawn(lost, "promise", share),
                drawn(heard - lost, "machine", share),
            ]
        found = estimate("c", None, tallies)
        assert found.lost_calls is not None
        released = found.machine_verdicts - found.sampled
        estimates.append(found.lost_calls / released)
        # nobody was passed, so every person was lost: the share itself is in the lost calls; hold its interval
        weights = [
            (t.calls, 1 / t.share, t.disposition == "promise") for t in tallies if t.connected and t.share
        ]
        total, squares = sum(c * w for c, w, _ in weights), sum(c * w * w for c, w, _ in weights)
        low, high = wilson(estimates[-1], total**2 / squares)
        held += low <= truth <= high
    error = np.std(estimates) / np.sqrt(n)
    assert np.mean(estimates) == pytest.approx(truth, abs=5 * error)
    assert held / n >= 0.95 - 5 * np.sqrt(0.05 * 0.95 / n)


def put_calls(
    tx: Tx,
    listed: Listed,
    n: int,
    at: dt.datetime,
    *,
    sample: tuple[float, bool] | None = None,
    **columns: object,
) -> None:
    """Store ended attempts, with a draw each where a share and whether it was connected are given."""
    for _ in range(n):
        attempt = new_id()
        row = {"outcome": "machine", "verdict": "machine", "live_answer": False, "abandoned": False} | columns
        put(
            tx, "attempt", id=attempt, node="n", boot_id="b", campaign_id=CAMPAIGN, lead_id=listed.lead, account_id=listed.account,
            person_id=listed.person, phone_id=listed.phones[0], number=listed.numbers[0], trunk="t", live=False, state="ended",
            evidence={}, committed_at_utc=at, **row,
        )  # fmt: skip
        if sample is not None:
            put(
                tx, "detection_sample", attempt_id=attempt, campaign_id=CAMPAIGN, label="machine", share=sample[0], draw=0.0,
                agent_free=True, connected=sample[1], at_utc=at,
            )  # fmt: skip


@pytest.mark.db
def test_the_ledger_counts_the_lost_where_the_profile_does_and_verify_agrees(database: Database) -> None:
    """The estimate is added to live answers and abandoned of each window, rounded up; the recomputation (I10) finds the same."""
    hour, month = dt.timedelta(hours=1), dt.timedelta(days=40)
    talked = {"outcome": "connected", "live_answer": True, "bridged_mono_ns": 5, "verdict": "machine"}
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525512345678"])
        put_calls(tx, listed, 90, NOON - hour, sample=(0.02, False))
        put_calls(tx, listed, 40, NOON - month)
        put_calls(tx, listed, 57, NOON - hour, sample=(0.05, True), disposition="machine", **talked)
        put_calls(tx, listed, 3, NOON - hour, sample=(0.05, True), disposition="promise", **talked)
        put_calls(
            tx,
            listed,
            10,
            NOON - hour,
            verdict="human",
            outcome="connected",
            live_answer=True,
            bridged_mono_ns=5,
        )
        totals = abandonment.totals(tx, CAMPAIGN, LOST.abandonment, NOON)
        plain = abandonment.totals(tx, CAMPAIGN, pack_of().abandonment, NOON)
        found = quality(tx, CAMPAIGN)
    # 5 % of 90 released today is 4.5, of 130 in all 6.5; live are the ten and the three that were people
    assert [(total.live, total.abandoned) for total in totals] == [(13 + 5, 5), (13 + 7, 7)]
    assert [(total.live, total.abandoned) for total in plain] == [(13, 0)]
    assert (found.sampled_people, found.sampled_heard, found.machine_verdicts) == (3, 60, 190)
    report = verify_store(database, packs={"case": LOST}, now=NOON)
    assert not [one for one in report.violations if one.invariant == "I10" and "ledger" in one.text], (
        report.violations
    )


@pytest.mark.db
def test_little_evidence_does_not_lower_what_the_profile_assumes(database: Database) -> None:
    """With ten heard and no person among them, the profile's assumption stands."""
    talked = {"outcome": "connected", "live_answer": True, "bridged_mono_ns": 5, "verdict": "machine"}
    with database.write() as tx:
        put_list_campaign(tx)
        listed = put_lead(tx, ["+525512345678"])
        put_calls(tx, listed, 400, NOON, sample=(0.02, False))
        put_calls(tx, listed, 10, NOON, sample=(0.02, True), disposition="machine", **talked)
        (total, _) = abandonment.totals(tx, CAMPAIGN, LOST.abandonment, NOON)
    assert (total.live, total.abandoned) == (2, 2)
    report = verify_store(database, packs={"case": LOST}, now=NOON)
    assert not [one for one in report.violations if one.invariant == "I10" and "ledger" in one.text], (
        report.violations
    )
