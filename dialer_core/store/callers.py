"""Who calls: the person, lead and agent behind a number, read over the tables that know.

It owns these reads, and the rest that a person's leads are given while they talk to us anyway; the rows are their owners'.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import Table, select, update

from dialer_core.store import callbacks
from dialer_core.store.models import Attempt, Lead, Person, Phone
from dialer_core.store.portfolio_models import Callback
from dialer_core.store.promises import last_agents
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    CallbackState,
    CampaignId,
    LeadId,
    LeadState,
    PersonId,
    PhoneId,
)

_PHONE: Table = Phone.__table__  # type: ignore[assignment]
_PERSON: Table = Person.__table__  # type: ignore[assignment]
_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_CALLBACK: Table = Callback.__table__  # type: ignore[assignment]
_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]
_OPEN_FIRST = (LeadState.IN_ATTEMPT, LeadState.DIALABLE, LeadState.WAITING, LeadState.FINISHED)
CALLED_IN = "called_in"
"""The rule under which leads rest whose person has called us."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whose number is known, and their lead in the campaign they called."""

    person_id: PersonId
    phone_id: PhoneId
    lead_id: LeadId | None = None
    account_id: AccountId | None = None
    language: str = "es"
    region: str | None = None
    agent_id: AgentId | None = None
    """Whom they were promised by a call-back, else who took their promise, else who spoke with them last."""


def find(tx: Tx, campaign_id: CampaignId, numbers: Collection[str]) -> Caller | None:
    """Return who has one of these numbers (E.164); None where nobody has, or several people have and none of them a lead in the campaign."""
    query = (
        select(
            _PHONE.c.id.label("phone_id"), _PHONE.c.person_id, _LEAD.c.id.label("lead_id"), _LEAD.c.account_id, _LEAD.c.state,
            _PERSON.c.language, _PERSON.c.region,
        )
        .join(_PERSON, _PERSON.c.id == _PHONE.c.person_id)
        .outerjoin(_LEAD, (_LEAD.c.person_id == _PHONE.c.person_id) & (_LEAD.c.campaign_id == campaign_id))
        .where(_PHONE.c.e164.in_(list(numbers)))
    )  # fmt: skip
    rows = tx.execute(query).all()
    listed = sorted(
        (row for row in rows if row.lead_id), key=lambda row: _OPEN_FIRST.index(LeadState(row.state))
    )
    if not listed and len({row.person_id for row in rows}) != 1:
        return None
    row = (listed or rows)[0]
    return Caller(
        language=row.language, region=row.region,
        person_id=row.person_id, phone_id=row.phone_id, lead_id=row.lead_id, account_id=row.account_id,
        agent_id=_agent_of(tx, row.person_id, row.lead_id, row.account_id),
    )  # fmt: skip


def _agent_of(tx: Tx, person_id: str, lead_id: LeadId | None, account_id: AccountId | None) -> AgentId | None:
    asked = callbacks.open_of(tx, lead_id) if lead_id is not None else None
    if asked is not None and asked.agent_id is not None:
        return asked.agent_id
    if account_id is not None and (promised := last_agents(tx, [account_id])):
        return promised[account_id]
    # along their leads: attempts have no index by person, and a limit would have PostgreSQL walk them all backwards
    theirs = (
        select(_ATTEMPT.c.agent_id)
        .where(
            _ATTEMPT.c.lead_id.in_(select(_LEAD.c.id).where(_LEAD.c.person_id == person_id)),
            _ATTEMPT.c.agent_id.is_not(None),
        )
        .order_by(_ATTEMPT.c.id)
    )
    found = list(tx.scalars(theirs))
    return AgentId(found[-1]) if found else None


def rest(tx: Tx, person_id: PersonId, until: dt.datetime, *, unless_called_back: bool = False) -> None:
    """Dial none of a person's leads before then: they are talking to us, or just did; or only those without an open call-back."""
    query = update(_LEAD).where(
        _LEAD.c.person_id == person_id,
        _LEAD.c.state == LeadState.DIALABLE.value,
        _LEAD.c.next_at_utc < until,
    )
    if unless_called_back:
        asked = select(_CALLBACK.c.id).where(
            _CALLBACK.c.lead_id == _LEAD.c.id, _CALLBACK.c.state == CallbackState.OPEN.value
        )
        query = query.where(~asked.exists())
    tx.execute(
        query.values(next_at_utc=until, blocked_rule=CALLED_IN, blocked_reason="the person has called us")
    )


def take_callback(tx: Tx, caller: Caller, campaign_id: CampaignId, due: dt.datetime) -> str | None:
    """Write that a caller wants to be called back; return the call-back's id, or None where their lead is not to be dialed at all."""
    if caller.lead_id is None:
        return None
    kept = tx.execute(
        update(_LEAD)
        .where(_LEAD.c.id == caller.lead_id, _LEAD.c.state == LeadState.DIALABLE.value)
        .values(next_at_utc=due, blocked_rule=None, blocked_reason=None)
    )
    if not kept.rowcount:
        return None
    return callbacks.add(
        tx, lead_id=caller.lead_id, campaign_id=campaign_id, due_at_utc=due, phone_id=caller.phone_id
    )
