"""How often a lead may be tried, by its campaign's own word: in all, on one day, in one part of a day.

It owns that question, for the claim (`hopper.py`), `why.py` and the forecast alike. The law's caps are the gate's.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from dialer_core.list_settings import AttemptLimits, minutes_of
from dialer_core.store import claims
from dialer_core.store.leads import Block, ReadyLead
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import LeadId

MOST, PER_DAY, PER_DAY_PART = "max_attempts", "attempts_per_day", "attempts_per_day_part"

_DAY = dt.timedelta(days=1)
_LOOKED_BACK = 2 * _DAY
"""Longer than any local day."""


class Tried:
    """The recent attempts of some leads, as far as the campaign's limits count them."""

    def __init__(
        self, limits: AttemptLimits, times: Mapping[LeadId, Sequence[dt.datetime]] = MappingProxyType({})
    ) -> None:
        self._limits = limits
        self._times = times

    @classmethod
    def read(cls, tx: Tx, limits: AttemptLimits, batch: Sequence[ReadyLead], now: dt.datetime) -> Tried:
        """Read what the limits need; where there are none, nothing."""
        if limits.per_day is None and limits.per_day_part is None:
            return cls(limits)
        return cls(
            limits,
            claims.attempts_since(tx, [lead.id for lead in batch if lead.attempts], now - _LOOKED_BACK),
        )

    def block(self, lead: ReadyLead, phones: Sequence[PhoneRow], now: dt.datetime) -> Block | None:
        """Say why and until when a lead rests; None where its campaign lets it be tried now."""
        limits = self._limits
        if limits.most is not None and lead.attempts >= limits.most:
            reason = f"{lead.attempts} attempts, at most {limits.most} by the campaign"
            return Block(lead.id, MOST, reason, finished_reason=MOST)
        times = self._times.get(lead.id)
        if not times:
            return None
        zone = zone_of(phones)
        local = now.astimezone(zone)
        midnight = _local(local.date(), 0, zone)
        today = sum(midnight <= at for at in times)
        if limits.per_day is not None and today >= limits.per_day:
            reason = f"{today} attempts today, at most {limits.per_day} by the campaign"
            return Block(lead.id, PER_DAY, reason, next_at_utc=_local(local.date() + _DAY, 0, zone))
        if limits.per_day_part is None:
            return None
        for span in limits.day_parts:
            begin, end = (_local(local.date(), minutes_of(text), zone) for text in span.split("-"))
            within = sum(begin <= at < end for at in times)
            if begin <= now < end and within >= limits.per_day_part:
                reason = f"{within} attempts in {span}, at most {limits.per_day_part} by the campaign"
                return Block(lead.id, PER_DAY_PART, reason, next_at_utc=end)
        return None


def zone_of(phones: Sequence[PhoneRow]) -> zoneinfo.ZoneInfo:
    """Return where a person's day is counted: the first zone of the first of their numbers that has one."""
    return zoneinfo.ZoneInfo(next((phone.zones[0] for phone in phones if phone.zones), "UTC"))


def _local(day: dt.date, minutes: int, zone: zoneinfo.ZoneInfo) -> dt.datetime:
    """Return the instant of a local time; one that a change of clocks leaves out is the one after it."""
    days, minutes = divmod(minutes, 24 * 60)
    time = dt.time(minutes // 60, minutes % 60)
    return dt.datetime.combine(day + days * _DAY, time, tzinfo=zone).astimezone(dt.UTC)
