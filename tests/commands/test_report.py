"""`dialer report` and `dialer target`: tables for people, files for programs, and a line for what cannot be done."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dialer_core.settings import load_settings
from dialer_core.store.database import open_database
from tests.commands.test_cli import config, invoke  # noqa: F401 - the fixture
from tests.reports.floor import write

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


@pytest.fixture
def floor(config: Path) -> list[str]:  # noqa: F811 - the fixture
    """Return `--config` of a configuration whose store holds two days."""
    file = config / "dialer.toml"
    file.write_text(file.read_text() + "\n[reports]\nminute_price = 0.6\n")
    database = open_database(load_settings(config).store_url)
    database.migrate()
    with database.write() as tx:
        write(tx)
    database.dispose()
    return ["--config", str(config)]


def test_tables_are_for_people(floor: list[str]) -> None:
    """Amounts in pesos, shares in percent, time in hours; one row of all stands upright, several beside one another have what fits."""
    done = invoke("report", "summary", *floor)
    lines = {line.split()[0]: line.split()[1:] for line in done.output.splitlines() if len(line.split()) > 1}
    assert (lines["attempts"], lines["contact_rate"], lines["promised"]) == (
        ["8"],
        ["50.0", "%"],
        ["1,350.00"],
    )
    assert (lines["talk_s"], lines["cost"]) == (["0:03:45"], ["2.39"])
    told = invoke("report", "summary", "--by", "campaign", "--since", "2026-03-03", *floor).output
    [spring] = [line.split() for line in told.splitlines() if "spring" in line]
    assert spring == [
        "spring",
        "1",
        "0",
        "1",
        "100.0",
        "%",
        "1",
        "0",
        "0.00",
        "1",
        "33.3",
        "%",
        "1,000.00",
        "0.42",
    ]


def test_files_are_for_programs(floor: list[str], tmp_path: Path) -> None:
    """By the ending of the file or by --format; JSON is one value; nothing is left half written."""
    out = tmp_path / "cdr.csv"
    assert "8 rows" in invoke("report", "cdr", "--output", str(out), *floor).output
    with out.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.DictReader(file))) == 8
    told = invoke("report", "reasons", "--json", *floor)
    assert json.loads(told.output)[0]["reason"] == "illness"
    assert len(json.loads(invoke("report", "cdr", "--format", "json", "--agent", "luis", *floor).output)) == 2
    assert (
        invoke("report", "summary", "--by", "day", "--output", str(tmp_path / "d.parquet"), *floor).exit_code
        == 0
    )
    assert (tmp_path / "d.parquet").read_bytes()[:4] == b"PAR1"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["cdr.csv", "d.parquet"]


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("summary", "--since", "yesterday"), 2, "does not match"),
        (("summary", "--since", "2026-03-03", "--until", "2026-03-02"), 2, "lies before --since"),
        (("summary", "--zone", "Mexico"), 2, "IANA zone"),
        (("summary", "--format", "parquet"), 2, "give --output FILE"),
        (("summary", "--format", "table", "--output", "x.txt"), 2, "goes to the terminal"),
        (("cdr", "--output", "/nowhere/x.csv"), 1, "cannot be written"),
        (("summary", "--by", "weather"), 2, "weather"),
    ],
)
def test_what_cannot_be_done_is_a_line(
    floor: list[str], arguments: tuple[str, ...], status: int, told: str
) -> None:
    """With what would be right, and the status of its kind."""
    done = invoke("report", *arguments, *floor)
    assert done.exit_code == status
    assert told in done.output
    assert "Traceback" not in done.output


def test_targets_are_set_and_seen(floor: list[str]) -> None:
    """An amount is set in pesos; one of a campaign without a file is refused."""
    done = invoke("target", "set", "cobranza", "recovered", "2500", "--day", "2026-03-03", *floor)
    assert "recovered 2,500 on 2026-03-03" in done.output
    seen = json.loads(invoke("report", "targets", "--json", *floor).output)
    assert [(one["campaign"], one["goal"], one["reached"]) for one in seen] == [("cobranza", 250_000, 0)]
    assert invoke("target", "set", "spring", "kept", "1", *floor).exit_code == 2
