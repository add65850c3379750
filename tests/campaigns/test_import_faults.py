"""Imports of leads under faults and at their edges: long files, dry runs, mapping files, two at once, cut files, a full disk."""

import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dialer_core.campaigns import import_reading, lead_writing
from dialer_core.campaigns.lead_columns import LeadRow
from dialer_core.campaigns.leads_import import ImportReport
from dialer_core.campaigns.mapping_file import load_mapping
from dialer_core.errors import ImportFileError, StoreError
from dialer_core.store import attribute_marks
from dialer_core.store.database import Database, open_database
from dialer_core.store.tx import Tx
from tests.campaigns.lists import put_list_campaign, rows
from tests.campaigns.test_leads_import import BAD, GOOD, HEADER, load, rejects, write

pytestmark = pytest.mark.db


@pytest.fixture(autouse=True)
def _campaign(database: Database) -> None:
    with database.write() as tx:
        put_list_campaign(tx)


def test_a_long_file_is_read_by_a_process_of_its_own(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes of a long file, read beside the writing, is what comes of a short one: rows, rejects and counts."""
    good = [f"A{number},José {number},55100{number:05d},1.5" for number in range(700)]
    lines = ["cuenta,nombre,telefono,saldo", *good, "A1,x,5512345678,1", "broken"]
    path = write(tmp_path, lines, encoding="cp1252")
    monkeypatch.setattr(import_reading, "LONG_FILE_BYTES", 0)
    report = load(database, path)
    assert (report.rows, report.accepted, report.rejected, report.encoding) == (702, 700, 2, "cp1252")
    assert [one["reason"] for one in rejects(report)] == [
        "the account of line 3 again",
        "1 columns, and the header has 4",
    ]
    with database.read() as tx:
        assert {row["name"] for row in rows(tx, "person")} == {f"José {number}" for number in range(700)}


def test_a_reader_that_dies_ends_the_import(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading process that ends before the file does is an error in one line, never a short import taken for a whole one."""
    monkeypatch.setattr(import_reading, "LONG_FILE_BYTES", 0)
    monkeypatch.setattr(import_reading.sys, "executable", "/bin/false")
    with pytest.raises(ImportFileError, match=r"reading it stopped|did not start"):
        load(database, write(tmp_path, ["cuenta,telefono", "A1,5510000001"]))
    with database.read() as tx:
        assert rows(tx, "import_run") == []


def test_a_dry_run_says_what_would_come_of_it(database: Database, tmp_path: Path) -> None:
    """A dry run counts new, updated and broken rows as the import would, and leaves nothing behind but the rejects."""
    load(database, write(tmp_path, [HEADER, GOOD[0]], "first.csv"))
    path = write(tmp_path, [HEADER, GOOD[0].replace("1500.50", "9"), *GOOD[1:], BAD[0][0]])
    with database.read() as tx:
        before = {
            table: rows(tx, table)
            for table in ("person", "phone", "account", "lead", "import_run", "event", "audit")
        }
    report = load(database, path, dry_run=True)
    assert (report.rows, report.accepted, report.updated, report.rejected) == (4, 2, 1, 1)
    with database.read() as tx:
        assert {table: rows(tx, table) for table in before} == before
    again = load(database, path)
    assert (again.accepted, again.updated, again.rejected) == (2, 1, 1)


def test_a_mapping_file(database: Database, tmp_path: Path) -> None:
    """Columns, encoding and delimiter are the mapping's before the guess; attributes that it calls public are marked so."""
    lines = ["nuestra;quien;fono;sucursal;nota", "X9;José;5512345678;Centro;algo"]
    path = write(tmp_path, lines, encoding="cp850")
    (tmp_path / "m.toml").write_text(
        '[columns]\nnuestra = "external_id"\nquien = "name"\nfono = "phone"\nnota = "-"\n'
        '[attributes]\npublic = ["sucursal"]\n[file]\nencoding = "cp850"\ndelimiter = ";"\n',
        encoding="utf-8",
    )
    report = load(database, path, mapping=load_mapping(tmp_path / "m.toml"))
    assert (report.accepted, report.rejected) == (1, 0)
    with database.read() as tx:
        assert rows(tx, "person")[0]["name"] == "José"
        [account] = rows(tx, "account")
        assert attribute_marks.public(tx, "default") == {"sucursal"}
        assert attribute_marks.public(tx, "another") == frozenset()
    assert (account["external_id"], account["attributes"]) == ("X9", {"sucursal": "Centro"})


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[columns", "is not TOML"),
        ("[colums]", "colums"),
        ('[file]\nencoding = "klingon"', "'klingon' is not known"),
        ('[file]\ndelimiter = "x"', "is not one sign"),
        ('[file]\ndelimiter = ";;"', "is not one sign"),
    ],
)
def test_mapping_files_that_are_wrong(tmp_path: Path, text: str, told: str) -> None:
    """A mapping file that says what there is not is refused in a line that says what would be right."""
    (tmp_path / "m.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ImportFileError, match=told):
        load_mapping(tmp_path / "m.toml")


def test_two_imports_at_once(database: Database, tmp_path: Path) -> None:
    """Two imports of one file at the same time bring each account in once, and neither fails."""
    path = write(tmp_path, ["cuenta,telefono", *(f"A{number},55100{number:05d}" for number in range(600))])
    reports: list[ImportReport] = []
    threads = [
        threading.Thread(
            target=lambda place=place: reports.append(load(database, path, reject_dir=tmp_path / place))
        )
        for place in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(report.accepted for report in reports) == 600
    assert sum(report.unchanged for report in reports) == 600
    with database.read() as tx:
        assert len(rows(tx, "account")) == len(rows(tx, "person")) == len(rows(tx, "lead")) == 600


def test_a_batch_that_another_import_wrote_meanwhile(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows planned while another import brings in the same accounts are planned anew: unchanged, each once, and none is lost."""
    path = write(tmp_path, ["cuenta,id_cliente,telefono", *(f"A{n},P{n},55100{n:05d}" for n in range(300))])
    plan, overtaken = lead_writing.plan, []

    def other_first(tx: Tx, batch: Sequence[LeadRow], *rest: Any) -> lead_writing.Plan:
        planned = plan(tx, batch, *rest)
        if not overtaken:
            overtaken.append(len(batch))
            with database.write() as other:
                lead_writing.write(other, plan(other, batch[:100], *rest))
        return planned

    monkeypatch.setattr(lead_writing, "plan", other_first)
    report = load(database, path)
    assert overtaken
    assert (report.accepted, report.unchanged, report.rejected) == (200, 100, 0)
    with database.read() as tx:
        assert len(rows(tx, "account")) == len(rows(tx, "person")) == len(rows(tx, "phone")) == 300


def test_accounts_of_one_person_in_different_batches(database: Database, tmp_path: Path) -> None:
    """A person whose accounts lie anywhere in a file is one person, also where the next batch is planned while the last is written."""
    lines = [f"A{n},P{n % 7},5510000{n % 7:03d}" for n in range(900)]
    report = load(database, write(tmp_path, ["cuenta,id_cliente,telefono", *lines]))
    assert report.accepted == 900
    with database.read() as tx:
        assert len(rows(tx, "person")) == len(rows(tx, "phone")) == 7
        assert len(rows(tx, "lead")) == 900


def test_a_file_cut_in_half_and_then_whole(database: Database, tmp_path: Path) -> None:
    """A file cut anywhere gives every whole row, rejects the torn one or takes it as it stands, and the whole file mends it."""
    lines = [HEADER, *GOOD]
    whole = ("\n".join(lines) + "\n").encode()
    path = tmp_path / "leads.csv"
    path.write_bytes(whole[: len(whole) - 30])
    cut = load(database, path)
    assert cut.rows == 3
    assert cut.accepted + cut.rejected == 3
    path.write_bytes(whole)
    mended = load(database, path)
    assert (mended.rejected, mended.accepted + mended.updated + mended.unchanged) == (0, 3)
    with database.read() as tx:
        assert {row["external_id"] for row in rows(tx, "account")} == {"A1", "A2", "A3"}
        assert all(row["e164"].startswith("+52") for row in rows(tx, "phone"))


def test_a_full_disk(tmp_path: Path, migrated_sqlite: Path) -> None:
    """An import that finds no room is told in one line; what was committed before stays, and the same file goes on from there."""
    file = tmp_path / "full.db"
    shutil.copyfile(migrated_sqlite, file)
    full = open_database(f"sqlite:///{file}")
    with full.write() as tx:
        put_list_campaign(tx)
        pages = int(tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one())
        tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 150}")
    path = write(tmp_path, ["cuenta,telefono", *(f"A{number},55100{number:05d}" for number in range(3000))])
    with pytest.raises(StoreError, match="not available"):
        load(full, path)
    full.dispose()
    roomy = open_database(f"sqlite:///{file}")
    with roomy.read() as tx:
        had = len(rows(tx, "account"))
        assert had == len(rows(tx, "lead"))
    report = load(roomy, path)
    roomy.dispose()
    assert (report.unchanged, report.accepted) == (had, 3000 - had)
