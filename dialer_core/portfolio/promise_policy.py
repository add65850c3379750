"""What agents may agree to: a campaign's `[promises]`, held against a promise before it is written.

It owns that check. What makes sense at all, whoever agrees to it, is `promises.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from dialer_core.errors import CommandRefusedError
from dialer_core.list_settings import PromiseSettings
from dialer_core.money import written
from dialer_core.vocabulary import PromiseKind


def check(
    policy: PromiseSettings,
    instalments: Sequence[tuple[dt.date, int]],
    kind: PromiseKind,
    balance_minor: int | None,
    currency: str | None,
    today: dt.date,
) -> None:
    """Refuse what an agent may not agree to.

    Parameters
    ----------
    policy
        The campaign's.
    instalments
        Day and amount in minor units of each payment, in order.
    kind
        What is agreed.
    balance_minor
        What is owed, where that is known.
    currency
        In which a limit is written.
    today
        The day it is agreed on.

    Raises
    ------
    CommandRefusedError
        It goes beyond the policy (`invalid`); the message names the limit.
    """
    total = sum(amount for _, amount in instalments)
    least = policy.least_minor if balance_minor is None else min(policy.least_minor, balance_minor)
    if len(instalments) > policy.most_instalments:
        _refuse(f"at most {policy.most_instalments} payments are agreed to here")
    if instalments and instalments[0][0] > today + dt.timedelta(days=policy.first_within_days):
        _refuse(f"the first payment is due within {policy.first_within_days} days")
    if instalments and instalments[-1][0] > today + dt.timedelta(days=policy.all_within_days):
        _refuse(f"the last payment is due within {policy.all_within_days} days")
    if any(amount < least for _, amount in instalments):
        _refuse(f"a payment is {written(least, currency)} at least")
    if kind is PromiseKind.SETTLEMENT and balance_minor is not None:
        lowest = round(balance_minor * (1 - policy.most_discount))
        if total < lowest:
            _refuse(f"a settlement is {written(lowest, currency)} at least")
    if kind is PromiseKind.RESTRUCTURING:
        _refuse("a restructuring is agreed to by a supervisor")


def _refuse(limit: str) -> None:
    raise CommandRefusedError(f"{limit}; a supervisor may agree to more", "invalid")
