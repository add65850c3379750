"""How many of a campaign's leads can be dialed in each hour of today, as the gate would say it now, and what holds the others.

It owns that forecast. It asks what a claim asks (`schedule.py`, `attempt_limits.py`, `candidates.py`, `gate.decide`) for each hour, of every
dialable lead or of a sample by chance, and changes nothing. Calls that will be made meanwhile, and so count for caps and limits, are not
foreseen.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import candidates, schedule
from dialer_core.campaigns.attempt_limits import Tried
from dialer_core.compliance import gate, windows
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.store import callbacks, claims, leads, people
from dialer_core.store.leads import ReadyLead
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

SAMPLE = 1000
"""Leads asked about at most, about: of a longer list a share is, by chance."""

_HOUR = dt.timedelta(hours=1)
_TURNS = 6
"""How often one rule's "from then on" is held against the others within an hour."""


@dataclass(frozen=True)
class HourForecast:
    """One hour, or what is left of it: `at` is its beginning in UTC; how many leads can be dialed in it."""

    at: dt.datetime
    dialable: int


@dataclass(frozen=True)
class Forecast:
    """A campaign's day. Counts are estimates where `asked` is less than `leads`."""

    zone: str
    """Where most of the list lives: the day is its day."""
    leads: int
    """Unfinished leads that wait for nothing but their time."""
    asked: int
    hours: tuple[HourForecast, ...]
    held_now: dict[str, int]
    """Leads that cannot be dialed now, by `schedule`, the campaign's limit, the gate's rule, `resting` or `no_usable_number`."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One lead, and what a claim would ask about it."""

    lead: ReadyLead
    next_at: dt.datetime
    phones: Sequence[PhoneRow]
    requests: Sequence[ContactRequest]
    called_back: bool
    """Its person asked for a call: the campaign's limits do not hold it."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """What stands between a campaign's leads and a call."""

    settings: CampaignSettings
    pack: RulePack
    facts: Facts
    tried: Tried

    def in_hour(self, one: _Asked, begin: dt.datetime, end: dt.datetime) -> bool:
        """Say whether there is an instant in a stretch of time at which nothing stands in the way."""
        at: dt.datetime | None = begin
        for _ in range(_TURNS):
            at = schedule.opens(self.settings.schedule, at) if at is not None else None
            if at is None or at >= end:
                return False
            rest = None if one.called_back else self.tried.block(one.lead, one.phones, at)
            if rest is not None:
                at = rest.next_at_utc
                continue
            decisions = [
                gate.decide(dataclasses.replace(request, at=at), self.pack, self.facts)
                for request in one.requests
            ]
            refused = [decision for decision in decisions if isinstance(decision, Refused)]
            if len(refused) < len(decisions):
                return True
            at = min((later for decision in refused if (later := decision.allowed_from)), default=None)
        return False

    def held_by(self, one: _Asked, now: dt.datetime) -> str:
        """Name what holds a lead now; empty: nothing does."""
        if schedule.closed(self.settings.schedule, now):
            return schedule.RULE
        if one.next_at > now:
            return "resting"
        if not one.requests:
            return "no_usable_number"
        rest = None if one.called_back else self.tried.block(one.lead, one.phones, now)
        if rest is not None:
            return rest.rule
        decisions = [gate.decide(request, self.pack, self.facts) for request in one.requests]
        refusals = [decision for decision in decisions if isinstance(decision, Refused)]
        return "" if len(refusals) < len(decisions) else refusals[0].rule


def forecast(
    tx: Tx, campaign_id: CampaignId, *, settings: CampaignSettings, pack: RulePack, now: dt.datetime
) -> Forecast:
    """Foresee the rest of today.

    Parameters
    ----------
    tx
        A transaction; a read is enough.
    campaign_id, settings, pack
        The campaign.
    now
        From when on.
    """
    asked, total = leads.sample_dialable(tx, campaign_id, SAMPLE)
    phones = people.phones_of(tx, {lead.person_id for lead, _ in asked})
    tries = claims.last_tries(tx, [lead.id for lead, _ in asked if lead.attempts])
    called_back = {
        one.lead_id for one in callbacks.of_leads(tx, [lead.id for lead, _ in asked]) if one.due_at_utc <= now
    }
    every = [
        _Asked(
            lead,
            next_at,
            phones[lead.person_id],
            [
                candidates.request_of(lead, phone, campaign_id, now)
                for phone in candidates.numbers_to_try(
                    settings, phones[lead.person_id], tries.get(lead.id), now
                )
            ],
            lead.id in called_back,
        )
        for lead, next_at in asked
    ]
    rules = _Rules(
        settings,
        pack,
        Facts.read(tx, [request for one in every for request in one.requests], pack),
        Tried.read(tx, settings.attempts, [lead for lead, _ in asked], now),
    )
    zones = Counter(one.requests[0].zones[0] for one in every if one.requests and one.requests[0].zones)
    zone = zones.most_common(1)[0][0] if zones else "UTC"
    begins = _hours_left(zone, now)
    counts = [0] * len(begins)
    held: Counter[str] = Counter()
    for one in every:
        held[rules.held_by(one, now)] += 1
        for index, begin in enumerate(begins):
            end = begin.replace(minute=0, second=0, microsecond=0) + _HOUR
            counts[index] += rules.in_hour(one, max(begin, one.next_at, now), end)
    scale = total / len(asked) if asked else 0.0
    hours = tuple(
        HourForecast(begin, round(count * scale)) for begin, count in zip(begins, counts, strict=True)
    )
    held.pop("", None)
    return Forecast(
        zone, total, len(asked), hours, {rule: round(count * scale) for rule, count in held.most_common()}
    )


def _hours_left(zone: str, now: dt.datetime) -> list[dt.datetime]:
    """Return now and each full hour after it, until the day ends in a zone."""
    day = now.astimezone(windows.zone_info(zone)).date()
    end = windows.start_of_local_day(zone, day + dt.timedelta(days=1))
    found, at = [now], now.replace(minute=0, second=0, microsecond=0) + _HOUR
    while at < end:
        found.append(at)
        at += _HOUR
    return found
