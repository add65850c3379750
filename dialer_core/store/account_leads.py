"""What happens to one account on every campaign's list at once: its leads wait, are dialable again, or are finished.

It owns these writes of the lead table, whose other questions are `store/leads.py`'s. An attempt whose lead is taken out of it here is
cancelled by the engine while nobody has answered (`store.restrictions.forbidden_live_attempts`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

from sqlalchemy import Table, and_, func, literal, or_, select, update

from dialer_core.store import callbacks, leads
from dialer_core.store.leads import READY_UTC
from dialer_core.store.models import Campaign, Lead
from dialer_core.store.portfolio_models import Callback
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CallbackState, CampaignId, LeadId, LeadState, PersonId, PhoneId

_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_CAMPAIGN: Table = Campaign.__table__  # type: ignore[assignment]
_CALLBACK: Table = Callback.__table__  # type: ignore[assignment]
_AT_ONCE = 500
STRATEGY = "strategy"
"""What a lead waits for whose strategy has a call ahead: that, or its strategy's end."""
_WHEN_OPEN_AGAIN = func.coalesce(
    select(_CALLBACK.c.open_from_utc)
    .where(_CALLBACK.c.lead_id == _LEAD.c.id, _CALLBACK.c.state == CallbackState.OPEN.value)
    .scalar_subquery(),
    literal(READY_UTC, _LEAD.c.next_at_utc.type),
)
"""A lead that is dialable again keeps the hour at which its person asked to be called; others are ready."""


def wait(
    tx: Tx,
    account_id: AccountId,
    what: str,
    *,
    until_utc: dt.datetime | None = None,
    also_in_attempt: bool = False,
    also_finished: Collection[str] = (),
) -> None:
    """Let an account's leads wait for something named, until it is over (`reopen`) or a time (`reopen_due`).

    Leads with a live attempt stay with it, unless they are to be taken out of it; finished ones stay so, but for those that were finished for
    one of these reasons.
    """
    states = [LeadState.DIALABLE.value, LeadState.WAITING.value]
    if also_in_attempt:
        states.append(LeadState.IN_ATTEMPT.value)
    finished = and_(
        _LEAD.c.state == LeadState.FINISHED.value, _LEAD.c.finished_reason.in_(list(also_finished))
    )
    tx.execute(
        update(_LEAD)
        .where(_LEAD.c.account_id == account_id, or_(_LEAD.c.state.in_(states), finished))
        .values(
            state=LeadState.WAITING.value,
            waiting_for=what,
            finished_reason=None,
            next_at_utc=until_utc or READY_UTC,
        )
    )


def hold_for_strategy(tx: Tx, account_id: AccountId, campaign_id: CampaignId | None) -> None:
    """Let an account's leads, or that on one list, wait until their strategy has come to its call; who asked to be called back is called."""
    asked = (
        select(_CALLBACK.c.id)
        .where(_CALLBACK.c.lead_id == _LEAD.c.id, _CALLBACK.c.state == CallbackState.OPEN.value)
        .exists()
    )
    query = update(_LEAD).where(
        _LEAD.c.account_id == account_id, _LEAD.c.state == LeadState.DIALABLE.value, ~asked
    )
    if campaign_id is not None:
        query = query.where(_LEAD.c.campaign_id == campaign_id)
    tx.execute(query.values(state=LeadState.WAITING.value, waiting_for=STRATEGY, next_at_utc=READY_UTC))


def let_go_of_strategies(tx: Tx, account_ids: Collection[str]) -> None:
    """Make the leads of these accounts dialable that wait for a strategy: it is over."""
    ids = list(account_ids)
    for first in range(0, len(ids), _AT_ONCE):
        tx.execute(
            update(_LEAD)
            .where(
                _LEAD.c.account_id.in_(ids[first : first + _AT_ONCE]),
                _LEAD.c.state == LeadState.WAITING.value,
                _LEAD.c.waiting_for == STRATEGY,
            )
            .values(state=LeadState.DIALABLE.value, waiting_for=None, next_at_utc=_WHEN_OPEN_AGAIN)
        )


def is_callable(state: str, waiting_for: str | None) -> bool:
    """Say whether a lead may be called where its person asks for it: a strategy's own call is no reason to wait then."""
    return state == LeadState.DIALABLE or (state == LeadState.WAITING and waiting_for == STRATEGY)


def reopen(
    tx: Tx, account_id: AccountId, *, waiting_for: str | None = None, finished_reason: str | None = None
) -> None:
    """Make those of an account's leads dialable that wait for this, or were finished because of that."""
    query = update(_LEAD).where(_LEAD.c.account_id == account_id)
    if waiting_for is not None:
        query = query.where(_LEAD.c.state == LeadState.WAITING.value, _LEAD.c.waiting_for == waiting_for)
    else:
        query = query.where(
            _LEAD.c.state == LeadState.FINISHED.value, _LEAD.c.finished_reason == finished_reason
        )
    tx.execute(
        query.values(
            state=LeadState.DIALABLE.value,
            waiting_for=None,
            finished_reason=None,
            next_at_utc=_WHEN_OPEN_AGAIN,
        )
    )


def reopen_person(tx: Tx, person_id: PersonId, *, waiting_for: str) -> None:
    """Make those of a person's leads dialable that wait for this."""
    tx.execute(
        update(_LEAD)
        .where(
            _LEAD.c.person_id == person_id,
            _LEAD.c.state == LeadState.WAITING.value,
            _LEAD.c.waiting_for == waiting_for,
        )
        .values(state=LeadState.DIALABLE.value, waiting_for=None, next_at_utc=_WHEN_OPEN_AGAIN)
    )


def reopen_due(tx: Tx, waiting_for: str, now: dt.datetime) -> int:
    """Make leads dialable whose wait for this has run out, a few hundred at most; return how many."""
    due = (
        select(_LEAD.c.id)
        .where(
            _LEAD.c.campaign_id.in_(select(_CAMPAIGN.c.id)),
            _LEAD.c.state == LeadState.WAITING.value,
            _LEAD.c.next_at_utc > READY_UTC,
            _LEAD.c.next_at_utc <= now,
            _LEAD.c.waiting_for == waiting_for,
        )
        .limit(_AT_ONCE)
    )
    ids = list(tx.scalars(due))
    if ids:
        tx.execute(
            update(_LEAD)
            .where(
                _LEAD.c.id.in_(ids),
                _LEAD.c.state == LeadState.WAITING.value,
                _LEAD.c.waiting_for == waiting_for,  # it may wait for something else since
                _LEAD.c.next_at_utc <= now,
            )
            .values(state=LeadState.DIALABLE.value, waiting_for=None, next_at_utc=_WHEN_OPEN_AGAIN)
        )
    return len(ids)


def waits_until(tx: Tx, account_ids: Collection[str], waiting_for: str) -> dict[str, dt.datetime]:
    """Return until when the leads of these accounts wait for this, of those that do."""
    query = (
        select(_LEAD.c.account_id, func.max(_LEAD.c.next_at_utc).label("until_utc"))
        .where(
            _LEAD.c.account_id.in_(list(account_ids)),
            _LEAD.c.state == LeadState.WAITING.value,
            _LEAD.c.waiting_for == waiting_for,
        )
        .group_by(_LEAD.c.account_id)
    )
    return {row.account_id: row.until_utc for row in tx.execute(query)}


def finish(tx: Tx, account_id: AccountId, reason: str) -> int:
    """Finish every unfinished lead of an account, with its call-back; return how many."""
    query = select(_LEAD).where(_LEAD.c.account_id == account_id, _LEAD.c.state != LeadState.FINISHED.value)
    found = [Lead(**row) for row in tx.execute(query).mappings()]
    for lead in found:
        leads.finish(tx, lead, reason)
        callbacks.cancel(tx, LeadId(lead.id))
    return len(found)


def call_now(
    tx: Tx,
    account_id: AccountId,
    campaign_id: CampaignId,
    due: dt.datetime,
    *,
    phone_id: PhoneId | None = None,
) -> bool:
    """Have an account's lead called at a time, now or later, before all that nobody asked for; False: it is not to be dialed at all."""
    kept = [
        one for one in leads.of_account(tx, account_id) if one.campaign_id == campaign_id and is_callable(one.state, one.waiting_for)
    ]  # fmt: skip
    for lead in kept:
        leads.update_lead(
            tx,
            LeadId(lead.id),
            state=LeadState.DIALABLE.value,
            waiting_for=None,
            next_at_utc=due,
            blocked_rule=None,
            blocked_reason=None,
        )
        callbacks.add(tx, lead_id=LeadId(lead.id), campaign_id=campaign_id, due_at_utc=due, phone_id=phone_id)
    return bool(kept)
