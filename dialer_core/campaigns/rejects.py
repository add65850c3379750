"""The reject file: every row or cell of an import that was not taken, with line, column, reason and the row as it stood.

A row that a spreadsheet would take for a formula stands behind an apostrophe. It holds people's data, so only its owner may read it.
It owns the file and nothing of the import.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from dialer_core.errors import ImportFileError
from dialer_core.spreadsheet_cells import cell

HEADER = ("line", "column", "reason", "row_imported", "row")

MOST_REASONS = 200
OTHER_REASONS = "other reasons"
"""Under which the report counts what comes after so many."""


class RejectFile:
    """Written as an import goes; not there where nothing was rejected. One of a former import of the same file is replaced."""

    def __init__(self, directory: Path, source: Path, digest: str) -> None:
        self._path = directory / f"{source.stem}.{digest[:12]}.rejects.csv"
        self._stream: IO[str] | None = None
        self._writer: Any = None
        self.reasons: dict[str, int] = {}
        """How often each column and reason was written, for the report."""

    def __enter__(self) -> Self:
        try:
            self._path.unlink(missing_ok=True)
        except OSError as error:
            raise ImportFileError(
                f"{self._path}: a former reject file cannot be replaced: {error.strerror}"
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    @property
    def path(self) -> Path | None:
        """Where it is, or None while nothing was rejected."""
        return self._path if self._stream is not None else None

    def add(self, line: int, column: str, reason: str, raw: str, *, imported: bool) -> None:
        """Write one line, and count it. `imported` says that the row itself went in, without this cell.

        Raises
        ------
        ImportFileError
            The file cannot be written.
        """
        try:
            if self._writer is None:
                self._open()
            text = raw.encode("utf-8", errors="backslashreplace").decode("utf-8")
            self._writer.writerow(map(cell, (line, column, reason, "yes" if imported else "no", text)))
        except OSError as error:
            raise ImportFileError(f"{self._path}: rejects cannot be written: {error.strerror}") from error
        key = f"{column}: {reason}" if column else reason
        if key not in self.reasons and len(self.reasons) >= MOST_REASONS:
            key = OTHER_REASONS  # some name their own line, and a file may have millions
        self.reasons[key] = self.reasons.get(key, 0) + 1

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._stream)
        self._writer.writerow(HEADER)
