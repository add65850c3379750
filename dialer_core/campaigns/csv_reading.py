"""Reading CSV files as they come: of any common encoding and delimiter, with broken rows told one by one.

It owns bytes to records: delimiter, quotes, line numbers, the digest of the file. A record that cannot be read carries why, with its raw
text; nothing is skipped in silence. Which encoding it is, `text_encoding.py` says; what the columns mean is the importers'.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from dialer_core.campaigns import text_encoding
from dialer_core.errors import ImportFileError

DELIMITERS = (",", ";", "\t", "|", "^", "~")
"""Those that are found out; of equally good ones the first."""
MAX_LINE_CHARS = 1 << 20
MAX_RECORD_LINES = 200
"""A quoted cell may run over this many lines; beyond, its quote was never closed."""

_BLANK_BEHIND_A_QUOTE = re.compile(r'"[ \t]+(?=$|[,;\t|^~\r\n])')
_CHUNK = 1 << 20
_NOT_TEXT = re.compile("[\ud800-\udfff\ufffd]").search
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]").search
_SAMPLE_LINES = 20
_SAMPLE_BYTES = 1 << 16
_WRONG_FILES = (
    (b"PK\x03\x04", "is a workbook or archive, not CSV; export the sheet as CSV"),
    (b"\xd0\xcf\x11\xe0", "is an old Excel workbook, not CSV; export the sheet as CSV"),
    (b"\x1f\x8b", "is compressed; unpack it first"),
    (b"%PDF", "is a PDF, not CSV"),
)


_Line = tuple[int, str, bool]
"""Number, text with its end, and whether all of it is there."""


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
    assumed: str = ""
    """What the encoding rests on, in words; empty: nothing was assumed."""

    def records(self) -> Iterator[tuple[Record, int]]:
        """Yield every record that is not blank, the header included, and how many bytes have been read."""
        errors = "replace" if self.encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
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
            encoding, assumed = text_encoding.guess(file, head)
            file.seek(0)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
            size = file.tell()
    except OSError as error:
        raise ImportFileError(f"{path}: cannot be read: {error.strerror}") from error
    sample = head.decode(encoding, errors="replace")
    if "\0" in sample:
        raise ImportFileError(f"{path}: is not text; export it as CSV in UTF-8")
    return CsvFile(path, encoding, _delimiter(sample), digest.hexdigest(), size, assumed)


def _delimiter(sample: str) -> str:
    lines = [line for line in sample.splitlines() if line.strip()][:_SAMPLE_LINES]
    if lines and lines[0].lower().startswith("sep=") and len(lines[0].strip()) == 5:
        return lines[0].strip()[-1]

    def score(delimiter: str) -> tuple[int, int]:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        return sum(width == widths[0] for width in widths) if widths[0] > 1 else 0, widths[0]

    return max(DELIMITERS, key=score)


def _lines(text: io.TextIOWrapper) -> Iterator[_Line]:
    """Yield (number, line with its end, whole): a line longer than any row is cut, and the rest of it thrown away."""
    number = 0
    while line := text.readline(MAX_LINE_CHARS):
        number += 1
        whole = line.endswith(("\n", "\r")) or len(line) < MAX_LINE_CHARS
        if not whole:
            while (rest := text.readline(MAX_LINE_CHARS)) and not rest.endswith(("\n", "\r")):
                pass
        yield number, line, whole


def _records(lines: Iterator[_Line], delimiter: str) -> Iterator[Record]:
    waiting: deque[_Line] = deque()
    width = 0

    def following() -> _Line | None:
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
            joined, taken = _rest_of(line, following, delimiter, width)
            if joined is None:
                # The quote belongs to this line alone: what follows is read again, so that no good row is lost with it.
                waiting.extendleft(reversed(taken))
                yield Record(number, raw, [], "a quote is opened and not closed")
                continue
            raw, cells = joined
        width = width or len(cells)
        yield Record(number, raw, cells, _bad_text(raw))


def _rest_of(
    line: str, following: Callable[[], _Line | None], delimiter: str, width: int
) -> tuple[tuple[str, list[str]] | None, list[_Line]]:
    """Read on to where a quoted cell ends; return the record's text and cells, or None, and the lines that were taken.

    A record of another width than the header's is one all the same, and told as such, unless a line that it swallowed is a row by itself:
    then the quote was never closed.
    """
    taken: list[_Line] = []
    joined = line
    quotes = line.count('"')
    while (
        len(taken) < MAX_RECORD_LINES and len(joined) < MAX_LINE_CHARS and (item := following()) is not None
    ):
        taken.append(item)
        joined += item[1]
        more = item[1].count('"')
        quotes += more
        if not more or quotes % 2:  # it cannot have ended: not worth a look at all of it again
            continue
        raw = joined.rstrip("\r\n")
        cells = _split(raw, delimiter, lenient=False)
        if cells is None:
            cells = _split(_BLANK_BEHIND_A_QUOTE.sub('"', raw), delimiter, lenient=False)
        if cells is not None:
            swallowed = width and len(cells) != width and any(_is_row(one, delimiter, width) for one in taken)
            return (None if swallowed else (raw, cells)), taken
    return None, taken


def _is_row(line: _Line, delimiter: str, width: int) -> bool:
    return len(_split(line[1].rstrip("\r\n"), delimiter) or ()) == width > 1


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
