"""What the gate's refusals of all numbers make of a lead, and how that is told.

It owns the lead's state after a refusal (I18) and its events. Who is refused is the gate's; it is written by the claim (`hopper.py`) and by the pass
over the ready leads (`screening.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from dialer_core.campaigns import number_health
from dialer_core.compliance.gate import Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.events import LeadBlocked, LeadFinished
from dialer_core.store import consents
from dialer_core.store.account_standing import PROMISED
from dialer_core.store.leads import Block, ReadyLead
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId

LIVE_ELSEWHERE = "live_attempt"
NUMBER_RESTS = "caller_id_rests"
REST_LOOK = dt.timedelta(minutes=15)
"""A person whose caller ID rests is looked at again after this."""
LIVE_PAUSE = dt.timedelta(seconds=30)
"""A person or number with a live attempt is looked at again after this."""


def live_elsewhere(lead: ReadyLead, now: dt.datetime) -> Block:
    """Say that a lead waits until somebody has stopped talking to its person, or at its number."""
    return Block(
        lead.id, LIVE_ELSEWHERE, "the person or the number is being called now", next_at_utc=now + LIVE_PAUSE
    )


def number_rests(lead: ReadyLead, now: dt.datetime) -> Block:
    """Say that a lead waits for the number it is called from, which rests."""
    reason = "the number this person is called from rests (caller_ids.toml), and they get no other"
    return Block(lead.id, NUMBER_RESTS, reason, next_at_utc=now + REST_LOOK)


def of_lead(lead: ReadyLead, refused: Sequence[Refused], pack: RulePack) -> Block:
    """Say what a lead waits for when none of its numbers may be dialed now (I18)."""
    if not refused:
        reason = "no number of this person is left to dial"
        return Block(
            lead.id, number_health.NO_USABLE_NUMBER, reason, finished_reason=number_health.NO_USABLE_NUMBER
        )
    timed = [one for one in refused if one.allowed_from is not None]
    if timed:
        soonest = min(timed, key=lambda one: one.allowed_from or dt.datetime.max.replace(tzinfo=dt.UTC))
        return Block(lead.id, soonest.rule, soonest.reason, next_at_utc=soonest.allowed_from)
    first = refused[0]
    if any(one.rule == PROMISED for one in refused):  # all of them: it is the account's
        return Block(lead.id, PROMISED, first.reason, waiting_for=PROMISED)
    if any(one.rule == "zone_unknown" for one in refused):
        return Block(lead.id, "zone_unknown", first.reason, waiting_for="zone")
    needs_consent = {rule.id for one in pack.every() for rule in one.consents}
    if any(one.rule in needs_consent for one in refused):
        return Block(lead.id, first.rule, first.reason, waiting_for=consents.WAITS)
    return Block(lead.id, first.rule, first.reason, finished_reason=first.rule)


def tell(tx: Tx, campaign_id: CampaignId, lead: ReadyLead, block: Block) -> None:
    """Write the events of a refusal; the same lead refused again by the same rule is told once."""
    if block.finished_reason is not None:
        tx.emit(
            LeadFinished(
                campaign_id=campaign_id,
                account_id=lead.account_id,
                lead_id=lead.id,
                reason=block.finished_reason,
            )
        )
    if block.rule not in {lead.blocked_rule, LIVE_ELSEWHERE}:
        tx.emit(
            LeadBlocked(
                campaign_id=campaign_id,
                account_id=lead.account_id,
                lead_id=lead.id,
                rule=block.rule,
                reason=block.reason,
                allowed_from_utc=block.next_at_utc.isoformat() if block.next_at_utc else None,
            )
        )
