"""Promises to pay: made in a conversation, kept or broken by what is paid, and what that does to the account's leads.

An account with an open promise is not called until the promise is kept or broken (I12). It owns those rules. The rows are
`store/promises.py`'s, payments come by `portfolio/payments.py`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from dialer_core.errors import CommandRefusedError
from dialer_core.events import PromiseBroken, PromiseKept, PromiseMade
from dialer_core.list_events import PromiseWithdrawn
from dialer_core.money import USUAL
from dialer_core.store import account_leads, claims, people, promises, strategy_runs
from dialer_core.store.account_standing import PROMISED
from dialer_core.store.promises import MOST_GRACE_DAYS, Instalment, PromiseRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AccountStatus,
    AgentId,
    AttemptId,
    CampaignId,
    Disposition,
    PersonId,
    PromiseKind,
    PromiseState,
    new_id,
)

WAITS = PROMISED
"""What a lead waits for whose account has an open promise."""
MOST_INSTALMENTS = 120
FARTHEST = dt.timedelta(days=10 * 365)
"""The day of the last instalment, from today: beyond it a year was mistyped."""
_AT_ONCE = 500


def make(
    tx: Tx,
    *,
    account_id: AccountId,
    instalments: Sequence[tuple[dt.date, int]],
    kind: PromiseKind,
    now: dt.datetime,
    grace_days: int = 1,
    settles_minor: int | None = None,
    agent_id: AgentId | None = None,
    campaign_id: CampaignId | None = None,
    attempt_id: AttemptId | None = None,
    actor: str = "",
    promise_id: str | None = None,
) -> PromiseRow:
    """Write a promise of an account, in place of an open one, and stop its calls until it is kept or broken.

    Parameters
    ----------
    tx
        A write transaction.
    account_id, kind
        Of which debt, and what was agreed.
    instalments
        Day and amount in minor units of each payment, in order.
    now
        When it is made.
    grace_days
        Days after each due day before the promise is broken.
    settles_minor
        What of the balance is settled when it is kept; empty: all of it for a settlement, what was paid for the others.
    agent_id, campaign_id, attempt_id
        To whom and in which conversation it was made.
    actor
        Who writes it down, for the audit log; by default the agent.
    promise_id
        The asker's own id of it: asked for again, the promise written before is returned.

    Raises
    ------
    CommandRefusedError
        There is no such account or attempt of it, or what is promised makes no sense.
    """
    people.keep_accounts(tx, [account_id])
    known = promises.get(tx, promise_id) if promise_id else None
    if known is not None:
        if known.account_id != account_id:
            raise CommandRefusedError("there is another account's promise under this id")
        return known
    account = people.account(tx, account_id)
    if account is None:
        raise CommandRefusedError(f"there is no account {account_id}", "unknown")
    _check(account, instalments, kind, settles_minor, grace_days, now.date())
    said: set[str] = {Disposition.PROMISE}
    if attempt_id is not None:
        tried = claims.tried(tx, attempt_id)
        if tried is None or tried.account_id != account_id:
            raise CommandRefusedError("this attempt is not one of this account's", "unknown")
        campaign_id = campaign_id or tried.campaign_id
        said |= {tried.disposition} if tried.disposition else set()
    for old in promises.open_of(tx, [account_id]).values():
        promises.set_state(tx, old.id, PromiseState.REPLACED, now)
        _withdrawn(tx, old, PromiseState.REPLACED)
    promise = PromiseRow(
        id=promise_id or new_id(),
        account_id=account_id,
        person_id=PersonId(account["person_id"]),
        campaign_id=campaign_id,
        attempt_id=attempt_id,
        agent_id=agent_id,
        kind=kind,
        state=PromiseState.OPEN,
        currency=account["currency"] or USUAL,
        total_minor=sum(amount for _, amount in instalments),
        settles_minor=settles_minor,
        grace_days=grace_days,
        made_at_utc=now,
        instalments=tuple(Instalment(day.isoformat(), amount) for day, amount in instalments),
    )
    promises.add(tx, promise)
    strategy_runs.stop(tx, WAITS, accounts=[account_id])
    # one made elsewhere stops what rings, as a payment does; of one made in a conversation its end says where the lead goes
    # of one written down after the agent's word, that word has finished the lead already
    account_leads.wait(tx, account_id, WAITS, also_in_attempt=attempt_id is None, also_finished=said)
    tx.emit(
        PromiseMade(
            campaign_id=campaign_id,
            account_id=account_id,
            attempt_id=attempt_id,
            promise_id=promise.id,
            kind=kind.value,
        )
    )
    tx.audit(
        "promise.made",
        f"promise {promise.id}",
        actor=actor or (f"agent:{agent_id}" if agent_id else ""),
        kind=kind.value,
    )
    return promise


def _check(
    account: Mapping[str, Any], instalments: Sequence[tuple[dt.date, int]], kind: PromiseKind, settles_minor: int | None,
    grace_days: int, today: dt.date,
) -> None:  # fmt: skip
    """Refuse what makes no sense. The balance is the customer's and may be of yesterday: a plan with interest may come to more, nothing else may."""
    if account["status"] != AccountStatus.OPEN.value:
        raise CommandRefusedError(f"this account is {account['status']}: there is nothing to promise")
    if not 0 < len(instalments) <= MOST_INSTALMENTS or any(amount <= 0 for _, amount in instalments):
        raise CommandRefusedError(f"a promise has 1 to {MOST_INSTALMENTS} instalments, each above zero")
    days = [day for day, _ in instalments]
    if days != sorted(days) or days[0] < today - dt.timedelta(days=1):
        raise CommandRefusedError("a promise's instalments are in order of their days, none of them past")
    if days[-1] > today + FARTHEST:
        raise CommandRefusedError(f"a promise's last instalment is due within {FARTHEST.days // 365} years")
    if not 0 <= grace_days <= MOST_GRACE_DAYS:
        raise CommandRefusedError(f"the grace of a promise is 0 to {MOST_GRACE_DAYS} days")
    total, balance = sum(amount for _, amount in instalments), account["balance_minor"]
    if kind is not PromiseKind.RESTRUCTURING and balance is not None and total > balance:
        raise CommandRefusedError(
            f"this {kind} is for more than is owed; a plan that comes to more is a {PromiseKind.RESTRUCTURING}"
        )
    if settles_minor is None:
        return
    if kind is not PromiseKind.SETTLEMENT:
        raise CommandRefusedError(f"only a {PromiseKind.SETTLEMENT} settles more than is paid")
    if settles_minor < total or (balance is not None and settles_minor > balance):
        raise CommandRefusedError(
            "a settlement settles no less than is paid for it, and no more than is owed"
        )


def cancel(tx: Tx, promise: PromiseRow, now: dt.datetime, *, actor: str = "") -> None:
    """Take an open promise back; the account's leads are dialable again. Raises `CommandRefusedError` for one that is settled."""
    people.keep_accounts(tx, [promise.account_id])
    promise = promises.get(tx, promise.id) or promise
    if promise.state is not PromiseState.OPEN:
        raise CommandRefusedError(f"this promise is {promise.state}; only an open one is taken back")
    promises.set_state(tx, promise.id, PromiseState.CANCELLED, now)
    _withdrawn(tx, promise, PromiseState.CANCELLED)
    account_leads.reopen(tx, promise.account_id, waiting_for=WAITS)
    tx.audit("promise.cancelled", f"promise {promise.id}", actor=actor)


def _withdrawn(tx: Tx, promise: PromiseRow, state: PromiseState) -> None:
    tx.emit(
        PromiseWithdrawn(
            campaign_id=promise.campaign_id, account_id=promise.account_id, promise_id=promise.id, state=state.value
        )
    )  # fmt: skip


def keep(tx: Tx, promise: PromiseRow, now: dt.datetime) -> None:
    """Say that a promise was kept: a settlement settles its account, others leave what is still owed to be collected."""
    promises.set_state(tx, promise.id, PromiseState.KEPT, now)
    tx.emit(
        PromiseKept(campaign_id=promise.campaign_id, account_id=promise.account_id, promise_id=promise.id)
    )
    if promise.kind is PromiseKind.SETTLEMENT:
        account = people.account(tx, promise.account_id)
        owed = (account or {}).get("balance_minor") or 0
        left = (
            0 if promise.settles_minor is None else max(0, owed + promise.total_minor - promise.settles_minor)
        )
        people.update_account(tx, promise.account_id, {"balance_minor": left})
        if not left:
            people.update_account(tx, promise.account_id, {"status": AccountStatus.PAID.value})
            account_leads.finish(tx, promise.account_id, AccountStatus.PAID.value)
            return
    account_leads.reopen(tx, promise.account_id, waiting_for=WAITS)


def break_overdue(tx: Tx, today: dt.date, now: dt.datetime) -> int:
    """Break promises that were not kept by their day and grace, at most a few hundred; return how many. Their leads are dialable again."""
    late = {one.account_id for one in promises.overdue(tx, today, _AT_ONCE)}
    people.keep_accounts(tx, late)
    # read again: a payment may have come for it, or another node have broken it, before we had the account to ourselves
    broken = [one for one in promises.open_of(tx, late).values() if one.overdue(today.isoformat())]
    for promise in broken:
        promises.set_state(tx, promise.id, PromiseState.BROKEN, now)
        tx.emit(
            PromiseBroken(
                campaign_id=promise.campaign_id, account_id=promise.account_id, promise_id=promise.id
            )
        )
        account_leads.reopen(tx, promise.account_id, waiting_for=WAITS)
    return len(broken)
