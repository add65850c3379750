"""What a flow knows of a person and their debt: a value for every field of `flows/fields.py`, as the store says now.

It owns the reading. How a value is said is `flows/spoken.py`'s, how it is written `messaging/bot_texts.py`'s.
"""

from __future__ import annotations

import datetime as dt

from dialer_core.flows.interpreter import Value
from dialer_core.flows.language import Promise
from dialer_core.store import people, promises
from dialer_core.store.people import PersonRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId


def of_account(
    tx: Tx,
    account_id: AccountId,
    person: PersonRow,
    *,
    creditor: str | None,
    caller_id: str | None,
    today: dt.date,
) -> dict[str, Value] | None:
    """Return every field's value; None: there is no such account.

    Parameters
    ----------
    tx, account_id, person
        Of whom.
    creditor
        The campaign's, where the account names none.
    caller_id
        The number that reaches us.
    today
        Where the person is.
    """
    account = people.account(tx, account_id)
    if account is None:
        return None
    values: dict[str, Value] = {
        "person.name": person.name,
        "caller_id": caller_id,
        "today": today.isoformat(),
        "creditor": account["creditor"] or creditor,
        "account.number": account["external_id"],
        "account.product": account["product"],
        "account.balance": account["balance_minor"],
        "account.currency": account["currency"],
        "account.due_date": account["due_date"],
        "account.days_past_due": account["days_past_due"],
        **{f"x.{name}": str(value) for name, value in account["attributes"].items() if value is not None},
    }
    open_promise = promises.open_of(tx, [account_id]).get(account_id)
    if open_promise is not None and open_promise.instalments:
        first = next((one for one in open_promise.instalments if one.open_minor), open_promise.instalments[0])
        values |= {"open_promise.amount": first.open_minor, "open_promise.date": first.due_date}
    return values


def terms_of(step: Promise, values: dict[str, Value]) -> tuple[int, dt.date] | None:
    """Return what a promise step offers now: amount in minor units, and day; None: nothing is owed."""
    amount = int(int(values.get("account.balance") or 0) * step.share)
    day = dt.date.fromisoformat(str(values["today"])) + dt.timedelta(days=step.in_days)
    return (amount, day) if amount > 0 else None


__all__ = ["of_account", "terms_of"]
