"""`dialer visits` as its users call it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from tests.commands.test_cli import config, invoke  # noqa: F401 - the fixture

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

SETTINGS = """
campaign = "cobranza"
[visitors.vera]
start = [19.40, -99.13]
"""
FAR_DAY = (dt.date.today() + dt.timedelta(days=3)).isoformat()  # noqa: DTZ011 - any day to come


@pytest.fixture
def at(config: Path, tmp_path: Path) -> list[str]:  # noqa: F811
    """Return `--config` of a configuration with a visitor and three accounts, one without a place."""
    (config / "plugins").mkdir(exist_ok=True)
    (config / "plugins" / "field_visits.toml").write_text(SETTINGS)
    rows = [
        "cuenta,celular,domicilio,latitud,longitud",
        "A1,5512345678,Lejos 1,19.60,-99.13",
        "A2,5512345679,Cerca 2,19.41,-99.13",
        "A3,5512345670,,,",
    ]
    (tmp_path / "c.csv").write_text("\n".join(rows) + "\n")
    options = ["--config", str(config)]
    assert (
        invoke("leads", "import", str(tmp_path / "c.csv"), "--campaign", "cobranza", *options).exit_code == 0
    )
    return options


def test_a_day_is_planned_from_the_command_line(at: list[str]) -> None:
    """Handed over, given, in the order of the way, cancelled, listed; each mistake is one line."""
    for account in ("A1", "A3", "A2"):
        given = invoke("visits", "assign", account, "--visitor", "vera", "--day", FAR_DAY, *at)
        assert given.exit_code == 0, given.output
    day = json.loads(invoke("visits", "route", "vera", "--day", FAR_DAY, "--json", *at).output)
    assert [one["place"] for one in day] == [1, 2, 3]
    shown = invoke("visits", "route", "vera", "--day", FAR_DAY, *at).output
    assert [shown.index(account) for account in ("A2", "A1", "A3")] == sorted(
        shown.index(account) for account in ("A2", "A1", "A3")
    )
    assert "3 stops, 22.2 km as the crow flies" in shown
    assert invoke("visits", "cancel", day[0]["id"], *at).exit_code == 0
    listed = json.loads(invoke("visits", "list", "--state", "assigned", "--json", *at).output)
    assert len(listed) == 2
    assert "0 visits, 0 to look at" in invoke("visits", "results", *at).output
    for wrong, said in (
        (("assign", "B1"), "there is no account 'B1'"),
        (("assign", "A1", "--visitor", "carla"), "there is no visitor 'carla'"),
        (("cancel", "nothing"), "there is no such visit"),
    ):
        result = invoke("visits", *wrong, *at)
        assert result.exit_code != 0
        assert said in result.output
