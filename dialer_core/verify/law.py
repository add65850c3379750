"""I10, I11, I12: the abandonment ledger, the gate's evidence with a second opinion, and restrictions obeyed."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import uuid
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from dialer_core.compliance import abandonment, zones
from dialer_core.compliance.rules import RulePack
from dialer_core.verify import slow_gate
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject, Trail
from dialer_core.vocabulary import CampaignId, ContactSettlement, Outcome, RestrictionScope

_EVIDENCE = ("rule_pack", "version", "at_utc", "channel", "zones", "counts")
EFFECTIVE_S = 1.0
"""A restriction is effective in under a second on every node."""
IMPORT_MS = 2_000
"""A row is written so much before its transaction commits at most."""
RINGING_S = 3.0
"""And a call that was ringing then is cancelled: so much later nobody may have answered it."""


def _broken(attempt: Row, text: str) -> Violation:
    return Violation(Invariant.I11, "attempt", attempt.id, text)


def ledger(subject: Subject) -> Iterator[Violation]:
    """I10: for every campaign, pack and window, the ledger's totals are those counted from the attempts one by one."""
    for pack in subject.packs.values():
        for campaign_id in subject.campaign_settings:
            for window, total in zip(
                pack.abandonment.windows,
                abandonment.totals(subject.tx, CampaignId(campaign_id), pack.abandonment, subject.now),
                strict=True,
            ):
                live, lost = _recount(subject, campaign_id, pack, window.days)
                if (total.live, total.abandoned) != (live, lost):
                    text = (
                        f"the ledger of {pack.name} over {window.name} says {total.abandoned} of {total.live} abandoned, "
                        f"and the attempts say {lost} of {live}"
                    )
                    yield Violation(Invariant.I10, "campaign", campaign_id, text)


def _recount(subject: Subject, campaign_id: str, pack: RulePack, days: float | None) -> tuple[int, int]:
    live = lost = released = 0
    for attempt in subject.attempts:
        age = subject.now - attempt.committed_at_utc
        if attempt.campaign_id != campaign_id or (days is not None and age.total_seconds() > days * 86_400):
            continue
        drawn = subject.samples.get(attempt.id)
        unproved = (
            drawn is not None and drawn.connected and not attempt.abandoned and not _heard(attempt, "person")
        )
        live += attempt.live_answer and not unproved
        lost += attempt.abandoned
        released += attempt.verdict in _MACHINES and attempt.bridged_mono_ns is None
    if pack.abandonment.count_lost:
        unheard = _ceil(released * _share_of_people(subject, campaign_id, pack))
        live, lost = live + unheard, lost + unheard
    return live, lost


_MACHINES = frozenset({"machine", "ivr", "music"})
_LIVE = frozenset({"human", "silence", "unknown"})
_SURE_HEARD = 50


def _heard(attempt: Row, what: str) -> bool:
    """Say whether the agent's word says that it was a person, or a machine."""
    if attempt.disposition in {None, "other"}:
        return False
    return bool((attempt.disposition == "machine") == (what == "machine"))


def _share_of_people(subject: Subject, campaign_id: str, pack: RulePack) -> Fraction:
    """Return the share of people among machine verdicts as agents heard them, each weighed by what it stood for."""
    people = everybody = Fraction(0)
    heard = 0
    for attempt in subject.attempts:
        first = attempt.verdict_revised_from or attempt.verdict
        if (
            attempt.campaign_id != campaign_id
            or first in _LIVE
            or attempt.verdict not in _MACHINES
            or attempt.bridged_mono_ns is None
            or not (_heard(attempt, "person") or _heard(attempt, "machine"))
        ):
            continue
        drawn = subject.samples.get(attempt.id)
        weight = 1 / Fraction(drawn.share) if drawn is not None and drawn.connected else Fraction(1)
        heard += 1
        everybody += weight
        people += weight if _heard(attempt, "person") else 0
    assumed = Fraction(pack.abandonment.lost_assumed)
    if not everybody:
        return assumed
    return people / everybody if heard >= _SURE_HEARD else max(people / everybody, assumed)


def draws(subject: Subject) -> Iterator[Violation]:
    """I10: who was connected for evidence is who the attempts' ids say, under the share of then, while an agent was free."""
    for attempt_id, drawn in subject.samples.items():
        digest = hashlib.blake2b(attempt_id.encode(), digest_size=8, person=b"marcador-sample").digest()
        number = Fraction(int.from_bytes(digest) // 2**11, 2**53)
        attempt = subject.attempts_by_id[attempt_id]
        text = ""
        if Fraction(drawn.draw) != number:
            text = f"its draw is {drawn.draw!r}, and its id gives {float(number)!r}"
        elif drawn.connected != (number < Fraction(drawn.share) and drawn.agent_free):
            text = f"was drawn {drawn.draw:.6f} under {drawn.share:g}, and connected = {drawn.connected}"
        elif attempt.bridged_mono_ns is not None and not drawn.connected:
            text = "was bridged although it was a machine and not connected by its draw"
        if text:
            yield Violation(Invariant.I10, "attempt", attempt_id, text)


def _ceil(number: Fraction) -> int:
    return math.ceil(number - Fraction(1, 10**9))


_ANSWER = "answer"


def evidence(subject: Subject) -> Iterator[Violation]:
    """I11: every attempt says by which rules, where and at which counts it was allowed, and has one contact in the ledger."""
    contacts: dict[str, list[Row]] = defaultdict(list)
    for contact in subject.contacts:
        if contact.attempt_id is not None:
            contacts[contact.attempt_id].append(contact)
    for attempt in subject.attempts:
        missing = [key for key in _EVIDENCE if not attempt.evidence.get(key)]
        if missing:
            yield _broken(attempt, f"its evidence does not say {missing[0]}")
        own = contacts[attempt.id]
        if len(own) != 1:
            yield _broken(attempt, f"has {len(own)} contacts in the ledger")
        for contact in own:
            yield from _matches(attempt, contact)


def _matches(attempt: Row, contact: Row) -> Iterator[Violation]:
    same = (contact.person_id, contact.account_id, contact.address, contact.at_utc)
    if same != (attempt.person_id, attempt.account_id, attempt.number, attempt.committed_at_utc):
        yield _broken(attempt, f"contact {contact.id} is of another person, account, number or time")
    open_ = contact.settlement == ContactSettlement.RESERVED
    if open_ != attempt.live:
        state = "live" if attempt.live else "ended"
        yield _broken(attempt, f"is {state}, and contact {contact.id} is {contact.settlement}")
    if attempt.outcome in {"interrupted", "internal"} and contact.settlement == ContactSettlement.VOID:
        yield Violation(
            Invariant.I2,
            "attempt",
            attempt.id,
            f"was {attempt.outcome} and must count, and contact {contact.id} is void",
        )


def second_opinion(subject: Subject) -> Iterator[Violation]:
    """I11: windows, holidays, caps and quiet periods, worked out again from the rows, allow every attempt."""
    by_person: dict[str, list[Row]] = defaultdict(list)
    by_address: dict[str, list[Row]] = defaultdict(list)
    for contact in subject.contacts:
        if contact.purpose == _ANSWER:  # to what the person wrote: no contact that we began
            continue
        by_person[contact.person_id].append(contact)
        by_address[slow_gate.line(contact.address)].append(contact)
    for own in subject.contacts:
        attempt = subject.attempts_by_id.get(own.attempt_id) if own.attempt_id else None
        pack = subject.pack_of(attempt) if attempt is not None else None
        if attempt is None or pack is None or not attempt.evidence.get("zones"):
            continue
        near = {one.id: one for one in (*by_person[own.person_id], *by_address[slow_gate.line(own.address)])}
        earlier = [one for one in near.values() if _counted_then(subject, one, own)]
        yield from _judge(subject, pack, attempt, own, earlier)


def _judge(
    subject: Subject, pack: RulePack, attempt: Row, own: Row, earlier: list[Row]
) -> Iterator[Violation]:
    said: dict[str, Any] = attempt.evidence
    local = said.get("local_packs", {})
    region = subject.person_regions[attempt.person_id]
    for name in slow_gate.local_packs(pack, attempt.number, region):
        if name not in local and attempt.number.startswith(
            tuple(prefix for one in pack.local if one.pack == name for prefix in one.prefixes) or ("-",)
        ):  # a region may have been learned since; a number has always begun as it does
            yield _broken(attempt, f"was allowed without asking {name}, which holds for its number")
    yield from _judge_by(subject, pack, "", attempt, own, earlier)
    for name, version in local.items():
        its = subject.packs.get(name)
        if its is not None and its.version == version:
            yield from _judge_by(subject, its, f"{name}:", attempt, own, earlier)


def _judge_by(
    subject: Subject, pack: RulePack, prefix: str, attempt: Row, own: Row, earlier: list[Row]
) -> Iterator[Violation]:
    said: dict[str, Any] = attempt.evidence
    allowed_by = list(said["zones"])
    known = sorted({*allowed_by, *_zones_known_now(subject, attempt)})
    if closed := slow_gate.why_closed(pack, known, own.at_utc):
        yield _broken(attempt, f"was allowed at {closed}, which {pack.name} does not allow")
    for quiet in pack.quiet_periods:
        if slow_gate.speaks_of(quiet, own.channel) and slow_gate.quiet_broken(
            quiet, earlier, own, allowed_by
        ):
            yield _broken(attempt, f"was allowed within {quiet.id} after {quiet.cause}")
    for single in pack.single_channels:
        if slow_gate.channel_broken(single, earlier, own, allowed_by):
            yield _broken(attempt, f"was allowed although another channel was used within {single.id}")
    for cap in pack.caps:
        if not slow_gate.speaks_of(cap, own.channel):
            continue
        # what was being imported at that moment may have been seen or not
        sure = [
            one
            for one in earlier
            if not (one.prior and _written_ms(own.id) - _written_ms(one.id) < IMPORT_MS)
        ]
        least = slow_gate.count(cap, sure, own, allowed_by)
        found = slow_gate.count(cap, earlier, own, allowed_by)
        if least >= cap.limit:
            yield _broken(
                attempt, f"was allowed although {cap.id} counted {least}, and the limit is {cap.limit}"
            )
        counted = said["counts"].get(prefix + cap.id)
        if counted not in [[number, cap.limit] for number in range(least, found + 1)]:
            yield _broken(
                attempt,
                f"its evidence says {counted} for {cap.id}, and the rows say {[found, cap.limit]}",
            )


def _zones_known_now(subject: Subject, attempt: Row) -> set[str]:
    """Return where the person may be as the store knows now: a zone put right later must not reveal a call at night."""
    found = set(subject.phones[attempt.phone_id].zones.split())
    region = subject.person_regions[attempt.person_id]
    return found | set(zones.zones_of_region(region) if region else ())


def _counted_then(subject: Subject, one: Row, own: Row) -> bool:
    """Say whether a contact stood in the ledger, and not void, when `own` was allowed. Ids are in the order of their making."""
    if one.id >= own.id:
        return False
    if one.settlement != ContactSettlement.VOID:
        return True
    attempt = subject.attempts_by_id.get(one.attempt_id) if one.attempt_id else None
    return attempt is not None and (attempt.ended_at_utc is None or attempt.ended_at_utc > own.at_utc)


def settled_by_the_pack(subject: Subject) -> Iterator[Violation]:
    """I11: a contact is void where the rule pack says that such an outcome never reached the number, and only there.

    And where an attempt was cancelled before its INVITE had left.
    """
    for contact in subject.contacts:
        attempt = subject.attempts_by_id.get(contact.attempt_id) if contact.attempt_id else None
        pack = subject.pack_of(attempt) if attempt is not None else None
        if (
            attempt is None
            or pack is None
            or contact.settlement == ContactSettlement.RESERVED
            or attempt.outcome is None
        ):
            continue
        reached = attempt.live_answer or attempt.bridged_mono_ns is not None
        unsent = attempt.outcome == Outcome.CANCELLED and attempt.sent_mono_ns is None
        void = (
            attempt.outcome in {outcome.value for outcome in pack.void_outcomes} or unsent
        ) and not reached
        if void != (contact.settlement == ContactSettlement.VOID):
            yield _broken(
                attempt, f"ended as {attempt.outcome}, and contact {contact.id} is {contact.settlement}"
            )


def restrictions_obeyed(subject: Subject, attempt: Row, trail: Trail) -> Iterator[Violation]:
    """I12: no INVITE left a second after a restriction on its person, account or number, and what rang then was not answered."""
    zones = list(attempt.evidence.get("zones", ()))
    for restriction in _on(subject, attempt):
        for name, grace_s, text in (
            ("attempt.sent", EFFECTIVE_S, "was sent"),
            ("attempt.answered", RINGING_S, "was left ringing until it was answered"),
        ):
            event = trail.first(name)
            if event is not None and _in_force(restriction, event, grace_s, zones):
                yield Violation(
                    Invariant.I12,
                    "attempt",
                    attempt.id,
                    f"{text} although restriction {restriction.id} ({restriction.kind}) was in force",
                )
                break


def _in_force(restriction: Row, event: Row, grace_s: float, zones: list[str]) -> bool:
    grace = dt.timedelta(seconds=grace_s)
    begun = restriction.from_utc + grace < event.at_utc
    over = restriction.until_utc is not None and restriction.until_utc <= event.at_utc
    # a restriction may be dated back: what counts is also when it was written, which its id tells
    if restriction.hours and not slow_gate.at_hours(restriction.hours, zones, event.at_utc):
        return False
    return begun and not over and _written_ms(restriction.id) + grace_s * 1000 < _written_ms(event.id)


def _written_ms(row_id: str) -> int:
    """Return the milliseconds since 1970 in a UUIDv7 (RFC 9562, 5.7)."""
    return uuid.UUID(row_id).int >> 80


def _on(subject: Subject, attempt: Row) -> Iterator[Row]:
    for scope, value in (
        (RestrictionScope.PERSON, attempt.person_id),
        (RestrictionScope.ACCOUNT, attempt.account_id),
        *((RestrictionScope.NUMBER, number) for number in slow_gate.names_of(attempt.number)),
        (RestrictionScope.PHONE, attempt.phone_id),
    ):
        for restriction in subject.restrictions_on[scope.value, value]:
            if restriction.channel in {None, "voice"}:
                yield restriction


CHECKS = (
    Check(Invariant.I10, "the abandonment ledger is what the attempts say", whole=ledger, needs=("packs",)),
    Check(Invariant.I10, "who was connected for evidence was drawn", whole=draws),
    Check(Invariant.I11, "every attempt has evidence and a contact in the ledger", whole=evidence),
    Check(
        Invariant.I11,
        "windows and caps worked out again allow every attempt",
        whole=second_opinion,
        needs=("packs",),
    ),
    Check(
        Invariant.I11,
        "contacts are settled as the rule pack says",
        whole=settled_by_the_pack,
        needs=("packs",),
    ),
    Check(Invariant.I12, "no call is made or answered under a restriction", each=restrictions_obeyed),
)
