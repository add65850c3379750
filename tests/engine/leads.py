"""Leads for the virtual floor."""

from __future__ import annotations

from sqlalchemy import insert

from dialer_core.store import campaigns
from dialer_core.store.models import Account, Lead, Person, Phone
from dialer_core.vocabulary import LeadState, new_id
from tests.engine.virtual import Floor


def add_leads(floor: Floor, suffixes: list[str], *, first: int = 0) -> None:
    """Put in a lead per suffix; numbers are fictional and differ in the middle."""
    now = floor.clock.utc()
    with floor.database.write() as tx:
        campaigns.sync(
            tx, {name: run.model_dump(mode="json") for name, run in floor.settings.campaigns.items()}
        )
        for index, suffix in enumerate(suffixes, start=first):
            person, account = new_id(), new_id()
            tx.execute(
                insert(Person),
                {
                    "id": person,
                    "external_id": f"P{index}",
                    "name": f"Persona {index}",
                    "language": "es",
                    "created_at_utc": now,
                },
            )
            tx.execute(
                insert(Account),
                {"id": account, "person_id": person, "portfolio": "p", "external_id": f"A{index}", "creditor": "Banco",
                 "attributes": {}, "created_at_utc": now},
            )  # fmt: skip
            tx.execute(
                insert(Phone),
                {"id": new_id(), "person_id": person, "e164": f"+5255{500000 + index:06}{suffix}", "kind": "mobile", "rank": 0,
                 "zones": "America/Mexico_City", "failures": 0},
            )  # fmt: skip
            tx.execute(
                insert(Lead),
                {"id": new_id(), "campaign_id": "demo", "account_id": account, "person_id": person,
                 "state": LeadState.DIALABLE.value, "priority": 0.0, "next_at_utc": now, "attempts": 0, "created_at_utc": now},
            )  # fmt: skip
