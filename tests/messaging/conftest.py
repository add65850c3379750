"""Tests of messages share the store's databases, one debtor, and Mexico's rules."""

from pathlib import Path

import pytest

from dialer_core.compliance.packs import load_packs
from dialer_core.compliance.rules import RulePack
from dialer_core.store import people
from dialer_core.store.database import Database
from tests.campaigns.lists import Listed, put_lead, put_list_campaign
from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves

NUMBER = "+525512345678"


@pytest.fixture(scope="session")
def mexico() -> RulePack:
    """Return the rule pack of Mexico as it is shipped."""
    shipped = Path(__file__).parents[2] / "dialer_core" / "config_defaults" / "compliance"
    return load_packs(shipped)["mx"]


@pytest.fixture
def debtor(database: Database) -> Listed:
    """Return a lead that owes 1,234.50 to a bank."""
    with database.write() as tx:
        put_list_campaign(tx)
        found = put_lead(tx, [NUMBER])
        people.update_person(tx, found.person, {"name": "PEREZ LOPEZ, ANA"})
        people.update_account(
            tx, found.account, {"balance_minor": 123_450, "currency": "MXN", "due_date": "2025-02-01", "days_past_due": 31}
        )  # fmt: skip
    return found
