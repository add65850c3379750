"""What a message may say of an account: the values of `templates.FIELDS`, in the person's language.

It owns how names, amounts and days are written. Which fields there are, and which reveal a debt, is `templates.py`'s.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from dialer_core.flows.spoken import MONTHS
from dialer_core.money import USUAL, written
from dialer_core.store import people, promises
from dialer_core.store.people import PersonRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId

_SIGNS: Final = {
    "MXN": "$",
    "USD": "$",
    "COP": "$",
    "CLP": "$",
    "ARS": "$",
    "EUR": "\u20ac",
    "GBP": "\u00a3",
    "BRL": "R$",
}
REFERENCE_DIGITS = 4


def of_account(
    tx: Tx,
    account_id: AccountId,
    person: PersonRow,
    *,
    campaign_id: CampaignId | None,
    callback_number: str,
    language: str,
) -> dict[str, str | None]:
    """Return what is known, each as it is written; None: nothing."""
    account = people.account(tx, account_id) or {}
    promise = promises.open_of(tx, [account_id]).get(account_id)
    next_due = next((one for one in promise.instalments if one.open_minor), None) if promise else None
    number = str(account.get("external_id") or "")
    late = account.get("days_past_due")
    return {
        "name": person.name or None,
        "first_name": first_name(person.name) or None,
        "reference": number[-REFERENCE_DIGITS:] or None,
        "campaign": campaign_id,
        "callback_number": callback_number or None,
        "creditor": account.get("creditor") or None,
        "product": account.get("product"),
        "account": number or None,
        "balance": money(account.get("balance_minor"), account.get("currency") or USUAL),
        "due_date": day(account.get("due_date"), language),
        "days_past_due": None if late is None else str(late),
        "promise_amount": money(next_due.open_minor, promise.currency) if promise and next_due else None,
        "promise_date": day(next_due.due_date, language) if next_due else None,
    }


def first_name(name: str) -> str:
    """Return how a person is greeted: the first word, or the one after the comma (`PEREZ LOPEZ, ANA`), not in capitals alone."""
    given = name.partition(",")[2].strip() or name.strip(" ,")
    word = given.split(" ")[0] if given else ""
    return word.title() if word.isupper() else word


def money(minor: Any, currency: str | None) -> str | None:
    """Return an amount as people read it: `$1,234.50 MXN`."""
    if minor is None or currency is None:
        return None
    return f"{_SIGNS.get(currency, '')}{written(minor, currency)} {currency}"


def day(iso: Any, language: str) -> str | None:
    """Return a day as people read it: `5 de marzo de 2027`, `March 5, 2027`."""
    if not iso:
        return None
    one = dt.date.fromisoformat(str(iso))
    if language.startswith("es"):
        return f"{one.day} de {MONTHS['es'][one.month - 1]} de {one.year}"
    return f"{MONTHS['en'][one.month - 1]} {one.day}, {one.year}"
