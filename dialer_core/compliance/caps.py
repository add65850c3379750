"""Counting: how often somebody was contacted, whether once more is too often, and from when it is not.

Pure: contacts in, counts and instants out. Every count is taken in every zone the callee may be in, and the strictest holds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

from dialer_core.compliance.rules import Cap, QuietPeriod, RulePack, SingleChannel
from dialer_core.compliance.windows import start_of_local_day, zone_info
from dialer_core.store.contacts import Entry
from dialer_core.vocabulary import Channel

_DAY = dt.timedelta(days=1)
_HOUR = dt.timedelta(hours=1)
_SPARE_DAYS = 2
"""A calendar day is at most this much longer than 24 hours, over every zone and daylight change."""


def horizon(pack: RulePack) -> dt.timedelta:
    """Return how far back contacts matter to a pack."""
    days = [0.0]
    for one in pack.every():
        days += [
            cap.rolling_days if cap.rolling_days is not None else (cap.local_days or 0) + _SPARE_DAYS
            for cap in one.caps
        ]
        days += [
            quiet.hours / 24 if quiet.hours is not None else (quiet.local_days or 0) + _SPARE_DAYS
            for quiet in one.quiet_periods
        ]
        days += [single.local_days + _SPARE_DAYS for single in one.single_channels]
    return max(days) * _DAY


def concerns(channels: tuple[Channel, ...], channel: Channel) -> bool:
    """Say whether a rule with these channels (none: all) speaks of a channel."""
    return not channels or channel in channels


def counted(cap: Cap, contacts: Sequence[Entry], zones: Sequence[str], at: dt.datetime) -> list[dt.datetime]:
    """Return the times of the contacts that a cap counts at an instant, the newest first.

    Parameters
    ----------
    cap
        The rule.
    contacts
        Contacts with the cap's person, account or address.
    zones
        Every zone the callee may be in.
    at
        Now. A contact stamped later (a clock was put back) counts.
    """
    if not contacts:
        return []
    if cap.rolling_days is not None:
        after = at - cap.rolling_days * _DAY
        times = [one.at_utc for one in contacts if one.at_utc > after and concerns(cap.channels, one.channel)]
    else:
        since = min(_local_days_begin(zone, at, cap.local_days or 1) for zone in zones)
        times = [
            one.at_utc for one in contacts if one.at_utc >= since and concerns(cap.channels, one.channel)
        ]
    return sorted(times, reverse=True)


def frees_at(cap: Cap, times: Sequence[dt.datetime], zones: Sequence[str]) -> dt.datetime | None:
    """Return from when a cap allows one more, given what it counts now (newest first); None where it does now."""
    if len(times) < cap.limit:
        return None
    blocking = times[cap.limit - 1]  # the oldest of the newest `limit`: when it leaves, there is room for one
    if cap.rolling_days is not None:
        return blocking + cap.rolling_days * _DAY
    return _after_local_days(zones, blocking, cap.local_days or 1)


def quiet_until(quiet: QuietPeriod, contacts: Iterable[Entry], zones: Sequence[str]) -> dt.datetime | None:
    """Return the end of the quiet period after the last conversation, or other cause, or None where there was none."""
    causes = [
        one.at_utc
        for one in contacts
        if (one.outcome in quiet.after if quiet.after else one.conversation)
        and concerns(quiet.channels, one.channel)
    ]
    if not causes:
        return None
    if quiet.hours is not None:
        return max(causes) + quiet.hours * _HOUR
    return _after_local_days(zones, max(causes), quiet.local_days or 1)


def other_channel_until(
    single: SingleChannel, contacts: Iterable[Entry], channel: Channel, zones: Sequence[str]
) -> dt.datetime | None:
    """Return from when a channel may be used again after contacts by others, or None where there were none."""
    others = [one.at_utc for one in contacts if one.channel is not channel]
    return _after_local_days(zones, max(others), single.local_days) if others else None


def _local_days_begin(zone: str, at: dt.datetime, days: int) -> dt.datetime:
    return start_of_local_day(zone, at.astimezone(zone_info(zone)).date() - (days - 1) * _DAY)


def _after_local_days(zones: Sequence[str], since: dt.datetime, days: int) -> dt.datetime:
    """Return the first instant that is, in every zone, outside the calendar days that began with that of `since`."""
    return max(
        start_of_local_day(zone, since.astimezone(zone_info(zone)).date() + days * _DAY) for zone in zones
    )
