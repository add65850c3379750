"""What to do next about an account, by the last run: its best hour and channel, as far as the gate is open then.

It owns the choice where there is a run. Who talks, has promised something or is restricted is left to the other plugins' rules.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from dialer_core.plugin_api import Channel, NextStep, Opening, StepAction, StepFacts
from plugins.prioritization.history import CHANNELS
from plugins.prioritization.runs import RunError, Scores, scores_file

OLD: Final = dt.timedelta(days=3)
"""A run older than this says nothing any more."""
_NAMES: Final = {
    "voice": {"es": "por teléfono", "en": "by telephone"},
    "sms": {"es": "por SMS", "en": "by SMS"},
    "whatsapp": {"es": "por WhatsApp", "en": "by WhatsApp"},
    "email": {"es": "por correo", "en": "by e-mail"},
}


@dataclass
class Runs:
    """The last run of each campaign, read again when its file has changed."""

    folder: Path

    def __post_init__(self) -> None:
        self._read: dict[str, tuple[float, Scores]] = {}

    async def step(self, facts: StepFacts) -> NextStep | None:
        """Return what a run says of an account, or None: it says nothing, or others know better."""
        its = facts.account
        if facts.talking or its.restrictions or its.promise is not None:
            return None
        scores = await asyncio.to_thread(self._latest, facts.campaign_id)
        if scores is None or facts.now - dt.datetime.fromtimestamp(scores.made_s, dt.UTC) > OLD:
            return None
        place = scores.place(its.account.id)
        if place is None:
            return None
        channel = CHANNELS[scores.channel[place]]
        opening = facts.opening(Channel(channel))
        if opening is None or not (opening.allowed or opening.from_utc):
            return None
        hour = int(scores.hour[place])
        at = next_at(facts.now, hour, opening)
        answer, pay = float(scores.answer[place]), float(scores.pay[place])
        said = (
            f"{answer:.0%}",
            f"{pay:.0%}",
            f"{float(scores.value[place]):,.0f} {its.account.currency or ''}".strip(),
        )
        why = {
            "es": f"Su mejor hora es a las {hour}:00 {_NAMES[channel]}: contesta el {said[0]}, paga el {said[1]}; valor esperado {said[2]}.",
            "en": f"Their best hour is {hour}:00 {_NAMES[channel]}: {said[0]} answer, {said[1]} pay; expected value {said[2]}.",
        }
        action = StepAction.CALL if channel == "voice" else StepAction.WRITE
        return NextStep(action=action, why=why, channel=Channel(channel), at_utc=at)

    def _latest(self, campaign: str) -> Scores | None:
        file = scores_file(self.folder, campaign)
        try:
            changed = file.stat().st_mtime
            known = self._read.get(campaign)
            if known is None or known[0] != changed:
                known = self._read[campaign] = changed, Scores.load(file)
        except (OSError, RunError):
            return None
        return known[1]


def next_at(now: dt.datetime, hour: int, opening: Opening) -> dt.datetime | None:
    """Return the next time that it is this hour where the person is and nothing known stands in the way; None: now."""
    first = now if opening.allowed else max(now, opening.from_utc or now)
    clock = ZoneInfo(opening.zone) if opening.zone else dt.UTC
    local = first.astimezone(clock)
    if local.hour == hour:
        return None if first <= now else first
    at = local.replace(hour=hour, minute=0, second=0, microsecond=0)
    if at < local:
        at = dt.datetime.combine(local.date() + dt.timedelta(days=1), dt.time(hour), clock)
    return at.astimezone(dt.UTC)
