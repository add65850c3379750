"""What a model is told of an account at a moment: nothing that lies ahead of it, and nothing of who the person is.

It owns the columns. No name, language, region, age or sex is among them, nor can a free attribute get in: whoever wants one in changes this list,
and answers for it.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from plugins.prioritization.history import DAY_S, F, History, I

COLUMNS: Final = (
    "days_past_due", "balance", "product", "creditor", "portfolio", "phones", "mobiles", "days_known", "calls_7d", "calls_30d", "calls",
    "contacts", "contacts_30d", "contact_rate", "days_since_call", "days_since_contact", "payments", "payments_90d", "paid_share",
    "days_since_payment", "promises", "kept", "broken", "days_since_promise", "messages_30d", "answers", "hour", "weekday",
)  # fmt: skip
CATEGORIES: Final = frozenset({"product", "creditor", "portfolio"})
GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "debt": ("days_past_due", "balance"),
    "payments": ("payments", "payments_90d", "paid_share", "days_since_payment"),
    "promises": ("promises", "kept", "broken", "days_since_promise"),
    "contacts": ("contacts", "contacts_30d", "contact_rate", "days_since_contact"),
    "calls": ("calls_7d", "calls_30d", "calls", "days_since_call"),
    "messages": ("messages_30d", "answers"),
    "phones": ("phones", "mobiles"),
    "product": ("product", "creditor", "portfolio", "days_known"),
    "hour": ("hour", "weekday"),
}
"""Columns that are one reason, for words."""
MOST_CATEGORIES: Final = 100


def build(history: History, account: I, at_s: F, hour: I, weekday: I) -> F:
    """Return what was known of accounts at moments.

    Parameters
    ----------
    history
        What has happened.
    account, at_s
        Which account (its place in the list) and when, of shape (n,).
    hour, weekday
        Of the callee at that moment, of shape (n,).

    Returns
    -------
    ndarray of shape (n, len(COLUMNS))
        NaN where something is not known.
    """
    back_days = (history.now_s - at_s) / DAY_S
    since_paid = history.paid.within(account, at_s, 10_000 * DAY_S)
    balance = history.balance[account] + since_paid  # as it was: what was paid later was owed still
    paid = history.paid.before(account, at_s)
    calls = history.calls.before(account, at_s)
    contacts = history.contacts.before(account, at_s)
    found: dict[str, F] = {
        "days_past_due": history.days_past_due[account] - back_days,
        "balance": np.log1p(np.maximum(balance, 0)),
        "phones": history.phones[account],
        "mobiles": history.mobiles[account],
        "days_known": (at_s - history.created_s[account]) / DAY_S,
        "calls_7d": history.calls.before(account, at_s, 7 * DAY_S),
        "calls_30d": history.calls.before(account, at_s, 30 * DAY_S),
        "calls": calls,
        "contacts": contacts,
        "contacts_30d": history.contacts.before(account, at_s, 30 * DAY_S),
        "contact_rate": (contacts + 0.25) / (calls + 1.0),
        "days_since_call": history.calls.days_since(account, at_s),
        "days_since_contact": history.contacts.days_since(account, at_s),
        "payments": history.payments.before(account, at_s),
        "payments_90d": history.payments.before(account, at_s, 90 * DAY_S),
        "paid_share": paid / np.maximum(balance + paid, 1.0),
        "days_since_payment": history.payments.days_since(account, at_s),
        "promises": history.made.before(account, at_s),
        "kept": history.kept.before(account, at_s),
        "broken": history.broken.before(account, at_s),
        "days_since_promise": history.made.days_since(account, at_s),
        "messages_30d": history.written.before(account, at_s, 30 * DAY_S),
        "answers": history.answers.before(account, at_s),
        "hour": hour.astype(np.float64),
        "weekday": weekday.astype(np.float64),
    }
    for name in CATEGORIES:
        codes = history.category[name][account]
        found[name] = np.where(codes < 0, np.nan, np.minimum(codes, MOST_CATEGORIES - 1)).astype(np.float64)
    return np.column_stack([found[name] for name in COLUMNS])
