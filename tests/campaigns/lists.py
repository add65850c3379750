"""Lists of leads for tests of the hopper, recycling and the gate, written as plain inserts beside `tests/store/rows.py`."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.store.leads import READY_UTC
from dialer_core.store.models import Base
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, LeadId, PersonId, PhoneId, TrunkId, new_id
from tests.store.rows import put, put_campaign

CAMPAIGN = CampaignId("spring")
NOON = dt.datetime(2025, 3, 4, 18, 0, tzinfo=dt.UTC)
"""A Tuesday, noon in Mexico City and 10:00 in Tijuana."""
MEXICO_CITY = "America/Mexico_City"
TRUNK = TrunkId("carrier")
TABLES = Base.metadata.tables


def settings_of(**changes: Any) -> CampaignSettings:
    """Return a campaign's settings."""
    return CampaignSettings.model_validate({"trunks": ("carrier", "second"), "rule_pack": "mx", **changes})


@dataclass(frozen=True)
class Listed:
    """Ids of a lead and what hangs on it."""

    lead: LeadId
    account: AccountId
    person: PersonId
    phones: tuple[PhoneId, ...]
    numbers: tuple[str, ...]


def put_list_campaign(tx: Tx, name: str = CAMPAIGN) -> None:
    """Store a campaign."""
    put_campaign(tx, name)


def put_lead(
    tx: Tx,
    numbers: Sequence[str],
    *,
    campaign: str = CAMPAIGN,
    zones: str | Sequence[str] = MEXICO_CITY,
    person: PersonId | None = None,
    region: str | None = None,
    language: str = "es",
    **lead: Any,
) -> Listed:
    """Store a lead, its account and, unless one is given, its person with these numbers in order of rank."""
    ids = (LeadId(new_id()), AccountId(new_id()), PersonId(new_id()))
    lead_id, account_id, person_id = ids if person is None else (*ids[:2], person)
    if person is None:
        put(tx, "person", id=person_id, name="Debtor", language=language, region=region, created_at_utc=NOON)
    zone_texts = [zones] * len(numbers) if isinstance(zones, str) else list(zones)
    phones = []
    for rank, (number, text) in enumerate(zip(numbers, zone_texts, strict=True)):
        phones.append(PhoneId(new_id()))
        put(
            tx, "phone", id=phones[-1], person_id=person_id, e164=number, kind="mobile", rank=rank, zones=text, failures=0
        )  # fmt: skip
    put(
        tx, "account", id=account_id, person_id=person_id, portfolio="default", external_id=account_id,
        creditor="Banco", attributes={}, created_at_utc=NOON,
    )  # fmt: skip
    row = {
        "state": "dialable",
        "priority": 0.0,
        "next_at_utc": READY_UTC,
        "attempts": 0,
        "created_at_utc": NOON,
    }
    put(
        tx,
        "lead",
        id=lead_id,
        campaign_id=campaign,
        account_id=account_id,
        person_id=person_id,
        **(row | lead),
    )
    return Listed(lead_id, account_id, person_id, tuple(phones), tuple(numbers))


def put_contact(tx: Tx, listed: Listed, at: dt.datetime, **changes: Any) -> None:
    """Store a counted call in the ledger."""
    row: dict[str, Any] = {
        "account_id": listed.account, "channel": "voice", "address": listed.numbers[0], "purpose": "collection",
        "settlement": "counted", "conversation": False, "prior": False,
    }  # fmt: skip
    put(tx, "contact", id=new_id(), person_id=listed.person, at_utc=at, **(row | changes))


def put_restriction(tx: Tx, kind: str, scope: str, value: str, **changes: Any) -> None:
    """Store a restriction, in force and for good."""
    row = {"source": "test", "from_utc": NOON - dt.timedelta(days=1), "until_utc": None, "channel": None}
    put(tx, "restriction", id=new_id(), kind=kind, scope=scope, scope_value=value, **(row | changes))


def rows(tx: Tx, table: str) -> list[dict[str, Any]]:
    """Return every row of a table."""
    query = select(TABLES[table])
    if "id" in TABLES[table].c:
        query = query.order_by(TABLES[table].c.id)
    return [dict(row) for row in tx.execute(query).mappings()]


def row_of(tx: Tx, table: str, row_id: str) -> dict[str, Any]:
    """Return one row by its id."""
    return next(row for row in rows(tx, table) if row["id"] == row_id)
