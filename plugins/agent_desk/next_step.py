"""What to do next where no other plugin says so: rules in the order of what matters most, each with its reason in words.

It owns the rules. What the gate allows it is told, and asks nobody: restrictions first, then a promise that is open, money that came, a promise
that was broken, and last how long the debt is due.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Final
from zoneinfo import ZoneInfo

from dialer_core.plugin_api import (
    AccountView,
    Channel,
    NextStep,
    StepAction,
    StepFacts,
    written_day,
    written_money,
)
from plugins.agent_desk.words import LANGUAGES, WORDS

PAID_LATELY: Final = dt.timedelta(days=15)
SOON: Final = dt.timedelta(days=3)
"""An open promise that is due so soon is spoken of at once."""
EVE: Final = dt.timedelta(days=1)
"""A promise is reminded of so long before its day."""
EARLY_DAYS, LATE_DAYS = 30, 90
GOOD_HOUR: Final = 11
"""Where nobody has answered yet."""
Words = dict[str, dict[str, str]]
"""By field: its words in each language."""
_WRITES: Final = (Channel.WHATSAPP, Channel.SMS)


def default_step(facts: StepFacts) -> NextStep:
    """Return what the rules say. Amounts and days are written in each language."""
    its = facts.account
    owed = its.account.balance_minor, its.account.currency
    if its.restrictions:
        kinds = tuple(one.kind for one in its.restrictions)
        return _step(
            StepAction.LEAVE, "restricted", {"kinds": {one: _kinds(kinds, one) for one in LANGUAGES}}
        )
    if (due := _due(its)) is not None:
        return _promised(facts, *due)
    paid = [one for one in its.payments if facts.now - one.received_at_utc < PAID_LATELY]
    if paid:
        return _call(
            facts, StepAction.THANK, "paid", {"amount": _money(paid[0].amount_minor, paid[0].currency)}
        )
    if any(one.state == "broken" for one in its.promises):
        return _call(facts, StepAction.RENEGOTIATE, "broken", {})
    late = its.account.days_past_due or 0
    if owed[0] is None or late > LATE_DAYS:
        return _call(facts, StepAction.LISTEN, "late", {"days": _number(late)})
    if late <= EARLY_DAYS:
        return _call(facts, StepAction.ASK_ALL, "early", {"amount": _money(*owed)})
    return _call(facts, StepAction.OFFER_PLAN, "middle", {"amount": _money(*owed), "days": _number(late)})


def _due(its: AccountView) -> tuple[dt.date, int, str] | None:
    """Return day, open amount and currency of the next payment that was promised."""
    if its.promise is None:
        return None
    left = next((one for one in its.promise.instalments if one.open_minor), None)
    return (dt.date.fromisoformat(left.due_date), left.open_minor, its.promise.currency) if left else None


def _promised(facts: StepFacts, due: dt.date, minor: int, currency: str) -> NextStep:
    words = {
        "amount": _money(minor, currency),
        "day": {one: written_day(due.isoformat(), one) or "" for one in LANGUAGES},
    }
    zone = next((one.zone for one in facts.openings if one.zone), "")
    today = _local(facts.now, zone).date()
    if due - today <= SOON:
        return _call(facts, StepAction.REMIND, "promise_soon", words)
    at = _at_good_hour(facts, due - EVE, zone)
    opening = next(
        (
            found
            for one in _WRITES
            if (found := facts.opening(one)) and found.from_utc and found.from_utc <= at
        ),
        None,
    )
    if opening is None:
        return _step(StepAction.LEAVE, "promise_wait", words)
    return _step(StepAction.REMIND, "promise_write", words, channel=opening.channel, at_utc=at)


def _call(facts: StepFacts, action: StepAction, reason: str, words: Words) -> NextStep:
    """Say it now to whom is on the line, or else by telephone as soon as the gate allows it."""
    if facts.talking:
        return _step(action, reason, words)
    voice = facts.opening(Channel.VOICE)
    if voice is None or voice.allowed:
        return _step(action, reason, words, channel=Channel.VOICE if voice else None)
    if voice.from_utc is None:
        return _step(StepAction.LEAVE, "closed", words)
    return _step(action, reason, words, channel=Channel.VOICE, at_utc=voice.from_utc)


def _step(
    action: StepAction, reason: str, words: Words, *, channel: Channel | None = None, at_utc: dt.datetime | None = None
) -> NextStep:  # fmt: skip
    why = {
        language: WORDS.get(
            language, f"why.{reason}", **{name: said[language] for name, said in words.items()}
        )
        for language in LANGUAGES
    }
    return NextStep(action=action, why=why, channel=channel, at_utc=at_utc)


def _at_good_hour(facts: StepFacts, day: dt.date, zone: str) -> dt.datetime:
    """Return the hour of a day at which most conversations with them began, as far as the gate is open then."""
    hours = Counter(_local(one.started_at_utc, zone).hour for one in facts.account.calls if one.talk_s > 0)
    hour = hours.most_common(1)[0][0] if hours else GOOD_HOUR
    at = dt.datetime.combine(day, dt.time(hour), tzinfo=_local(facts.now, zone).tzinfo).astimezone(dt.UTC)
    return max(at, facts.now)


def _local(at: dt.datetime, zone: str) -> dt.datetime:
    return at.astimezone(ZoneInfo(zone)) if zone else at.astimezone(dt.UTC)


def _money(minor: int | None, currency: str | None) -> dict[str, str]:
    return dict.fromkeys(LANGUAGES, written_money(minor, currency or "MXN") or "")


def _number(value: int) -> dict[str, str]:
    return dict.fromkeys(LANGUAGES, str(value))


def _kinds(kinds: tuple[str, ...], language: str) -> str:
    return ", ".join(
        WORDS.get(language, key) if (key := f"script.restrict.{kind}") in WORDS else kind.replace("_", " ")
        for kind in dict.fromkeys(kinds)
    )
