"""Reading a campaign's history out of the store: the list, its numbers, calls, messages, payments and promises.

It owns which tables are read and what in them counts. What is asked of it is `history.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator, Callable, Collection, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dialer_core.plugin_api import CampaignId, EngineHandle
from plugins.prioritization.history import (
    CHANNELS,
    DAY_S,
    F,
    Happened,
    History,
    I,
    Tries,
    keys,
    local_times,
    seconds,
)

Progress = Callable[[str, int], None]
"""Told a table and how many of its rows were read."""
_Columns = dict[str, NDArray[Any]]
_NEVER_REACHED: Final = frozenset(
    {"cancelled", "released", "trunk_failed", "congestion", "media_failed", "interrupted", "internal"}
)
"""Outcomes that say nothing of the person: the call did not get so far."""


async def read(
    engine: EngineHandle, campaign: CampaignId, *, days: int, zone: str, progress: Progress | None = None
) -> History:
    """Read what a campaign's list has behind it, so many days of it; `zone` is that of accounts whose numbers' zones are unknown."""
    return await _Reader(engine, campaign, days, zone, progress or (lambda _what, _rows: None)).history()


def coded(values: Collection[str | None]) -> tuple[tuple[str, ...], I]:
    """Return the words among values in the order in which they came, and of each value which it is: a new word changes no other's number."""
    known: dict[str, int] = {}
    codes = np.fromiter((known.setdefault(one or "", len(known)) for one in values), np.int64, len(values))
    return tuple(known), codes


class _Reader:
    """One reading."""

    def __init__(
        self, engine: EngineHandle, campaign: CampaignId, days: int, zone: str, tell: Progress
    ) -> None:
        self._engine, self._campaign, self._zone, self._tell = engine, campaign, zone, tell
        self._now = engine.now()
        self._since = self._now - dt.timedelta(days=days)
        self._mine: NDArray[np.uint64] = np.empty(0, np.uint64)

    async def history(self) -> History:
        """Read everything."""
        leads = await self._columns("lead", ("account_id", "state"), recent=False, of_campaign=True)
        ids = leads["account_id"].astype("S32")
        mine = keys(ids)
        order = np.argsort(mine)
        self._mine = mine[order]
        state = leads["state"][order]
        rows = await self._columns(
            "account",
            ("id", "person_id", "portfolio", "creditor", "product", "balance_minor", "days_past_due", "created_at_utc"),
            recent=False,
        )  # fmt: skip
        at = self._place(rows["id"])
        category: dict[str, I] = {}
        words: dict[str, tuple[str, ...]] = {}
        for name in ("product", "creditor", "portfolio"):
            words[name], codes = coded(rows[name].tolist())
            category[name] = self._spread(at, codes, -1).astype(np.int64)
        persons = np.zeros(self._mine.size, np.uint64)
        persons[at[at >= 0]] = keys(rows["person_id"].astype("S32"))[at >= 0]
        phones, mobiles, zone, zones = await self._phones(persons)
        tries, events = await self._tries(zone, zones)
        return History(
            ids=ids[order],
            open=np.array([one != "finished" for one in state], bool),
            balance=self._spread(at, rows["balance_minor"]) / 100,
            days_past_due=self._spread(at, rows["days_past_due"]),
            category=category,
            words=words,
            phones=phones,
            mobiles=mobiles,
            created_s=self._spread(at, seconds(rows["created_at_utc"].astype("datetime64[us]"))),
            zone=zone,
            zones=zones,
            tries=tries,
            now_s=self._now.timestamp(),
            **events,
            **await self._paid(),
        )

    async def _columns(
        self, table: str, names: Sequence[str], *, recent: bool = True, of_campaign: bool = False
    ) -> _Columns:
        pages = [page async for page in self._pages(table, names, recent=recent, of_campaign=of_campaign)]
        if not pages:
            return {name: np.empty(0, object) for name in names}
        return {name: np.concatenate([page[name] for page in pages]) for name in names}

    async def _pages(
        self, table: str, names: Sequence[str], *, recent: bool, of_campaign: bool
    ) -> AsyncGenerator[_Columns, None]:
        rows = 0
        pages = self._engine.read_table(
            table,
            names,
            since=self._since if recent else None,
            campaign=self._campaign if of_campaign else None,
        )
        async for page, _ in pages:
            yield page
            rows += len(page[names[0]])
            self._tell(table, rows)

    def _place(self, ids: NDArray[Any]) -> I:
        """Return where in the list the accounts of these ids stand; -1: not on it."""
        asked = keys(ids.astype("S32"))
        if not self._mine.size:
            return np.full(asked.shape, -1)
        found = np.minimum(np.searchsorted(self._mine, asked), self._mine.size - 1)
        return np.where(self._mine[found] == asked, found, -1)

    def _spread(self, at: I, values: NDArray[Any], empty: float = np.nan) -> F:
        found = np.full(self._mine.size, empty)
        found[at[at >= 0]] = values[at >= 0].astype(np.float64)
        return found

    async def _phones(self, persons: NDArray[np.uint64]) -> tuple[F, F, I, tuple[str, ...]]:
        """Return of each account the numbers and the mobiles of its person, and a zone of theirs."""
        rows = await self._columns("phone", ("person_id", "kind", "zones"), recent=False)
        order = np.argsort(persons)
        owner = keys(rows["person_id"].astype("S32"))
        first = np.searchsorted(persons[order], owner)
        last = np.searchsorted(persons[order], owner, side="right")
        number, mobile, zone = np.zeros(persons.size), np.zeros(persons.size), np.full(persons.size, -1)
        texts, codes = coded([(one or "").split(" ")[0] for one in rows["zones"]])
        is_mobile = np.array([one == "mobile" for one in rows["kind"]], bool)
        for shift in range(int((last - first).max(initial=0))):  # accounts of one person, mostly one
            has = first + shift < last
            to = order[(first + shift)[has]]
            np.add.at(number, to, 1)
            np.add.at(mobile, to, is_mobile[has])
            zone[to] = codes[has]
        return number, mobile, zone, tuple(one or self._zone for one in texts)

    async def _calls(self) -> tuple[I, F, NDArray[np.bool_]]:
        """Return of each call that got so far whose it was, when, and whether somebody answered: page by page, for there may be ten million."""
        found: list[tuple[I, F, NDArray[np.bool_]]] = []
        names = ("account_id", "live", "outcome", "live_answer", "committed_at_utc")
        async for page in self._pages("attempt", names, recent=True, of_campaign=True):
            account = self._place(page["account_id"])
            reached = np.array([one not in _NEVER_REACHED for one in page["outcome"]], bool)
            reached &= (account >= 0) & (page["live"].astype(np.float64) == 0)
            at_s = seconds(page["committed_at_utc"].astype("datetime64[us]"))
            heard = page["live_answer"].astype(np.float64) == 1
            found.append((account[reached].astype(np.int32), at_s[reached], heard[reached]))
        empty = (np.empty(0, np.int32), np.empty(0), np.empty(0, bool))
        account, at_s, heard = (np.concatenate(held) for held in zip(*(found or [empty]), strict=True))
        return account, at_s, heard

    async def _tries(self, zone: I, zones: tuple[str, ...]) -> tuple[Tries, dict[str, Happened]]:
        call, call_s, heard = await self._calls()
        messages = await self._columns(
            "message", ("account_id", "channel", "state", "submitted_at_utc", "created_at_utc")
        )
        account = self._place(messages["account_id"])
        came = np.array([one == "received" for one in messages["state"]], bool)
        sent_s = seconds(messages["submitted_at_utc"].astype("datetime64[us]"))
        answers = Happened(account[came], seconds(messages["created_at_utc"].astype("datetime64[us]"))[came])
        went = ~came & (account >= 0) & np.isfinite(sent_s)
        message, message_s = account[went], sent_s[went]
        wrote_back = answers.within(message, message_s, 2 * DAY_S) > 0
        channel = np.array(
            [CHANNELS.index(one) if one in CHANNELS else -1 for one in messages["channel"]], np.int8
        )[went]
        every, every_s = np.concatenate([call, message]).astype(np.int32), np.concatenate([call_s, message_s])
        hour, weekday = local_times(every_s, zone[every], zones, self._zone)
        tries = Tries(
            every, every_s, hour, weekday, np.concatenate([np.zeros(call.size, np.int8), channel]), np.concatenate([heard, wrote_back])
        )  # fmt: skip
        return tries, {
            "calls": Happened(call, call_s),
            "contacts": Happened(call[heard], call_s[heard]),
            "written": Happened(message, message_s),
            "answers": answers,
        }

    async def _paid(self) -> dict[str, Happened]:
        payments = await self._columns("payment", ("account_id", "amount_minor", "paid_on"))
        promises = await self._columns("promise", ("account_id", "state", "made_at_utc", "settled_at_utc"))
        account, amount = (
            self._place(payments["account_id"]),
            payments["amount_minor"].astype(np.float64) / 100,
        )
        # the noon of its day: which hour of it is not known
        paid_s = (
            seconds(np.array([one or "NaT" for one in payments["paid_on"]], "datetime64[us]")) + DAY_S / 2
        )
        into = amount > 0
        promised, settled = (
            self._place(promises["account_id"]),
            seconds(promises["settled_at_utc"].astype("datetime64[us]")),
        )
        state = promises["state"].astype(str)
        return {
            "payments": Happened(account[into], paid_s[into]),
            "paid": Happened(account, paid_s, amount),
            "made": Happened(promised, seconds(promises["made_at_utc"].astype("datetime64[us]"))),
            "kept": Happened(promised[state == "kept"], settled[state == "kept"]),
            "broken": Happened(promised[state == "broken"], settled[state == "broken"]),
        }
