"""What has happened to the accounts of a campaign, as arrays: read once, asked for any moment.

It owns the arithmetic of "how often before this moment". The reading is `reading.py`'s; it knows no model. Ids are kept as the 64 bits of theirs
that are random: two of ten million are the same once in some hundred thousand such lists.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

F = NDArray[np.float64]
I = NDArray[np.integer[Any]]  # noqa: E741 - an array of whole numbers
DAY_S: Final = 86_400
CHANNELS: Final = ("voice", "sms", "whatsapp", "email")


def keys(ids: NDArray[np.bytes_]) -> NDArray[np.uint64]:
    """Return the random half of ids of 32 hexadecimal digits; of an empty one, 0."""
    filled = np.where(ids == b"", np.bytes_(b"0" * 32), ids).astype("S32")
    return np.frombuffer(bytes.fromhex(filled.tobytes().decode("ascii")), ">u8")[1::2].astype(np.uint64)


def seconds(times: NDArray[Any]) -> F:
    """Return `datetime64` as seconds since 1970; NaN where there is none."""
    found = times.astype("datetime64[us]").astype(np.int64) / 1e6
    return np.where(np.isnat(times), np.nan, found)


class Happened:
    """Things that happened to accounts.

    Parameters
    ----------
    account, at_s
        To which account (its place in the list) and when, of shape (n_things,).
    weight
        How much each counts; by default one.
    """

    def __init__(self, account: I, at_s: F, weight: F | None = None) -> None:
        known = (account >= 0) & np.isfinite(at_s)
        key = _moments(account[known], at_s[known])
        # of what counts one each the place among the sorted is the sum: ten million calls are eight octets each
        self._sum: F | None = None
        if weight is None:
            self._key = np.sort(key)
        else:
            order = np.argsort(key, kind="stable")
            self._key = key[order]
            self._sum = np.concatenate([[0.0], np.cumsum(weight[known][order])])

    def _places(self, account: I, at_s: F) -> I:
        return np.searchsorted(self._key, _moments(account, at_s))

    def _between(self, first: I, last: I) -> F:
        if self._sum is None:
            return (last - first).astype(np.float64)
        return np.asarray(self._sum[last] - self._sum[first], np.float64)

    def before(self, account: I, at_s: F, within_s: float | None = None) -> F:
        """Return how much happened to each account before its moment, or within so many seconds before it."""
        earliest = np.zeros_like(at_s) if within_s is None else at_s - within_s
        return self._between(self._places(account, earliest), self._places(account, at_s))

    def within(self, account: I, at_s: F, ahead_s: float) -> F:
        """Return how much happened to each account from its moment on, within so many seconds."""
        return self._between(self._places(account, at_s), self._places(account, at_s + ahead_s))

    def days_since(self, account: I, at_s: F) -> F:
        """Return the days since the last thing before each moment; NaN where there was none."""
        if not self._key.size:
            return np.full(account.shape, np.nan)
        place = self._places(account, at_s) - 1
        whose, then_s = np.divmod(self._key[np.maximum(place, 0)], _SPAN)
        return np.where((place >= 0) & (whose == account), (at_s - then_s) / DAY_S, np.nan)


_SPAN = 1 << 32
"""Seconds that a place in the list has for itself: more than there are since 1970."""


def _moments(account: I, at_s: F) -> I:
    """Return accounts and whole seconds as one number each, in the order of both."""
    return account.astype(np.int64) * _SPAN + np.clip(at_s, 0, _SPAN - 1).astype(np.int64)


@dataclass(frozen=True)
class Tries:
    """Calls that reached the network, and messages that were sent; each of shape (n_tries,)."""

    account: I
    at_s: F
    hour: NDArray[np.int8]
    """Of the callee."""
    weekday: NDArray[np.int8]
    channel: NDArray[np.int8]
    """Index into `CHANNELS`."""
    answered: NDArray[np.bool_]
    """Somebody spoke, or wrote back within two days."""


@dataclass(frozen=True)
class History:
    """A campaign's list, and what has happened to it."""

    ids: NDArray[np.bytes_]
    """Of each account, 32 hexadecimal digits, of shape (n_accounts,)."""
    open: NDArray[np.bool_]
    """It may still be tried."""
    balance: F
    """Now, in the currency's unit; NaN: unknown."""
    days_past_due: F
    """Now."""
    category: dict[str, I]
    """`product creditor portfolio`: which of the list's words, -1: none."""
    words: dict[str, tuple[str, ...]]
    phones: F
    mobiles: F
    created_s: F
    zone: I
    zones: tuple[str, ...]
    tries: Tries
    calls: Happened
    contacts: Happened
    payments: Happened
    paid: Happened
    """The same, by amount."""
    made: Happened
    kept: Happened
    broken: Happened
    written: Happened
    """Messages to them."""
    answers: Happened
    """Messages from them."""
    now_s: float


def local_times(
    at_s: F, zone: I, zones: Sequence[str], fallback: str
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Return the hour and the weekday (0: Monday) of moments, each by the clock of its zone, or by `fallback` (-1)."""
    shift = np.zeros(at_s.shape)
    day = np.floor(np.nan_to_num(at_s) / DAY_S).astype(np.int64)
    for code in np.unique(zone):
        its = zone == code
        clock = ZoneInfo(zones[code] if code >= 0 else fallback)
        days, where = np.unique(day[its], return_inverse=True)
        # by the day: on the night of a change an hour is taken for its neighbour
        offsets = np.array([_offset_s(clock, int(one)) for one in days])
        shift[its] = offsets[where] if days.size else 0.0
    local = np.nan_to_num(at_s) + shift
    return ((local // 3600) % 24).astype(np.int8), ((local // DAY_S + 3) % 7).astype(np.int8)


@functools.lru_cache(maxsize=100_000)
def _offset_s(clock: ZoneInfo, day: int) -> float:
    noon = dt.datetime.fromtimestamp(day * DAY_S + DAY_S // 2, dt.UTC).astimezone(clock)
    offset = noon.utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
