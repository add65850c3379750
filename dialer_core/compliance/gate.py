"""The gate: may this person be contacted now, about this account, at this address, by this channel? One function for calls and messages.

It owns the decision, its words and its evidence, and reserves the contact in the ledger within the caller's transaction, so that two
claims can never both take the last one a cap allows. It fails closed: an unknown zone, a missing pack or a fault of ours is a refusal.

Refusals are named `window`, `weekday`, `holiday`, `zone_unknown` (`windows.py`), the id of a cap, quiet period, single channel or
consent (the rule pack), a restriction's kind (`vocabulary.RestrictionKind`), `consent_refused`, an account's status
(`vocabulary.AccountStatus`), `promise` (the account has an open one), `rule_pack` (there is none) or `gate_error` (a fault; it is in the log).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from dialer_core.compliance import caps, inconvenient_hours, windows
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.rules import Cap, RulePack
from dialer_core.store import account_standing, contacts, people
from dialer_core.store.contacts import NewContact
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AttemptId

log = structlog.get_logger(__name__)

_T = TypeVar("_T")

FAULT_PAUSE = dt.timedelta(minutes=15)
"""After a fault of ours, the same contact is not asked for again before."""

_MAX_ROUNDS = 64


@dataclass(frozen=True, slots=True)
class Allowed:
    """The contact may be made. `evidence` goes on the attempt or message (I11); `reservation` is the contact's id in the ledger."""

    evidence: dict[str, Any]
    reservation: str


@dataclass(frozen=True, slots=True)
class Refused:
    """The contact may not be made now. `allowed_from` is in UTC; None: not until a restriction or the data change."""

    rule: str
    version: str
    reason: str
    allowed_from: dt.datetime | None


def may_contact(
    tx: Tx, request: ContactRequest, pack: RulePack | None, facts: Facts | None = None
) -> Allowed | Refused:
    """Decide, and where it is allowed, reserve the contact in this transaction.

    Parameters
    ----------
    tx
        A write transaction; it must commit before the contact is made.
    request
        The contact. `at` is now.
    pack
        The campaign's rule pack; None refuses.
    facts
        What the store says of this person, read by the caller for many at once and with the person's row locked; by default it is
        read and locked here. A reservation made here is added to it.

    Raises
    ------
    StoreError
        The database failed: nothing was decided and nothing may be sent.
    """
    if facts is None and pack is not None:
        people.lock(tx, [request.person_id])
        facts = Facts.read(tx, [request], pack)
    decision = decide(request, pack, facts)
    if isinstance(decision, Refused):
        return decision
    [reservation] = reserve(tx, [(request, None)])
    if facts is not None:
        facts.add(request.entry())
    return Allowed(decision, reservation)


def reserve(
    tx: Tx, allowed: Sequence[tuple[ContactRequest, AttemptId | None]], *, external_id: str | None = None
) -> list[str]:
    """Write the contacts of requests that `decide` allowed in this transaction, each with its attempt; return their ids.

    `external_id`: the name that whoever makes a single one has for it.
    """
    return contacts.reserve(
        tx,
        [
            NewContact(request.entry(), request.campaign_id, request.purpose, attempt_id, external_id)
            for request, attempt_id in allowed
        ],
    )


def decide(request: ContactRequest, pack: RulePack | None, facts: Facts | None) -> dict[str, Any] | Refused:
    """Return the evidence of a contact that is allowed, or the refusal.

    Pure: it reserves nothing, so it also answers "why not?". Whoever decides for many at once adds each allowed request to the facts
    (`Facts.add`) before deciding the next, and calls `reserve` for all in the same transaction.
    """
    if pack is None or facts is None:
        return Refused("rule_pack", "", "the campaign's rule pack is not loaded", request.at + FAULT_PAUSE)
    try:
        refusal = _refusal(request, pack, facts, request.at)
        if refusal is None:
            return _evidence(request, pack, facts)
        rule, reason, _ = refusal
        return Refused(rule, pack.version, reason, _allowed_from(request, pack, facts))
    except Exception:
        log.exception(
            "gate_failed", person_id=request.person_id, account_id=request.account_id, rule_pack=pack.name
        )
        return Refused("gate_error", pack.version, "the gate failed; see the log", request.at + FAULT_PAUSE)


_STANDING_WORDS = {
    "paid": "the account is paid",
    "withdrawn": "the creditor has withdrawn the account",
    account_standing.PROMISED: "the account has an open promise: only reminders of it may be sent",
}

_Refusal = tuple[str, str, dt.datetime | None]
"""Rule, reason, and the first instant at which this one rule no longer stands in the way (None: never)."""


def _refusal(request: ContactRequest, pack: RulePack, facts: Facts, at: dt.datetime) -> _Refusal | None:
    """Return the first rule that stands in the way at an instant; those that need the person's doing come first.

    What answers a person who has just written is no contact that we begin: restrictions and a No hold for it, hours and counts do not.
    """
    answers = request.purpose == contacts.ANSWER
    if not answers and (standing := facts.standing(request)):
        return standing, _STANDING_WORDS.get(standing, f"the account is {standing}"), None
    for one in facts.restrictions_on(request):
        if one.until_utc is not None and one.until_utc <= at:
            continue
        if one.hours is not None:
            over = inconvenient_hours.end_of(one.hours, request.zones, at)
            if over is not None:
                return (
                    one.kind.value,
                    f"{one.kind.value} for this {one.scope.value}: not at {one.hours}",
                    over,
                )
            continue
        until = f"until {one.until_utc:%Y-%m-%d %H:%M} UTC" if one.until_utc else "for good"
        return one.kind.value, f"{one.kind.value} for this {one.scope.value}, {until}", one.until_utc
    consent = facts.consent(request)
    if consent is False:
        return "consent_refused", f"they do not want to be contacted by {request.channel.value}", None
    if answers:
        return None
    holding = pack.for_callee(request.address, request.region)
    for its in holding:
        if found := _without_consent(request, its, consent=consent):
            return found
    for its in holding:
        if found := _by_time(request, its, facts, at):
            return found
    return None


def _without_consent(request: ContactRequest, pack: RulePack, *, consent: bool | None) -> _Refusal | None:
    for rule in pack.consents:
        if (
            consent is None
            and request.channel in rule.channels
            and (not rule.phone_kinds or request.phone_kind in rule.phone_kinds)
        ):
            kind = f" at a number of kind {request.phone_kind}" if rule.phone_kinds else ""
            return (
                rule.id,
                f"no consent to {request.channel.value}{kind} is known, needed by {pack.name}",
                None,
            )
    return None


def _by_time(request: ContactRequest, pack: RulePack, facts: Facts, at: dt.datetime) -> _Refusal | None:
    """Return what one pack has against an instant."""
    if found := _of_calendar(facts, windows.closed, pack, request.zones, at):
        return (
            found.rule,
            found.reason,
            _of_calendar(facts, windows.next_open, pack, request.zones, at),
        )
    for quiet in pack.quiet_periods:
        if not caps.concerns(quiet.channels, request.channel):
            continue
        until_utc = caps.quiet_until(quiet, facts.entries(quiet.per, request), request.zones)
        if until_utc is not None and until_utc > at:
            reason = f"{quiet.cause} with this {quiet.per.value}: quiet for {quiet.length} by {pack.name}"
            return quiet.id, reason, until_utc
    for single in pack.single_channels:
        until_utc = caps.other_channel_until(
            single, facts.entries(single.per, request), request.channel, request.zones
        )
        if until_utc is not None and until_utc > at:
            reason = f"this {single.per.value} was contacted by another channel: one in {single.local_days} days by {pack.name}"
            return single.id, reason, until_utc
    for cap in pack.caps:
        if not caps.concerns(cap.channels, request.channel):
            continue
        times = caps.counted(cap, facts.entries(cap.per, request), request.zones, at)
        free = caps.frees_at(cap, times, request.zones)
        if free is not None:
            reason = f"{len(times)} contacts with this {cap.per.value} in {_span(cap)}, at most {cap.limit} by {pack.name}"
            return cap.id, reason, free
    return None


def _of_calendar(
    facts: Facts,
    question: Callable[[RulePack, tuple[str, ...], dt.datetime], _T],
    pack: RulePack,
    zones: tuple[str, ...],
    at: dt.datetime,
) -> _T:
    """Ask a calendar once for everybody of the batch; `question` is of the pack, the zones and the instant alone."""
    key = (question, pack.name, pack.version, zones, at)
    if key not in facts.memo:
        facts.memo[key] = question(pack, zones, at)
    answer: _T = facts.memo[key]
    return answer


def _wall_clocks(pack: RulePack, zones: tuple[str, ...], at: dt.datetime) -> dict[str, str]:
    del pack
    return {zone: at.astimezone(windows.zone_info(zone)).strftime("%a %Y-%m-%d %H:%M:%S%z") for zone in zones}


def _spans(pack: RulePack, zones: tuple[str, ...], at: dt.datetime) -> dict[str, str]:
    return {zone: windows.spans_text(pack, zone, at) for zone in zones}


def _allowed_from(request: ContactRequest, pack: RulePack, facts: Facts) -> dt.datetime | None:
    """Return the first instant at which nothing known now stands in the way: each rule in turn moves it on, until none does."""
    at = request.at
    for _ in range(_MAX_ROUNDS):
        refusal = _refusal(request, pack, facts, at)
        if refusal is None:
            return at
        _, _, free = refusal
        if free is None or free <= at:
            return None
        at = free
    return None


def _evidence(request: ContactRequest, pack: RulePack, facts: Facts) -> dict[str, Any]:
    """Say by which rules, where, and at which counts the contact was allowed. No address, no name: ids and numbers."""
    holding = pack.for_callee(request.address, request.region)
    counts = {
        counted_as(pack, one, cap): [
            len(caps.counted(cap, facts.entries(cap.per, request), request.zones, request.at)),
            cap.limit,
        ]
        for one in holding
        for cap in one.caps
        if caps.concerns(cap.channels, request.channel)
    }
    which = (_evidence_of_many, pack.name, pack.version, *(one.name for one in holding), request.purpose)
    key = (*which, request.channel, request.zones, request.at, request.phone_id is None)
    if key not in facts.memo:
        facts.memo[key] = _evidence_of_many(request, pack, holding, facts)
    return {**facts.memo[key], "counts": counts, "consent": facts.consent(request)}


def _evidence_of_many(
    request: ContactRequest, pack: RulePack, holding: Sequence[RulePack], facts: Facts
) -> dict[str, Any]:
    """Return what most of a batch have in common of their evidence."""
    spans = [_of_calendar(facts, _spans, one, request.zones, request.at) for one in holding]
    return {
        "rule_pack": pack.name,
        "version": pack.version,
        "verified": all(one.verified for one in holding),
        "local_packs": {one.name: one.version for one in holding[1:]},
        "at_utc": request.at.astimezone(dt.UTC).isoformat(),
        "channel": request.channel.value,
        "purpose": request.purpose,
        "zones": _of_calendar(facts, _wall_clocks, pack, request.zones, request.at),
        "windows": {zone: " and ".join(one[zone] for one in spans) for zone in request.zones},
        "quiet_periods": [
            quiet.id
            for one in holding
            for quiet in one.quiet_periods
            if caps.concerns(quiet.channels, request.channel)
        ],
        "restrictions": {"checked": [scope.value for scope in facts.scopes_of(request)], "in_force": 0},
    }


def counted_as(pack: RulePack, one: RulePack, cap: Cap) -> str:
    """Return a cap's name in evidence: its id, with the pack's name before it where it is a local one's."""
    return cap.id if one is pack else f"{one.name}:{cap.id}"


def _span(cap: Cap) -> str:
    if cap.rolling_days is not None:
        return f"{cap.rolling_days:g} days"
    return "a day" if cap.local_days == 1 else f"{cap.local_days} calendar days"


__all__ = ["Allowed", "ContactRequest", "Refused", "decide", "may_contact", "reserve"]
