"""What the columns of a lead file mean, and how their cells are read."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from dialer_core.campaigns.csv_reading import CsvFile, Record
from dialer_core.campaigns.lead_columns import Columns, LeadRow, understand
from dialer_core.campaigns.mapping_file import MappingFile
from dialer_core.errors import ImportFileError

pytestmark = pytest.mark.unit


class Lines(CsvFile):
    """A file that is in memory."""

    def __init__(self, *records: Sequence[str]) -> None:
        super().__init__(Path("leads.csv"), "utf-8", ",", "", 0)
        object.__setattr__(self, "_records", records)

    def records(self) -> Iterator[tuple[Record, int]]:
        """Yield them."""
        for line, cells in enumerate(self._records, 1):
            yield Record(line, "", list(cells)), 0


def columns(*header: str, **mapping: str) -> Columns:
    """Return the columns of a header."""
    return understand(Lines(header), MappingFile(mapping))


def read(header: str, cell: str) -> tuple[LeadRow, list[tuple[str, str, bool]]]:
    """Read a row of one cell beside a good phone number."""
    row, problems = columns("telefono", header).read(2, ["5512345678", cell])
    return row, [(one.column, one.reason, one.fatal) for one in problems]


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Cuenta", "external_id"),
        ("NÚMERO DE CUENTA", "external_id"),
        ("account_id", "external_id"),
        ("Id Cliente", "person_id"),
        ("Cliente", "client"),
        ("Teléfono de referencia", "telefono_de_referencia"),
        ("Tipo de teléfono", "tipo_de_telefono"),
        ("Celular del aval", "celular_del_aval"),
        ("Nombre completo", "name"),
        ("Debtor", "name"),
        ("Teléfono", "phone"),
        ("TELEFONO_2", "phone"),
        ("Celular1", "phone"),
        ("Phone 3", "phone"),
        ("Tel. Casa", "phone"),
        ("Saldo total", "balance"),
        ("Días de mora", "days_past_due"),
        ("Fecha de vencimiento", "due_date"),
        ("Acreedor", "creditor"),
        ("Zona", "zone"),
        ("Estado", "state"),
        ("Idioma", "language"),
        ("Prioridad", "priority"),
        ("Color favorito", "color_favorito"),
        ("Correo electrónico", "email"),
        ("E-mail 2", "email"),
        ("Correo del trabajo", "email"),
        ("Correo del aval", "correo_del_aval"),
        ("Email válido", "email_valido"),
        ("Correo postal", "correo_postal"),
    ],
)
def test_headers_in_spanish_and_english(header: str, field: str) -> None:
    """A header is known by its folded name; what nobody knows is an attribute under that name."""
    assert columns("telefono", header).mapping[header] == field


@pytest.mark.parametrize("cell", ["202511", "2025115"])
def test_a_month_is_no_day(cell: str) -> None:
    """Digits alone are a day only where all eight are there."""
    row, problems = read("vencimiento", cell)
    assert problems == [("vencimiento", "not a date; write YYYY-MM-DD or DD/MM/YYYY", True)]
    assert "due_date" not in row.account


def test_a_mapping_comes_first() -> None:
    """A user's mapping names what the guess does not know, and leaves out what is not wanted."""
    found = columns("Ref", "Fono", "Nombre", Ref="external_id", Fono="phone", Nombre="-").mapping
    assert found == {"Ref": "external_id", "Fono": "phone", "Nombre": "-"}


@pytest.mark.parametrize(
    ("header", "mapping", "reason"),
    [
        (["nombre", "cuenta"], {}, "no column is a phone number"),
        (["5512345678", "Juan"], {}, "no column is a phone number"),
        (["telefono"], {"fono": "phone"}, "a column 'fono'; the file has: telefono"),
        (["telefono"], {"telefono": "telephone"}, "the field 'telephone'; use one of"),
        (["telefono", "a", "b"], {"a": "name", "b": "name"}, "'a' and 'b' both mean 'name'"),
        (["telefono", "saldo", "saldo"], {}, "both mean 'balance'"),
    ],
)
def test_headers_that_cannot_be_understood(header: list[str], mapping: dict[str, str], reason: str) -> None:
    """A file without a phone column, or with a mapping that does not fit, is refused with what would be right."""
    with pytest.raises(ImportFileError, match=reason):
        understand(Lines(header), MappingFile(mapping))


def test_the_first_of_two_columns_has_the_meaning() -> None:
    """Of two columns with one meaning the second becomes an attribute; several phone columns are all phones."""
    found = columns("telefono", "cuenta", "contrato", "celular").mapping
    assert found == {"telefono": "phone", "cuenta": "external_id", "contrato": "contrato", "celular": "phone"}


@pytest.mark.parametrize(
    ("header", "cell", "where", "value"),
    [
        ("saldo", "1234.50", "balance_minor", 123450),
        ("saldo", "$1,234.50", "balance_minor", 123450),
        ("saldo", "1.234,50", "balance_minor", 123450),
        ("saldo", "1,234", "balance_minor", 123400),
        ("saldo", "12,5", "balance_minor", 1250),
        ("saldo", "MXN 1 234 567.89", "balance_minor", 123456789),
        ("saldo", "-10", "balance_minor", -1000),
        ("saldo", "0", "balance_minor", 0),
        ("dias_mora", "35", "days_past_due", 35),
        ("dias_mora", "35.0", "days_past_due", 35),
        ("vencimiento", "2025-03-04", "due_date", "2025-03-04"),
        ("vencimiento", "04/03/2025", "due_date", "2025-03-04"),
        ("vencimiento", "2025-03-04 00:00:00", "due_date", "2025-03-04"),
        ("vencimiento", "20250304", "due_date", "2025-03-04"),
        ("moneda", "mxn", "currency", "MXN"),
        ("acreedor", "Banco Uno", "creditor", "Banco Uno"),
    ],
)
def test_values_of_the_account(header: str, cell: str, where: str, value: Any) -> None:
    """Amounts to cents, days, dates day first, currencies."""
    row, problems = read(header, cell)
    assert problems == []
    assert row.account == {where: value}


@pytest.mark.parametrize(
    ("header", "cell", "reason"),
    [
        ("saldo", "mucho", "not a number"),
        ("saldo", "1e99", "not a number of a sensible size"),
        ("saldo", "NaN", "not a number of a sensible size"),
        ("dias_mora", "3.5", "not a whole number"),
        ("dias_mora", "1000000", "not a number of days"),
        ("vencimiento", "2025-02-30", "not a date"),
        ("vencimiento", "ayer", "not a date"),
        ("moneda", "pesos", "not a currency"),
        ("prioridad", "alta", "not a number"),
        ("idioma", "klingon", "not a language"),
        ("zona", "Marte", "neither an IANA zone"),
        ("nombre", "x" * 201, "longer than 200"),
    ],
)
def test_broken_values_reject_the_row(header: str, cell: str, reason: str) -> None:
    """A value that cannot be read rejects its row, naming the column, and does not quote the value."""
    _, [(column, told, fatal)] = read(header, cell)
    assert column == header
    assert reason in told
    assert cell not in told
    assert fatal


def test_e_mail_addresses_of_a_cell() -> None:
    """A cell may hold several, in any case; what is none is told without being quoted, and neither the others nor the row are lost by it."""
    row, problems = read(
        "correo", " Ana@Example.com; ana.dos@example.mx / ANA@example.com,mailto:tres@example.org"
    )
    assert (row.emails, problems) == (["ana@example.com", "ana.dos@example.mx", "tres@example.org"], [])
    row, problems = read("correo", "no tiene; ana@example.com")
    assert row.emails == ["ana@example.com"]
    assert problems == [("correo", "not an e-mail address", False)]


def test_a_row_of_an_address_alone_has_no_phone() -> None:
    """A bad address does not hide that the row has no number: both are told, and it does not go in."""
    row, problems = columns("telefono", "correo").read(2, ["", "nadie"])
    assert [(one.column, one.reason, one.fatal) for one in problems] == [
        ("correo", "not an e-mail address", True),
        ("", "no phone number in the row", True),
    ]
    assert row.emails == []


def test_several_columns_of_addresses() -> None:
    """Several columns may be addresses; a mapping names what the guess does not know."""
    found = columns(
        "telefono", "correo", "correo_2", "Contacto digital", **{"Contacto digital": "email"}
    ).mapping
    assert found == {"telefono": "phone", "correo": "email", "correo_2": "email", "Contacto digital": "email"}


def test_zones_and_states() -> None:
    """A zone column takes IANA zones and states; a column `estado` that holds no state is an attribute."""
    assert read("zona", "America/Tijuana")[0].zone == "America/Tijuana"
    assert read("zona", "Sonora")[0].region == "MX-SON"
    assert read("estado", "Q. Roo")[0].region == "MX-ROO"
    row, problems = read("estado", "activo")
    assert (row.region, row.attributes, problems) == (None, {"state": "activo"}, [])


def test_a_client_is_an_id_or_a_name() -> None:
    """`cliente` with a digit is the person's id; without one it is a name, so that two namesakes never become one person."""
    row = read("cliente", "C-1009")[0]
    assert (row.person_id, row.name) == ("C-1009", None)
    row = read("cliente", "Juan Pérez")[0]
    assert (row.person_id, row.name) == (None, "Juan Pérez")
    row, _ = columns("telefono", "nombre", "cliente").read(2, ["5512345678", "Ana", "Juan"])
    assert row.name == "Ana"


def test_several_phones() -> None:
    """Numbers keep the order of their columns as rank, and their kind; one written twice is one; one cell may hold two."""
    row, problems = columns("Celular", "Tel casa", "Trabajo", "Telefono 4").read(
        2, ["044 55 1234 5678", "5512345678", "3312345678 / 8112345678", ""]
    )
    assert problems == []
    assert [(phone.e164, phone.kind, phone.rank) for phone in row.phones] == [
        ("+525512345678", "mobile", 0),
        ("+523312345678", "work", 1),
        ("+528112345678", "work", 2),
    ]


def test_a_bad_number_beside_a_good_one() -> None:
    """The row goes in without the bad number, which is told; with no good one left the row is rejected."""
    two = columns("tel1", "tel2")
    row, [problem] = two.read(2, ["123", "5512345678"])
    assert [phone.e164 for phone in row.phones] == ["+525512345678"]
    assert (problem.column, problem.fatal) == ("tel1", False)
    _, problems = two.read(2, ["123", ""])
    assert [(one.column, one.fatal) for one in problems] == [("tel1", True)]
    _, problems = two.read(2, ["", ""])
    assert [(one.column, one.reason, one.fatal) for one in problems] == [
        ("", "no phone number in the row", True)
    ]


def test_without_an_account_the_first_number_names_it() -> None:
    """A file of names and numbers alone can be imported again: the first number stands for the account."""
    row, _ = columns("nombre", "telefono").read(2, ["Ana", "5512345678"])
    assert row.external_id == "+525512345678"
