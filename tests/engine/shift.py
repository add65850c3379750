"""A scenario of `pacing.simulator` played by the real engine on virtual time: far ends and agents drawn from the scenario's laws.

Owns the laws' way into the fake carrier, and the sums read from the store. The scenario's drift, log-ins, pauses and scores are not played.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select

from dialer_core.store import models
from dialer_core.vocabulary import AgentState, EndedBy, LegId, LegKind, Verdict
from pacing.scenario import Law, Scenario
from pacing.simulator import ShiftResult
from tests.engine.fakes import FakeCarrier
from tests.engine.held import Behaviour
from tests.engine.virtual import START, Floor

SETTLE_S = 1.0
"""The softphones have answered by then, and the shift begins."""


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a shift, as `pacing.simulator.ShiftResult` counts it. Shares are of 1."""

    occupancy: float
    abandoned_total: int
    live_total: int
    placed: int

    @property
    def abandoned(self) -> float:
        """Abandoned calls over people who answered."""
        return self.abandoned_total / max(self.live_total, 1)


class ScenarioCarrier(FakeCarrier):
    """Far ends and agents that keep to a scenario's laws."""

    def __init__(self, floor: Floor, scenario: Scenario, seed: int) -> None:
        super().__init__(floor)
        self._scenario = scenario
        self._rng = np.random.default_rng(seed)

    def behave(self) -> Behaviour:
        """Draw an attempt: who answers and when, and how long they talk."""
        s, u = self._scenario, self._rng.random()
        if u < s.live_share + s.machine_share:
            ring_s = s.ring_timeout_s
            while ring_s >= s.ring_timeout_s:
                ring_s = self._draw(s.ring_law, s.ring_mean_s, s.ring_cv)
            analysis_s = self._draw(Law.GAMMA, s.analysis_s, 0.3)
            return Behaviour(
                progress_s=min(0.1, ring_s / 2),
                final_s=ring_s,
                verdict=Verdict.HUMAN if u < s.live_share else Verdict.MACHINE,
                verdict_s=self._draw(Law.LOGNORMAL, s.greeting_s, 0.5) + analysis_s,
                silence_s=analysis_s,
                talk_s=self._draw(s.talk_law, s.talk_mean_s, s.talk_cv),
            )
        if u < s.live_share + s.machine_share + s.fail_share:
            return Behaviour(progress_s=None, final_s=self._draw(Law.GAMMA, s.fail_s, 0.5), code=486)
        return Behaviour(final_s=None)

    def end(self, leg_id: LegId, code: int, by: EndedBy, *, q850: int = 0) -> None:
        """End a leg; whose customer has talked has their disposition in after the wrap-up's time."""
        call, sound = self.calls.get(leg_id), self.opened.get(leg_id)
        partner = sound.bridged_to if sound else None
        super().end(leg_id, code, by, q850=q850)
        roster = self.floor.engine.roster
        agent = next((one for one in roster.all() if partner and one.leg_id == partner), None)
        if agent is not None and call is not None and call.place.kind is LegKind.CUSTOMER:
            s = self._scenario
            wrapup_s = self._draw(s.wrapup_law, s.wrapup_mean_s, s.wrapup_cv)
            self.loop.call_later(wrapup_s, roster.wrap_up_over, agent)

    def _draw(self, law: Law, mean: float, cv: float) -> float:
        if mean <= 0.0 or law is Law.FIXED or cv <= 0.0:
            return max(mean, 0.0)
        if law is Law.GAMMA:
            return float(self._rng.gamma(1.0 / cv**2, mean * cv**2))
        sigma = math.sqrt(math.log1p(cv * cv))
        return float(self._rng.lognormal(math.log(mean) - 0.5 * sigma * sigma, sigma))


def occupancy(floor: Floor, from_s: float, until_s: float) -> float:
    """Return talk and wrap-up over the time agents were logged in and not paused, from the store's intervals.

    Parameters
    ----------
    floor
        Whose store.
    from_s, until_s
        Seconds since the floor's start.
    """
    spent = dict.fromkeys(AgentState, 0.0)
    table = models.AgentInterval.__table__.c
    with floor.database.read() as tx:
        for row in tx.execute(select(table.state, table.from_utc, table.to_utc)):
            began_s = (row.from_utc - START).total_seconds()
            ended_s = (row.to_utc - START).total_seconds() if row.to_utc else until_s
            spent[AgentState(row.state)] += max(0.0, min(ended_s, until_s) - max(began_s, from_s))
    busy_s = spent[AgentState.TALKING] + spent[AgentState.WRAP_UP]
    return busy_s / (busy_s + spent[AgentState.READY] + spent[AgentState.RESERVED])


def play(floor: Floor, scenario: Scenario, seed: int) -> Played:
    """Play a scenario's shift with the floor's real engine, and sum it up.

    Parameters
    ----------
    floor
        Not started; its agents are the scenario's, its leads enough.
    scenario
        What to play.
    seed
        Of the far ends.
    """
    floor.carrier = ScenarioCarrier(floor, scenario, seed)

    async def shift() -> None:
        await floor.start()
        await floor.pass_s(SETTLE_S + scenario.seconds)
        campaign = next(iter(floor.engine.dialing.campaigns))
        floor.engine.dialing.pause(campaign, "the shift is over")
        await floor.pass_s(120.0)
        await floor.stop()

    floor.loop.run_until_complete(shift())
    with floor.database.read() as tx:
        rows = tx.execute(
            select(models.Attempt.__table__.c.live_answer, models.Attempt.__table__.c.abandoned)
        ).all()
    live, abandoned = sum(bool(row.live_answer) for row in rows), sum(bool(row.abandoned) for row in rows)
    return Played(occupancy(floor, 0.0, scenario.seconds), abandoned, live, len(rows))


def beyond_luck(
    played: Sequence[Played], shifts: Sequence[ShiftResult], scenario: Scenario
) -> tuple[float, float]:
    """Return how much busier the engine's agents were than the simulator's would have been with the same luck, and how far that may be chance.

    Luck is what share of the attempts a person answered, how long people talked, and how many calls were abandoned by then (in a short
    shift one more or less decides how far the pacer may go). Over the simulator's shifts occupancy is a plane above the three; what lies
    off the plane is the dialer's doing, and varies half as much as occupancy itself. Whether more are abandoned is asked apart.

    Parameters
    ----------
    played, shifts
        The engine's, and the simulator's of the same scenario.
    scenario
        What both played.

    Returns
    -------
    tuple of (float, float)
        The mean over `played`, and its standard error.
    """

    def luck(of: Sequence[Played | ShiftResult]) -> np.ndarray:
        agent_s = scenario.agents * scenario.seconds
        return np.array(
            [
                (
                    1.0,
                    one.live_total / one.placed,
                    one.occupancy * agent_s / (one.live_total - one.abandoned_total),
                    one.abandoned_total,
                )
                for one in of
            ]
        )

    seen = np.array([shift.occupancy for shift in shifts])
    plane, *_ = np.linalg.lstsq(luck(shifts), seen, rcond=None)
    spread = float((seen - luck(shifts) @ plane).std(ddof=plane.size))
    off = np.array([one.occupancy for one in played]) - luck(played) @ plane
    return float(off.mean()), spread * float(np.hypot(1.0 / np.sqrt(len(played)), 1.0 / np.sqrt(len(shifts))))
