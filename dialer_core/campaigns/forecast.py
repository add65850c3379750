"""How many of a campaign's leads can be dialed in each hour of today, as the gate would say it now, and what holds the others.

It owns that forecast. It asks what a claim asks (`candidates.py`, `gate.decide`) for each hour, of every dialable lead or of a sample by
chance, and changes nothing. Calls that will be made meanwhile, and so count for the caps, are not foreseen.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import candidates
from dialer_core.compliance import gate, windows
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.store import claims, leads, people
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

SAMPLE = 1000
"""Leads asked about at most, about: of a longer list a share is, by chance."""

_HOUR = dt.timedelta(hours=1)


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
    """Leads that cannot be dialed now, by the gate's rule, `resting` or `no_usable_number`."""


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
    requests = [
        [
            candidates.request_of(lead, phone, campaign_id, now)
            for phone in candidates.numbers_to_try(settings, phones[lead.person_id], tries.get(lead.id), now)
        ]
        for lead, _ in asked
    ]
    facts = Facts.read(tx, [one for some in requests for one in some], pack)
    zones = Counter(some[0].zones[0] for some in requests if some and some[0].zones)
    zone = zones.most_common(1)[0][0] if zones else "UTC"
    begins = _hours_left(zone, now)
    counts = [0] * len(begins)
    held: Counter[str] = Counter()
    for (_, next_at), some in zip(asked, requests, strict=True):
        rests_until = max(next_at, now)
        held[_held_by(some, pack, facts, rests=next_at > now)] += 1
        for index, begin in enumerate(begins):
            counts[index] += _in_hour(
                some,
                pack,
                facts,
                max(begin, rests_until),
                begin.replace(minute=0, second=0, microsecond=0) + _HOUR,
            )
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


def _in_hour(
    requests: Sequence[ContactRequest], pack: RulePack, facts: Facts, begin: dt.datetime, end: dt.datetime
) -> bool:
    if begin >= end:
        return False
    for request in requests:
        decision = gate.decide(dataclasses.replace(request, at=begin), pack, facts)
        if not isinstance(decision, Refused):
            return True
        if decision.allowed_from is not None and decision.allowed_from < end:
            return True
    return False


def _held_by(requests: Sequence[ContactRequest], pack: RulePack, facts: Facts, *, rests: bool) -> str:
    if rests:
        return "resting"
    if not requests:
        return "no_usable_number"
    decisions = [gate.decide(request, pack, facts) for request in requests]
    refusals = [one for one in decisions if isinstance(one, Refused)]
    return "" if len(refusals) < len(decisions) else refusals[0].rule
