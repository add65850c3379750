"""`dialer pacing replay`: a recorded day's people, calls and agents, paced by another mode.

It owns how a day becomes a simulated shift: its laws are measured from the store, hour by hour where they drift. What a person would have
done at another moment nobody knows; so the day is drawn anew from its own laws, several times, and says so.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any

import click
import numpy as np

from dialer_core.commands.invocation import Invocation, example, invocation
from dialer_core.commands.pacing_shifts import play
from dialer_core.errors import ConfigError, DialerError
from dialer_core.store import recorded_days
from dialer_core.store.database import open_database
from dialer_core.store.recorded_days import DayAttempt, DayInterval
from dialer_core.vocabulary import AgentState, CampaignId, Outcome
from pacing import PacingInputError
from pacing.baselines import policies
from pacing.scenario import Scenario

FEWEST_LIVE = 20
"""Live answers below which a day has no laws to speak of."""
_BUSY = (AgentState.TALKING, AgentState.RESERVED)
_HERE = (*_BUSY, AgentState.READY, AgentState.WRAP_UP)
_FAILED = frozenset(
    {
        Outcome.BUSY, Outcome.DECLINED, Outcome.INVALID_NUMBER, Outcome.UNAVAILABLE, Outcome.CONGESTION, Outcome.TRUNK_FAILED,
        Outcome.REJECTED, Outcome.REDIRECTED,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Day:
    """A recorded day: the shift it is simulated as, and what really came of it."""

    shift: Scenario
    occupancy: float
    abandoned: float
    live_answers: int
    attempts: int


@click.command(epilog=example("dialer pacing replay cobranza --day 2026-11-20 --mode predictive"))
@click.argument("campaign")
@click.option(
    "--day", type=click.DateTime(["%Y-%m-%d"]), default=None, help="The day, in UTC; by default today."
)
@click.option(
    "--mode",
    type=click.Choice(policies()),
    default="predictive",
    show_default=True,
    help="What paces it this time.",
)
@click.option(
    "--seeds", type=click.IntRange(1, 1000), default=5, show_default=True, help="How often the day is drawn."
)
@invocation
def replay(call: Invocation, *, campaign: str, day: dt.datetime | None, mode: str, seeds: int) -> None:
    """Pace a recorded day by another mode, and say what occupancy and abandonment would have been.

    The day is drawn anew from its own laws (live answers hour by hour, ringing, conversations, wrap-up, agents logged in), several times.
    """
    settings = call.settings
    if CampaignId(campaign) not in settings.campaigns:
        raise ConfigError(f"no campaign {campaign!r}; known are: {', '.join(sorted(settings.campaigns))}")
    since = (day or dt.datetime.now(dt.UTC)).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=dt.UTC)
    until = since + dt.timedelta(days=1)
    agents = [
        str(name)
        for name, agent in settings.agents.items()
        if not agent.campaigns or campaign in agent.campaigns
    ]
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        database.require_current()
        with database.read() as tx:
            found = recorded_days.attempts(tx, CampaignId(campaign), since, until)
            intervals = recorded_days.intervals(tx, agents, since, until)
    finally:
        database.dispose()
    run = settings.campaigns[CampaignId(campaign)]
    recorded = measure(found, intervals, ring_timeout_s=run.ring_limit_s)
    played = play(recorded.shift, mode, run.abandonment_ceiling, range(1, seeds + 1)).report()
    answer: dict[str, Any] = {
        "campaign": campaign,
        "day": since.date().isoformat(),
        "recorded": {
            "mode": str(run.pacing), "occupancy": round(recorded.occupancy, 5), "abandoned": round(recorded.abandoned, 5),
            "live_answers": recorded.live_answers, "attempts": recorded.attempts, "agents": recorded.shift.agents,
            "hours": round(recorded.shift.hours, 3),
        },
        "replayed": played,
    }  # fmt: skip
    call.give(answer)
    call.say(
        f"{campaign} on {answer['day']}: {recorded.attempts} attempts, {recorded.live_answers} live answers, at most {recorded.shift.agents} agents, "
        f"{recorded.shift.hours:.1f} h\n"
        f"  as it was ({run.pacing}):  occupancy {recorded.occupancy:.1%}, abandoned {recorded.abandoned:.2%}\n"
        f"  {mode}, drawn {seeds} times:  occupancy {played['occupancy']:.1%} ± {played['ci95']:.1%}, abandoned {played['abandoned']:.2%}, "
        f"worst {played['worst_shift']:.2%}"
    )


def measure(attempts: list[DayAttempt], intervals: list[DayInterval], *, ring_timeout_s: float) -> Day:
    """Return a day's laws.

    Parameters
    ----------
    attempts
        Those that reached the wire, in order of time.
    intervals
        What the agents did, in order of time.
    ring_timeout_s
        The campaign's ring limit.

    Raises
    ------
    DialerError
        Too little happened to have laws.
    """
    live = [one for one in attempts if one.live]
    here = [one for one in intervals if one.state in _HERE]
    talks, wrapups = _lengths(intervals, (AgentState.TALKING,)), _lengths(intervals, (AgentState.WRAP_UP,))
    if len(live) < FEWEST_LIVE or not here or talks.size < FEWEST_LIVE:
        raise DialerError(
            f"{len(live)} live answers and {talks.size} conversations that day: it takes {FEWEST_LIVE} of each to have laws to replay"
        )
    first, last = min(one.from_utc for one in here), max(one.to_utc for one in here)
    hours = max((last - first).total_seconds() / 3600.0, 0.05)
    rings = np.array([one.rang_s for one in attempts if one.answered and one.rang_s is not None])
    outcomes = Counter(one.outcome for one in attempts)
    count = len(attempts)
    live_share = len(live) / count
    machine_share = sum(one.answered and not one.live for one in attempts) / count
    fail_share = sum(outcomes[name] for name in _FAILED) / count
    talk_mean, talk_cv = _law(talks)
    wrapup_mean, wrapup_cv = _law(wrapups)
    ring_mean, ring_cv = _law(rings)
    team, logged_in = _log_ins(here, first, hours)
    try:
        shift = Scenario(
            name="recorded day", agents=team, hours=hours, live_share=live_share, machine_share=machine_share, fail_share=fail_share,
            ring_mean_s=max(ring_mean, 0.1), ring_cv=ring_cv, ring_timeout_s=ring_timeout_s, talk_mean_s=max(talk_mean, 1.0), talk_cv=talk_cv,
            wrapup_mean_s=wrapup_mean, wrapup_cv=wrapup_cv, live_steps=_steps(attempts, first, hours, live_share), logged_in=logged_in,
        )  # fmt: skip
    except PacingInputError as error:
        raise DialerError(f"this day cannot be simulated: {error}") from None
    busy_s = sum(_seconds(one) for one in here if one.state in _BUSY or one.state == AgentState.WRAP_UP)
    return Day(
        shift=shift,
        occupancy=busy_s / max(sum(_seconds(one) for one in here), 1e-9),
        abandoned=sum(one.abandoned for one in live) / len(live),
        live_answers=len(live),
        attempts=count,
    )


def _seconds(one: DayInterval) -> float:
    return (one.to_utc - one.from_utc).total_seconds()


def _lengths(intervals: list[DayInterval], states: tuple[AgentState, ...]) -> np.ndarray:
    return np.array([_seconds(one) for one in intervals if one.state in states])


def _law(seconds: np.ndarray) -> tuple[float, float]:
    """Return mean and coefficient of variation, the latter in what a scenario takes."""
    if not seconds.size:
        return 0.0, 0.0
    mean = float(seconds.mean())
    return mean, min(float(seconds.std()) / mean, 3.0) if mean > 0.0 else 0.0


def _log_ins(
    here: list[DayInterval], first: dt.datetime, hours: float
) -> tuple[int, tuple[tuple[float, float], ...]]:
    """Return the largest team and its share at work, quarter of an hour by quarter of an hour."""
    edges = np.arange(0.0, hours, 0.25)
    at_work = np.zeros(edges.size)
    for one in here:
        start, end = ((at - first).total_seconds() / 3600.0 for at in (one.from_utc, one.to_utc))
        at_work += np.clip(np.minimum(end, edges + 0.25) - np.maximum(start, edges), 0.0, None)
    width = np.minimum(0.25, hours - edges)
    team = max(1, round(float((at_work / width).max())))
    return team, tuple(
        (float(edge), min(1.0, float(share)))
        for edge, share in zip(edges, at_work / width / team, strict=True)
    )


def _steps(
    attempts: list[DayAttempt], first: dt.datetime, hours: float, live_share: float
) -> tuple[tuple[float, float], ...]:
    """Return by what the live share changes from hour to hour; hours with few attempts are as the day is."""
    steps, before = [], 1.0
    for hour in range(int(np.ceil(hours))):
        here = [
            one.live for one in attempts if 0 <= (one.at_utc - first).total_seconds() - 3600 * hour < 3600
        ]
        # 50 attempts of the day's own share are mixed in, so that a thin hour does not swing
        share = (sum(here) + 50 * live_share) / (len(here) + 50)
        steps.append((float(hour), share / live_share / before))
        before = share / live_share
    return tuple(steps)
