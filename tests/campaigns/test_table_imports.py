"""Files of payments and of earlier contacts: each row counts once, and what is wrong with the others is told."""

import csv
import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from dialer_core.campaigns import hopper
from dialer_core.campaigns.contacts_import import import_contacts
from dialer_core.campaigns.mapping_file import MappingFile
from dialer_core.campaigns.payments_import import import_payments
from dialer_core.campaigns.table_import import TableReport
from dialer_core.errors import ImportFileError
from dialer_core.store import people
from dialer_core.store.database import Database
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TRUNK,
    Listed,
    put_lead,
    put_list_campaign,
    row_of,
    rows,
    settings_of,
)
from tests.campaigns.test_leads_import import write
from tests.compliance.packs_for_tests import cap, pack_of

pytestmark = pytest.mark.db

PAYMENTS = "cuenta,importe,fecha_pago,folio_pago"
CONTACTS = "cuenta,fecha_hora,canal,telefono,conversacion,resultado"


@pytest.fixture
def listed(database: Database) -> Listed:
    """Return the lead of account A1, which owes 1,000.00."""
    with database.write() as tx:
        put_list_campaign(tx)
        found = put_lead(tx, ["+525512345678"])
        people.update_account(
            tx, found.account, {"external_id": "A1", "balance_minor": 100_000, "currency": "MXN"}
        )
    return found


def pay(database: Database, path: Path, **options: Any) -> TableReport:
    """Import payments."""
    return import_payments(database, path, reject_dir=path.parent / "rejects", **options)


def contact(database: Database, path: Path, **options: Any) -> TableReport:
    """Import contacts."""
    return import_contacts(database, path, reject_dir=path.parent / "rejects", **options)


def reasons(report: TableReport) -> list[str]:
    """Return the reasons of the reject file, in its order."""
    assert report.reject_file is not None
    with report.reject_file.open(encoding="utf-8", newline="") as file:
        return [row["reason"] for row in csv.DictReader(file)]


def test_payments_count_once(database: Database, listed: Listed, tmp_path: Path) -> None:
    """Good payments go in, each once however often the file comes, and what covers the debt finishes the lead."""
    lines = [PAYMENTS, 'A1,"600.00",2025-03-01,F1', "A1,400,03/03/2025,F2"]
    path = write(tmp_path, lines)
    dry = pay(database, path, dry_run=True)
    assert (dry.accepted, dry.dry_run) == (2, True)
    with database.read() as tx:
        assert rows(tx, "payment") == []
    assert pay(database, path).accepted == 2
    again = pay(database, path)
    assert (again.rows, again.accepted, again.unchanged) == (2, 0, 2)
    with database.read() as tx:
        assert row_of(tx, "account", listed.account)["balance_minor"] == 0
        assert row_of(tx, "lead", listed.lead)["finished_reason"] == "paid"
        assert [run["kind"] for run in rows(tx, "import_run")] == ["payments", "payments"]


def test_equal_payments_without_a_number_are_two(database: Database, listed: Listed, tmp_path: Path) -> None:
    """Two equal payments of one day count twice, and the same file again counts neither."""
    path = write(tmp_path, ["cuenta,importe,fecha", *["A1,100,2025-03-01"] * 2])
    assert pay(database, path).accepted == 2
    assert pay(database, path).accepted == 0
    with database.read() as tx:
        assert row_of(tx, "account", listed.account)["balance_minor"] == 80_000


def test_bad_payments_are_told(database: Database, listed: Listed, tmp_path: Path) -> None:
    """Every kind of bad row is rejected with its reason, and the good one beside it goes in."""
    bad = [
        "A9,100,2025-03-01,F3", "A1,mucho,2025-03-01,F4", "A1,100,ayer,F5", "A1,,2025-03-01,F6", "A1,100", ",1,2025-03-01,F7",
        "A1,1,2025-03-01,F\x028",
    ]  # fmt: skip
    report = pay(database, write(tmp_path, [PAYMENTS, *bad, "A1,100,2025-03-01,F8"]))
    assert (report.rows, report.accepted, report.rejected) == (8, 1, 7)
    assert sorted(reasons(report)) == sorted(
        [
            "no such account", "not a number", "not a date; write YYYY-MM-DD or DD/MM/YYYY", "is empty",
            "2 columns, and the header has 4", "is empty", "a control character",
        ]
    )  # fmt: skip


@pytest.mark.parametrize(
    ("header", "mapping", "told"),
    [
        ("cuenta,fecha", MappingFile(), "no column is the amount"),
        ("cuenta,importe,fecha", MappingFile({"saldo": "amount"}), "names a column 'saldo'"),
        ("cuenta,importe,fecha", MappingFile({"importe": "amonut"}), "'amonut'; use one of"),
        ("cuenta,importe,fecha,fecha", MappingFile(), "two columns have the same header"),
    ],
)
def test_files_that_are_none(
    database: Database, listed: Listed, tmp_path: Path, header: str, mapping: MappingFile, told: str
) -> None:
    """A file without a needed column, or a mapping of what there is not, is refused in a line."""
    with pytest.raises(ImportFileError, match=told):
        pay(database, write(tmp_path, [header, "A1,1,2025-03-01"]), mapping=mapping)


def test_earlier_contacts_count_for_the_caps(database: Database, listed: Listed, tmp_path: Path) -> None:
    """Contacts of another system, on any channel, take up what a cap allows, each once, in the zone that is said."""
    path = write(
        tmp_path,
        [
            CONTACTS,
            "A1,2025-03-03 10:00,llamada,5512345678,no,No contesta",
            "A1,03/03/2025 11:00,WhatsApp,,si,",
        ],
    )
    two_in_7_days = pack_of(caps=[cap("two", "account", 2, rolling_days=7)])
    assert contact(database, path).accepted == 2
    assert contact(database, path).unchanged == 2
    with database.write() as tx:
        found = sorted(rows(tx, "contact"), key=lambda row: row["at_utc"])
        assert [(row["channel"], row["conversation"], row["prior"]) for row in found] == [
            ("voice", False, True),
            ("whatsapp", True, True),
        ]
        assert found[0]["at_utc"] == dt.datetime(2025, 3, 3, 16, tzinfo=dt.UTC)
        assert (found[0]["address"], found[0]["outcome"]) == ("+525512345678", "no_contesta")
        claimed = hopper.claim(
            tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=two_in_7_days, trunks=[TRUNK], node="n", boot_id="b", now=NOON
        )  # fmt: skip
        assert claimed.attempts == []
        assert row_of(tx, "lead", listed.lead)["blocked_rule"] == "two"


def test_a_bad_phone_is_left_out_of_its_row(database: Database, listed: Listed, tmp_path: Path) -> None:
    """A contact counts for the caps whatever its phone's cell holds: the row goes in, the cell is told; a spreadsheet's empty columns harm nobody."""
    file = write(
        tmp_path, [CONTACTS, "A1,2025-03-03 10:00,voz,12,no,", "A1,2025-03-03 11:00,voz,5512345678,no,,,"]
    )
    report = contact(database, file)
    assert (report.accepted, report.rejected, report.cells_rejected) == (2, 0, 1)
    assert report.reasons == {"phone: too short: 2 digits": 1}
    with database.read() as tx:
        assert sorted(row["address"] for row in rows(tx, "contact")) == ["", "+525512345678"]


def test_amounts_in_the_style_of_their_file(database: Database, listed: Listed, tmp_path: Path) -> None:
    """Thousands by points, as some banks write them: the file's other amounts say so."""
    file = write(tmp_path, [PAYMENTS, 'A1,"450.000",2025-03-01,F1', 'A1,"1.200,50",2025-03-02,F2'])
    assert pay(database, file).accepted == 2
    with database.read() as tx:
        assert sorted(row["amount_minor"] for row in rows(tx, "payment")) == [120_050, 45_000_000]


def test_bad_contacts_are_told(database: Database, listed: Listed, tmp_path: Path) -> None:
    """A contact in the future, of nobody, by no channel or of no time is rejected with its reason."""
    bad = [
        "A1,2999-01-01 10:00,voz,,no,", "A9,2025-03-03 10:00,voz,,no,", "A1,2025-03-03 10:00,telepatía,,no,",
        "A1,pronto,voz,,no,", "A1,2025-03-03 10:00,voz,,quizás,",
    ]  # fmt: skip
    report = contact(database, write(tmp_path, [CONTACTS, *bad]))
    assert (report.accepted, report.rejected) == (0, 5)
    assert {one.partition(":")[0] for one in reasons(report)} == {
        "lies in the future", "no such account", "not a channel; write voice, sms, whatsapp, email, visit",
        "not a time; write YYYY-MM-DD HH", "neither yes nor no",
    }  # fmt: skip


def test_a_time_that_no_zone_can_hold_is_rejected(database: Database, listed: Listed, tmp_path: Path) -> None:
    """The last minute of year 9999 stands for none in some systems: its row is told, and the others go in."""
    file = write(
        tmp_path,
        [CONTACTS, "A1,9999-12-31 23:59:59,voz,,no,", "A1,2026-01-05 10:00,voz,,no,"],
        "contacts.csv",
    )
    report = contact(database, file)
    assert (report.accepted, report.rejected) == (1, 1)
    assert reasons(report) == ["not a time; write YYYY-MM-DD HH:MM or DD/MM/YYYY HH:MM"]


def test_a_banks_reference_is_no_number_of_a_payment(
    database: Database, listed: Listed, tmp_path: Path
) -> None:
    """It is the customer's own, the same each month: both payments count, and the file again changes nothing."""
    lines = ["cuenta,referencia,importe,fecha_pago", "A1,4471,100,2025-02-03", "A1,4471,100,2025-03-03"]
    path = write(tmp_path, lines)
    assert pay(database, path).accepted == 2
    assert pay(database, path).unchanged == 2
    with database.read() as tx:
        assert row_of(tx, "account", listed.account)["balance_minor"] == 80_000
