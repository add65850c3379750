"""The order of a campaign's list, changed for many leads at once. It owns that one write of the lead table."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Table, bindparam, select, text, update

from dialer_core.store.models import Lead
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId

_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_NOW = Prepared(
    select(_LEAD.c.id, _LEAD.c.account_id, _LEAD.c.priority)
    .where(
        _LEAD.c.account_id.in_(bindparam("accounts", expanding=True)),
        _LEAD.c.campaign_id == bindparam("campaign"),
    )
    .order_by(_LEAD.c.id)
)
_EACH = Prepared(
    update(_LEAD).where(_LEAD.c.id == bindparam("key")).values(priority=bindparam("new_priority"))
)
_ALL = text(
    "UPDATE lead SET priority = told.priority "
    "FROM (SELECT unnest(CAST(:keys AS uuid[])) AS id, unnest(CAST(:priorities AS float8[])) AS priority) AS told "
    "WHERE lead.id = told.id"
)


def rank(tx: Tx, campaign_id: CampaignId, priorities: Mapping[AccountId, float]) -> int:
    """Give the leads of these accounts on a campaign's list their priorities; return how many changed. Accounts not on it are passed over."""
    asked = {"campaign": campaign_id, "accounts": list(priorities)}
    changed = [
        (key, priorities[account_id])
        for key, account_id, before in tx.execute(_NOW, asked)
        if priorities[account_id] != before
    ]
    if changed and tx.dialect == "postgresql":
        tx.execute(_ALL, {"keys": [key for key, _ in changed], "priorities": [one for _, one in changed]})
    elif changed:
        tx.execute(_EACH, [{"key": key, "new_priority": one} for key, one in changed])
    return len(changed)
