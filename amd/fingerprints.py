"""Fingerprints of known recordings: an index of pairs of landmarks, and the rows that are held against it.

Owns the index and the decision that a row plays one of its recordings. Where files are kept is the caller's business; what a match
means for the call is `amd.recogniser`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amd.errors import AmdInputError
from amd.labels import Label
from amd.landmarks import LATE_TICKS, N_BINS, LandmarkFinder
from amd.tonebank import FRAME

FANOUT = 8
"""Each landmark makes a pair with so many before it."""
LONGEST_TICKS = 48
"""And with none that is longer ago than this."""
RECORDING_TICKS = 1500
"""So much of a recording is kept: 30 s."""
FIRST_CHECK_TICKS, CHECK_TICKS = 22, 11
"""A row is held against the index from 0.44 s after its first landmark on, every 0.22 s,"""
HEARD_TICKS = 99
"""and for 2 s."""
LEAST_PAIRS, LEAST_SHARE = 16, 0.08
"""Pairs, and share of a row's pairs, that must fall on one place of one recording."""
_KEPT = 128
"""Landmarks of a row that are kept: more than 2 s hold."""
_OFFSETS = 8 * RECORDING_TICKS
"""Places of a recording that a row may be at."""
_KEYS = N_BINS * N_BINS * LONGEST_TICKS
LEARNED = (Label.ANNOUNCEMENT, Label.MACHINE, Label.SCREENING, Label.IVR, Label.MUSIC)
"""What a known recording may be: a carrier's announcement or its mailbox's own greeting, an assistant's question, a menu, music."""


class Match(NamedTuple):
    """A row plays a recording."""

    row: int
    recording: int
    """Its number in the index."""
    pairs: int
    """Pairs that fell on one place of it."""
    share: float
    """Their share of the row's pairs, in [0, 1]."""


class FingerprintIndex:
    """Known recordings, by pairs of landmarks.

    Parameters
    ----------
    names : sequence of str
        What each recording is called; several may have one name.
    keys, recordings, ticks : numpy.ndarray, shape (n_pairs,)
        Of each pair: its key, its recording's number and the tick of its later landmark.
    labels : sequence of Label, optional
        What each recording is, one of `LEARNED`; announcements when absent.

    Raises
    ------
    AmdInputError
        The arrays do not fit one another.
    """

    def __init__(
        self,
        names: Sequence[str],
        keys: NDArray[np.int32],
        recordings: NDArray[np.int32],
        ticks: NDArray[np.int32],
        labels: Sequence[Label] | None = None,
    ) -> None:
        self.labels = tuple(labels) if labels is not None else (Label.ANNOUNCEMENT,) * len(names)
        if len(self.labels) != len(names) or not set(self.labels) <= set(LEARNED):
            words = ", ".join(label.word for label in LEARNED)
            raise AmdInputError("labels", f"needs one of {words} for each recording")
        if not keys.shape == recordings.shape == ticks.shape or keys.ndim != 1:
            raise AmdInputError("keys", "keys, recordings and ticks need one dimension of one length")
        if keys.size and not (
            keys.min() >= 0 and keys.max() < _KEYS and recordings.min() >= 0 and recordings.max() < len(names)
        ):
            raise AmdInputError("keys", "a key or a recording's number is outside the index")
        order = np.argsort(keys, kind="stable")
        self.names = tuple(names)
        self._keys, self._recordings, self._ticks = keys[order], recordings[order], ticks[order]
        self._start = np.searchsorted(self._keys, np.arange(_KEYS + 1)).astype(np.int32)

    def __len__(self) -> int:
        """Return the number of recordings."""
        return len(self.names)

    @classmethod
    def of(
        cls, recordings: Sequence[tuple[str, NDArray[np.int16]]], label: Label = Label.ANNOUNCEMENT
    ) -> FingerprintIndex:
        """Make an index.

        Parameters
        ----------
        recordings : sequence of (str, numpy.ndarray of int16, shape (n_samples,))
            Names, and sound at 8 kHz from the recording's beginning on; of the sound at most `RECORDING_TICKS` are kept.
        label : Label, optional
            What all of them are, one of `LEARNED`.

        Returns
        -------
        FingerprintIndex
            The index.

        Raises
        ------
        AmdInputError
            A recording is not one-dimensional int16, or has fewer landmarks than a match needs.
        """
        parts = []
        for number, (name, pcm) in enumerate(recordings):
            bins, ticks = _landmarks(pcm)
            _, keys, later = _pairs(bins[None], ticks[None], np.array([bins.size]))
            if keys.size < 4 * LEAST_PAIRS:
                raise AmdInputError(
                    "recordings",
                    f"{name}: only {keys.size} pairs of landmarks; a second of speech has some hundred",
                )
            parts.append((keys, np.full(keys.size, number, np.int32), later))
        if not parts:
            none = np.empty(0, np.int32)
            return cls((), none, none, none)
        keys, numbers, ticks = (np.concatenate(part) for part in zip(*parts, strict=True))
        return cls([name for name, _ in recordings], keys, numbers, ticks, [label] * len(recordings))

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the index as arrays to be stored.

        Returns
        -------
        dict of str to numpy.ndarray
            What `from_arrays` takes.
        """
        return {
            "names": np.array(self.names, np.str_),
            "keys": self._keys,
            "recordings": self._recordings,
            "ticks": self._ticks,
            "labels": np.array(self.labels, np.uint8),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> FingerprintIndex:
        """Return a stored index.

        Parameters
        ----------
        arrays : mapping of str to numpy.ndarray
            What `arrays` gave.

        Returns
        -------
        FingerprintIndex
            The index.

        Raises
        ------
        AmdInputError
            An array is missing or does not fit.
        """
        try:
            names = [str(name) for name in arrays["names"]]
            keys, recordings, ticks = (
                np.asarray(arrays[name]).astype(np.int32) for name in ("keys", "recordings", "ticks")
            )
            # an index from before recordings had labels holds announcements
            labels = [Label(int(code)) for code in arrays["labels"]] if "labels" in arrays else None
        except (KeyError, TypeError, ValueError) as error:
            raise AmdInputError("arrays", f"are no index of fingerprints: {error}") from error
        return cls(names, keys, recordings, ticks, labels)

    def with_recordings(self, other: FingerprintIndex) -> FingerprintIndex:
        """Return an index of this one's recordings and another's.

        Parameters
        ----------
        other : FingerprintIndex
            The other.

        Returns
        -------
        FingerprintIndex
            Both; recordings of `other` come last.
        """
        return FingerprintIndex(
            (*self.names, *other.names),
            np.concatenate([self._keys, other._keys]),
            np.concatenate([self._recordings, other._recordings + np.int32(len(self))]),
            np.concatenate([self._ticks, other._ticks]),
            (*self.labels, *other.labels),
        )

    def best(
        self, bins: NDArray[np.int32], ticks: NDArray[np.int32], count: NDArray[np.int32]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Hold the landmarks of some rows against the index.

        Parameters
        ----------
        bins, ticks : numpy.ndarray of int32, shape (n, n_landmarks)
            Landmarks of each row in order of time.
        count : numpy.ndarray of int32, shape (n,)
            How many of them each row has.

        Returns
        -------
        recording : numpy.ndarray of intp, shape (n,)
            For each row, the recording on one place of which most of its pairs fall; 0 where none does.
        votes : numpy.ndarray of intp, shape (n,)
            How many fall there.
        pairs : numpy.ndarray of intp, shape (n,)
            How many the row has.
        """
        n = len(count)
        row, keys, later = _pairs(bins, ticks, count)
        pairs = np.bincount(row, minlength=n)
        first, entries = self._start[keys], self._start[keys + 1] - self._start[keys]
        total = int(entries.sum())
        if not total:
            return np.zeros(n, np.intp), np.zeros(n, np.intp), pairs
        # the entries of every key, one after another
        within = np.arange(total) - np.repeat(np.cumsum(entries) - entries, entries)
        entry = np.repeat(first, entries) + within
        offset = self._ticks[entry] - np.repeat(later, entries) + _OFFSETS // 2
        place = (np.repeat(row, entries) * len(self) + self._recordings[entry]) * _OFFSETS + offset
        places, votes = np.unique(place, return_counts=True)
        # a recording that begins between two ticks falls on both
        votes[:-1] += np.where(np.diff(places) == 1, votes[1:], 0)
        most, recording = np.zeros(n, np.intp), np.zeros(n, np.intp)
        ascending = np.argsort(votes, kind="stable")
        of_row, of_recording = np.divmod(places[ascending] // _OFFSETS, len(self))
        most[of_row], recording[of_row] = (
            votes[ascending],
            of_recording,
        )  # the last, which is the largest, stays
        return recording, most, pairs


class Matcher:
    """Rows that are held against an index from their first sound on, for a few seconds.

    Parameters
    ----------
    index : FingerprintIndex
        What they are held against.
    capacity : int
        Rows to reserve memory for.
    """

    def __init__(self, index: FingerprintIndex, capacity: int) -> None:
        self._index = index
        self._finder = LandmarkFinder(capacity)
        self._tick = np.zeros(capacity, np.int32)
        self._count = np.zeros(capacity, np.int32)
        self._first = np.zeros(capacity, np.int32)
        self._bins = np.zeros((capacity, _KEPT), np.int32)
        self._ticks = np.zeros((capacity, _KEPT), np.int32)

    def join(self, row: int) -> None:
        """Begin to hear a row.

        Parameters
        ----------
        row : int
            Any number; memory grows with the largest.
        """
        capacity = self._tick.size
        if row >= capacity:
            capacity = max(row + 1, 2 * capacity)
            self._finder.grow(capacity)
            for name in ("_tick", "_count", "_first", "_bins", "_ticks"):
                old = getattr(self, name)
                new = np.zeros((capacity, *old.shape[1:]), np.int32)
                new[: len(old)] = old
                setattr(self, name, new)
        self._finder.reset(row)
        self._tick[row] = self._count[row] = self._first[row] = 0

    def step(
        self, pcm: NDArray[np.int16], rows: NDArray[np.intp], valid: NDArray[np.bool_] | None = None
    ) -> list[Match]:
        """Hear one tick of some rows.

        Parameters
        ----------
        pcm : numpy.ndarray of int16, shape (n, 160)
            20 ms at 8 kHz of each row.
        rows : numpy.ndarray of intp, shape (n,)
            Rows that have joined, distinct.
        valid : numpy.ndarray of bool, shape (n,), optional
            False where nothing arrived.

        Returns
        -------
        list of Match
            Rows that play a known recording, each as soon as it is sure, and again until it is no longer heard.
        """
        self._tick[rows] += 1
        heard = (self._count[rows] == 0) | (self._tick[rows] <= self._first[rows] + HEARD_TICKS)
        if valid is not None:
            pcm = np.where(valid[:, None], pcm, np.int16(0))
        if not heard.all():
            pcm, rows = pcm[heard], rows[heard]
        if not rows.size:
            return []
        tick = self._tick[rows]
        at, bins = self._finder.step(pcm, rows)
        self._keep(rows[at], bins, tick[at] - LATE_TICKS)
        age = tick - self._first[rows]
        due = rows[(self._count[rows] > FANOUT) & (age >= FIRST_CHECK_TICKS) & (age % CHECK_TICKS == 0)]
        if not due.size:
            return []
        most = int(self._count[due].max())
        recording, votes, pairs = self._index.best(
            self._bins[due, :most], self._ticks[due, :most], self._count[due]
        )
        sure = (votes >= LEAST_PAIRS) & (votes >= LEAST_SHARE * pairs)
        return [
            Match(int(due[i]), int(recording[i]), int(votes[i]), float(votes[i] / pairs[i]))
            for i in np.flatnonzero(sure)
        ]

    def _keep(self, rows: NDArray[np.intp], bins: NDArray[np.intp], ticks: NDArray[np.int32]) -> None:
        if not rows.size:
            return
        # landmarks of one row stand together: their rank among those is their place behind what the row has
        starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]])
        rank = np.arange(rows.size) - np.repeat(starts, np.diff(np.r_[starts, rows.size]))
        place = self._count[rows] + rank
        fits = place < _KEPT
        rows, bins, ticks, place = rows[fits], bins[fits], ticks[fits], place[fits]
        self._bins[rows, place], self._ticks[rows, place] = bins, ticks
        new = place == 0
        self._first[rows[new]] = ticks[new]
        np.add.at(self._count, rows, 1)


def _landmarks(pcm: NDArray[np.int16]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    if pcm.dtype != np.int16 or pcm.ndim != 1:
        raise AmdInputError("recordings", "need int16 of one dimension")
    finder, row = LandmarkFinder(1), np.zeros(1, np.intp)
    bins, ticks = [], []
    for tick in range(min(pcm.size // FRAME, RECORDING_TICKS)):
        _, found = finder.step(pcm[tick * FRAME : (tick + 1) * FRAME].reshape(1, FRAME), row)
        bins += found.tolist()
        ticks += [tick] * found.size
    return np.array(bins, np.int32), np.array(ticks, np.int32)


def _pairs(
    bins: NDArray[np.int32], ticks: NDArray[np.int32], count: NDArray[np.int32]
) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.int32]]:
    """Return row, key and later tick of each landmark with each of the `FANOUT` before it that lie in an earlier tick."""
    n, most = bins.shape
    later = np.arange(most)[:, None]
    earlier = later - np.arange(1, FANOUT + 1)
    before = np.maximum(earlier, 0)
    apart = ticks[:, :, None] - ticks[:, before]
    good = (earlier >= 0) & (later < count[:, None, None]) & (apart > 0) & (apart < LONGEST_TICKS)
    keys = (bins[:, :, None] * N_BINS + bins[:, before]) * LONGEST_TICKS + apart
    row = np.broadcast_to(np.arange(n)[:, None, None], good.shape)
    return row[good], keys[good], np.broadcast_to(ticks[:, :, None], good.shape)[good]
