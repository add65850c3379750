"""The callback table: who is to be called at a time they named, by one agent or by any.

It owns the rows; a lead has one open one at most. When a call-back is made, and whether it may be, is the hopper's and the gate's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import Table, and_, bindparam, insert, or_, select, update

from dialer_core.store.leads import ReadyLead
from dialer_core.store.models import Lead, Person
from dialer_core.store.portfolio_models import Callback
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AgentId,
    AttemptId,
    CallbackState,
    CampaignId,
    LeadId,
    LeadState,
    PhoneId,
    new_id,
)

_TABLE: Table = Callback.__table__  # type: ignore[assignment]
_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_PERSON: Table = Person.__table__  # type: ignore[assignment]
_SETTLE = (
    update(_TABLE)
    .where(_TABLE.c.lead_id == bindparam("lead"), _TABLE.c.state == CallbackState.OPEN.value)
    .values(state=bindparam("becomes"))
)
_MADE_BEFORE = _SETTLE.where(_TABLE.c.made_at_utc < bindparam("before"))
_MADE = _SETTLE.where(or_(_TABLE.c.attempt_id.is_(None), _TABLE.c.attempt_id != bindparam("by")))
_POSTPONE = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("key"))
    .values(due_at_utc=bindparam("again"), open_from_utc=bindparam("open_from"))
)
_OF_LEAD = select(_TABLE).where(
    _TABLE.c.lead_id == bindparam("lead"), _TABLE.c.state == CallbackState.OPEN.value
)


_DUE = (
    select(
        _LEAD.c.id,
        _LEAD.c.campaign_id,
        _LEAD.c.account_id,
        _LEAD.c.person_id,
        _LEAD.c.attempts,
        _LEAD.c.blocked_rule,
        _PERSON.c.language,
        _PERSON.c.region,
        _LEAD.c.segment,
        _LEAD.c.propensity,
        _LEAD.c.propensity_at_utc,
        _TABLE.c.phone_id,
        _TABLE.c.agent_id,
        _TABLE.c.open_from_utc,
    )
    .join(_LEAD, _LEAD.c.id == _TABLE.c.lead_id)
    .join(_PERSON, _PERSON.c.id == _LEAD.c.person_id)
    .where(
        _TABLE.c.campaign_id == bindparam("campaign"),
        _TABLE.c.state == CallbackState.OPEN.value,
        _TABLE.c.due_at_utc <= bindparam("now"),
        _LEAD.c.state == LeadState.DIALABLE.value,
        # the lead itself rests until the call-back is anybody's; before, it is its agent's alone. One that the gate has put off rests longer.
        or_(
            _LEAD.c.next_at_utc <= bindparam("now"),
            and_(
                _LEAD.c.next_at_utc == _TABLE.c.open_from_utc,
                _TABLE.c.agent_id.in_(bindparam("present", expanding=True)),
            ),
        ),
    )
    .order_by(_TABLE.c.due_at_utc, _TABLE.c.id)
    .limit(bindparam("most"))
)
_DUE_ALONE = Prepared(_DUE)
_DUE_KEPT = Prepared(_DUE.with_for_update(of=[_LEAD, _PERSON], skip_locked=True, key_share=True))


class Asked(msgspec.Struct, frozen=True):
    """What somebody asked for who is to be called back."""

    phone_id: PhoneId | None
    """The number they named; None: any of theirs."""
    agent_id: AgentId | None
    """Whom they asked for; None: anybody."""
    open_from_utc: dt.datetime
    """From then on anybody will do."""


class CallbackRow(msgspec.Struct, frozen=True, kw_only=True):
    """A call-back, with the agent it was promised by, if any."""

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


def of_leads(tx: Tx, lead_ids: Collection[str]) -> list[CallbackRow]:
    """Return the open call-backs of some leads, the next first."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.lead_id.in_(list(lead_ids)), _TABLE.c.state == CallbackState.OPEN.value)
        .order_by(_TABLE.c.due_at_utc, _TABLE.c.id)
    )
    return [
        CallbackRow(**{name: getattr(row, name) for name in CallbackRow.__struct_fields__})
        for row in tx.execute(query)
    ]


def asked_now(tx: Tx, lead_ids: Collection[LeadId], now: dt.datetime) -> dict[LeadId, Asked]:
    """Return what those of these leads asked for who are to be called back by now."""
    if not lead_ids:
        return {}
    return {
        row.lead_id: Asked(row.phone_id, row.agent_id, row.open_from_utc)
        for row in of_leads(tx, lead_ids)
        if row.due_at_utc <= now
    }


def take_due(
    tx: Tx, campaign_id: CampaignId, now: dt.datetime, limit: int, present: Collection[AgentId] = ()
) -> list[tuple[ReadyLead, Asked]]:
    """Return leads that are to be called back now, the longest due first, each with what they asked for and kept as `leads.take_ready` keeps it.

    An agent's own call-back is among them while they are `present`, and once it is anybody's.
    """
    due = _DUE_KEPT if tx.dialect == "postgresql" else _DUE_ALONE
    given = {"campaign": campaign_id, "now": now, "most": limit, "present": [*present, ""]}
    found: list[tuple[ReadyLead, Asked]] = []
    free = set(present)
    for row in tx.execute(due, given):
        if row.open_from_utc > now:  # one each: the next when they are free again
            if row.agent_id not in free:
                continue
            free.discard(row.agent_id)
        lead = ReadyLead(**{name: getattr(row, name) for name in ReadyLead.__struct_fields__})
        found.append((lead, Asked(row.phone_id, row.agent_id, row.open_from_utc)))
    return found


def not_reached(tx: Tx, lead_id: LeadId, again_at: dt.datetime) -> dt.datetime:
    """Take note that an attempt has reached nobody: what was promised is due again then; return until when the lead rests (`take_due`)."""
    row = open_of(tx, lead_id)
    if row is None:
        return again_at
    alone = row.open_from_utc - row.due_at_utc
    tx.execute(_POSTPONE, {"key": row.id, "again": again_at, "open_from": again_at + alone})
    return again_at + alone


def cancel(tx: Tx, lead_id: LeadId) -> None:
    """Say that a lead's open call-back, if it has one, is not to be made any more."""
    tx.execute(_SETTLE, {"lead": lead_id, "becomes": CallbackState.CANCELLED.value})


def made(tx: Tx, lead_id: LeadId, by: AttemptId | dt.datetime) -> None:
    """Say that a lead's open call-back, if it has one, was made: they talked, by an attempt or because they called at a time.

    One asked for in that same conversation stays.
    """
    given = {"lead": lead_id, "becomes": CallbackState.MADE.value}
    if isinstance(by, dt.datetime):
        tx.execute(_MADE_BEFORE, given | {"before": by})
    else:
        tx.execute(_MADE, given | {"by": by})
