"""From rules to steps with times: which arm an account is in, and when each of its steps is due.

It owns that arithmetic, and touches nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

from dialer_core.plugin_api import Step
from plugins.contact_strategy.settings import ArmSettings, StepSettings, StrategySettings

CHANNEL_OF: Final = {"call": "voice"}
"""Of steps that have one by themselves; a message's is its template's."""


@dataclass(frozen=True)
class Planned:
    """One step with its time."""

    settings: StepSettings
    at: dt.datetime
    """When it is due, aware."""


def arm_of(strategy: str, settings: StrategySettings, account: str) -> str:
    """Return the arm of an account: always the same one, and by lot; empty where there are none."""
    if not settings.arms:
        return ""
    digest = hashlib.blake2b(f"{strategy}/{account}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest) / 2**64 * sum(arm.share for arm in settings.arms.values())
    for name, arm in settings.arms.items():
        place -= arm.share
        if place < 0:
            return name
    return name


def steps_of(settings: StrategySettings, arm: str) -> Sequence[StepSettings]:
    """Return the steps of a strategy, or of one arm of it."""
    chosen: ArmSettings | StrategySettings = settings.arms[arm] if arm else settings
    return chosen.steps


def name_of(strategy: str, arm: str) -> str:
    """Return the name under which a strategy runs: with its arm, so that arms can be compared."""
    return f"{strategy}.{arm}" if arm else strategy


def plan(steps: Sequence[StepSettings], now: dt.datetime, zone: str) -> list[Planned]:
    """Return when each step is due, for somebody whose clock is `zone`'s.

    A step without days and hour follows at once. One whose hour has passed on its day is due the day after; an hour that a clock change leaves out
    comes with the next one.
    """
    clock = ZoneInfo(zone)
    due, hour = now, now.astimezone(clock).timetz().replace(tzinfo=None)
    found = []
    for step in steps:
        if step.days or step.at is not None:
            hour = step.at or hour
            day = due.astimezone(clock).date() + dt.timedelta(days=step.days)
            wanted = dt.datetime.combine(day, hour, clock)
            if wanted < due:
                wanted = dt.datetime.combine(day + dt.timedelta(days=1), hour, clock)
            due = wanted.astimezone(dt.UTC)
        found.append(Planned(step, due))
    return found


def as_steps(planned: Sequence[Planned], now: dt.datetime) -> tuple[Step, ...]:
    """Return the steps as the core's clock takes them: each so many seconds after the one before."""
    before, found = now, []
    for one in planned:
        data: dict[str, Any] = dict(one.settings.data)
        if one.settings.do == "message":
            data |= {"template": one.settings.template, "given": dict(one.settings.given)}
        if one.settings.only_if:
            data["only_if"] = one.settings.only_if
        found.append(Step((one.at - before).total_seconds(), one.settings.do, data))
        before = one.at
    return tuple(found)


def volume(planned: Mapping[str, Sequence[Planned]], zone: str) -> dict[tuple[str, str], int]:
    """Return how many steps come on each day by each template or action, of plans by account; days by `zone`."""
    clock, found = ZoneInfo(zone), dict[tuple[str, str], int]()
    for steps in planned.values():
        for one in steps:
            if one.settings.do == "wait":
                continue
            key = one.at.astimezone(clock).date().isoformat(), one.settings.template or one.settings.do
            found[key] = found.get(key, 0) + 1
    return dict(sorted(found.items()))
