"""A scenario of `pacing.simulator` played by the real engine on virtual time: attempts have the fates of the simulator's.

Owns the laws' way into the fake carrier, and the sums read from the store. The scenario's drift, log-ins, pauses and scores are not played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import select

from dialer_core.ipc.messages import Place
from dialer_core.store import models
from dialer_core.vocabulary import AgentState, EndedBy, LegId, LegKind, Verdict, WorkerId
from pacing import shift_state as of
from pacing.scenario import Scenario
from pacing.simulator import Shift, ShiftResult
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
    """Far ends and agents whose n-th attempt has the fate of the simulator's n-th in the shift of the same seed."""

    def __init__(self, floor: Floor, scenario: Scenario, seed: int) -> None:
        super().__init__(floor)
        self._shift = Shift(scenario, seed)
        self._fate = np.zeros(of.FATE)
        self._wrapup_s: dict[LegId, float] = {}

    def _place(self, worker: WorkerId, place: Place) -> None:
        super()._place(worker, place)
        if place.kind is LegKind.CUSTOMER:
            self._wrapup_s[place.leg_id] = float(self._fate[of.WRAPPED_S])

    def behave(self) -> Behaviour:
        """Draw an attempt: who answers and when, and how long they talk."""
        core, fate = self._shift.core, self._fate
        minute = min(int(self.loop.time() / of.MINUTE_S), core.live_share.size - 1)
        of.draw_fate(core.param, self._shift.rng, fate)
        kind = of.kind_of(core.param, core.live_share[minute], 1.0, fate[of.CHANCE])
        if kind == of.NO_ANSWER:
            return Behaviour(final_s=None)
        if kind == of.FAILED:
            return Behaviour(progress_s=None, final_s=float(fate[of.FAIL_AFTER_S]), code=486)
        ring_s, analysis_s = float(fate[of.RING_S]), float(fate[of.ANALYSED_S])
        return Behaviour(
            progress_s=min(0.1, ring_s / 2),
            final_s=ring_s,
            verdict=Verdict.HUMAN if kind == of.LIVE else Verdict.MACHINE,
            verdict_s=float(fate[of.GREETED_S]) + analysis_s,
            silence_s=analysis_s,
            talk_s=float(fate[of.TALK_SHARE] * core.talk_mean_s[minute]),
        )

    def end(self, leg_id: LegId, code: int, by: EndedBy, *, q850: int = 0) -> None:
        """End a leg; whose customer has talked has their disposition in after the wrap-up's time."""
        sound, wrapup_s = self.opened.get(leg_id), self._wrapup_s.pop(leg_id, None)
        partner = sound.bridged_to if sound else None
        super().end(leg_id, code, by, q850=q850)
        roster = self.floor.engine.roster
        agent = next((one for one in roster.all() if partner and one.leg_id == partner), None)
        if agent is not None and wrapup_s is not None:
            self.loop.call_later(wrapup_s, roster.wrap_up_over, agent)


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


def apart(played: Sequence[Played], shifts: Sequence[Sequence[ShiftResult]]) -> tuple[float, float]:
    """Return how much busier the engine's agents were than the simulator's in the shifts of the same seeds, and how far that may be chance.

    The n-th attempt of a seed has the same fate in both, so luck is shared. What is left is that a call placed a moment later meets another
    agent: small in modes that do not look ahead, and in `predictive` a shift's own spread, since who is abandoned decides what may be dared next.

    Parameters
    ----------
    played
        The engine's shifts, by seed.
    shifts
        The simulator's of each seed, played with looks at different moments.

    Returns
    -------
    tuple of (float, float)
        The mean over the seeds, and its standard error.
    """
    off = np.array(
        [
            one.occupancy - np.mean([shift.occupancy for shift in same])
            for one, same in zip(played, shifts, strict=True)
        ]
    )
    return float(off.mean()), float(off.std(ddof=1) / np.sqrt(off.size))
