"""A campaign's day so far, for whoever has to act on it: by the hour, against last week and against what was to be reached, and what is left.

It owns putting that together and how the end of the list is foreseen; it changes nothing. Attempts are counted by `store/rollups.py`, money by
`store/day_figures.py`, what can still be dialed by `forecast.py`.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from dialer_core.campaigns.forecast import Forecast
from dialer_core.compliance import abandonment, windows
from dialer_core.compliance.rules import Abandonment
from dialer_core.store import attempts, day_figures, rollups, targets
from dialer_core.store.day_figures import Sum
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

WEEK = dt.timedelta(days=7)
_COUNTED = ("attempts", "contacts", "right_party", "promises", "kept", "payments", "resolved")
"""Targets that are numbers of things, not of money."""
PACE = dt.timedelta(hours=1)
"""The pace of the last so long says when the list ends."""


class HourFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One hour of dialing."""

    at_utc: str
    attempts: int = 0
    live_answers: int = 0
    abandoned: int = 0
    talks: int = 0


class AgentFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One agent's day in a campaign."""

    agent: str
    talks: int
    talk_s: float
    promises: int


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Abandonment over one stretch of time."""

    name: str
    """`hour` (the last 60 minutes), `day` (the campaign's), or a window of the rule pack's profile."""
    live: int
    abandoned: int
    ceiling: float | None
    """None: no ceiling is set for this stretch."""


class CampaignDay(msgspec.Struct, frozen=True, kw_only=True):
    """A campaign's day so far. Days and hours are those of its zone."""

    campaign: str
    day: str
    zone: str
    """Where most of its list lives."""
    at_utc: str
    hours: tuple[HourFigures, ...]
    """Since the day began; hours without attempts are missing."""
    last_week: tuple[HourFigures, ...]
    """The same day a week ago, all of it."""
    agents: tuple[AgentFigures, ...]
    promised: Sum
    promised_last_week: Sum
    """Until the same time a week ago."""
    recovered: Sum
    recovered_last_week: Sum
    abandonment: tuple[Window, ...]
    """The last hour, the day, and every window by which the profile counts, as it counts them."""
    targets: dict[str, float]
    leads: dict[str, int]
    """By state."""
    dialable: int
    """Leads that wait for nothing but their time."""
    held: dict[str, int]
    """Of these, how many cannot be dialed now, by the reason."""
    dialable_by_hour: dict[str, int]
    """By the hour's beginning: how many the law and their rest let be dialed in it."""
    list_ends_utc: str | None
    """At the pace of the last hour; None: nothing was finished in it, or nothing is left."""


def abandonment_by_window(
    tx: Tx, campaign_id: CampaignId, zone: str, profile: Abandonment | None, now: dt.datetime
) -> tuple[Window, ...]:
    """Count the abandoned over the last hour, the campaign's day, and the profile's windows."""
    today = windows.start_of_local_day(zone, now.astimezone(windows.zone_info(zone)).date())
    begun = [now - PACE, today.astimezone(dt.UTC)]
    counted = attempts.abandonment_counts(tx, campaign_id, begun)
    found = [
        Window(name=name, live=live, abandoned=lost, ceiling=None)
        for name, (live, lost) in zip(("hour", "day"), counted, strict=True)
    ]
    if profile is not None:
        found += [
            Window(name=one.name, live=one.live, abandoned=one.abandoned, ceiling=profile.ceiling)
            for one in abandonment.totals(tx, campaign_id, profile, now)
        ]
    return tuple(found)


def day(
    tx: Tx, campaign_id: CampaignId, foreseen: Forecast, counted: tuple[Window, ...], now: dt.datetime
) -> CampaignDay:
    """Return a campaign's day until now, with what was foreseen and counted of it lately."""
    zone = foreseen.zone
    today = now.astimezone(windows.zone_info(zone)).date()
    begin = windows.start_of_local_day(zone, today).astimezone(dt.UTC)
    week_ago = windows.start_of_local_day(zone, today - WEEK).astimezone(dt.UTC)
    week_end = windows.start_of_local_day(zone, today - dt.timedelta(days=6)).astimezone(dt.UTC)
    only = {"campaign_id": [campaign_id]}
    promises = day_figures.promised_by_agent(tx, campaign_id, begin)
    agents = rollups.totals(tx, ["agent_id"], since=begin, only=only)  # type: ignore[arg-type]
    left = foreseen.leads
    pace = day_figures.finished(tx, campaign_id, now - PACE)
    return CampaignDay(
        campaign=campaign_id,
        day=today.isoformat(),
        zone=zone,
        at_utc=now.isoformat(),
        hours=_hours(tx, only, begin, None),
        last_week=_hours(tx, only, week_ago, week_end),
        agents=tuple(
            AgentFigures(
                agent=one.agent_id or "", talks=one.talks, talk_s=one.talk_ms / 1000,
                promises=promises.get(one.agent_id or "", 0),
            )
            for one in agents
            if one.agent_id
        ),
        promised=day_figures.promised(tx, campaign_id, begin, now),
        promised_last_week=day_figures.promised(tx, campaign_id, week_ago, now - WEEK),
        recovered=day_figures.recovered(tx, campaign_id, begin, now),
        recovered_last_week=day_figures.recovered(tx, campaign_id, week_ago, now - WEEK),
        abandonment=counted,
        targets={one.metric: one.goal for one in targets.of(tx, [campaign_id], today, today)},
        leads=day_figures.leads_by_state(tx, campaign_id),
        dialable=left,
        held=foreseen.held_now,
        dialable_by_hour={hour.at.isoformat(): hour.dialable for hour in foreseen.hours},
        list_ends_utc=(now + PACE * (left / pace)).isoformat() if pace and left else None,
    )  # fmt: skip


def for_agent(found: CampaignDay, agent: str) -> CampaignDay:
    """Return what an agent is told of a campaign's day: their own figures, how many promises the team has made, and none of its money."""
    counts = {name: found.targets[name] for name in _COUNTED if name in found.targets}
    return msgspec.structs.replace(
        found, agents=tuple(one for one in found.agents if one.agent == agent), targets=counts,
        promised=Sum(count=found.promised.count), promised_last_week=Sum(count=found.promised_last_week.count),
        recovered=Sum(), recovered_last_week=Sum(),
    )  # fmt: skip


def _hours(
    tx: Tx, only: dict[str, list[CampaignId]], since: dt.datetime, until: dt.datetime | None
) -> tuple[HourFigures, ...]:
    found = rollups.totals(tx, ["hour"], since=since, until=until, only=only)  # type: ignore[arg-type]
    return tuple(
        HourFigures(
            at_utc=rollups.hour_start(one.hour or 0).isoformat(), attempts=one.attempts, live_answers=one.live_answers,
            abandoned=one.abandoned, talks=one.talks,
        )
        for one in found
    )  # fmt: skip
