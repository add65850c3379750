"""The hopper: which leads are dialed next, decided, allowed and written down in one transaction.

It owns the claim: leads in order, the person's best number, the gate, the attempt's and contact's rows and their events, all committed
together before any INVITE (I1, I3, I11), over every node that shares the database. It does not own how many are wanted (`pacing`), nor
what becomes of a lead afterwards (`recycle.py`).

Work per claim is bounded: at most `MAX_EXAMINED` leads are looked at, so that a list full of blocked leads costs many short
transactions and never a long one.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import structlog

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import caller_ids as caller_id_choice
from dialer_core.campaigns import candidates, refusals
from dialer_core.campaigns.attempt_limits import Tried
from dialer_core.campaigns.claim_writing import ClaimedAttempt, Permit, Place, commit
from dialer_core.campaigns.emptiness import EmptyReport, report, so_far
from dialer_core.campaigns.mix import Mix
from dialer_core.compliance import gate
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import StoreError
from dialer_core.line_names import line_of
from dialer_core.list_settings import CallerIdPool
from dialer_core.store import callbacks, claims, leads, people
from dialer_core.store.callbacks import Asked
from dialer_core.store.leads import Block, ReadyLead
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AgentId,
    AttemptId,
    CampaignId,
    LeadId,
    LeadState,
    PersonId,
    TrunkId,
    new_id,
)

log = structlog.get_logger(__name__)

MAX_EXAMINED = 200
"""Leads looked at by one claim."""

_FIRST_BATCH = 4
_NOBODY: Mapping[LeadId, Asked] = MappingProxyType({})


@dataclass(frozen=True)
class Claim:
    """What a claim found. `empty` is None while there is, or may be, more to dial now."""

    attempts: list[ClaimedAttempt]
    empty: EmptyReport | None
    so_far: EmptyReport | None = None
    """Why every lead looked at was refused, where there are more to look at: a long list says at once what holds it."""


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
    present: Collection[AgentId] = (),
    mix: Mix | None = None,
    caller_ids: CallerIdPool | None = None,
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
    present
        Agents who could take a person now: their own call-backs are claimed; those of others wait until they are anybody's.
    mix
        The shares in which the list is dialed; None: it is one list in one order.
    caller_ids
        The campaign's pool (`settings.caller_ids`), where it has one.

    Raises
    ------
    StoreError
        The database failed; nothing was claimed.
    """
    place = Place(campaign_id, settings, pack, node, boot_id, now, caller_ids)
    claimed: list[ClaimedAttempt] = []
    refused: list[Block] = []
    examined, size = 0, _FIRST_BATCH
    apart = mix is not None
    promoted = leads.promote_due(tx, campaign_id, now, MAX_EXAMINED, apart=apart)
    due = callbacks.take_due(tx, campaign_id, now, len(trunks), present)
    if due:  # somebody waits for these: they come before the list
        examined = len(due)
        claimed += _claim_batch(
            tx, place, [lead for lead, _ in due], trunks, refused, {lead.id: asked for lead, asked in due}
        )
    while len(claimed) < len(trunks) and examined < MAX_EXAMINED:
        missing = len(trunks) - len(claimed)
        limit = min(max(size, missing), MAX_EXAMINED - examined)
        size = 2 * limit  # where the first are blocked, those behind them are likely to be, too
        batch = mix.take(tx, campaign_id, limit, now) if mix else leads.take_ready(tx, campaign_id, limit)
        examined += len(batch)
        if batch:
            found = _claim_batch(tx, place, batch, trunks[len(claimed) :], refused)
            claimed += found
            if mix is not None:
                mix.claimed(batch, {one.lead_id for one in found})
        if len(batch) < limit:
            if promoted < MAX_EXAMINED:
                break
            promoted = leads.promote_due(tx, campaign_id, now, MAX_EXAMINED, apart=apart)
    if len(claimed) < len(trunks) and examined < MAX_EXAMINED:
        return Claim(claimed, report(tx, campaign_id, mix.held if mix is not None else ""))
    return Claim(claimed, None, None if claimed else so_far(refused))


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
    caller_ids: CallerIdPool | None = None,
) -> ClaimedAttempt | Refused:
    """Try the same number again over another trunk: a new attempt with `retry_of`, after the gate.

    The ended attempt has been ended and settled (`recycle.settle`), in this transaction or before it. Where it is refused, the lead
    stays as the settling left it.

    Raises
    ------
    StoreError
        There is no such attempt, lead or phone, or the database failed.
    """
    ended = claims.tried(tx, ended_attempt_id)
    if ended is None or ended.live:
        raise StoreError(
            f"attempt {ended_attempt_id} is not one that has ended; end and settle it before its failover"
        )
    people.lock(tx, [ended.person_id])
    found = leads.with_person(tx, ended.lead_id)
    phones = people.phones_of(tx, [ended.person_id])[ended.person_id]
    phone = next((one for one in phones if one.id == ended.phone_id), None)
    if found is None or phone is None:
        raise StoreError(f"attempt {ended_attempt_id} has lost its lead or phone")
    lead, ready = found
    if lead.state != LeadState.DIALABLE:
        return Refused("lead", pack.version, f"the lead is {lead.state}", None)
    place = Place(ended.campaign_id, settings, pack, node, boot_id, now, caller_ids)
    request = candidates.request_of(ready, phone, place.campaign_id, now)
    decision = gate.decide(request, pack, Facts.read(tx, [request], pack))
    if isinstance(decision, Refused):
        return decision
    permit = Permit(AttemptId(new_id()), ready, phone, request, decision)
    claimed = commit(tx, place, [permit], [trunk], ended_attempt_id)
    if not claimed:
        reason = "the person or number has a live attempt"
        return Refused(refusals.LIVE_ELSEWHERE, pack.version, reason, now + refusals.LIVE_PAUSE)
    leads.begin_attempts(tx, [ready.id], count=False)
    return claimed[0]


def claim_named(
    tx: Tx,
    *,
    lead_id: LeadId,
    trunk: TrunkId,
    settings: CampaignSettings,
    pack: RulePack,
    node: str,
    boot_id: str,
    now: dt.datetime,
    agent_id: AgentId,
    caller_ids: CallerIdPool | None = None,
) -> ClaimedAttempt | str:
    """Claim one lead for the agent to whom it is shown, or say why it may not be dialed; the lead then goes where the refusal sends it."""
    found = leads.with_person(tx, lead_id)
    if found is None:
        return "there is no such lead"
    _, ready = found
    people.lock(tx, [ready.person_id])
    refused: list[Block] = []
    place = Place(ready.campaign_id, settings, pack, node, boot_id, now, caller_ids)
    row = callbacks.open_of(tx, lead_id)
    due = row is not None and row.due_at_utc <= now
    asked = {lead_id: Asked(row.phone_id, row.agent_id, row.open_from_utc)} if row and due else _NOBODY
    claimed = _claim_batch(tx, place, [ready], [trunk], refused, asked)
    return replace(claimed[0], for_agent=agent_id, previewed=True) if claimed else refused[0].reason


def has_work(tx: Tx, campaign_id: CampaignId, now: dt.datetime) -> bool:
    """Say whether a campaign has a lead that is dialable now or was made due by `now`. Claims nothing; the gate is not asked."""
    return leads.any_due(tx, campaign_id, now)


def _claim_batch(
    tx: Tx,
    place: Place,
    batch: Sequence[ReadyLead],
    trunks: Sequence[TrunkId],
    refused: list[Block],
    asked: Mapping[LeadId, Asked] = _NOBODY,
) -> list[ClaimedAttempt]:
    """Decide for leads in order until every trunk has one, and write what was decided; who was refused is added to `refused`.

    `asked` is what people asked for who are to be called back.
    """
    permits, blocks = _judge(tx, place, batch, len(trunks), asked)
    for lead, block in blocks:
        refusals.tell(tx, place.campaign_id, lead, block)
    claimed = commit(tx, place, permits, trunks)
    kept = {one.lead_id for one in claimed}
    blocked = [block for _, block in blocks]
    blocked += [
        refusals.live_elsewhere(permit.lead, place.now) for permit in permits if permit.lead.id not in kept
    ]
    leads.begin_attempts(tx, [one.lead_id for one in claimed])
    leads.block(tx, blocked)
    refused += blocked
    return claimed


def refused_of(
    tx: Tx,
    batch: Sequence[ReadyLead],
    settings: CampaignSettings,
    pack: RulePack,
    now: dt.datetime,
    asked: Mapping[LeadId, Asked] = _NOBODY,
) -> list[tuple[ReadyLead, Block]]:
    """Return which of a campaign's leads a claim would refuse now, each with why; `asked` as in a claim. Changes nothing."""
    if not batch:
        return []
    place = Place(batch[0].campaign_id, settings, pack, "", "", now)
    _, blocks = _judge(tx, place, batch, len(batch), asked, dialed=False)
    return [(lead, block) for lead, block in blocks if block.rule != refusals.LIVE_ELSEWHERE]


def _judge(
    tx: Tx,
    place: Place,
    batch: Sequence[ReadyLead],
    wanted: int,
    asked: Mapping[LeadId, Asked],
    *,
    dialed: bool = True,
) -> tuple[list[Permit], list[tuple[ReadyLead, Block]]]:
    """Decide for leads in order until so many may be dialed; return those, and who may not be until then.

    Where they will be `dialed`, each counts for those after it.
    """
    phones = people.phones_of(tx, {lead.person_id for lead in batch})
    tries = claims.last_tries(tx, [lead.id for lead in batch if lead.attempts])
    numbers_of = {
        lead.id: candidates.numbers_to_try(
            place.settings,
            phones[lead.person_id],
            tries.get(lead.id),
            place.now,
            asked[lead.id].phone_id if lead.id in asked else None,
        )
        for lead in batch
    }
    requests = {
        (lead.id, phone.id): candidates.request_of(lead, phone, place.campaign_id, place.now)
        for lead in batch
        for phone in numbers_of[lead.id]
    }
    facts = Facts.read(tx, list(requests.values()), place.pack)
    live_persons = claims.live_persons(tx, phones)
    live_lines = claims.live_lines(tx, {line_of(request.address) for request in requests.values()})
    tried = Tried.read(tx, place.settings.attempts, batch, place.now)
    number_rests = (
        caller_id_choice.waiting(
            tx, place.settings.caller_ids, place.caller_ids, {lead.person_id for lead in batch}
        )
        if place.caller_ids is not None
        else frozenset[PersonId]()
    )
    permits: list[Permit] = []
    blocks: list[tuple[ReadyLead, Block]] = []
    for lead in batch:
        if len(permits) == wanted:
            break
        if lead.person_id in number_rests:
            blocks.append((lead, refusals.number_rests(lead, place.now)))
            continue
        rest = None if lead.id in asked else tried.block(lead, phones[lead.person_id], place.now)
        if rest is not None:
            blocks.append((lead, rest))
            continue
        numbers = [phone for phone in numbers_of[lead.id] if line_of(phone.e164) not in live_lines]
        if lead.person_id in live_persons or (numbers_of[lead.id] and not numbers):
            blocks.append((lead, refusals.live_elsewhere(lead, place.now)))
            continue
        offered = [(phone, requests[lead.id, phone.id]) for phone in numbers]
        found = decide(place, lead, offered, facts, asked.get(lead.id))
        if isinstance(found, Block):
            blocks.append((lead, found))
        else:
            permits.append(found)
            if dialed:
                facts.add(found.request.entry())
                live_persons.add(lead.person_id)
                live_lines.add(line_of(found.phone.e164))
    return permits, blocks


def decide(
    place: Place,
    lead: ReadyLead,
    numbers: Sequence[tuple[PhoneRow, ContactRequest]],
    facts: Facts,
    asked: Asked | None = None,
) -> Permit | Block:
    """Choose the first of a lead's numbers that the gate allows, or say what stands in the way of all."""
    refused: list[Refused] = []
    for phone, request in numbers:
        decision = gate.decide(request, place.pack, facts)
        if not isinstance(decision, Refused):
            return Permit(AttemptId(new_id()), lead, phone, request, decision, asked)
        refused.append(decision)
    return refusals.of_lead(lead, refused, place.pack)


__all__ = [
    "Claim",
    "ClaimedAttempt",
    "EmptyReport",
    "Refused",
    "claim",
    "has_work",
    "reclaim",
    "refused_of",
]
