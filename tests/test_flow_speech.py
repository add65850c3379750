"""What flows say is read of the account as it is, and of the call as it was placed."""

from pathlib import Path
from typing import Any, cast

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.flow_speech import FlowSpeech
from dialer_core.settings import DialerSettings, Settings
from dialer_core.store import attempts
from dialer_core.store.database import Database
from tests.campaigns.lists import settings_of
from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves
from tests.store.rows import CAMPAIGN, NOON, new_attempt, put_campaign, put_debtor

pytestmark = pytest.mark.db


@pytest.mark.parametrize(("shown", "said"), [("+525511110002", "+525511110002"), (None, "+525500000000")])
def test_the_number_that_is_said_is_the_one_that_was_shown(
    database: Database, tmp_path: Path, shown: str | None, said: str
) -> None:
    """Out of the campaign's pool, where it has one: whoever calls back the number they heard reaches us."""
    settings = Settings(
        tmp_path, DialerSettings(), {}, {}, {CAMPAIGN: settings_of(caller_id="+525500000000")}
    )
    speech = FlowSpeech(
        settings, database, cast("Any", None), cast("Any", None), [], VirtualClock(NOON), "node1"
    )
    with database.write() as tx:
        put_campaign(tx)
        new = new_attempt(put_debtor(tx, "+525512345678"), caller_id=shown)
        attempts.insert(tx, new)
    facts = speech._facts(new.id)
    assert facts is not None
    assert facts[0]["caller_id"] == said
