"""Leads that are shown to an agent before they are dialed: chosen as a claim chooses, kept for that agent, dialed or given back.

It owns what happens to the lead. A lead that is shown waits for `preview`, so that nobody else claims it; where its engine dies, the wait runs out
(`portfolio/upkeep.py`). The gate is asked when it is shown, and again when it is dialed. Who is shown what is `previewing.py`'s.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import hopper
from dialer_core.campaigns.emptiness import EmptyReport, report
from dialer_core.campaigns.mix import Mix
from dialer_core.compliance.rules import RulePack
from dialer_core.list_events import LeadShown, LeadSkipped
from dialer_core.portfolio.upkeep import PREVIEW
from dialer_core.store import callbacks, leads
from dialer_core.store.leads import ReadyLead
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AgentId, CampaignId, LeadId, LeadState

_AT_ONCE, _LOOKED_AT = 20, 200
_GRACE = dt.timedelta(seconds=60)


@dataclass(frozen=True)
class ShownLead:
    """A lead that is an agent's to dial or to skip."""

    lead_id: LeadId
    account_id: AccountId


def show(
    tx: Tx,
    *,
    campaign_id: CampaignId,
    settings: CampaignSettings,
    pack: RulePack,
    agent_id: AgentId,
    now: dt.datetime,
    mix: Mix | None = None,
) -> ShownLead | EmptyReport | None:
    """Choose the next lead that the gate would allow, and keep it for an agent.

    Their own call-backs come first, then anybody's, then the list. Returns why there is none; None: there may be, ask again.
    """
    leads.promote_due(tx, campaign_id, now, hopper.MAX_EXAMINED, apart=mix is not None)
    due = callbacks.take_due(tx, campaign_id, now, _AT_ONCE, [agent_id])
    batch, asked = [lead for lead, _ in due], {lead.id: what for lead, what in due}
    looked = 0
    while looked < _LOOKED_AT:
        taken = (
            mix.take(tx, campaign_id, _AT_ONCE, now) if mix else leads.take_ready(tx, campaign_id, _AT_ONCE)
        )
        batch += taken
        if not batch:
            return report(tx, campaign_id, mix.held if mix else "")
        looked += len(batch)
        refused = hopper.refused_of(tx, batch, settings, pack, now, asked)
        leads.block(tx, [block for _, block in refused])
        closed = {lead.id for lead, _ in refused}
        chosen = next((lead for lead in batch if lead.id not in closed), None)
        if chosen is not None:
            if mix is not None:
                mix.claimed(taken, {chosen.id})
            return _keep(tx, chosen, agent_id, now + dt.timedelta(seconds=settings.preview.limit_s) + _GRACE)
        batch = []
    return None


def _keep(tx: Tx, lead: ReadyLead, agent_id: AgentId, until_utc: dt.datetime) -> ShownLead:
    leads.update_lead(tx, lead.id, state=LeadState.WAITING.value, waiting_for=PREVIEW, next_at_utc=until_utc)
    tx.emit(
        LeadShown(
            campaign_id=lead.campaign_id, account_id=lead.account_id, lead_id=lead.id, agent_id=agent_id
        )
    )
    return ShownLead(lead.id, lead.account_id)


def still_shown(tx: Tx, lead_id: LeadId) -> bool:
    """Say whether a lead is still an agent's: nothing was paid, promised or restricted meanwhile, and its time is not over."""
    lead = leads.get(tx, lead_id, keep=True)
    return lead is not None and lead.state == LeadState.WAITING and lead.waiting_for == PREVIEW


def give_back(tx: Tx, lead_id: LeadId, next_at_utc: dt.datetime = leads.READY_UTC) -> None:
    """Let anybody have a lead that is shown, from a time on; one that is not shown any more stays what it is."""
    if still_shown(tx, lead_id):
        leads.update_lead(
            tx, lead_id, state=LeadState.DIALABLE.value, waiting_for=None, next_at_utc=next_at_utc
        )


def skip(
    tx: Tx,
    *,
    campaign_id: CampaignId,
    shown: ShownLead,
    agent_id: AgentId,
    reason: str,
    now: dt.datetime,
    rest: dt.timedelta,
) -> None:
    """Give a lead back that its agent does not want to dial, to rest for a while, with their reason."""
    give_back(tx, shown.lead_id, now + rest)
    tx.emit(
        LeadSkipped(
            campaign_id=campaign_id, account_id=shown.account_id, lead_id=shown.lead_id, agent_id=agent_id, reason=reason
        )
    )  # fmt: skip
