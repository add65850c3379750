"""Reading a lead file ahead of its writing: rows with their meaning, and what is wrong with the others, in batches.

It owns the reading of one file to its end, and doing so in a process of its own where the file is long: reading and writing each take a
core then. It owns neither the reject file nor the store (`leads_import.py`).

The other process is this module run with a `_Task` as JSON on its standard input; it answers with batches in msgpack, each behind its
length.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

from dialer_core.campaigns.amounts import AmountStyle
from dialer_core.campaigns.csv_reading import CsvFile, Record
from dialer_core.campaigns.lead_columns import Columns, LeadRow, Problem
from dialer_core.campaigns.seen_rows import SeenRows
from dialer_core.errors import ImportFileError

BATCH_ROWS = 250
LONG_FILE_BYTES = 8 << 20
"""Beyond this a process of its own is worth its start."""
_LENGTH_BYTES = 4


class Rejected(msgspec.Struct, array_like=True):
    """A row, or one of its cells, that is not imported."""

    line: int
    column: str
    reason: str
    raw: str
    imported: bool
    """The row itself is, without this cell."""


class Batch(msgspec.Struct, array_like=True):
    """Some records of a file, read."""

    records: int
    bytes_read: int
    rows: list[LeadRow]
    rejected: list[Rejected]

    @property
    def rejected_rows(self) -> int:
        """How many records are no rows."""
        return self.records - len(self.rows)


class _Task(msgspec.Struct):
    """What the other process is to read."""

    path: str
    encoding: str
    delimiter: str
    sha256: str
    size_bytes: int
    header: tuple[str, ...]
    fields: tuple[str, ...]
    amounts: AmountStyle


def read(source: CsvFile, columns: Columns) -> Iterator[Batch]:
    """Yield what a file's records say, in order.

    Raises
    ------
    ImportFileError
        The file cannot be read to its end.
    """
    return (
        _read_apart(source, columns) if source.size_bytes > LONG_FILE_BYTES else _read_here(source, columns)
    )


def _read_here(source: CsvFile, columns: Columns) -> Iterator[Batch]:
    records = source.records()
    next(records)  # the header
    seen = SeenRows()
    batch = Batch(0, 0, [], [])
    for record, bytes_read in records:
        batch.records += 1
        batch.bytes_read = bytes_read
        row, problems = _row(columns, record, seen)
        if row is not None:
            batch.rows.append(row)
        if problems:
            raw = record.raw.encode("utf-8", errors="backslashreplace").decode("utf-8")
            batch.rejected += [
                Rejected(record.line, one.column, one.reason, raw, row is not None) for one in problems
            ]
        if batch.records == BATCH_ROWS:
            yield batch
            batch = Batch(0, bytes_read, [], [])
    if batch.records:
        yield batch


def _row(columns: Columns, record: Record, seen: SeenRows) -> tuple[LeadRow | None, list[Problem]]:
    try:
        cells = record.fitted(len(columns.header))
    except ValueError as error:
        return None, [Problem("", str(error))]
    row, problems = columns.read(record.line, cells)
    if problems and any(problem.fatal for problem in problems):
        return None, problems
    if (first := seen.first_line(f"{row.portfolio}\0{row.external_id}", record.line)) != record.line:
        return None, [Problem("", f"the account of line {first} again")]
    return row, problems


def _read_apart(source: CsvFile, columns: Columns) -> Iterator[Batch]:
    task = _Task(
        os.fspath(source.path.absolute()),
        source.encoding,
        source.delimiter,
        source.sha256,
        source.size_bytes,
        columns.header,
        columns.fields,
        columns.amounts,
    )
    reader = subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-m", __name__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    decoder = msgspec.msgpack.Decoder(Batch)
    try:
        assert reader.stdin is not None  # noqa: S101 - both were asked for
        assert reader.stdout is not None  # noqa: S101
        reader.stdin.write(msgspec.json.encode(task))
        reader.stdin.close()
        while frame := _frame(reader.stdout):
            yield decoder.decode(frame)
        if reader.wait() != 0:
            raise ImportFileError(
                f"{source.path}: reading it stopped before its end (status {reader.returncode})"
            )
    except BrokenPipeError:
        raise ImportFileError(f"{source.path}: the process that reads it did not start") from None
    finally:
        reader.kill()
        reader.wait()
        for pipe in (reader.stdin, reader.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _frame(stream: IO[bytes]) -> bytes:
    """Return the next frame; empty at the end. One that was cut off is the end too: the exit status tells."""
    length = stream.read(_LENGTH_BYTES)
    if len(length) < _LENGTH_BYTES:
        return b""
    frame = stream.read(int.from_bytes(length))
    return frame if len(frame) == int.from_bytes(length) else b""


def _serve() -> None:
    task = msgspec.json.decode(sys.stdin.buffer.read(), type=_Task)
    source = CsvFile(Path(task.path), task.encoding, task.delimiter, task.sha256, task.size_bytes)
    out, encoder = sys.stdout.buffer, msgspec.msgpack.Encoder()
    with contextlib.suppress(BrokenPipeError):  # nobody wants the rest
        for batch in _read_here(source, Columns(task.header, task.fields, task.amounts)):
            frame = encoder.encode(batch)
            out.write(len(frame).to_bytes(_LENGTH_BYTES) + frame)
        out.flush()
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


if __name__ == "__main__":
    _serve()
