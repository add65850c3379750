"""`dialer account`, `dialer promise` and `dialer leads restrict`: written from the command line, seen at once, and refused in a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dialer_core.settings import load_settings
from dialer_core.store import scan
from dialer_core.store.database import Database, open_database
from tests.commands.test_cli import config, invoke  # noqa: F401 - the fixture

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


@pytest.fixture
def at(config: Path, tmp_path: Path) -> list[str]:  # noqa: F811 - the fixture
    """Return `--config` of a configuration with one account on a list."""
    (tmp_path / "cartera.csv").write_text("cuenta,nombre,celular,saldo\n4401-1,Ana,55 1234 5678,12500.00\n")
    options = ["--config", str(config)]
    assert (
        invoke("leads", "import", str(tmp_path / "cartera.csv"), "--campaign", "cobranza", *options).exit_code
        == 0
    )
    return options


def told(*arguments: str) -> Any:
    """Run a command and return what it says in JSON."""
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def test_everything_is_written_and_seen(at: list[str], tmp_path: Path) -> None:
    """A promise, a document, a note, a restriction and a consent: all in the account's view, and each in the audit log under `cli`."""
    day = "2030-01-02"
    made = told("promise", "make", "4401-1", "--pay", f"{day}=1,500.50", *at)
    (tmp_path / "contrato.pdf").write_bytes(b"%PDF-1.7")
    told("account", "document", "4401-1", str(tmp_path / "contrato.pdf"), "--kind", "contract", *at)
    told("account", "note", "4401-1", "Llamar tarde", *at)
    restriction = told(
        "leads",
        "restrict",
        "4401-1",
        "--kind",
        "workplace",
        "--scope",
        "phone",
        "--phone",
        "55 1234 5678",
        *at,
    )
    told("leads", "consent", "4401-1", "--channel", "sms", "--revoked", "--source", "form 7", *at)
    seen = told("account", "show", "4401-1", *at)
    assert (seen["promise"]["id"], seen["promise"]["total_minor"]) == (made["id"], 150_050)
    assert [one["what"] for one in seen["timeline"]] == [
        "consent",
        "restriction",
        "note",
        "document",
        "promise_made",
    ]
    assert "waiting (promise)" in invoke("account", "show", "4401-1", *at).output
    told("leads", "lift", restriction["id"], *at)
    told("promise", "cancel", made["id"], *at)
    assert told("account", "show", "4401-1", *at)["restrictions"] == []
    database: Database = open_database(load_settings(Path(at[1])).store_url)
    with database.read() as tx:
        entries = [(row.action, row.actor) for row in scan.rows(tx, "audit", order_by=("seq",))]
    database.dispose()
    actions = [
        "promise.made",
        "document.added",
        "restriction.added",
        "consent.recorded",
        "restriction.lifted",
        "promise.cancelled",
    ]
    assert entries[1:] == [(action, "cli") for action in actions]  # the import's own is before them


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("promise", "make", "4401-1", "--pay", "tomorrow"), 2, "write DAY=AMOUNT"),
        (("promise", "make", "4401-1", "--pay", "2030-01-02=99999"), 1, "more than is owed"),
        (("promise", "make", "9", "--pay", "2030-01-02=1"), 1, "there is no account 9"),
        (("leads", "restrict", "4401-1", "--kind", "wrong_number"), 1, "of a phone or a number"),
        (
            ("leads", "restrict", "4401-1", "--kind", "workplace", "--scope", "phone", "--phone", "12"),
            2,
            "too short",
        ),
        (
            (
                "leads",
                "restrict",
                "4401-1",
                "--kind",
                "workplace",
                "--scope",
                "phone",
                "--phone",
                "5599999999",
            ),
            1,
            "no such number",
        ),
        (("leads", "lift", "0198c0de-0000-7000-8000-000000000001"), 1, "no such restriction"),
        (("promise", "cancel", "0198c0de-0000-7000-8000-000000000001"), 1, "there is no promise"),
        (("account", "document", "4401-1"), 2, "give a file, or --at"),
        (("account", "note", "4401-1", ""), 2, "characters"),
    ],
)
def test_what_makes_no_sense_is_a_line(
    at: list[str], arguments: tuple[str, ...], status: int, words: str
) -> None:
    """With what would be right, and the status of its kind."""
    done = invoke(*arguments, *at)
    assert (done.exit_code, words in done.output) == (status, True), done.output
