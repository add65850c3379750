"""The campaign table: what each campaign's file said when last loaded, and the state, which no file says.

It does not own the states' transitions (`campaigns/state.py`) nor their events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Table, insert, select, update

from dialer_core.errors import StoreError
from dialer_core.store.models import Campaign
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, CampaignState

_TABLE: Table = Campaign.__table__  # type: ignore[assignment]
_STILL = frozenset({CampaignState.STOPPED, CampaignState.DRAFT, CampaignState.ARCHIVED})
"""States that nothing has to leave when the file is gone."""


def sync(tx: Tx, campaigns: Mapping[CampaignId, Mapping[str, Any]]) -> None:
    """Make the table say what the campaigns' files say.

    New ones are stopped, or drafts where their file says so; known ones keep their state, and one whose file is gone is stopped and stays for
    the history.

    Parameters
    ----------
    tx
        The transaction.
    campaigns
        Settings of every campaign, as JSON can hold them (`settings.model_dump(mode="json")`).
    """
    known = {row.id: row for row in tx.execute(select(_TABLE))}
    for campaign_id, settings in campaigns.items():
        row = known.get(campaign_id)
        values = {"settings": dict(settings), "changed_at_utc": tx.utc()}
        if row is None:
            state = CampaignState.DRAFT if settings.get("draft") else CampaignState.STOPPED
            tx.execute(insert(_TABLE), values | {"id": campaign_id, "state": state.value})
        elif row.settings != values["settings"]:
            tx.execute(update(_TABLE).where(_TABLE.c.id == campaign_id).values(values))
    for campaign_id in known.keys() - campaigns.keys():
        if known[campaign_id].state not in _STILL:
            set_state(tx, CampaignId(campaign_id), CampaignState.STOPPED)


def set_state(tx: Tx, campaign_id: CampaignId, state: CampaignState) -> None:
    """Store a campaign's state.

    Raises
    ------
    StoreError
        There is no such campaign.
    """
    statement = (
        update(_TABLE).where(_TABLE.c.id == campaign_id).values(state=state.value, changed_at_utc=tx.utc())
    )
    if tx.execute(statement).rowcount != 1:
        raise StoreError(
            f"there is no campaign {campaign_id} in the store; it is stored when its file is loaded"
        )


def states(tx: Tx) -> dict[CampaignId, CampaignState]:
    """Return the state of every campaign ever loaded."""
    return {
        CampaignId(row.id): CampaignState(row.state)
        for row in tx.execute(select(_TABLE.c.id, _TABLE.c.state))
    }


def settings_of(tx: Tx, campaign_id: CampaignId) -> dict[str, Any] | None:
    """Return a campaign's settings as last loaded, or None."""
    found: dict[str, Any] | None = tx.scalar(select(_TABLE.c.settings).where(_TABLE.c.id == campaign_id))
    return found


def settings_of_all(tx: Tx) -> dict[CampaignId, dict[str, Any]]:
    """Return the settings of every campaign ever loaded, as last loaded."""
    return {CampaignId(row.id): row.settings for row in tx.execute(select(_TABLE.c.id, _TABLE.c.settings))}
