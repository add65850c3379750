"""Reading CSV files as they come: of any common encoding and delimiter, with broken rows told one by one.

It owns bytes to records: encoding, delimiter, quotes, line numbers, the digest of the file. A record that cannot be read carries why,
with its raw text; nothing is skipped in silence. What the columns mean is the importers'.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dialer_core.errors import ImportFileError

DELIMITERS = (",", ";", "\t", "|")
MAX_LINE_CHARS = 1 << 20
MAX_RECORD_LINES = 20
"""A quoted cell may run over this many lines; beyond, its quote was never closed."""

_CHUNK = 1 << 20
_NOT_TEXT = re.compile("[\ud800-\udfff\ufffd]").search
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]").search
_SAMPLE_LINES = 20
_SAMPLE_BYTES = 1 << 16
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WRONG_FILES = (
    (b"PK\x03\x04", "is a workbook or archive, not CSV; export the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook, not CSV; export the sheet as CSV"),
    (b"\x1f\x8b", "is compressed; unpack it first"),
    (b"%PDF", "is a PDF, not CSV"),
)


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its cells, or why it has none. `line` counts from 1, `raw` is its text without the last line end."""

    line: int
    raw: str
    cells: list[str]
    problem: str = ""

    def fitted(self, width: int) -> list[str]:
        """Return as many cells as the header has; a spreadsheet's empty columns behind them are left out.

        Raises
        ------
        ValueError
            It could not be read, or has more or fewer; the text says so.
        """
        if self.problem:
            raise ValueError(self.problem)
        cells = self.cells
        if len(cells) > width and not any(cell.strip() for cell in cells[width:]):
            cells = cells[:width]
        if len(cells) != width:
            raise ValueError(f"{len(cells)} columns, and the header has {width}")
        return cells


@dataclass(frozen=True, slots=True)
class CsvFile:
    """What was found out about a file. `records` reads it, from the header on."""

    path: Path
    encoding: str
    delimiter: str
    sha256: str
    size_bytes: int

    def records(self) -> Iterator[tuple[Record, int]]:
        """Yield every record that is not blank, the header included, and how many bytes have been read."""
        errors = "replace" if self.encoding.startswith("utf-16") else "surrogateescape"
        with self.path.open("rb") as binary:
            text = io.TextIOWrapper(binary, encoding=self.encoding, errors=errors, newline="")
            for record in _records(_lines(text), self.delimiter):
                yield record, binary.tell()


def inspect(path: Path) -> CsvFile:
    """Find out encoding and delimiter and take the digest, in one pass over the file.

    Raises
    ------
    ImportFileError
        It cannot be read, is empty, or is not text.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            head = file.read(_SAMPLE_BYTES)
            if not head.strip():
                raise ImportFileError(f"{path}: is empty; it needs a header line and a row per lead")
            for magic, reason in _WRONG_FILES:
                if head.startswith(magic):
                    raise ImportFileError(f"{path}: {reason}")
            file.seek(0)
            encoding = _byte_order(head) or _eight_bit(file)
            file.seek(0)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            size = file.tell()
    except OSError as error:
        raise ImportFileError(f"{path}: cannot be read: {error.strerror}") from error
    sample = head.decode(encoding, errors="replace")
    if "\0" in sample:
        raise ImportFileError(f"{path}: is not text; export it as CSV in UTF-8")
    return CsvFile(path, encoding, _delimiter(sample), digest.hexdigest(), size)


def _byte_order(head: bytes) -> str | None:
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    # UTF-16 without its mark: every other byte of Latin text is zero
    pairs = len(head) // 2
    if pairs >= 4:
        if head[1::2].count(0) > 0.4 * pairs and head[0::2].count(0) == 0:
            return "utf-16-le"
        if head[0::2].count(0) > 0.4 * pairs and head[1::2].count(0) == 0:
            return "utf-16-be"
    return None


def _eight_bit(file: io.BufferedReader) -> str:
    """Choose between UTF-8 and Windows-1252 (of which Latin-1 text is a part) by what most of the lines that differ say."""
    good = bad = 0
    while line := file.readline(_CHUNK):
        if line.isascii():
            continue
        try:
            line.decode("utf-8")
            good += 1
        except UnicodeDecodeError:
            bad += 1
    return "cp1252" if bad > good else "utf-8"


def _delimiter(sample: str) -> str:
    lines = [line for line in sample.splitlines() if line.strip()][:_SAMPLE_LINES]
    if lines and lines[0].lower().startswith("sep=") and len(lines[0].strip()) == 5:
        return lines[0].strip()[-1]

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        return sum(width == widths[0] for width in widths) if widths[0] > 1 else 0, widths[0]

    return max(DELIMITERS, key=score)


def _lines(text: io.TextIOWrapper) -> Iterator[tuple[int, str, bool]]:
    """Yield (number, line with its end, whole): a line longer than any row is cut, and the rest of it thrown away."""
    number = 0
    while line := text.readline(MAX_LINE_CHARS):
        number += 1
        whole = line.endswith(("\n", "\r")) or len(line) < MAX_LINE_CHARS
        if not whole:
            while (rest := text.readline(MAX_LINE_CHARS)) and not rest.endswith(("\n", "\r")):
                pass
        yield number, line, whole


def _records(lines: Iterator[tuple[int, str, bool]], delimiter: str) -> Iterator[Record]:
    waiting: deque[tuple[int, str, bool]] = deque()
    width = 0

    def following() -> tuple[int, str, bool] | None:
        return waiting.popleft() if waiting else next(lines, None)

    while (item := following()) is not None:
        number, line, whole = item
        raw = line.rstrip("\r\n")
        if not raw.strip() or (number == 1 and raw.lower().startswith("sep=") and len(raw.strip()) == 5):
            continue
        if not whole:
            yield Record(number, raw[:200], [], f"a line of more than {MAX_LINE_CHARS} characters")
            continue
        cells = _split(raw, delimiter)
        if cells is None:
            taken: list[tuple[int, str, bool]] = []
            joined = line
            while cells is None and len(taken) < MAX_RECORD_LINES and (item := following()) is not None:
                taken.append(item)
                joined += item[1]
                cells = _split(joined.rstrip("\r\n"), delimiter, lenient=False)
            if cells is None or (width and len(cells) != width):
                # The quote belongs to this line alone: what follows is read again, so that no good row is lost with it.
                waiting.extendleft(reversed(taken))
                yield Record(number, raw, [], "a quote is opened and not closed")
                continue
            raw = joined.rstrip("\r\n")
        width = width or len(cells)
        yield Record(number, raw, cells, _bad_text(raw))


def _split(raw: str, delimiter: str, *, lenient: bool = True) -> list[str] | None:
    """Return the cells of a record, or None where a quoted cell has not ended.

    Quotes where none belong are taken as they stand within one line (`lenient`); a record of several lines must quote as it should.
    """
    if '"' not in raw:
        return raw.split(delimiter)
    try:
        return next(csv.reader([raw], delimiter=delimiter, strict=True))
    except csv.Error as error:
        if "unexpected end" in str(error) or not lenient:
            return None
    try:
        return next(csv.reader([raw], delimiter=delimiter))
    except csv.Error:
        return None


def _bad_text(raw: str) -> str:
    if raw.isprintable() and "\ufffd" not in raw:
        return ""
    if _NOT_TEXT(raw):
        return "bytes that are not text in the file's encoding"
    if _CONTROL(raw):
        return "a control character"
    return ""
