"""How likely a lead is to answer, live, a call made now: as somebody who scores the list has told it by the hour of the callee.

It owns which hour that is and how long such a word holds. How it stands in a row is `store/lead_ranks.py`'s, what is made of it is the pacer's:
where nothing is told, or too long ago, it goes by what the pool has learned.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Sequence
from typing import Final

from dialer_core.store import lead_ranks, people
from dialer_core.store.leads import ReadyLead
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

HOLDS: Final = dt.timedelta(days=3)
"""A word older than this says nothing any more: whoever scored the list has stopped."""
LOOK_AHEAD: Final = 100
"""Leads of which it is told what comes next."""


def of(lead: ReadyLead, zones: Sequence[str], fallback: str, now: dt.datetime) -> float | None:
    """Return the probability that this lead answers at a number of these zones; None: nobody says.

    `fallback` is the zone to go by where none is known.
    """
    return _at(lead.propensity, lead.propensity_at_utc, zones, fallback, now)


def coming(tx: Tx, campaign_id: CampaignId, fallback: str, now: dt.datetime) -> list[float | None]:
    """Return the same of the leads that would be dialed next, in order; nothing where nobody says anything of any of them."""
    rows = lead_ranks.coming(tx, campaign_id, LOOK_AHEAD)
    if not any(told for _, told, _ in rows):
        return []
    phones = people.phones_of(tx, {person for person, _, _ in rows})
    found = [
        _at(told, at, next((phone.zones for phone in phones[person]), ()), fallback, now)
        for person, told, at in rows
    ]
    return found if any(one is not None for one in found) else []


def _at(
    told: str | None, at: dt.datetime | None, zones: Sequence[str], fallback: str, now: dt.datetime
) -> float | None:
    if not told or at is None or now - at > HOLDS:
        return None
    zone = zoneinfo.ZoneInfo(zones[0] if zones else fallback)
    return lead_ranks.at_hour(told, now.astimezone(zone).hour)
