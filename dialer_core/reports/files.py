"""Reports as files: CSV, JSON and Parquet, written row by row, so that millions of records need no memory.

It owns those formats. Parquet needs pyarrow, which is an extra of the package: `pip install marcador[parquet]`.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Literal, get_args

import msgspec

from dialer_core.errors import CommandRefusedError
from dialer_core.reports.sheet import Column
from dialer_core.spreadsheet_cells import cell

Format = Literal["csv", "json", "parquet"]
FORMATS: tuple[Format, ...] = get_args(Format)
_ROWS_AT_ONCE = 20_000


def write_csv(out: IO[str], columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> int:
    """Write rows as CSV, a header first and empty cells for what there is nothing to say of; return how many."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    written = 0
    for row in rows:
        writer.writerow(cell(value) for value in row)
        written += 1
    return written


def write_json(out: IO[str], columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> int:
    """Write rows as one JSON array of objects, an object a line; return how many."""
    names = [column.name for column in columns]
    written = 0
    out.write("[")
    for written, row in enumerate(rows, 1):
        out.write(",\n" if written > 1 else "\n")
        out.write(msgspec.json.encode(dict(zip(names, row, strict=True))).decode())
    out.write("\n]\n" if written else "]\n")
    return written


def write_parquet(file: Path, columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> int:
    """Write rows as Parquet with typed columns, a few thousand in a row group; return how many.

    Raises
    ------
    CommandRefusedError
        pyarrow is not installed.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra: tens of megabytes that most installations do without
        import pyarrow.parquet as pq  # noqa: PLC0415 - as above
    except ImportError:
        raise CommandRefusedError(
            "Parquet needs pyarrow, which is not installed: pip install 'marcador[parquet]'"
        ) from None
    kinds = {"count": pa.int64(), "money": pa.int64(), "rate": pa.float64(), "seconds": pa.float64(), "days": pa.float64()}  # fmt: skip
    schema = pa.schema(
        [pa.field(one.name, kinds.get(one.unit, pa.string()), metadata={"unit": one.unit}) for one in columns]
    )
    written = 0
    with pq.ParquetWriter(file, schema) as writer:
        left = iter(rows)
        while some := list(itertools.islice(left, _ROWS_AT_ONCE)):
            values = zip(*some, strict=True)
            arrays = [pa.array(list(cells), kind) for cells, kind in zip(values, schema.types, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            written += len(some)
    return written
