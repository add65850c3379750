"""What has happened, out: from the event log's cursor, at least once, a bounded number of events at a time.

The cursor of each connection is kept once everything up to it was taken or is a dead letter: whoever dies between sending and keeping sends again,
and every record goes by our id. While a CRM is away nothing more is read: the log is the queue. It owns the cursor, dead letters and their replay.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import structlog

from dialer_core.plugin_api import EngineHandle
from plugins.crm import facts
from plugins.crm.back_off import BackOff
from plugins.crm.connector import AwayError, Connector, CrmError, Outgoing, Written
from plugins.crm.facts import TELLING, Lost, Told
from plugins.crm.settings import CrmSettings

log = structlog.get_logger(__name__)

_REASON: Final = 300
_DOUBTED_TIMES: Final = 4
_PASSED_OVER: Final = 1_000
"""Events that nobody is told of, after which the cursor is moved though there is nothing to tell: else each look goes over them again."""
Pairs = Sequence[tuple[Outgoing, Told]]


@dataclass(slots=True)
class Pushed:
    """What has come of one pass."""

    events: int = 0
    written: int = 0
    dead: int = 0
    replayed: int = 0
    """Of dead letters, those that were taken now."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the CRM is behind."""

    events: int
    """Of the whole log, behind the cursor."""
    seconds: float
    """Since the first event that it has not been told of; 0: it knows everything."""
    dead: int


class Teller:
    """What goes out to one connection.

    Parameters
    ----------
    engine
        The plugin's handle.
    name
        Of the connection.
    its
        The plugin's settings.
    connector
        The connection.
    sleep
        How it waits.
    """

    def __init__(
        self, engine: EngineHandle, name: str, its: CrmSettings, connector: Connector, *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        self._engine = engine
        self._name = name
        self._its = its
        self._connector = connector
        self._sleep = sleep
        self._outs = {name: one for name, one in its.out.items() if one.connection == self._name}
        whats = {one.what for one in self._outs.values()}
        self._names = [event for event, told in TELLING.items() if whats & set(told)]
        self._doubted = False
        """The last dead letter of the CRM's own fault came with nothing taken since."""

    async def push(self, *, patience: int | None = None, most: int | None = None) -> Pushed:
        """Write out what has happened until now; return what came of it.

        Parameters
        ----------
        patience
            So often a CRM that is away is tried again before this gives up; None: for ever.
        most
            Events of this pass; None: to the log's end.

        Raises
        ------
        CrmError
            The CRM was away for too long. Nothing is lost: the next pass goes on from the same place.
        """
        done = Pushed()
        cursor = await self.cursor()
        while self._names and (most is None or done.events < most):
            events, behind = await self._engine.read_events(cursor, self._names, self._its.batch)
            if behind == cursor:
                break
            told = [one for event in events if (one := Told.of(event)) is not None]
            pairs, lost = await facts.items(self._engine, told, self._outs)
            dead = {self._dead_key("", one.told): self._letter("", one.told, one.reason) for one in lost}
            taken, refused = await self._deliver(pairs, patience)
            dead |= refused
            # what was told of now is the latest of it: an older dead letter of the same thing has nothing more to say
            await self._engine.store.put_many({f"out/{self._name}": behind} | dead)
            await self._forget([self._dead_key(one.name, its) for one, its in taken])
            done.events += len(events)
            done.written += len(taken)
            done.dead += len(dead)
            cursor = behind
        return done

    async def would(self, limit: int = 5_000) -> tuple[int, list[Outgoing], list[Lost]]:
        """Return how many events wait, what would be written for the first `limit`, and what cannot be told; nothing is."""
        events, _ = await self._engine.read_events(await self.cursor(keep=False), self._names, limit)
        told = [one for event in events if (one := Told.of(event)) is not None]
        pairs, lost = await facts.items(self._engine, told, self._outs)
        return len(events), [one for one, _ in pairs], lost

    async def replay(self, *, patience: int | None = None) -> Pushed:
        """Write the dead letters again, as what they tell of stands now; those that are taken are dead letters no more."""
        done, after = Pushed(), ""
        while letters := await self._engine.store.items(
            f"dead/{self._name}/", after=after, limit=self._its.batch
        ):
            after = letters[-1][0]
            for name in sorted({str(letter["out"]) for _, letter in letters}):
                told = [msgspec.convert(one["told"], Told) for _, one in letters if one["out"] == name]
                outs = {name: self._outs[name]} if name in self._outs else ({} if name else self._outs)
                pairs, lost = await facts.items(self._engine, told, outs)
                taken, refused = await self._deliver(pairs, patience)
                gone = (
                    {self._dead_key(name, one) for one in told}
                    - {self._dead_key(name, one.told) for one in lost}
                    - set(refused)
                )
                await self._engine.store.put_many(refused)
                await self._forget(sorted(gone))
                done.replayed += len(taken)
                done.dead += len(refused) + len(lost)
        return done

    async def lag(self) -> Lag:
        """Say how far the CRM is behind, and how many dead letters wait."""
        cursor = await self.cursor(keep=False)
        behind = _positions(await self._engine.last_cursor())
        at = _positions(cursor)
        events = sum(max(0, seq - at.get(writer, 0)) for writer, seq in behind.items())
        first, _ = await self._engine.read_events(cursor, self._names, 1) if self._names else ((), cursor)
        seconds = (self._engine.now() - _time(first[0].at_utc)).total_seconds() if first else 0.0
        return Lag(events if first else 0, max(0.0, seconds), len(await self.letters()))

    async def waits(self) -> bool:
        """Say whether there is something to tell of, or so much else that the cursor should go over it."""
        cursor = await self.cursor()
        found, behind = await self._engine.read_events(cursor, self._names, 1)
        at = _positions(cursor)
        return (
            bool(found) or sum(seq - at.get(one, 0) for one, seq in _positions(behind).items()) > _PASSED_OVER
        )

    async def letters(self, limit: int = 100_000) -> list[dict[str, Any]]:
        """Return the dead letters."""
        return [one for _, one in await self._engine.store.items(f"dead/{self._name}/", limit=limit)]

    async def cursor(self, *, keep: bool = True) -> str:
        """Return up to where the CRM knows everything; the first time it begins as the settings say."""
        kept = await self._engine.store.get(f"out/{self._name}")
        if kept is None:
            kept = "" if self._its.begin == "start" else await self._engine.last_cursor()
            if keep and not await self._engine.store.swap(f"out/{self._name}", None, kept):
                kept = await self._engine.store.get(f"out/{self._name}", kept)  # another node was first
        return str(kept)

    async def _deliver(
        self, pairs: Pairs, patience: int | None
    ) -> tuple[list[tuple[Outgoing, Told]], dict[str, Any]]:
        """Write records until each is taken or will not be; return those that were, and the others' dead letters."""
        waiting, taken, dead = list(pairs), [], {}
        tries: Counter[str] = Counter()
        waits = BackOff(self._its.most_wait_s)
        while waiting:
            error: CrmError | None = None
            answers: list[Written] = []
            try:
                answers = await self._connector.write([one for one, _ in waiting])
            except AwayError as away:
                error = away
            again = []
            for pair, answer in zip(waiting, answers, strict=False):
                one, its = pair
                key = self._dead_key(one.name, its)
                if answer.state == "ok":
                    taken.append(pair)
                    self._doubted = False
                elif answer.state == "later":
                    again.append(pair)
                    error = AwayError(answer.reason, answer.retry_after_s)
                elif answer.state == "refused" or self._given_up(tries, key):
                    dead[key] = self._letter(one.name, its, answer.reason)
                    self._doubted = answer.state == "failed"
                else:
                    again.append(pair)
                    error = error or CrmError(answer.reason)
            waiting = again if error is None or answers else waiting
            if waiting:
                await self._wait(waits, error, patience)
        return taken, dead

    def _given_up(self, tries: Counter[str], key: str) -> bool:
        """Say whether a record that the CRM fails at is given up: after many tries, and many more where nothing was taken since the last one was."""
        tries[key] += 1
        return tries[key] >= self._its.most_tries * (_DOUBTED_TIMES if self._doubted else 1)

    async def _wait(self, waits: BackOff, error: CrmError | None, patience: int | None) -> None:
        if patience is not None and waits.tries >= patience and error is not None:
            raise error
        if waits.tries in {0, 3} or waits.tries % 50 == 0:
            log.warning("crm_away", connection=self._name, tries=waits.tries, reason=str(error))
        await self._sleep(waits.next_s(error))

    async def _forget(self, keys: Sequence[str]) -> None:
        there = await self._engine.store.get_many(keys) if keys else {}
        if there:
            await self._engine.store.remove(*there)

    def _dead_key(self, out: str, told: Told) -> str:
        return f"dead/{self._name}/{out}/{told.name.partition('.')[0]}/{told.id}"

    def _letter(self, out: str, told: Told, reason: str) -> dict[str, Any]:
        log.warning("crm_dead_letter", connection=self._name, out=out, event_name=told.name, id=told.id)
        return {
            "out": out,
            "told": msgspec.to_builtins(told),
            "reason": reason[:_REASON],
            "at": self._engine.now().isoformat(),
        }


def _positions(cursor: str) -> dict[str, int]:
    """Return the last sequence number of each writer: `node:source:seq`, joined by commas (docs/events.md)."""
    return {writer: int(seq) for writer, _, seq in (one.rpartition(":") for one in cursor.split(",") if one)}


def _time(text: str) -> dt.datetime:
    at = dt.datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
