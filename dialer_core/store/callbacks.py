"""The callback table: who is to be called at a time they named, by one agent or by any.

It owns the rows; a lead has one open one at most. When a call-back is made, and whether it may be, is the hopper's and the gate's.
"""

from __future__ import annotations

import datetime as dt

import msgspec
from sqlalchemy import Table, bindparam, insert, select, update

from dialer_core.store.portfolio_models import Callback
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, AttemptId, CallbackState, CampaignId, LeadId, PhoneId, new_id

_TABLE: Table = Callback.__table__  # type: ignore[assignment]
_SETTLE = (
    update(_TABLE)
    .where(_TABLE.c.lead_id == bindparam("lead"), _TABLE.c.state == CallbackState.OPEN.value)
    .values(state=bindparam("becomes"))
)
_OF_LEAD = select(_TABLE).where(
    _TABLE.c.lead_id == bindparam("lead"), _TABLE.c.state == CallbackState.OPEN.value
)


class CallbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A call-back. `agent_id` None: any agent's; a personal one is any agent's from `open_from_utc` on."""

    id: str
    lead_id: LeadId
    campaign_id: CampaignId
    agent_id: AgentId | None
    phone_id: PhoneId | None
    due_at_utc: dt.datetime
    open_from_utc: dt.datetime
    attempt_id: AttemptId | None


def add(
    tx: Tx,
    *,
    lead_id: LeadId,
    campaign_id: CampaignId,
    due_at_utc: dt.datetime,
    agent_id: AgentId | None = None,
    open_from_utc: dt.datetime | None = None,
    phone_id: PhoneId | None = None,
    attempt_id: AttemptId | None = None,
) -> str:
    """Write a call-back in place of the lead's open one; return its id."""
    cancel(tx, lead_id)
    callback_id = new_id()
    tx.execute(
        insert(_TABLE),
        {
            "id": callback_id,
            "lead_id": lead_id,
            "campaign_id": campaign_id,
            "agent_id": agent_id,
            "phone_id": phone_id,
            "due_at_utc": due_at_utc,
            "open_from_utc": open_from_utc or due_at_utc,
            "state": CallbackState.OPEN.value,
            "attempt_id": attempt_id,
            "made_at_utc": tx.utc(),
        },
    )
    return callback_id


def open_of(tx: Tx, lead_id: LeadId) -> CallbackRow | None:
    """Return a lead's open call-back, or None."""
    row = tx.execute(_OF_LEAD, {"lead": lead_id}).first()
    if row is None:
        return None
    return CallbackRow(**{name: getattr(row, name) for name in CallbackRow.__struct_fields__})


def cancel(tx: Tx, lead_id: LeadId) -> None:
    """Say that a lead's open call-back, if it has one, is not to be made any more."""
    tx.execute(_SETTLE, {"lead": lead_id, "becomes": CallbackState.CANCELLED.value})


def made(tx: Tx, lead_id: LeadId) -> None:
    """Say that a lead's open call-back, if it has one, was made."""
    tx.execute(_SETTLE, {"lead": lead_id, "becomes": CallbackState.MADE.value})
