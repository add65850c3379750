"""The next number of the same person, claimed at the word of the agent who has just talked at another one.

It owns which number that is and what the lead must be for it. The gate, its caps and the campaign's own limits decide as ever; who waits for the call
is `previewing.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import replace

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import candidates, hopper, number_health
from dialer_core.campaigns.attempt_limits import Tried as TriedBefore
from dialer_core.campaigns.claim_writing import ClaimedAttempt, Permit, Place, commit
from dialer_core.compliance.facts import Facts
from dialer_core.compliance.rules import RulePack
from dialer_core.list_events import LeadNextNumberDialed
from dialer_core.list_settings import CallerIdPool
from dialer_core.store import claims, leads, people
from dialer_core.store.claims import Tried
from dialer_core.store.models import Lead
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, AttemptId, LeadState, Outcome, PhoneId, TrunkId

_JUST_TALKED = Outcome.CONNECTED.value
"""Why a lead is finished whose agent has said nothing else of it yet."""


def _held(ended: Tried, lead: Lead) -> str:
    """Say what keeps the lead from being dialed once more; empty where nothing does."""
    if ended.live:
        return "the call before is not over yet"
    if lead.state == LeadState.FINISHED and lead.finished_reason != _JUST_TALKED:
        return f"the lead is finished: {lead.finished_reason}"
    if lead.state in (LeadState.WAITING, LeadState.IN_ATTEMPT):
        return f"the lead is {lead.state}" + (f" for {lead.waiting_for}" if lead.waiting_for else "")
    return ""


def claim_next(
    tx: Tx,
    *,
    after: AttemptId,
    tried: Collection[PhoneId],
    trunk: TrunkId,
    settings: CampaignSettings,
    pack: RulePack,
    node: str,
    boot_id: str,
    now: dt.datetime,
    agent_id: AgentId,
    caller_ids: CallerIdPool | None = None,
) -> ClaimedAttempt | str:
    """Claim a person's next number for the agent who talked in an attempt that has ended; or say why there is none to dial now.

    Parameters
    ----------
    tx
        A write transaction.
    after
        The attempt.
    tried
        The numbers that this agent has tried already, one after the other; none of them is dialed again.
    trunk, settings, pack, node, boot_id, now, caller_ids
        As in `hopper.claim`.
    agent_id
        Who waits for the call.
    """
    ended = claims.tried(tx, after)
    found = leads.with_person(tx, ended.lead_id) if ended is not None else None
    if ended is None or found is None:
        return "there is no such attempt"
    lead, ready = found
    people.lock(tx, [ready.person_id])
    if why := _held(ended, lead):
        return why
    phones = people.phones_of(tx, [ready.person_id])[ready.person_id]
    numbers = [
        phone
        for phone in number_health.in_order(phones, ended.phone_id, move_on=True)
        if phone.id not in tried and phone.id != ended.phone_id
    ]
    if not numbers:
        return "this person has no other number to try"
    if (rest := TriedBefore.read(tx, settings.attempts, [ready], now).block(ready, phones, now)) is not None:
        return rest.reason
    place = Place(ended.campaign_id, settings, pack, node, boot_id, now, caller_ids)
    requests = [candidates.request_of(ready, phone, place.campaign_id, now) for phone in numbers]
    offered = list(zip(numbers, requests, strict=True))
    permit = hopper.decide(place, ready, offered, Facts.read(tx, requests, pack))
    if not isinstance(permit, Permit):
        return permit.reason
    claimed = commit(tx, place, [permit], [trunk])
    if not claimed:
        return "the person or the number is being called now"
    if lead.finished_reason is not None:
        leads.update_lead(tx, ready.id, finished_reason=None)
    leads.begin_attempts(tx, [ready.id])
    (one,) = claimed
    tx.emit(
        LeadNextNumberDialed(
            campaign_id=one.campaign_id, account_id=one.account_id, attempt_id=one.attempt_id, lead_id=one.lead_id,
            agent_id=agent_id, after=after,
        )
    )  # fmt: skip
    return replace(one, for_agent=agent_id, previewed=True)
