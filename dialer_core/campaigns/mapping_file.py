"""The mapping file: a TOML beside a customer's files that says once what their columns are.

    [columns]                       # header = field, or "-" for a column that is not wanted
    "Núm. crédito" = "external_id"
    "Tel 1" = "phone"

    [attributes]
    portfolio = "default"           # of which portfolio
    public = ["sucursal"]           # may be said before the person is identified; every other one is sensitive

    [file]
    encoding = "cp850"              # where it is not found out
    delimiter = ";"

    [numbers]
    decimal = ","                   # before the cents; by default what the file's amounts speak for
    thousands = "."                 # by default the other sign

It owns that file's shape, and holding it against a file's header. What the fields are is the importers'.
"""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from dialer_core.campaigns import amounts
from dialer_core.campaigns.amounts import AmountStyle
from dialer_core.campaigns.csv_reading import CsvFile
from dialer_core.errors import ImportFileError

IGNORED = "-"
"""What a mapping gives for a column that is not wanted."""
_SAMPLE_RECORDS = 2_001


class _Attributes(msgspec.Struct, forbid_unknown_fields=True):
    portfolio: str = "default"
    public: tuple[str, ...] = ()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    encoding: str = ""
    delimiter: str = ""


class _Numbers(msgspec.Struct, forbid_unknown_fields=True):
    decimal: str | None = None
    thousands: str | None = None


class _Mapping(msgspec.Struct, forbid_unknown_fields=True):
    columns: dict[str, str] = {}
    attributes: _Attributes = msgspec.field(default_factory=_Attributes)
    file: _File = msgspec.field(default_factory=_File)
    numbers: _Numbers = msgspec.field(default_factory=_Numbers)


@dataclass(frozen=True, slots=True)
class MappingFile:
    """What a user says of a file. Empty: everything is guessed."""

    columns: dict[str, str] = field(default_factory=dict)
    """Header to field."""
    portfolio: str = "default"
    """Whose attributes are marked."""
    public_attributes: tuple[str, ...] = ()
    encoding: str = ""
    delimiter: str = ""
    amounts: AmountStyle | None = None
    """How amounts are written; None: what the file's own speak for."""

    def applied(self, source: CsvFile) -> CsvFile:
        """Return a file as the user says it is to be read."""
        return replace(
            source,
            encoding=self.encoding or source.encoding,
            delimiter=self.delimiter or source.delimiter,
            assumed="" if self.encoding else source.assumed,
        )

    def header_of(self, source: CsvFile, fields: Collection[str]) -> list[str]:
        """Return a file's header, each name without its byte order mark and blanks, after holding the mapping against it.

        Raises
        ------
        ImportFileError
            There is no header, or the mapping names a column or a field that there is not.
        """
        first = next(source.records(), None)
        if first is None:
            raise ImportFileError(f"{source.path}: is empty; it needs a header line and a row per record")
        header, _ = first
        if header.problem:
            raise ImportFileError(
                f"{source.path}: line {header.line}: the header cannot be read: {header.problem}"
            )
        names = [name.strip().lstrip("\ufeff") for name in header.cells]
        for column, meaning in self.columns.items():
            if column not in names:
                raise ImportFileError(
                    f"{source.path}: the mapping names a column {column!r}; the file has: {', '.join(names)}"
                )
            if meaning not in {*fields, IGNORED}:
                raise ImportFileError(
                    f"{source.path}: the mapping gives {column!r} the field {meaning!r}; use one of {', '.join(fields)} or {IGNORED}"
                )
        return names

    def amounts_of(self, source: CsvFile, places: Collection[int]) -> AmountStyle:
        """Return how the amounts in these columns of a file are written."""
        if self.amounts is not None or not places:
            return self.amounts or amounts.PLAIN
        records = itertools.islice(source.records(), 1, _SAMPLE_RECORDS)
        return amounts.guess(
            record.cells[place] for record, _ in records for place in places if place < len(record.cells)
        )


def load_mapping(path: Path) -> MappingFile:
    """Read a mapping file.

    Raises
    ------
    ImportFileError
        It cannot be read, or says something that there is not.
    """
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _Mapping)
    except OSError as error:
        raise ImportFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ImportFileError(f"{path}: is not TOML: {error}") from error
    except msgspec.ValidationError as error:
        raise ImportFileError(
            f"{path}: {error}; it has [columns], [attributes] portfolio, public, [file] encoding, delimiter and [numbers] decimal, thousands"
        ) from error
    if found.file.encoding:
        try:
            "".encode(
                found.file.encoding
            )  # a lookup alone would find base64 too, which is no encoding of text
        except (LookupError, UnicodeError):
            raise ImportFileError(
                f"{path}: file.encoding: {found.file.encoding!r} is not known; write utf-8, cp1252, cp850 …"
            ) from None
    if (sign := found.file.delimiter) and (len(sign) != 1 or sign.isalnum() or sign in '"\r\n .+-'):
        raise ImportFileError(
            f"{path}: file.delimiter: {sign!r} is not one sign; use one such as , ; | ^ or \\t"
        )
    style = None
    if found.numbers.decimal is not None or found.numbers.thousands is not None:
        try:
            style = amounts.declared(found.numbers.decimal or ".", found.numbers.thousands)
        except ValueError as error:
            raise ImportFileError(f"{path}: {error}") from None
    marks = found.attributes
    return MappingFile(
        found.columns, marks.portfolio, marks.public, found.file.encoding, found.file.delimiter, style
    )
