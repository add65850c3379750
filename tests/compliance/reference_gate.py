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
    outcome: str = "no_answer"


@dataclass(frozen=True)
class Ban:
    """A restriction."""

    scope: str
    value: str
    channel: str | None
    until: dt.datetime | None
    hours: str | None = None
    """`tue 09:00-17:00`, one part."""


@dataclass(frozen=True)
class Asked:
    """A contact that somebody wants to make."""

    person: str
    account: str
    address: str
    phone: str
    channel: str
    zones: tuple[str, ...]
    region: str | None = None
    kind: str = "unknown"
    consents: tuple[bool | None, ...] = ()
    """Every word that is known of it."""
    standing: str = ""
    """Why the account is not to be collected: `paid`, `withdrawn`, `promise`."""
    purpose: str = "collection"


def allowed(
    asked: Asked, pack: RulePack, contacts: Sequence[PastContact], bans: Sequence[Ban], at: dt.datetime
) -> bool:
    """Say whether the contact may be made at an instant: by the pack, and by each for the part of its jurisdiction they are in."""
    packs = [pack]
    for local, its in zip(pack.local, pack.every()[1:], strict=True):
        if asked.region in local.regions or [one for one in local.prefixes if asked.address.startswith(one)]:
            packs.append(its)
    return (
        bool(asked.zones)
        and asked.standing not in {"paid", "withdrawn"}
        and not (asked.standing == "promise" and asked.purpose != "promise_reminder")
        and False not in asked.consents
        and not any(_banned(ban, asked, at) for ban in bans)
        and all(_allowed_by(one, asked, contacts, at) for one in packs)
    )


def _allowed_by(pack: RulePack, asked: Asked, contacts: Sequence[PastContact], at: dt.datetime) -> bool:
    return (
        all(_open(pack, zone, at) for zone in asked.zones)
        and not any(_too_often(rule, asked, contacts, at) for rule in pack.caps)
        and not any(_too_soon(rule, asked, contacts, at) for rule in pack.quiet_periods)
        and not any(_other_channel(rule, asked, contacts, at) for rule in pack.single_channels)
        and (True in asked.consents or not any(_needs_consent(rule, asked) for rule in pack.consents))
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
        and (ban.hours is None or any(_at_hours(ban.hours, zone, at) for zone in asked.zones))
    )


def _at_hours(hours: str, zone: str, at: dt.datetime) -> bool:
    day, span = hours.split()
    wall = at.astimezone(ZoneInfo(zone))
    return wall.strftime("%a").lower() == day and span[:5] <= wall.strftime("%H:%M") < span[6:]


def _needs_consent(rule, asked: Asked) -> bool:  # noqa: ANN001
    return asked.channel in [one.value for one in rule.channels] and (
        not rule.phone_kinds or asked.kind in rule.phone_kinds
    )


def _other_channel(rule, asked: Asked, contacts: Sequence[PastContact], at: dt.datetime) -> bool:  # noqa: ANN001
    return any(
        contact.channel != asked.channel
        and _same(rule.per.value, asked, contact)
        and _local_days_ago(contact, zone, at) < rule.local_days
        for contact in contacts
        for zone in asked.zones
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
    causes = [
        contact
        for contact in _of_rule(rule, asked, contacts)
        if (contact.outcome in [one.value for one in rule.after] if rule.after else contact.talked)
    ]
    if rule.hours is not None:
        return _concerned(rule, asked) and any(
            at - contact.at < dt.timedelta(hours=rule.hours) for contact in causes
        )
    return _concerned(rule, asked) and any(
        _local_days_ago(contact, zone, at) < rule.local_days for contact in causes for zone in asked.zones
    )
