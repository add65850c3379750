"""Importing do-not-call lists: in force at once, told row by row, the same list again adds nothing."""

import csv
from pathlib import Path
from typing import Any

import pytest

from dialer_core.campaigns import hopper
from dialer_core.campaigns.dnc_import import DncReport, import_dnc
from dialer_core.clock import VirtualClock
from dialer_core.errors import ImportFileError
from dialer_core.store import attempts, events, restrictions
from dialer_core.store.database import Database
from tests.campaigns.lists import CAMPAIGN, NOON, TRUNK, put_lead, put_list_campaign, rows, settings_of
from tests.compliance.packs_for_tests import pack_of

pytestmark = pytest.mark.db


def load(database: Database, path: Path, **changes: Any) -> DncReport:
    """Import a list."""
    options = {
        "source": "REUS test",
        "clock": VirtualClock(NOON),
        "reject_dir": path.parent / "rejects",
    } | changes
    return import_dnc(database, path, **options)


def write(folder: Path, text: str) -> Path:
    """Write a list."""
    path = folder / "dnc.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text",
    [
        "telefono\n5512345678\n+52 1 664 123 4567\n",
        "5512345678\n6641234567\n",
        "folio;número\n1;55 1234 5678\n2;044 664 123 4567\n",
        "Juan,5512345678\nPedro,6641234567\n",
    ],
)
def test_lists_with_and_without_a_header(database: Database, tmp_path: Path, text: str) -> None:
    """A header in Spanish, a bare list of numbers, another delimiter, numbers in a later column: the same two restrictions."""
    report = load(database, write(tmp_path, text))
    assert (report.rows, report.accepted, report.unchanged, report.rejected) == (2, 2, 0, 0)
    with database.read() as tx:
        found = rows(tx, "restriction")
        [event] = events.tail(tx, {}, ["restriction.added"])
    assert {row["scope_value"] for row in found} == {"+525512345678", "+526641234567"}
    assert {
        (row["kind"], row["scope"], row["channel"], row["until_utc"], row["source"]) for row in found
    } == {("do_not_call", "number", None, None, "REUS test")}
    assert event.data == {"kind": "do_not_call", "scope": "number", "count": 2}


def test_the_same_list_again_adds_nothing(database: Database, tmp_path: Path) -> None:
    """Numbers that are restricted already, and those twice in the file, are counted as unchanged."""
    path = write(tmp_path, "telefono\n5512345678\n5512345678\n6641234567\n")
    first = load(database, path)
    assert (first.rows, first.accepted, first.unchanged) == (3, 2, 1)
    second = load(database, path)
    assert (second.accepted, second.unchanged) == (0, 3)
    with database.read() as tx:
        assert len(rows(tx, "restriction")) == 2


def test_broken_rows_are_told(database: Database, tmp_path: Path) -> None:
    """A row that is no number is in the reject file; the others count. Strict restricts nobody."""
    path = write(tmp_path, "telefono\n5512345678\nno tiene\n551\n6641234567\n")
    strict = load(database, path, strict=True)
    assert (strict.refused, strict.rejected) == (True, 2)
    with database.read() as tx:
        assert rows(tx, "restriction") == rows(tx, "import_run") == []
    report = load(database, path)
    assert (report.accepted, report.rejected) == (2, 2)
    assert report.reject_file is not None
    with report.reject_file.open(encoding="utf-8", newline="") as file:
        told = list(csv.DictReader(file))
    assert [(one["line"], one["row"]) for one in told] == [("3", "no tiene"), ("4", "551")]


def test_a_strict_list_without_a_fault_goes_in(database: Database, tmp_path: Path) -> None:
    """Strict restricts everybody once where nothing is broken."""
    report = load(database, write(tmp_path, "telefono\n5512345678\n6641234567\n"), strict=True)
    assert (report.refused, report.rows, report.accepted) == (False, 2, 2)


def test_it_is_in_force_at_once(database: Database, tmp_path: Path) -> None:
    """The next claim leaves the number alone, and a call that is ringing there is named for cancelling (I12)."""
    with database.write() as tx:
        put_list_campaign(tx)
        put_lead(tx, ["+525512345678"], priority=2.0)
        put_lead(tx, ["+526641234567"], priority=1.0)
        put_lead(tx, ["+523312345678"])

        def claim(count: int) -> list[hopper.ClaimedAttempt]:
            return hopper.claim(
                tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=pack_of(), trunks=[TRUNK] * count, node="n", boot_id="b", now=NOON
            ).attempts  # fmt: skip

        [ringing] = claim(1)
    load(database, write(tmp_path, "telefono\n5512345678\n6641234567\n"))
    with database.write() as tx:
        assert restrictions.forbidden_live_attempts(tx, NOON) == [ringing.attempt_id]
        assert restrictions.forbidden_live_attempts(tx, NOON, "another") == []
        assert [one.number for one in claim(5)] == ["+523312345678"]
        # a conversation that has begun is not cut off
        attempts.update(tx, ringing.attempt_id, answered_mono_ns=1)
        assert restrictions.forbidden_live_attempts(tx, NOON) == []


def test_a_file_without_numbers_is_refused(database: Database, tmp_path: Path) -> None:
    """A file whose columns are no numbers is told, and nobody is restricted."""
    with pytest.raises(ImportFileError, match="no column is a phone number"):
        load(database, write(tmp_path, "nombre,correo\nAna,ana@example.test\n"))


def test_many_numbers_go_in_by_batches(database: Database, tmp_path: Path) -> None:
    """1,200 numbers are three transactions, each with its event; together they are all restricted."""
    numbers = "\n".join(f"55{10_000_000 + number}" for number in range(1200))
    report = load(database, write(tmp_path, numbers + "\n"))
    assert report.accepted == 1200
    with database.read() as tx:
        counts = [event.data["count"] for event in events.tail(tx, {}, ["restriction.added"])]
    assert counts == [500, 500, 200]
