"""The gate again, slow and obvious: written from compliance.md's words, sharing no code with `dialer_core.compliance` but a pack's fields.

Local dates and times come from `zoneinfo` at each question; counting goes through every contact; the next allowed instant is found by
trying every step of time.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from dialer_core.compliance.rules import RulePack


@dataclass(frozen=True)
class PastContact:
    """A contact of the ledger that counts."""

    person: str
    account: str
    address: str
    channel: str
    at: dt.datetime
    talked: bool


@dataclass(frozen=True)
class Ban:
    """A restriction."""

    scope: str
    value: str
    channel: str | None
    until: dt.datetime | None


@dataclass(frozen=True)
class Asked:
    """A contact that somebody wants to make."""

    person: str
    account: str
    address: str
    phone: str
    channel: str
    zones: tuple[str, ...]


def allowed(
    asked: Asked, pack: RulePack, contacts: Sequence[PastContact], bans: Sequence[Ban], at: dt.datetime
) -> bool:
    """Say whether the contact may be made at an instant."""
    return (
        bool(asked.zones)
        and all(_open(pack, zone, at) for zone in asked.zones)
        and not any(_banned(ban, asked, at) for ban in bans)
        and not any(_too_often(rule, asked, contacts, at) for rule in pack.caps)
        and not any(_too_soon(rule, asked, contacts, at) for rule in pack.quiet_periods)
    )


def first_allowed(
    asked: Asked,
    pack: RulePack,
    contacts: Sequence[PastContact],
    bans: Sequence[Ban],
    at: dt.datetime,
    end: dt.datetime,
    step: dt.timedelta,
) -> dt.datetime | None:
    """Return the first instant from `at` on at which it is allowed, trying every step until `end`."""
    while at < end:
        if allowed(asked, pack, contacts, bans, at):
            return at
        at += step
    return None


def _open(pack: RulePack, zone: str, at: dt.datetime) -> bool:
    wall = at.astimezone(ZoneInfo(zone))
    if any(day.date == wall.date() for day in pack.holidays.days):
        return False
    spans = getattr(pack.windows, wall.strftime("%A").lower())
    return any(str(span)[:5] <= wall.strftime("%H:%M") < str(span)[6:] for span in spans)


def _banned(ban: Ban, asked: Asked, at: dt.datetime) -> bool:
    values = {"person": asked.person, "account": asked.account, "number": asked.address, "phone": asked.phone}
    return (
        values[ban.scope] == ban.value
        and (ban.channel is None or ban.channel == asked.channel)
        and (ban.until is None or at < ban.until)
    )


def _same(per: str, asked: Asked, contact: PastContact) -> bool:
    return {
        "person": contact.person == asked.person,
        "account": contact.account == asked.account,
        "address": contact.address == asked.address,
    }[per]


def _concerned(rule, asked: Asked) -> bool:  # noqa: ANN001 - a cap or a quiet period
    return not rule.channels or asked.channel in [channel.value for channel in rule.channels]


def _of_rule(rule, asked: Asked, contacts: Sequence[PastContact]) -> list[PastContact]:  # noqa: ANN001
    channels = [channel.value for channel in rule.channels]
    return [
        one
        for one in contacts
        if _same(rule.per.value, asked, one) and (not channels or one.channel in channels)
    ]


def _local_days_ago(contact: PastContact, zone: str, at: dt.datetime) -> int:
    return (at.astimezone(ZoneInfo(zone)).date() - contact.at.astimezone(ZoneInfo(zone)).date()).days


def _too_often(rule, asked: Asked, contacts: Sequence[PastContact], at: dt.datetime) -> bool:  # noqa: ANN001
    if not _concerned(rule, asked):
        return False
    count = 0
    for contact in _of_rule(rule, asked, contacts):
        if rule.rolling_days is not None:
            count += at - contact.at < dt.timedelta(hours=24 * rule.rolling_days)
        else:
            count += any(_local_days_ago(contact, zone, at) < rule.local_days for zone in asked.zones)
    return count >= rule.limit


def _too_soon(rule, asked: Asked, contacts: Sequence[PastContact], at: dt.datetime) -> bool:  # noqa: ANN001
    return _concerned(rule, asked) and any(
        contact.talked and _local_days_ago(contact, zone, at) < rule.local_days
        for contact in _of_rule(rule, asked, contacts)
        for zone in asked.zones
    )
