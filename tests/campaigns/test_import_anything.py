"""Whatever stands in a file, every row of it is accounted for: none is lost, and none is counted twice."""

import csv
import io
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dialer_core.errors import ImportFileError
from dialer_core.store.database import open_database
from tests.campaigns.lists import put_list_campaign, rows
from tests.campaigns.test_leads_import import load

pytestmark = pytest.mark.db

HEADER = ("cuenta", "nombre", "telefono", "saldo", "vencimiento", "correo", "correo_2")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1", "cp850")
LETTERS = st.text("abcñéÁ ü0123456789$.,;|\t\"'+-()/%", max_size=14)
CELL = st.one_of(
    LETTERS,
    # a row is a line: one with a line break in a cell is rejected, in as many parts as it has lines
    st.text(st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=12),
    st.sampled_from(
        [
            "5512345678",
            "+52 1 55 1234 5678",
            "ana@example.com",
            "Ana@Example.com;beto@example.com",
            "1,234.50",
            "1.234,50",
            "31/12/2025",
            "2026-02-30",
            "N/A",
            "=1+1",
            "",
        ]
    ),
)
ROWS = st.lists(st.lists(CELL, min_size=1, max_size=9), min_size=1, max_size=12)


@given(body=ROWS, encoding=st.sampled_from(ENCODINGS), delimiter=st.sampled_from(",;\t|"))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_row_is_lost(
    migrated_sqlite: Path,
    tmp_path_factory: pytest.TempPathFactory,
    body: list[list[str]],
    encoding: str,
    delimiter: str,
) -> None:
    """New, updated, unchanged and rejected rows are together the file's; what went in is in the store, and the same file again adds nothing."""
    folder = tmp_path_factory.mktemp("anything")
    shutil.copyfile(migrated_sqlite, folder / "store.db")
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    writer.writerow(HEADER)
    writer.writerows(body)
    path = folder / "cartera.csv"
    path.write_bytes(text.getvalue().encode(encoding, "replace"))
    database = open_database(f"sqlite:///{folder / 'store.db'}", node="node1", boot_id="boot-1")
    try:
        with database.write() as tx:
            put_list_campaign(tx)
        try:
            report = load(database, path)
        except ImportFileError:  # the file as a whole is told to be none, and nothing of it went in
            with database.read() as tx:
                assert rows(tx, "account") == []
            return
        told = sum(any(cell.strip() for cell in row) for row in body)  # a line with nothing on it is no row
        assert told <= report.rows <= len(body)
        assert report.rows == report.accepted + report.updated + report.unchanged + report.rejected
        with database.read() as tx:
            assert len(rows(tx, "lead")) == len(rows(tx, "account")) == report.accepted
            addresses = rows(tx, "email_address")
        again = load(database, path)
        assert (again.rows, again.accepted, again.rejected) == (report.rows, 0, report.rejected)
        with database.read() as tx:
            assert rows(tx, "email_address") == addresses
    finally:
        database.dispose()
