"""Payments: each counts once, for the open promise of its account first, and stops the calls about what has been paid.

It owns what a payment does. Reading files of payments is `campaigns/payments_import.py`'s, the rows are `store/promises.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from dialer_core.events import PaymentReceived
from dialer_core.portfolio import promises as agreed
from dialer_core.store import account_leads, people, promises, strategy_runs
from dialer_core.store.promises import PaymentRow, PromiseRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AccountStatus, new_id

WAITS = "payment"
"""What a lead waits for after a payment that leaves something owed: its pause, until `next_at_utc`."""
PAUSE = dt.timedelta(days=3)
"""Nobody who has just paid something is called before this."""


class NewPayment(msgspec.Struct, frozen=True):
    """A payment as a file or an interface tells it; negative where one is taken back."""

    account_id: AccountId
    external_id: str
    amount_minor: int
    currency: str
    paid_on: str


def receive(tx: Tx, payments: Sequence[NewPayment], *, source: str, now: dt.datetime) -> int:
    """Write payments that are not known yet, with what follows; return how many were new.

    A payment that covers what is owed finishes the account's leads, one ringing now included (the engine cancels it). Any other pauses
    them for `PAUSE`. One taken back ends such a pause, and opens an account that it had paid; what a kept settlement has forgiven stays
    forgiven, and a withdrawn account stays withdrawn.
    """
    account_ids = {one.account_id for one in payments}
    people.keep_accounts(tx, account_ids)
    known = promises.known_payments(tx, account_ids)
    accounts = people.accounts(tx, account_ids)
    open_promises = promises.open_of(tx, account_ids)
    new: list[PaymentRow] = []
    for one in payments:
        if (one.account_id, one.external_id) in known:
            continue
        known.add((one.account_id, one.external_id))
        promise = open_promises.get(one.account_id)
        new.append(
            PaymentRow(
                id=new_id(),
                account_id=one.account_id,
                external_id=one.external_id,
                amount_minor=one.amount_minor,
                currency=one.currency,
                paid_on=one.paid_on,
                promise_id=promise.id if promise else None,
                source=source[:128],
                received_at_utc=now,
            )
        )
        tx.emit(PaymentReceived(account_id=one.account_id, payment_id=new[-1].id))
        balance = accounts[one.account_id]["balance_minor"]
        if balance is not None:
            accounts[one.account_id]["balance_minor"] = balance - one.amount_minor
            people.update_account(tx, one.account_id, {"balance_minor": balance - one.amount_minor})
        if promise is not None:
            promise = open_promises[one.account_id] = promises.pay(tx, promise, one.amount_minor)
            if promise.paid:
                agreed.keep(tx, promise, now)
                accounts |= people.accounts(tx, [one.account_id])  # a settlement has changed what is owed
                del open_promises[one.account_id]
        accounts[one.account_id]["status"] = _place_leads(tx, one, accounts[one.account_id], promise, now)
    promises.add_payments(tx, new)
    strategy_runs.stop(tx, WAITS, accounts={one.account_id for one in new if one.amount_minor > 0})
    return len(new)


def end_pauses(tx: Tx, now: dt.datetime) -> int:
    """Make leads dialable again whose pause after a payment is over, a few hundred at most; return how many."""
    return account_leads.reopen_due(tx, WAITS, now)


def _place_leads(
    tx: Tx, payment: NewPayment, account: Mapping[str, Any], promise: PromiseRow | None, now: dt.datetime
) -> str:
    """Put the account's leads where a payment sends them; return the account's status from now on."""
    balance, status = account["balance_minor"], str(account["status"])
    if payment.amount_minor < 0:  # taken back: what was finished or put off by it is owed again
        account_leads.reopen(tx, payment.account_id, waiting_for=WAITS)
        if status == AccountStatus.PAID and (balance is None or balance > 0):
            people.update_account(tx, payment.account_id, {"status": AccountStatus.OPEN.value})
            account_leads.reopen(tx, payment.account_id, finished_reason=AccountStatus.PAID.value)
            return AccountStatus.OPEN.value
        return status
    if balance is not None and balance <= 0:
        people.update_account(tx, payment.account_id, {"status": AccountStatus.PAID.value})
        account_leads.finish(tx, payment.account_id, AccountStatus.PAID.value)
        return AccountStatus.PAID.value
    if promise is None or promise.paid:
        account_leads.wait(tx, payment.account_id, WAITS, until_utc=now + PAUSE, also_in_attempt=True)
    return status
