"""The columns of a lead file: which field each header means, and what may stand in it.

It owns the table of header names in Spanish and English and what a row means. Single values are `cell_values.py`'s. A file without
headers that it knows is told so; a mapping of the user's (`{"header": "field"}`) comes first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from dialer_core.campaigns import cell_values
from dialer_core.campaigns.amounts import PLAIN, AmountStyle, cents, decimal
from dialer_core.campaigns.cell_values import fold
from dialer_core.campaigns.csv_reading import CsvFile
from dialer_core.campaigns.mapping_file import IGNORED, MappingFile
from dialer_core.compliance import zones
from dialer_core.compliance.phone_numbers import NumberError, normalise
from dialer_core.errors import ImportFileError
from dialer_core.store import email_addresses

HEADERS: dict[str, tuple[str, ...]] = {
    "external_id": (
        "cuenta", "numero_de_cuenta", "num_cuenta", "no_cuenta", "nro_cuenta", "account", "account_id", "account_number",
        "external_id", "id_externo", "credito", "numero_de_credito", "no_credito", "contrato", "contract", "loan_id", "folio",
        "id_cuenta", "id_credito", "id",
    ),
    "person_id": (
        "person_id", "id_persona", "id_cliente", "cliente_id", "numero_de_cliente", "num_cliente", "no_cliente", "client_id",
        "customer_id",
    ),
    "client": ("cliente", "client", "customer", "persona", "person"),
    "name": ("nombre", "nombre_completo", "nombre_cliente", "nombre_del_cliente", "deudor", "name", "full_name", "debtor", "customer_name"),
    "phone": (
        "telefono", "tel", "phone", "phone_number", "telephone", "numero_telefonico", "celular", "cel", "movil", "mobile",
        "cell", "cellphone", "telefono_celular", "telefono_movil", "telefono_casa", "casa", "home", "home_phone", "telefono_trabajo",
        "trabajo", "oficina", "telefono_oficina", "work", "work_phone", "telefono_fijo", "fijo", "lada_telefono",
    ),
    "email": (
        "correo", "correo_electronico", "email", "e_mail", "mail", "direccion_de_correo", "direccion_de_correo_electronico", "email_address",
    ),
    "balance": ("saldo", "saldo_total", "saldo_vencido", "adeudo", "deuda", "monto", "balance", "amount", "amount_due", "debt"),
    "currency": ("moneda", "divisa", "currency"),
    "days_past_due": ("dias_mora", "dias_de_mora", "dias_atraso", "dias_de_atraso", "dias_vencidos", "mora", "days_past_due", "dpd"),
    "due_date": ("fecha_vencimiento", "fecha_de_vencimiento", "vencimiento", "due_date", "fecha_limite"),
    "creditor": ("acreedor", "banco", "creditor", "bank", "otorgante"),
    "product": ("producto", "product", "tipo_credito", "tipo_de_credito"),
    "portfolio": ("cartera", "portafolio", "portfolio"),
    "priority": ("prioridad", "priority", "score", "puntaje"),
    "zone": ("zona", "zona_horaria", "zone", "time_zone", "timezone"),
    "state": ("estado", "entidad", "entidad_federativa", "state", "region"),
    "language": ("idioma", "lengua", "language", "lang"),
}  # fmt: skip
"""Field to the header names it goes by: lower case, without accents, `_` for anything else. A phone's and an e-mail address's may end in a number.

`client` is an id where it holds a digit, and else a name; `state` is a region where it holds a Mexican state, and else an attribute.
"""

PHONE = "phone"
EMAIL = "email"
_MANY = frozenset({PHONE, EMAIL})
"""Of these a file may have several columns, and a cell several values."""
BALANCE = "balance"

_BY_HEADER = {header: name for name, headers in HEADERS.items() for header in headers}
_PHONE_WORDS = frozenset({"tel", "telefono", "cel", "celular", "movil", "phone", "mobile", "telephone"})
_ABOUT_A_PHONE = frozenset(
    {
        "tipo", "type", "valido", "valid", "estatus", "status", "ext", "extension", "lada", "compania", "operador", "carrier",
        "contactos", "intentos", "referencia", "referencias", "ref", "aval", "conyuge", "familiar", "contacto", "reference",
        "guarantor", "spouse",
    }
)  # fmt: skip
"""With one of these, a header such as `tipo_telefono` or `telefono_referencia` speaks of a phone, or of somebody else's: it is not dialed."""
_EMAIL_WORDS = frozenset({"email", "mail", "correo"})
_WHICH_EMAIL = frozenset(
    {
        "e", "de", "del", "electronico", "direccion", "address", "personal", "principal", "alterno", "secundario", "adicional", "otro",
        "other", "casa", "home", "trabajo", "work", "oficina", "cliente", "client", "customer", "deudor", "debtor",
    }
)  # fmt: skip
"""What may stand beside those words. Anything else, as in `correo_aval` or `email_valido`, speaks of something that is not written to."""
_KINDS = {
    "mobile": ("cel", "movil", "mobile"),
    "home": ("casa", "home", "fijo"),
    "work": ("trabajo", "oficina", "work"),
}
_SEVERAL_RE = re.compile(r"[/;,|]")
_SEVERAL = _SEVERAL_RE.search
_EMAILS_RE = re.compile(r"[/;,|\s]+")
_LONGEST = {
    "external_id": 128,
    "person_id": 128,
    "product": 64,
    "portfolio": 64,
    "name": 200,
    "creditor": 200,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a row, or with one of its cells."""

    column: str
    reason: str
    fatal: bool = True
    """False: the row is imported without this cell."""


class PhoneCell(msgspec.Struct, array_like=True, frozen=True):
    """One number of a row. `rank` is its place among the row's."""

    e164: str
    kind: str
    rank: int


class LeadRow(msgspec.Struct, array_like=True):
    """A row's meaning. A field that the file leaves empty is None and changes nothing where the account is known."""

    line: int
    external_id: str = ""
    portfolio: str = "default"
    person_id: str | None = None
    name: str | None = None
    language: str | None = None
    region: str | None = None
    zone: str | None = None
    priority: float | None = None
    account: dict[str, Any] = msgspec.field(default_factory=dict)
    attributes: dict[str, str] = msgspec.field(default_factory=dict)
    phones: list[PhoneCell] = msgspec.field(default_factory=list)
    emails: list[str] = msgspec.field(default_factory=list)
    """As `email_addresses.normalised` writes them, in the order of the row."""


class _EmailError(ValueError):
    """A cell, or a part of it, is no e-mail address. It never quotes it (I17)."""


class Columns:
    """What each column of one file means, and how its amounts are written. `mapping` tells it for people: header to field.

    `assumed` is what was assumed of the file's encoding, in words.
    """

    def __init__(
        self,
        header: Sequence[str],
        fields: Sequence[str],
        amounts: AmountStyle = PLAIN,
        assumed: str = "",
    ) -> None:
        self.assumed = assumed
        self.header = tuple(header)
        self.fields = tuple(fields)
        self.amounts = amounts
        self._readers = [
            (index, _LONGEST.get(name, 1000), _reader(name, fold(title), amounts))
            for index, (title, name) in enumerate(zip(header, fields, strict=True))
            if name != IGNORED
        ]

    @property
    def mapping(self) -> dict[str, str]:
        """Header to field, as it was understood."""
        return dict(zip(self.header, self.fields, strict=True))

    def read(self, line: int, cells: Sequence[str]) -> tuple[LeadRow, list[Problem]]:
        """Return what a row says and what is wrong with it; a fatal problem means that it is not to be imported."""
        row = LeadRow(line)
        problems: list[Problem] = []
        for index, longest, reader in self._readers:
            value = cells[index].strip()
            if not value:
                continue
            if len(value) > longest:
                problems.append(Problem(self.header[index], f"longer than {longest} characters"))
                continue
            try:
                reader(row, value)
            except NumberError as error:
                problems.append(Problem(self.header[index], f"not a phone number: {error}", fatal=False))
            except _EmailError as error:
                problems.append(Problem(self.header[index], str(error), fatal=False))
            except ValueError as error:
                problems.append(Problem(self.header[index], str(error)))
        if not row.phones:
            problems = [Problem(one.column, one.reason) for one in problems]
            if not any(self.fields[self.header.index(one.column)] == PHONE for one in problems):
                problems.append(Problem("", "no phone number in the row"))
        elif not row.external_id:
            row.external_id = row.phones[0].e164
        return row, problems


_Reader = Callable[[LeadRow, str], None]
"""Takes the meaning of a cell that is not empty into a row."""


def _reader(name: str, folded: str, amounts: AmountStyle) -> _Reader:
    """Return how a column's cells are read."""
    if name == PHONE:
        return _phone_reader(_kind(folded))
    if name == EMAIL:
        return _take_emails
    if name == BALANCE:
        return _account_reader("balance_minor", partial(cents, style=amounts))
    if name in _ACCOUNT_VALUES:
        return _account_reader(*_ACCOUNT_VALUES[name])
    if name in _READERS:
        return _READERS[name]
    return lambda row, value: row.attributes.__setitem__(name, value)


def _phone_reader(kind: str) -> _Reader:
    def read(row: LeadRow, value: str) -> None:
        for number in _numbers(value):
            e164 = normalise(number)
            for phone in row.phones:
                if phone.e164 == e164:
                    break
            else:
                row.phones.append(PhoneCell(e164, kind, len(row.phones)))

    return read


def _take_emails(row: LeadRow, value: str) -> None:
    """Take every address of a cell; those that are none are told once, and the others kept."""
    wrong = 0
    for part in _EMAILS_RE.split(value.strip("/;,| ")):
        address = email_addresses.normalised(part.removeprefix("mailto:"))
        if address is None:
            wrong += 1
        elif address not in row.emails:
            row.emails.append(address)
    if wrong:
        raise _EmailError("not an e-mail address")


def _account_reader(column: str, read: Callable[[str], Any]) -> _Reader:
    return lambda row, value: row.account.__setitem__(column, read(value))


def _text_reader(name: str) -> _Reader:
    return lambda row, value: setattr(row, name, value)


def _take_client(row: LeadRow, value: str) -> None:
    """A column `cliente` holds ids in some files and names in others. Taken for an id, a name would make one person of two namesakes."""
    if any(char.isdigit() for char in value):
        row.person_id = row.person_id or value
    else:
        row.name = row.name or value


def _take_language(row: LeadRow, value: str) -> None:
    row.language = cell_values.language(value)


def _take_priority(row: LeadRow, value: str) -> None:
    row.priority = float(decimal(value))


def _take_zone(row: LeadRow, value: str) -> None:
    row.zone, row.region = cell_values.zone(value)


def _take_state(row: LeadRow, value: str) -> None:
    """A column `estado` that holds no state (`activo`) is an attribute."""
    if code := zones.region_code(value):
        row.region = code
    else:
        row.attributes["state"] = value


_READERS: dict[str, _Reader] = {
    **{name: _text_reader(name) for name in ("external_id", "portfolio", "person_id", "name")},
    "client": _take_client,
    "language": _take_language,
    "priority": _take_priority,
    "zone": _take_zone,
    "state": _take_state,
}
_ACCOUNT_VALUES: dict[str, tuple[str, Any]] = {
    "currency": ("currency", cell_values.currency),
    "days_past_due": ("days_past_due", cell_values.whole),
    "due_date": ("due_date", cell_values.date),
    "creditor": ("creditor", str),
    "product": ("product", str),
}


def understand(source: CsvFile, mapping: MappingFile) -> Columns:
    """Return what the columns of a file mean: what the user's mapping says, and else the guess.

    Raises
    ------
    ImportFileError
        There is no header, the mapping does not fit it, two columns mean the same, or none is a phone.
    """
    names = mapping.header_of(source, HEADERS)
    said = mapping.columns
    fields = [said[name] if name in said else _guess(name) for name in names]
    for index, meaning in enumerate(fields):
        if meaning in HEADERS and meaning not in _MANY and meaning in fields[:index]:
            first = names[fields.index(meaning)]
            if names[index] in said or first == names[index]:
                raise ImportFileError(
                    f"{source.path}: the columns {first!r} and {names[index]!r} both mean {meaning!r}; map one to '-'"
                )
            fields[index] = fold(names[index])  # the first column of a meaning has it, others are attributes
    if PHONE not in fields:
        raise ImportFileError(
            f"{source.path}: no column is a phone number. The header reads: {', '.join(name[:40] for name in names[:12])}. "
            "Name one 'telefono' or 'phone' (or telefono_1, celular …), or give a mapping"
        )
    money = [index for index, meaning in enumerate(fields) if meaning == BALANCE]
    return Columns(names, fields, mapping.amounts_of(source, money), source.assumed)


def _guess(header: str) -> str:
    folded = fold(header)
    if folded in _BY_HEADER:
        return _BY_HEADER[folded]
    numbered = re.sub(r"_?\d{1,2}$", "", folded)
    words = set(numbered.split("_"))
    if _BY_HEADER.get(numbered) == PHONE or (words & _PHONE_WORDS and not words & _ABOUT_A_PHONE):
        return PHONE
    if words & _EMAIL_WORDS and words <= _EMAIL_WORDS | _WHICH_EMAIL:
        return EMAIL
    return folded or IGNORED


def _kind(folded: str) -> str:
    return next((kind for kind, parts in _KINDS.items() if any(part in folded for part in parts)), "unknown")


def _numbers(cell: str) -> list[str]:
    """Split a cell that holds several numbers: `5512345678 / 5587654321`."""
    if not _SEVERAL(cell):
        return [cell]
    parts = _SEVERAL_RE.split(cell)
    return parts if all(sum(char.isdigit() for char in part) >= 7 for part in parts) else [cell]
