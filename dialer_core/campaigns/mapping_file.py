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

It owns that file's shape. What the fields are is the importers'.
"""

from __future__ import annotations

import codecs
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from dialer_core.campaigns.csv_reading import DELIMITERS, CsvFile
from dialer_core.errors import ImportFileError


class _Attributes(msgspec.Struct, forbid_unknown_fields=True):
    portfolio: str = "default"
    public: tuple[str, ...] = ()


class _File(msgspec.Struct, forbid_unknown_fields=True):
    encoding: str = ""
    delimiter: str = ""


class _Mapping(msgspec.Struct, forbid_unknown_fields=True):
    columns: dict[str, str] = {}
    attributes: _Attributes = msgspec.field(default_factory=_Attributes)
    file: _File = msgspec.field(default_factory=_File)


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

    def applied(self, source: CsvFile) -> CsvFile:
        """Return a file as the user says it is to be read."""
        return replace(
            source, encoding=self.encoding or source.encoding, delimiter=self.delimiter or source.delimiter
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
            f"{path}: {error}; it has [columns], [attributes] portfolio, public and [file] encoding, delimiter"
        ) from error
    if found.file.encoding:
        try:
            codecs.lookup(found.file.encoding)
        except LookupError:
            raise ImportFileError(
                f"{path}: file.encoding: {found.file.encoding!r} is not known; write utf-8, cp1252, cp850 …"
            ) from None
    if found.file.delimiter and found.file.delimiter not in DELIMITERS:
        raise ImportFileError(f"{path}: file.delimiter: use one of {' '.join(map(repr, DELIMITERS))}")
    marks = found.attributes
    return MappingFile(
        found.columns, marks.portfolio, marks.public, found.file.encoding, found.file.delimiter
    )
