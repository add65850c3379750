"""What a flow may say of a person and a debt: every field, its kind, and whether it is told only to somebody who is identified.

It owns the names and the marks. Values come from whoever starts a flow; how they are said is `spoken.py`'s.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple


class Kind(enum.StrEnum):
    """How a value is said."""

    TEXT = "text"
    """As it is."""
    MONEY = "money"
    """A whole number of the currency's minor unit, said with the currency of `account.currency`."""
    DATE = "date"
    """A day in ISO form."""
    NUMBER = "number"
    """A whole number."""
    DIGITS = "digits"
    """Said digit by digit: a telephone number, an account's number."""


class Field(NamedTuple):
    """One field."""

    kind: Kind
    sensitive: bool
    """It may not be said before the person is identified (I19)."""
    about: str


FIELDS: Final[dict[str, Field]] = {
    "person.name": Field(Kind.TEXT, False, "the person's name"),
    "caller_id": Field(Kind.DIGITS, False, "the number we call from, which reaches us when called back"),
    "today": Field(Kind.DATE, False, "the day of the call"),
    "creditor": Field(Kind.TEXT, True, "for whom we call"),
    "account.number": Field(Kind.DIGITS, True, "the account's number with its creditor"),
    "account.product": Field(Kind.TEXT, True, "what it is a debt of"),
    "account.balance": Field(Kind.MONEY, True, "what is owed"),
    "account.due_date": Field(Kind.DATE, True, "since when it is due"),
    "account.days_past_due": Field(Kind.NUMBER, True, "for how many days it has been due"),
    "promise.amount": Field(Kind.MONEY, True, "what the step's promise is over"),
    "promise.date": Field(Kind.DATE, True, "until when it is to be paid"),
    "open_promise.amount": Field(Kind.MONEY, True, "what an earlier promise still lacks"),
    "open_promise.date": Field(Kind.DATE, True, "until when that is to be paid"),
}
"""Every field but the free ones. Rendered into the documentation."""

FREE: Final = "x."
"""A free attribute of the account, `x.NAME`, is text, and sensitive."""
PROMISE_FIELDS: Final = frozenset({"promise.amount", "promise.date"})
"""Those that belong to one step and are made of its terms."""


def field_of(name: str) -> Field | None:
    """Return a field by name; None where there is none."""
    if name.startswith(FREE) and len(name) > len(FREE):
        return Field(Kind.TEXT, True, "a free attribute of the account")
    return FIELDS.get(name)
