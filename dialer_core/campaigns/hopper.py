"""The hopper: which leads are dialed next, decided, allowed and written down in one transaction.

It owns the claim: leads in order, the person's best number, the gate, the attempt's and contact's rows and their events, all committed
together before any INVITE (I1, I3, I11), over every node that shares the database. It does not own how many are wanted (`pacing`), nor
what becomes of a lead afterwards (`recycle.py`).

Work per claim is bounded: at most `MAX_EXAMINED` leads are looked at, so that a list full of blocked leads costs many short
transactions and never a long one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from dialer_core.campaigns import number_health, recycle
from dialer_core.campaigns.emptiness import EmptyReport, report
from dialer_core.compliance import gate, zones
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Allowed, Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import StoreError
from dialer_core.events import AttemptCommitted, LeadBlocked, LeadFinished
from dialer_core.settings import CampaignSettings
from dialer_core.store import attempts, claims, contacts, leads, people
from dialer_core.store.attempts import NewAttempt
from dialer_core.store.contacts import Entry
from dialer_core.store.errors import AlreadyLiveError
from dialer_core.store.leads import Block, ReadyLead
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AttemptId,
    CampaignId,
    Channel,
    LeadId,
    LeadState,
    PersonId,
    PhoneId,
    TrunkId,
    new_id,
)

log = structlog.get_logger(__name__)

MAX_EXAMINED = 200
"""Leads looked at by one claim."""

PURPOSE = "collection"

LIVE_ELSEWHERE = "live_attempt"
_BATCH_MIN = 16
_LIVE_PAUSE = dt.timedelta(seconds=30)
"""A person or number with a live attempt is looked at again after this."""


@dataclass(frozen=True)
class ClaimedAttempt:
    """An attempt that is committed when the claim's transaction is."""

    attempt_id: AttemptId
    campaign_id: CampaignId
    lead_id: LeadId
    account_id: AccountId
    person_id: PersonId
    phone_id: PhoneId
    number: str
    trunk: TrunkId
    retry_of: AttemptId | None
    language: str


@dataclass(frozen=True)
class Claim:
    """What a claim found. `empty` is None while there is, or may be, more to dial now."""

    attempts: list[ClaimedAttempt]
    empty: EmptyReport | None


@dataclass(frozen=True)
class _Place:
    """By whom and under what an attempt is made."""

    campaign_id: CampaignId
    settings: CampaignSettings
    pack: RulePack
    node: str
    boot_id: str
    now: dt.datetime


def claim(
    tx: Tx,
    *,
    campaign_id: CampaignId,
    settings: CampaignSettings,
    pack: RulePack,
    trunks: Sequence[TrunkId],
    node: str,
    boot_id: str,
    now: dt.datetime,
) -> Claim:
    """Claim up to one lead per trunk given: attempt i goes over `trunks[i]`.

    Parameters
    ----------
    tx
        A write transaction. Nothing may be sent before it commits.
    campaign_id, settings, pack
        The campaign, its settings and its rule pack.
    trunks
        A line on each is free for one attempt.
    node, boot_id, now
        Written on the attempts. `now` is what the gate goes by.

    Raises
    ------
    StoreError
        The database failed; nothing was claimed.
    """
    place = _Place(campaign_id, settings, pack, node, boot_id, now)
    claimed: list[ClaimedAttempt] = []
    examined = 0
    while len(claimed) < len(trunks) and examined < MAX_EXAMINED:
        limit = min(max(2 * (len(trunks) - len(claimed)), _BATCH_MIN), MAX_EXAMINED - examined)
        promoted = leads.promote_due(tx, campaign_id, now, MAX_EXAMINED)
        batch = leads.take_ready(tx, campaign_id, limit)
        examined += len(batch)
        if batch:
            claimed += _claim_batch(tx, place, batch, trunks[len(claimed) :])
        if len(batch) < limit and promoted < MAX_EXAMINED:
            break
    missing = len(claimed) < len(trunks)
    return Claim(claimed, report(tx, campaign_id) if missing and examined < MAX_EXAMINED else None)


def reclaim(
    tx: Tx,
    *,
    ended_attempt_id: AttemptId,
    trunk: TrunkId,
    settings: CampaignSettings,
    pack: RulePack,
    node: str,
    boot_id: str,
    now: dt.datetime,
) -> ClaimedAttempt | Refused:
    """Try the same number again over another trunk: a new attempt with `retry_of`, after the gate.

    The ended attempt has been ended and settled (`recycle.settle`), in this transaction or before it. Where it is refused, the lead
    stays as the settling left it.

    Raises
    ------
    StoreError
        There is no such attempt, lead or phone, or the database failed.
    """
    ended = attempts.get(tx, ended_attempt_id)
    if ended is None or ended.live:
        raise StoreError(
            f"attempt {ended_attempt_id} is not one that has ended; end and settle it before its failover"
        )
    people.lock(tx, [ended.person_id])
    lead = leads.get(tx, LeadId(ended.lead_id))
    person = people.persons(tx, [ended.person_id]).get(ended.person_id)
    phone = next(
        (one for one in people.phones_of(tx, [ended.person_id])[ended.person_id] if one.id == ended.phone_id),
        None,
    )
    if lead is None or person is None or phone is None:
        raise StoreError(f"attempt {ended_attempt_id} has lost its lead, person or phone")
    if lead.state != LeadState.DIALABLE:
        return Refused("lead", pack.version, f"the lead is {lead.state}", None)
    place = _Place(CampaignId(ended.campaign_id), settings, pack, node, boot_id, now)
    ready = ReadyLead(
        LeadId(lead.id),
        AccountId(lead.account_id),
        PersonId(lead.person_id),
        lead.attempts,
        lead.blocked_rule,
        person.language,
        person.region,
    )
    request = _request(place, ready, phone)
    result = _commit(
        tx, place, ready, phone, request, Facts.read(tx, [request], pack), trunk, ended_attempt_id
    )
    if isinstance(result, ClaimedAttempt):
        leads.begin_attempts(tx, [ready.id], count=False)
        return result
    return result or Refused(
        LIVE_ELSEWHERE, pack.version, "the person or number has a live attempt", now + _LIVE_PAUSE
    )


def has_work(tx: Tx, campaign_id: CampaignId, now: dt.datetime) -> bool:
    """Say whether a campaign has a lead that is dialable now or was made due by `now`. Claims nothing; the gate is not asked."""
    return leads.any_due(tx, campaign_id, now)


def _claim_batch(
    tx: Tx, place: _Place, batch: Sequence[ReadyLead], trunks: Sequence[TrunkId]
) -> list[ClaimedAttempt]:
    phones = people.phones_of(tx, {lead.person_id for lead in batch})
    tries = claims.last_tries(tx, [lead.id for lead in batch if lead.attempts])
    candidates = {lead.id: _numbers(place, phones[lead.person_id], tries.get(lead.id)) for lead in batch}
    requests = [_request(place, lead, phone) for lead in batch for phone in candidates[lead.id]]
    facts = Facts.read(tx, requests, place.pack)
    live_persons = claims.live_persons(tx, phones)
    live_numbers = claims.live_numbers(tx, {request.address for request in requests})
    claimed: list[ClaimedAttempt] = []
    blocks: list[Block] = []
    for lead in batch:
        if len(claimed) == len(trunks):
            break
        numbers = [phone for phone in candidates[lead.id] if phone.e164 not in live_numbers]
        if lead.person_id in live_persons or (candidates[lead.id] and not numbers):
            blocks.append(_live_elsewhere(lead, place.now))
            continue
        outcome = _try_numbers(tx, place, lead, numbers, facts, trunks[len(claimed)])
        if isinstance(outcome, ClaimedAttempt):
            claimed.append(outcome)
            live_persons.add(outcome.person_id)
            live_numbers.add(outcome.number)
        else:
            blocks.append(outcome)
            _tell(tx, place, lead, outcome)
    leads.begin_attempts(tx, [one.lead_id for one in claimed])
    leads.block(tx, blocks)
    return claimed


def _numbers(place: _Place, phones: Sequence[PhoneRow], last: claims.LastTry | None) -> list[PhoneRow]:
    """Return the numbers of a lead in the order to try them: where the last outcome says so, after the one tried last."""
    if last is None or last.outcome is None:
        return number_health.in_order(phones, None, move_on=False)
    move_on = recycle.rule_of(place.settings, last.outcome).next_number
    return number_health.in_order(phones, last.phone_id, move_on=move_on)


def _request(place: _Place, lead: ReadyLead, phone: PhoneRow) -> ContactRequest:
    region = zones.zones_of_region(lead.region) if lead.region else ()
    return ContactRequest(
        person_id=lead.person_id,
        account_id=lead.account_id,
        channel=Channel.VOICE,
        address=phone.e164,
        phone_id=phone.id,
        # where they live narrows the hours, but does not stand in for a number whose zone is unknown
        zones=zones.combine(phone.zones, region) if phone.zones else region,
        purpose=PURPOSE,
        campaign_id=place.campaign_id,
        at=place.now,
    )


def _try_numbers(
    tx: Tx, place: _Place, lead: ReadyLead, numbers: Sequence[PhoneRow], facts: Facts, trunk: TrunkId
) -> ClaimedAttempt | Block:
    """Claim a lead by the first of its numbers that the gate allows, or say what stands in the way."""
    refusals: list[Refused] = []
    for phone in numbers:
        result = _commit(tx, place, lead, phone, _request(place, lead, phone), facts, trunk, None)
        if isinstance(result, ClaimedAttempt):
            return result
        if result is None:
            return _live_elsewhere(lead, place.now)
        refusals.append(result)
    return _block(lead, refusals)


def _commit(
    tx: Tx,
    place: _Place,
    lead: ReadyLead,
    phone: PhoneRow,
    request: ContactRequest,
    facts: Facts,
    trunk: TrunkId,
    retry_of: AttemptId | None,
) -> ClaimedAttempt | Refused | None:
    """Ask the gate and write the attempt and its contact; None where the person or number came to have a live attempt meanwhile."""
    attempt_id = AttemptId(new_id())
    try:
        with tx.savepoint():
            decision = gate.may_contact(tx, request, place.pack, facts)
            if isinstance(decision, Refused):
                return decision
            attempts.insert(
                tx,
                NewAttempt(
                    id=attempt_id,
                    node=place.node,
                    boot_id=place.boot_id,
                    campaign_id=place.campaign_id,
                    lead_id=lead.id,
                    account_id=lead.account_id,
                    person_id=lead.person_id,
                    phone_id=phone.id,
                    number=phone.e164,
                    trunk=trunk,
                    committed_at_utc=place.now,
                    evidence=decision.evidence,
                    retry_of=retry_of,
                ),
            )
            contacts.link_attempt(tx, decision.reservation, attempt_id)
            tx.emit(
                AttemptCommitted(
                    campaign_id=place.campaign_id,
                    account_id=lead.account_id,
                    attempt_id=attempt_id,
                    trunk=trunk,
                    retry_of=retry_of,
                )
            )
    except AlreadyLiveError as error:
        facts.remove(Entry(lead.person_id, lead.account_id, phone.e164, Channel.VOICE, place.now))
        log.info("claim_lost", lead_id=lead.id, campaign_id=place.campaign_id, what=error.what)
        return None
    return ClaimedAttempt(
        attempt_id,
        place.campaign_id,
        lead.id,
        lead.account_id,
        lead.person_id,
        phone.id,
        phone.e164,
        trunk,
        retry_of,
        lead.language,
    )


def _live_elsewhere(lead: ReadyLead, now: dt.datetime) -> Block:
    return Block(
        lead.id, LIVE_ELSEWHERE, "the person or the number is being called now", next_at_utc=now + _LIVE_PAUSE
    )


def _block(lead: ReadyLead, refusals: Sequence[Refused]) -> Block:
    """Say what a lead waits for when none of its numbers may be dialed now (I18)."""
    if not refusals:
        reason = "no number of this person is left to dial"
        return Block(
            lead.id, number_health.NO_USABLE_NUMBER, reason, finished_reason=number_health.NO_USABLE_NUMBER
        )
    timed = [one for one in refusals if one.allowed_from is not None]
    if timed:
        soonest = min(timed, key=lambda one: one.allowed_from or dt.datetime.max.replace(tzinfo=dt.UTC))
        return Block(lead.id, soonest.rule, soonest.reason, next_at_utc=soonest.allowed_from)
    first = refusals[0]
    if any(one.rule == "zone_unknown" for one in refusals):
        return Block(lead.id, "zone_unknown", first.reason, waiting_for="zone")
    return Block(lead.id, first.rule, first.reason, finished_reason=first.rule)


def _tell(tx: Tx, place: _Place, lead: ReadyLead, block: Block) -> None:
    """Write the events of a refusal; the same lead refused again by the same rule is told once."""
    if block.finished_reason is not None:
        tx.emit(
            LeadFinished(
                campaign_id=place.campaign_id,
                account_id=lead.account_id,
                lead_id=lead.id,
                reason=block.finished_reason,
            )
        )
    if block.rule not in {lead.blocked_rule, LIVE_ELSEWHERE}:
        tx.emit(
            LeadBlocked(
                campaign_id=place.campaign_id,
                account_id=lead.account_id,
                lead_id=lead.id,
                rule=block.rule,
                reason=block.reason,
                allowed_from_utc=block.next_at_utc.isoformat() if block.next_at_utc else None,
            )
        )


__all__ = ["Allowed", "Claim", "ClaimedAttempt", "EmptyReport", "Refused", "claim", "has_work", "reclaim"]
