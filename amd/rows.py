"""The detector's memory: one record per row, in one array, so that a tick gathers and scatters it in two calls.

Owns which rows are taken and what a fresh row remembers. The fields themselves belong to the modules that use them (`FIELDS`
in each).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from amd.errors import AmdInputError

Field = tuple[str, str, Any]
"""Name, numpy format, and value of a fresh row."""
Records = NDArray[np.void]
"""Structured array of the fields; ``records["name"]`` is one element per row."""


class RowStore:
    """Records that are handed out and given back, growing when all are taken.

    Parameters
    ----------
    capacity : int
        Records to begin with, at least 1.
    fields : list of Field
        What a record holds.
    """

    def __init__(self, capacity: int, fields: list[Field]) -> None:
        if capacity < 1:
            raise AmdInputError("capacity", f"{capacity} rows: at least 1 is needed")
        dtype = np.dtype([(name, form) for name, form, _ in fields], align=True)
        self._fresh = np.zeros(1, dtype)
        for name, _, value in fields:
            self._fresh[name] = value
        self._records = np.repeat(self._fresh, capacity)
        self._taken = np.zeros(capacity, np.bool_)
        self._free = list(range(capacity - 1, -1, -1))

    @property
    def capacity(self) -> int:  # numpydoc ignore=RT01
        """Number of rows there is memory for."""
        return self._taken.size

    @property
    def n_taken(self) -> int:  # numpydoc ignore=RT01
        """Number of rows in use."""
        return self.capacity - len(self._free)

    @property
    def record_bytes(self) -> int:  # numpydoc ignore=RT01
        """Memory of one row."""
        return self._records.dtype.itemsize

    def join(self) -> int:
        """Hand out a fresh row.

        Returns
        -------
        int
            Its number; the lowest of those never used or most recently given back.
        """
        if not self._free:
            old = self.capacity
            self._records = np.concatenate([self._records, np.repeat(self._fresh, old)])
            self._taken = np.concatenate([self._taken, np.zeros(old, np.bool_)])
            self._free = list(range(2 * old - 1, old - 1, -1))
        row = self._free.pop()
        self._records[row] = self._fresh[0]
        self._taken[row] = True
        return row

    def leave(self, row: int) -> None:
        """Take a row back.

        Parameters
        ----------
        row : int
            A row in use.
        """
        self._require(row)
        self._taken[row] = False
        self._free.append(row)

    def reset(self, row: int, **values: object) -> None:
        """Make a row in use fresh again.

        Parameters
        ----------
        row : int
            A row in use.
        **values : object
            Fields that shall not have the fresh value.
        """
        self._require(row)
        self._records[row] = self._fresh[0]
        for name, value in values.items():
            self._records[name][row] = value

    def get(self, row: int, name: str) -> Any:
        """Return one field of a row in use.

        Parameters
        ----------
        row : int
            A row in use.
        name : str
            The field.

        Returns
        -------
        numpy scalar
            Its value.
        """
        self._require(row)
        return self._records[name][row]

    def take(self, rows: NDArray[np.intp]) -> Records:
        """Copy the records of some rows.

        Parameters
        ----------
        rows : numpy.ndarray of intp, shape (n,)
            Rows in use, distinct.

        Returns
        -------
        numpy.ndarray, structured, shape (n,)
            The copy, to be changed and given to `put`.

        Raises
        ------
        AmdInputError
            A row is not in use, or is named twice.
        """
        inside = (rows >= 0) & (rows < self.capacity)
        if not inside.all() or not self._taken[rows].all():
            raise AmdInputError("rows", "names a row that has not joined or has left")
        named = np.zeros(self.capacity, np.bool_)
        named[rows] = True
        if np.count_nonzero(named) != rows.size:
            raise AmdInputError("rows", "names a row twice")
        return self._records.take(rows)

    def put(self, rows: NDArray[np.intp], records: Records) -> None:
        """Write records back.

        Parameters
        ----------
        rows : numpy.ndarray of intp, shape (n,)
            The rows given to `take`.
        records : numpy.ndarray, structured, shape (n,)
            What `take` returned, changed.
        """
        np.put(self._records, rows, records)

    def _require(self, row: int) -> None:
        if not (0 <= row < self.capacity and self._taken[row]):
            raise AmdInputError("row", f"{row} has not joined or has left")
