"""Importing lead files into a real store: every kind of bad row, strict, the same file again, changes, and what the hopper sees of it."""

import csv
import datetime as dt
import stat
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from dialer_core.campaigns import hopper
from dialer_core.campaigns.leads_import import ImportReport, Progress, import_leads, understood
from dialer_core.campaigns.mapping_file import MappingFile
from dialer_core.clock import VirtualClock
from dialer_core.errors import ConfigError, ImportFileError
from dialer_core.portfolio import payments, promises
from dialer_core.portfolio.payments import NewPayment
from dialer_core.store import events, people
from dialer_core.store.database import Database
from dialer_core.store.leads import READY_UTC
from dialer_core.vocabulary import CampaignId, LeadState, PromiseKind
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    TABLES,
    TRUNK,
    put_list_campaign,
    put_restriction,
    rows,
    settings_of,
)
from tests.compliance.packs_for_tests import packaged

pytestmark = pytest.mark.db

HEADER = "cuenta,nombre,telefono_1,telefono_2,saldo,dias_mora,acreedor"
GOOD = [
    "A1,Ana López,5512345678,,1500.50,30,Banco",
    'A2,Beto Núñez,+52 1 664 123 4567,(998) 123 4567,"2,000.00",61,Banco',
    "A3,Carla Díaz,3312345678,044 55 8765 4321,10,90,Banco",
]  # fmt: skip
BAD = [
    ("B1,Columna de más,5511111112,,1,1,Banco,x,y", "", "9 columns, and the header has 7"),
    ("B2,Cortada,55111", "", "3 columns, and the header has 7"),
    ("B3,Sin número,,,1,1,Banco", "", "no phone number in the row"),
    ("B4,Número roto,551234,,1,1,Banco", "telefono_1", "too short"),
    ("B5,Dos rotos,abc,12,1,1,Banco", "telefono_1", "not a number"),
    ("B6,Saldo roto,5511111113,,mucho,1,Banco", "saldo", "not a number"),
    ("B7,Días rotos,5511111114,,1,x,Banco", "dias_mora", "not a number"),
    ("A1,Otra vez,5511111115,,1,1,Banco", "", "the account of line 2 again"),
    ('B8,"sin cerrar,5511111116,,1,1,Banco', "", "a quote is opened and not closed"),
    ("B9,control\x02,5511111117,,1,1,Banco", "", "a control character"),
]


def write(folder: Path, lines: list[str], name: str = "leads.csv", encoding: str = "utf-8") -> Path:
    """Write a file of these lines."""
    path = folder / name
    path.write_bytes(("\n".join(lines) + "\n").encode(encoding))
    return path


def load(database: Database, path: Path, **changes: Any) -> ImportReport:
    """Import a file into the campaign."""
    options = {"clock": VirtualClock(NOON), "reject_dir": path.parent / "rejects"} | changes
    return import_leads(database, path, options.pop("campaign_id", CAMPAIGN), **options)


def rejects(report: ImportReport) -> list[dict[str, str]]:
    """Return the lines of the reject file."""
    assert report.reject_file is not None
    with report.reject_file.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(autouse=True)
def _campaign(database: Database) -> None:
    with database.write() as tx:
        put_list_campaign(tx)


def test_a_clean_file(database: Database, tmp_path: Path) -> None:
    """Every row becomes person, phones, account and a ready lead; no reject file is left; one event says so."""
    report = load(database, write(tmp_path, [HEADER, *GOOD]))
    assert (report.rows, report.accepted, report.updated, report.unchanged, report.rejected) == (
        3,
        3,
        0,
        0,
        0,
    )
    assert report.reject_file is None
    assert list((tmp_path / "rejects").glob("*")) == [] if (tmp_path / "rejects").exists() else True
    with database.read() as tx:
        accounts = {row["external_id"]: row for row in rows(tx, "account")}
        people = {row["id"]: row for row in rows(tx, "person")}
        phones = rows(tx, "phone")
        leads = rows(tx, "lead")
        [event] = events.tail(tx, {}, ["lead.imported"])
        [run] = rows(tx, "import_run")
    assert accounts["A1"]["balance_minor"] == 150050
    assert accounts["A2"]["days_past_due"] == 61
    assert people[accounts["A2"]["person_id"]]["name"] == "Beto Núñez"
    found = {row["e164"]: (row["rank"], row["zones"]) for row in phones}
    assert found["+526641234567"] == (0, "America/Tijuana")
    assert found["+529981234567"] == (1, "America/Cancun")
    assert {row["state"] for row in leads} == {"dialable"}
    assert {row["next_at_utc"] for row in leads} == {READY_UTC}
    assert event.campaign_id == CAMPAIGN
    assert event.data == {"file_sha256": report.file_sha256, "accepted": 3, "updated": 0, "rejected": 0}
    assert (run["kind"], run["campaign_id"], run["accepted"], run["at_utc"]) == ("leads", CAMPAIGN, 3, NOON)


def test_every_bad_row_is_told_and_good_rows_go_in(database: Database, tmp_path: Path) -> None:
    """Each broken row is in the reject file with line, column, reason and its text; the good rows between them are in."""
    lines = [HEADER, GOOD[0]]
    for bad, _, _ in BAD:
        lines += [bad]
    lines += GOOD[1:]
    report = load(database, write(tmp_path, lines))
    assert (report.rows, report.accepted, report.rejected) == (3 + len(BAD), 3, len(BAD))
    told = {int(one["line"]): one for one in reversed(rejects(report))}
    for number, (raw, column, reason) in enumerate(BAD, 3):
        assert told[number]["row"] == raw
        assert told[number]["column"] == column
        assert reason in told[number]["reason"]
        assert told[number]["row_imported"] == "no"
    assert sum(report.reasons.values()) == len(rejects(report))


def test_the_reject_file_is_its_owners(database: Database, tmp_path: Path) -> None:
    """It holds people's data: nobody else may read it; importing the mended file again takes it away."""
    path = write(tmp_path, [HEADER, *GOOD, BAD[3][0]])
    report = load(database, path)
    assert report.reject_file is not None
    assert stat.S_IMODE(report.reject_file.stat().st_mode) == 0o600
    again = load(database, path)
    assert again.reject_file == report.reject_file


def test_rejects_that_cannot_be_written(database: Database, tmp_path: Path) -> None:
    """A file where the reject folder should be is told in one line; nothing of the batch is in."""
    (tmp_path / "rejects").write_text("in the way", encoding="utf-8")
    with pytest.raises(ImportFileError, match="reject"):
        load(database, write(tmp_path, [HEADER, *GOOD, BAD[3][0]]))
    with database.read() as tx:
        assert rows(tx, "lead") == []


def test_rows_of_broken_bytes(database: Database, tmp_path: Path) -> None:
    """Rows whose bytes are not the file's encoding are rejected; the text is kept readable in the reject file."""
    path = tmp_path / "leads.csv"
    good = "\n".join([HEADER, *GOOD]).encode()
    path.write_bytes(good + b"\n" + "B1,Muñoz,5511111112,,1,1,Banco\n".encode("cp1252"))
    report = load(database, path)
    assert (report.encoding, report.accepted, report.rejected) == ("utf-8", 3, 1)
    [one] = rejects(report)
    assert "encoding" in one["reason"]
    assert "B1,Mu" in one["row"]


def test_a_bad_number_leaves_the_row_in(database: Database, tmp_path: Path) -> None:
    """A row with one good and one bad number goes in without the bad one, which is in the reject file."""
    report = load(database, write(tmp_path, [HEADER, "A1,Ana,5512345678,123,1,1,Banco"]))
    assert (report.accepted, report.rejected, report.cells_rejected) == (1, 0, 1)
    [one] = rejects(report)
    assert (one["line"], one["column"], one["row_imported"]) == ("2", "telefono_2", "yes")


@pytest.mark.parametrize("bad", [BAD[0][0], BAD[3][0], "A4,Ana,5512345678,123,1,1,Banco"])
def test_strict_takes_all_or_nothing(database: Database, tmp_path: Path, bad: str) -> None:
    """With strict, one broken row or cell keeps everything out, and is told; a clean file goes in."""
    report = load(database, write(tmp_path, [HEADER, *GOOD, bad]), strict=True)
    assert report.refused
    assert len(rejects(report)) == 1
    with database.read() as tx:
        for table in ("person", "phone", "account", "lead", "import_run", "event"):
            assert rows(tx, table) == []
    clean = load(database, write(tmp_path, [HEADER, *GOOD], "clean.csv"), strict=True)
    assert (clean.refused, clean.rows, clean.accepted) == (False, 3, 3)


def test_the_same_file_again_changes_nothing(database: Database, tmp_path: Path) -> None:
    """A second import of the same file leaves every row of every table as it was, but for the record of the import."""
    path = write(tmp_path, [HEADER, *GOOD, *(bad for bad, _, _ in BAD)])
    first = load(database, path)
    tables = ("person", "phone", "account", "lead", "restriction")
    with database.read() as tx:
        before = {table: rows(tx, table) for table in tables}
    second = load(database, path, clock=VirtualClock(NOON + dt.timedelta(days=1)))
    with database.read() as tx:
        assert {table: rows(tx, table) for table in tables} == before
    assert (second.accepted, second.updated, second.unchanged, second.rejected) == (0, 0, 3, first.rejected)


def test_a_newer_file_updates(database: Database, tmp_path: Path) -> None:
    """Changed cells change what they say, empty cells change nothing, new numbers are added, and the lead's progress is kept."""
    load(database, write(tmp_path, [HEADER, *GOOD]))
    with database.write() as tx:
        lead = TABLES["lead"]
        tx.execute(lead.update().values(attempts=3, next_at_utc=NOON + dt.timedelta(days=1)))
    newer = [
        HEADER,
        "A1,,5512345678,5599998888,900,45,",
        "A2,Beto Núñez,6641234567,9981234567,2000,61,Banco",
        "A9,Nuevo,8112345678,,1,1,Banco",
    ]
    report = load(database, write(tmp_path, newer, "newer.csv"))
    assert (report.accepted, report.updated, report.unchanged) == (1, 1, 1)
    with database.read() as tx:
        account = next(row for row in rows(tx, "account") if row["external_id"] == "A1")
        person = next(row for row in rows(tx, "person") if row["id"] == account["person_id"])
        phones = [row["e164"] for row in rows(tx, "phone") if row["person_id"] == person["id"]]
        lead_row = next(row for row in rows(tx, "lead") if row["account_id"] == account["id"])
    assert (account["balance_minor"], account["days_past_due"], account["creditor"]) == (90000, 45, "Banco")
    assert person["name"] == "Ana López"
    assert sorted(phones) == ["+525512345678", "+525599998888"]
    assert (lead_row["attempts"], lead_row["next_at_utc"]) == (3, NOON + dt.timedelta(days=1))


def addresses(database: Database) -> list[tuple[str, int, str]]:
    """Return every e-mail address with its rank and where it is from."""
    with database.read() as tx:
        return [(row["address"], row["rank"], row["source"]) for row in rows(tx, "email_address")]


def test_e_mail_addresses_go_in(database: Database, tmp_path: Path) -> None:
    """Addresses of several columns and accounts are the person's, in the file's order; a bad one is rejected; again, nothing changes."""
    lines = [
        "cliente,cuenta,telefono,correo,correo_2",
        "P1,A1,5512345678,Ana@example.com,ana.casa@example.com",
        "P1,A2,5512345678,ana.casa@example.com,ana.trabajo@example.com",
        "P2,A3,5587654321,no tiene,",
    ]
    path = write(tmp_path, lines)
    report = load(database, path)
    assert (report.accepted, report.rejected, report.cells_rejected) == (3, 0, 1)
    [bad] = rejects(report)
    assert (bad["line"], bad["column"], bad["reason"]) == ("4", "correo", "not an e-mail address")
    written = [
        ("ana@example.com", 0, "import"), ("ana.casa@example.com", 1, "import"), ("ana.trabajo@example.com", 2, "import"),
    ]  # fmt: skip
    assert addresses(database) == written
    again = load(database, path)
    assert (again.unchanged, addresses(database)) == (3, written)
    newer = load(
        database, write(tmp_path, [lines[0], "P1,A1,5512345678,ana@example.org,ANA@EXAMPLE.COM"], "newer.csv")
    )
    assert (newer.updated, addresses(database)) == (1, [*written, ("ana@example.org", 3, "import")])


def test_one_person_of_several_accounts(database: Database, tmp_path: Path) -> None:
    """Accounts that name the same client are one person's, within a file and over files; their numbers come together."""
    header = "cliente,cuenta,telefono"
    load(database, write(tmp_path, [header, "P1,A1,5512345678", "P1,A2,5512345678", "P2,A3,5587654321"]))
    load(database, write(tmp_path, [header, "P1,A4,3312345678"], "more.csv"))
    with database.read() as tx:
        people = {row["external_id"]: row["id"] for row in rows(tx, "person")}
        owners = {row["external_id"]: row["person_id"] for row in rows(tx, "account")}
        numbers = {row["e164"] for row in rows(tx, "phone") if row["person_id"] == people["P1"]}
        leads = rows(tx, "lead")
    assert set(people) == {"P1", "P2"}
    assert owners == {"A1": people["P1"], "A2": people["P1"], "A3": people["P2"], "A4": people["P1"]}
    assert numbers == {"+525512345678", "+523312345678"}
    assert len(leads) == 4


def test_an_account_that_comes_to_somebody_else(database: Database, tmp_path: Path) -> None:
    """When a newer file gives the account another client, account and lead follow it."""
    header = "cliente,cuenta,telefono"
    load(database, write(tmp_path, [header, "P1,A1,5512345678"]))
    report = load(database, write(tmp_path, [header, "P2,A1,5587654321"], "newer.csv"))
    assert report.updated == 1
    with database.read() as tx:
        people = {row["external_id"]: row["id"] for row in rows(tx, "person")}
        [account], [lead] = rows(tx, "account"), rows(tx, "lead")
    assert account["person_id"] == lead["person_id"] == people["P2"]


def test_portfolios_keep_accounts_apart(database: Database, tmp_path: Path) -> None:
    """The same account number in two portfolios is two accounts."""
    report = load(
        database, write(tmp_path, ["cartera,cuenta,telefono", "uno,A1,5512345678", "dos,A1,5512345678"])
    )
    assert report.accepted == 2


def test_two_campaigns_share_people(database: Database, tmp_path: Path) -> None:
    """The same file on another campaign's list makes leads there of the same accounts."""
    with database.write() as tx:
        put_list_campaign(tx, "autumn")
    path = write(tmp_path, [HEADER, *GOOD])
    load(database, path)
    report = load(database, path, campaign_id=CampaignId("autumn"))
    assert report.accepted == 3
    with database.read() as tx:
        assert len(rows(tx, "account")) == 3
        assert len(rows(tx, "lead")) == 6


def test_do_not_call_is_checked_at_import(database: Database, tmp_path: Path) -> None:
    """A lead whose every number is on a do-not-call list is finished from the start and counted; one with another number is not."""
    with database.write() as tx:
        put_restriction(tx, "do_not_call", "number", "+525512345678")
        put_restriction(tx, "do_not_call", "number", "+526641234567")
    report = load(database, write(tmp_path, [HEADER, *GOOD]))
    assert (report.accepted, report.restricted) == (3, 1)
    with database.read() as tx:
        states = [row["state"] for row in rows(tx, "lead")]
        reasons = [row["finished_reason"] for row in rows(tx, "lead")]
    assert states == ["finished", "dialable", "dialable"]
    assert reasons == ["do_not_call", None, None]


def test_a_new_number_opens_a_finished_lead(database: Database, tmp_path: Path) -> None:
    """A lead that was finished for want of a number is dialable again when a file brings one."""
    with database.write() as tx:
        put_restriction(tx, "do_not_call", "number", "+525512345678")
    load(database, write(tmp_path, [HEADER, GOOD[0]]))
    report = load(
        database,
        write(tmp_path, [HEADER, "A1,Ana López,5512345678,5599998888,1500.50,30,Banco"], "newer.csv"),
    )
    assert report.updated == 1
    with database.read() as tx:
        [lead] = rows(tx, "lead")
    assert (lead["state"], lead["finished_reason"]) == ("dialable", None)


@pytest.mark.parametrize("left", [("finished", None), ("waiting", "promise")])
def test_a_new_number_opens_nothing_that_was_paid_or_promised(
    database: Database, tmp_path: Path, left: tuple[str, str | None]
) -> None:
    """Its account was paid meanwhile: it stays finished. Somebody has promised: it waits for that (I12)."""
    with database.write() as tx:
        put_restriction(tx, "do_not_call", "number", "+525512345678")
    load(database, write(tmp_path, [HEADER, GOOD[0]]))
    with database.write() as tx:
        [account] = rows(tx, "account")
        if left[1] == "promise":
            day = database.clock.utc().date()
            promises.make(
                tx, account_id=account["id"], instalments=[(day, 100)], kind=PromiseKind.AGREEMENT, now=database.clock.utc()
            )  # fmt: skip
        else:
            people.update_account(tx, account["id"], {"status": "paid"})
    load(
        database,
        write(tmp_path, [HEADER, "A1,Ana López,5512345678,5599998888,1500.50,30,Banco"], "newer.csv"),
    )
    with database.read() as tx:
        [lead] = rows(tx, "lead")
    assert (lead["state"], lead["waiting_for"]) == left


@pytest.mark.parametrize(
    ("paid", "expected"),
    [(100_000, ("finished", None, "paid")), (1_000, ("waiting", "payment", None))],
)
def test_a_paid_account_on_a_new_list(
    database: Database, tmp_path: Path, paid: int, expected: tuple[str, str | None, str | None]
) -> None:
    """A new campaign's file with an account that is paid, or in its pause after a payment, opens no lead for it."""
    with database.write() as tx:
        put_list_campaign(tx, "other")
    path = write(tmp_path, ["cuenta,telefono,saldo", "A1,5512345678,1000"])
    load(database, path)
    with database.write() as tx:
        [account] = rows(tx, "account")
        one = NewPayment(account["id"], "P1", paid, "MXN", "2025-03-04")
        payments.receive(tx, [one], source="bank", now=tx.utc())
    load(database, path, campaign_id=CampaignId("other"))
    with database.write() as tx:
        old, new = rows(tx, "lead")
    assert (new["state"], new["waiting_for"], new["finished_reason"]) == expected
    assert new["next_at_utc"] == old["next_at_utc"]


def test_unknown_zones_wait_for_one(database: Database, tmp_path: Path) -> None:
    """A number of no known zone makes a lead that waits for it; the same row with a state, or a zone, lets it be dialed."""
    header = "cuenta,telefono,zona"
    unknown = "+15002345678"  # a personal number of North America: valid, and nowhere in it
    report = load(database, write(tmp_path, [header, f"A1,{unknown},", f"A2,{unknown.replace('78', '79')},"]))
    assert report.zone_unknown == 2
    with database.read() as tx:
        assert {(row["state"], row["waiting_for"]) for row in rows(tx, "lead")} == {("waiting", "zone")}
    report = load(
        database,
        write(
            tmp_path,
            [header, f"A1,{unknown},Sonora", f"A2,{unknown.replace('78', '79')},America/Tijuana"],
            "zones.csv",
        ),
    )
    assert report.updated == 2
    with database.read() as tx:
        assert {row["state"] for row in rows(tx, "lead")} == {"dialable"}
        assert rows(tx, "person")[0]["region"] == "MX-SON"
        assert {row["zones"] for row in rows(tx, "phone")} == {"", "America/Tijuana"}


def test_a_stated_zone_narrows(database: Database, tmp_path: Path) -> None:
    """A stated zone is added to the number's own: both must allow a call; a file without the column does not widen it again."""
    load(database, write(tmp_path, ["cuenta,telefono,zona", "A1,5512345678,America/Tijuana"]))
    load(database, write(tmp_path, ["cuenta,telefono", "A1,5512345678"], "plain.csv"))
    with database.read() as tx:
        [phone] = rows(tx, "phone")
    assert phone["zones"] == "America/Mexico_City America/Tijuana"


def test_what_is_imported_is_dialed(database: Database, tmp_path: Path) -> None:
    """The hopper claims imported leads by priority, in the language of the row, under the packaged rules."""
    lines = ["cuenta,telefono,prioridad,idioma", "A1,5512345678,1,es", "A2,5512345679,9,inglés"]
    load(database, write(tmp_path, lines))
    with database.write() as tx:
        found = hopper.claim(
            tx, campaign_id=CAMPAIGN, settings=settings_of(), pack=packaged("mx"), trunks=[TRUNK] * 5, node="n", boot_id="b", now=NOON
        )  # fmt: skip
    assert [(one.number, one.language) for one in found.attempts] == [
        ("+525512345679", "en"),
        ("+525512345678", "es"),
    ]


def test_attributes_are_kept(database: Database, tmp_path: Path) -> None:
    """Columns that nobody knows are kept with the account, and newer ones are added to them."""
    load(database, write(tmp_path, ["cuenta,telefono,Color favorito", "A1,5512345678,azul"]))
    load(database, write(tmp_path, ["cuenta,telefono,Mascota", "A1,5512345678,perro"], "newer.csv"))
    with database.read() as tx:
        [account] = rows(tx, "account")
    assert account["attributes"] == {"color_favorito": "azul", "mascota": "perro"}


def test_an_unknown_campaign(database: Database, tmp_path: Path) -> None:
    """A campaign that the store does not know is told with those it does."""
    with pytest.raises(ConfigError, match="no campaign 'winter' in the store; known are: spring"):
        load(database, write(tmp_path, [HEADER, *GOOD]), campaign_id=CampaignId("winter"))


def test_files_that_are_none(database: Database, tmp_path: Path) -> None:
    """A file without a phone column, or of a header alone, is told; the second is no error."""
    with pytest.raises(ImportFileError, match="no column is a phone number"):
        load(database, write(tmp_path, ["nombre,saldo", "Ana,1"]))
    report = load(database, write(tmp_path, [HEADER], "header.csv"))
    assert (report.rows, report.accepted) == (0, 0)


def test_the_guess_can_be_shown_first(tmp_path: Path) -> None:
    """What each column would be taken for can be asked before anything is imported."""
    path = write(tmp_path, [HEADER, *GOOD])
    assert understood(path).mapping["cuenta"] == "external_id"
    assert understood(path, MappingFile({"acreedor": "-"})).mapping["acreedor"] == "-"


def test_progress_is_told(database: Database, tmp_path: Path) -> None:
    """Progress goes up to the end of the file, in rows and bytes, and says when it only checks."""
    path = write(
        tmp_path,
        ["cuenta,telefono", *(f"A{number},55{number:08d}" for number in range(20_000_000, 20_000_450))],
    )
    seen: list[Progress] = []
    load(database, path, progress=seen.append, strict=True)
    writing = [one for one in seen if not one.checking]
    assert any(one.checking for one in seen)
    assert [one.rows for one in writing] == [250, 450]
    assert writing[-1].bytes_read == writing[-1].bytes_total == path.stat().st_size


def test_no_personal_data_is_logged(database: Database, tmp_path: Path) -> None:
    """Neither numbers nor names nor balances of good or bad rows get into the log or the event (I17)."""
    with structlog.testing.capture_logs() as logs:
        report = load(database, write(tmp_path, [HEADER, *GOOD, BAD[4][0]]))
    with database.read() as tx:
        said = f"{logs} {[event.data for event in events.tail(tx, {})]} {report.reasons}"
    for secret in ("5512345678", "Ana", "Núñez", "1500", "150050"):
        assert secret not in said


def test_twenty_thousand_rows(database: Database, tmp_path: Path) -> None:
    """A list of 20,000 with two numbers each goes in, in cp1252 and semicolons, and every lead is dialable."""
    path = tmp_path / "big.csv"
    lines = ["Cuenta;Nombre;Teléfono;Celular;Saldo;Estado"]
    lines += [
        f"C{number};Peña {number};55{10_000_000 + number};664{1_000_000 + number};{number},50;Jalisco"
        for number in range(20_000)
    ]
    path.write_text("\n".join(lines), encoding="cp1252")
    report = load(database, path)
    assert (report.accepted, report.rejected, report.encoding) == (20_000, 0, "cp1252")
    with database.read() as tx:
        found = tx.scalar(
            TABLES["lead"]
            .select()
            .with_only_columns(hopper.leads.func.count())
            .where(TABLES["lead"].c.state == LeadState.DIALABLE.value)
        )
    assert found == 20_000
