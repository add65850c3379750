"""The detector's memory: one array per field, rows side by side, so that a tick works through memory in order.

Owns which rows are taken, where each lies, and what a fresh row remembers. The fields themselves belong to the modules that use them
(`FIELDS` in each).

Rows in use always lie one after another: when one leaves, the last takes its place. A tick that names them all, as nearly every one
does, works on the memory itself; one that names some copies theirs and writes them back.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from amd.errors import AmdInputError

Field = tuple[str, str, Any]
"""Name, numpy format (`f4`, `i4`, `u1`, `?`, or a row of them such as ``(3,)f4``), and value of a fresh row."""


Fresh = tuple[NDArray[Any], ...]
"""What a fresh row remembers: one array per block of memory."""


class Readable(Protocol):
    """Fields by name, to read from: `Records`, or `Some` of them."""

    def __getitem__(self, name: str, /) -> NDArray[Any]:
        """Read a field.

        Parameters
        ----------
        name : str
            The field.

        Returns
        -------
        numpy.ndarray, shape (n,)
            Its values.
        """


class Records(dict[str, NDArray[Any]]):
    """Fields of some rows by name, one element (or one row of elements) per row; assigning writes into the memory.

    Parameters
    ----------
    memories : list of numpy.ndarray
        What the fields are views of.
    """

    def __init__(self, memories: list[NDArray[Any]]) -> None:
        super().__init__()
        self.memories = memories

    def __setitem__(self, name: str, value: Any) -> None:
        """Write the values of one field.

        Parameters
        ----------
        name : str
            The field.
        value : array_like, shape (n,)
            Its values.
        """
        column = self[name]
        if value is not column:
            column[...] = value

    def some(self, at: NDArray[np.intp]) -> Some:
        """Look at a part of the rows, without copying what is not asked for.

        Parameters
        ----------
        at : numpy.ndarray of intp, shape (m,)
            Places among these rows.

        Returns
        -------
        Some
            Their fields, each read when it is asked for.
        """
        return Some(self, at)


class Some:
    """Fields of a part of some rows, to read from.

    Parameters
    ----------
    records : Records
        All of them.
    at : numpy.ndarray of intp, shape (m,)
        Which.
    """

    __slots__ = ("_at", "_records")

    def __init__(self, records: Records, at: NDArray[np.intp]) -> None:
        self._records, self._at = records, at

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read a field.

        Parameters
        ----------
        name : str
            The field.

        Returns
        -------
        numpy.ndarray, shape (m,)
            A copy of its values.
        """
        return self._records[name].T.take(self._at, axis=-1).T


class _Block:
    """Fields whose elements have one size, as lines of one array of shape (n_lines, capacity)."""

    def __init__(self, fields: list[Field], capacity: int) -> None:
        self.lines: list[tuple[str, np.dtype[Any], slice, bool]] = []
        fresh: list[NDArray[np.uint8]] = []
        n = 0
        for name, form, value in fields:
            shaped = np.dtype(form)
            width = int(np.prod(shaped.shape, dtype=int))
            self.lines.append((name, shaped.base, slice(n, n + width), bool(shaped.shape)))
            fresh.append(np.full(width, value, shaped.base))
            n += width
        size = self.lines[0][1].itemsize
        self.kind = np.dtype(f"u{size}")
        self.fresh = np.concatenate([part.view(self.kind) for part in fresh])
        self.memory = np.repeat(self.fresh[:, None], capacity, axis=1)

    def columns(self, memory: NDArray[Any]) -> dict[str, NDArray[Any]]:
        return {
            name: memory[where].view(form).T if several else memory[where.start].view(form)
            for name, form, where, several in self.lines
        }


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
        by_size: dict[int, list[Field]] = {}
        for field in fields:
            by_size.setdefault(np.dtype(field[1]).base.itemsize, []).append(field)
        self._blocks = [_Block(some, capacity) for some in by_size.values()]
        self._row_at = np.zeros(
            capacity, np.intp
        )  # rows in use by their places, and the places of rows: -1 for none
        self._place_of = np.full(capacity, -1, np.intp)
        self._free = list(range(capacity - 1, -1, -1))
        self._all: Records | None = None  # views of the memory of the first `_n_all` places
        self._n_all = 0

    @property
    def capacity(self) -> int:  # numpydoc ignore=RT01
        """Number of rows there is memory for."""
        return self._place_of.size

    @property
    def n_taken(self) -> int:  # numpydoc ignore=RT01
        """Number of rows in use."""
        return self.capacity - len(self._free)

    @property
    def record_bytes(self) -> int:  # numpydoc ignore=RT01
        """Memory of one row."""
        return sum(block.fresh.nbytes for block in self._blocks)

    def join(self, fresh: Fresh | None = None) -> int:
        """Hand out a fresh row.

        Parameters
        ----------
        fresh : Fresh, optional
            What it remembers, made by `fresh`; every field's own value when absent.

        Returns
        -------
        int
            Its number; the lowest of those never used or most recently given back.
        """
        if not self._free:
            self._grow()
        place, row = self.n_taken, self._free.pop()
        self._row_at[place], self._place_of[row] = row, place
        self.reset(row, fresh)
        return row

    def leave(self, row: int) -> None:
        """Take a row back.

        Parameters
        ----------
        row : int
            A row in use.
        """
        place, last = self._place(row), self.n_taken - 1
        if place != last:
            for block in self._blocks:
                block.memory[:, place] = block.memory[:, last]
            moved = self._row_at[last]
            self._row_at[place], self._place_of[moved] = moved, place
        self._place_of[row] = -1
        self._free.append(row)

    def reset(self, row: int, fresh: Fresh | None = None) -> None:
        """Make a row in use fresh again.

        Parameters
        ----------
        row : int
            A row in use.
        fresh : Fresh, optional
            What it remembers then, made by `fresh`; every field's own value when absent.
        """
        place = self._place(row)
        for i, block in enumerate(self._blocks):
            block.memory[:, place] = block.fresh if fresh is None else fresh[i]

    def fresh(self, **values: object) -> Fresh:
        """Make what a fresh row remembers, to be given to `join` or `reset` any number of times.

        Parameters
        ----------
        **values : object
            Fields that shall not have the fresh value.

        Returns
        -------
        Fresh
            All fields.
        """
        made = tuple(block.fresh.copy() for block in self._blocks)
        for block, memory in zip(self._blocks, made, strict=True):
            for name, form, where, _ in block.lines:
                if name in values:
                    memory[where].view(form)[:] = values[name]
        return made

    def places(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return where some rows lie.

        Parameters
        ----------
        rows : numpy.ndarray of intp, shape (n,)
            Rows in use, distinct.

        Returns
        -------
        numpy.ndarray of intp, shape (n,)
            Their places, from 0 to below `n_taken`: if all rows are named, each once.

        Raises
        ------
        AmdInputError
            A row is not in use, or is named twice.
        """
        inside = (rows >= 0) & (rows < self.capacity)
        places = self._place_of.take(rows, mode="clip")
        if not inside.all() or (places < 0).any():
            raise AmdInputError("rows", "names a row that has not joined or has left")
        named = np.zeros(self.n_taken, np.bool_)
        named[places] = True
        if np.count_nonzero(named) != rows.size:
            raise AmdInputError("rows", "names a row twice")
        return places

    def all(self) -> Records:
        """Return the memory of all rows in use.

        Returns
        -------
        Records
            In the order of their places; what is changed there is remembered. Good until a row joins or leaves.
        """
        n = self.n_taken
        if self._all is None or n != self._n_all:
            self._all, self._n_all = self._records([block.memory[:, :n] for block in self._blocks]), n
        return self._all

    def take(self, places: NDArray[np.intp]) -> Records:
        """Copy the records of some rows.

        Parameters
        ----------
        places : numpy.ndarray of intp, shape (n,)
            Where they lie.

        Returns
        -------
        Records
            The copy, to be changed and given to `put`.
        """
        return self._records([block.memory.take(places, axis=1) for block in self._blocks])

    def put(self, places: NDArray[np.intp], records: Records) -> None:
        """Write records back.

        Parameters
        ----------
        places : numpy.ndarray of intp, shape (n,)
            The places given to `take`.
        records : Records
            What `take` returned, changed.
        """
        for block, memory in zip(self._blocks, records.memories, strict=True):
            block.memory[:, places] = memory

    def _records(self, memories: list[NDArray[Any]]) -> Records:
        records = Records(memories)
        for block, memory in zip(self._blocks, memories, strict=True):
            records.update(block.columns(memory))
        return records

    def _grow(self) -> None:
        old = self.capacity
        for block in self._blocks:
            block.memory = np.concatenate(
                [block.memory, np.repeat(block.fresh[:, None], old, axis=1)], axis=1
            )
        self._row_at = np.concatenate([self._row_at, np.zeros(old, np.intp)])
        self._place_of = np.concatenate([self._place_of, np.full(old, -1, np.intp)])
        self._free = list(range(2 * old - 1, old - 1, -1))
        self._all = None

    def _place(self, row: int) -> int:
        place = int(self._place_of[row]) if 0 <= row < self.capacity else -1
        if place < 0:
            raise AmdInputError("row", f"{row} has not joined or has left")
        return place
