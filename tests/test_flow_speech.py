"""What flows say is read of the account as it is, and of the call as it was placed."""

from pathlib import Path
from typing import Any, cast

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.flow_speech import FlowSpeech, _languages_to_speak
from dialer_core.flows.reading import load_flow
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


def test_recorded_prompts_need_no_voice(tmp_path: Path) -> None:
    """A language of clips alone wants none; one sentence of it to be spoken, in a step or after a wrong key, does."""
    clips = Path("dialer_core/demo/config/flows/aviso.toml").read_text(encoding="utf-8")
    spoken = clips.replace('[{ clip = "aviso-adios" }]', '[{ clip = "aviso-adios" }, "Hasta luego."]')
    wrong = f'wrong.es = "Esa tecla no."\n{clips}'
    for text, wanted in ((clips, set()), (spoken, {"es"}), (wrong, {"es"})):
        file = tmp_path / "aviso.toml"
        file.write_text(text, encoding="utf-8")
        flow = load_flow(file)
        assert _languages_to_speak([flow]) == wanted
