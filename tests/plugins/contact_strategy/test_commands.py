"""`dialer strategy` as its users call it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from tests.commands.test_cli import config, invoke  # noqa: F401 - the fixture

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

RULES = """
[strategies.tarde]
campaign = "cobranza"
where = "days_past_due >= 60"
[[strategies.tarde.steps]]
do = "message"
template = "llamanos"
at = 10:00:00
[[strategies.tarde.steps]]
do = "call"
days = 2
at = 18:00:00
only_if = "conversations == 0"
[strategies.todos]
campaign = "cobranza"
[[strategies.todos.steps]]
do = "call"
"""


@pytest.fixture
def at(config: Path, tmp_path: Path) -> list[str]:  # noqa: F811
    """Return `--config` of a configuration with rules and two accounts, one of them late."""
    (config / "plugins").mkdir(exist_ok=True)
    (config / "plugins" / "contact_strategy.toml").write_text(RULES)
    (tmp_path / "c.csv").write_text("cuenta,celular,dias_mora\nA1,5512345678,90\nA2,5512345679,3\n")
    options = ["--config", str(config)]
    assert (
        invoke("leads", "import", str(tmp_path / "c.csv"), "--campaign", "cobranza", *options).exit_code == 0
    )
    return options


def test_what_would_come_is_shown(at: list[str]) -> None:
    """The rules with whom they name, one account's steps by its own clock, and the volume by day; nothing is begun."""
    listed = json.loads(invoke("strategy", "list", "--json", *at).output)
    assert [(one["strategy"], one["accounts"]) for one in listed] == [("tarde", 1), ("todos", 2)]
    told = json.loads(invoke("strategy", "try", "tarde", "A1", "--json", *at).output)
    assert told["named"] is True
    assert [one["what"] for one in told["steps"]] == ["message", "call"]
    assert [one["when"][11:] for one in told["steps"]] == ["10:00", "18:00"]
    first, second = (dt.date.fromisoformat(one["when"][:10]) for one in told["steps"])
    assert (second - first).days == 2
    assert "is not among those" in invoke("strategy", "try", "tarde", "A2", *at).output
    days = json.loads(invoke("strategy", "volume", "--json", *at).output)
    assert [(one["what"], one["number"]) for one in days if one["what"] == "llamanos"] == [("llamanos", 1)]
    assert sum(one["number"] for one in days if one["what"] == "call") == 2
    assert json.loads(invoke("strategy", "results", "--json", *at).output) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("try", "none", "A1"), "there is no strategy 'none'"),
        (("try", "tarde", "none"), "there is no account 'none'"),
    ],
)
def test_wrong_names_are_a_line(at: list[str], arguments: tuple[str, ...], said: str) -> None:
    """What is not there is said, with what there is."""
    done = invoke("strategy", *arguments, *at)
    assert done.exit_code in {1, 2}
    assert said in done.output


def test_a_wrong_expression_is_told_with_its_column(at: list[str], config: Path) -> None:  # noqa: F811
    """A mistake in `where` is told with the place."""
    (config / "plugins" / "contact_strategy.toml").write_text(RULES.replace("days_past_due >= 60", "days_past >= 60"))  # fmt: skip
    done = invoke("strategy", "list", *at)
    assert done.exit_code == 1
    assert "column 1" in done.output
