"""Call-backs that somebody writes down without ending a conversation: checked, and the lead made to come back at that time.

It owns that rule. The rows are `store/callbacks.py`'s; one that an agent names with their disposition is `dispositions.py`'s.
"""

from __future__ import annotations

import datetime as dt

from dialer_core.errors import CommandRefusedError
from dialer_core.store import account_leads, callbacks, leads, people
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AgentId, CampaignId, LeadId, LeadState, PhoneId

FARTHEST = dt.timedelta(days=366)


def ask(
    tx: Tx,
    *,
    account_id: AccountId,
    campaign_id: CampaignId,
    at_utc: dt.datetime,
    now: dt.datetime,
    actor: str,
    agent_id: AgentId | None = None,
    open_from_utc: dt.datetime | None = None,
    phone_id: PhoneId | None = None,
) -> str:
    """Write that an account's person is to be called at a time, in place of the lead's open call-back; return its id.

    The lead is dialed then and not before. One with a live attempt gets its call-back from the agent's disposition; one that waits (for a
    promise, say) or is finished is not brought back by this: lift or cancel what holds it.

    Parameters
    ----------
    tx
        A write transaction.
    account_id, campaign_id
        Which lead.
    at_utc, open_from_utc
        When, and from when on by any agent; by default at once.
    now, actor
        When it is asked, and who writes it.
    agent_id, phone_id
        By whom, and at which of the person's numbers, if they named one.

    Raises
    ------
    CommandRefusedError
        There is no such lead or phone (`unknown`), the time makes no sense (`invalid`), or the lead is held or finished.
    """
    if not now < at_utc < now + FARTHEST:
        raise CommandRefusedError("a call-back lies ahead, and within a year", "invalid")
    if open_from_utc is not None and open_from_utc < at_utc:
        raise CommandRefusedError("open_from does not lie before the call-back itself", "invalid")
    lead = leads.by_account(tx, campaign_id, [account_id]).get(account_id)
    if lead is None:
        raise CommandRefusedError("this account is not on that campaign's list", "unknown")
    if lead.state == LeadState.IN_ATTEMPT:
        raise CommandRefusedError(
            "this lead is being called: its agent gives the disposition callback, with the time"
        )
    if not account_leads.is_callable(lead.state, lead.waiting_for):
        raise CommandRefusedError(f"this lead is {lead.state}: {lead.waiting_for or lead.finished_reason}")
    if phone_id is not None and all(
        one.id != phone_id for one in people.phones_of(tx, [lead.person_id])[lead.person_id]
    ):
        raise CommandRefusedError("this phone is not one of the person's", "unknown")
    made = callbacks.add(
        tx, lead_id=LeadId(lead.id), campaign_id=campaign_id, due_at_utc=at_utc, agent_id=agent_id, open_from_utc=open_from_utc,
        phone_id=phone_id,
    )  # fmt: skip
    leads.update_lead(
        tx,
        LeadId(lead.id),
        state=LeadState.DIALABLE.value,
        waiting_for=None,
        next_at_utc=open_from_utc or at_utc,
    )  # before it is anybody's, its agent alone claims it
    tx.audit("callback.asked", f"callback {made}", actor=actor)
    return made
