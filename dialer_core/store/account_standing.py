"""Whether an account may be collected at all: what its status and its open promise say.

It owns this one question of the account and promise tables, asked for a whole batch before every claim. What follows is the gate's.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Table, and_, bindparam, or_, select

from dialer_core.store.models import Account
from dialer_core.store.portfolio_models import Promise
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AccountStatus, PromiseState

_ACCOUNT: Table = Account.__table__  # type: ignore[assignment]
_PROMISE: Table = Promise.__table__  # type: ignore[assignment]

PROMISED = "promise"
"""The standing of an open account with an open promise."""

_NOT_OPEN = Prepared(
    select(_ACCOUNT.c.id, _ACCOUNT.c.status)
    .outerjoin(
        _PROMISE, and_(_PROMISE.c.account_id == _ACCOUNT.c.id, _PROMISE.c.state == PromiseState.OPEN.value)
    )
    .where(
        _ACCOUNT.c.id.in_(bindparam("accounts", expanding=True)),
        or_(_ACCOUNT.c.status != AccountStatus.OPEN.value, _PROMISE.c.id.is_not(None)),
    )
)


def standing(tx: Tx, account_ids: Collection[AccountId]) -> dict[AccountId, str]:
    """Return those of these accounts about which nobody is to be called: an `AccountStatus` other than open, or `PROMISED`."""
    if not account_ids:
        return {}
    return {
        row.id: row.status if row.status != AccountStatus.OPEN.value else PROMISED
        for row in tx.execute(_NOT_OPEN, {"accounts": list(account_ids)})
    }
