"""One at a time at the visits: nodes and commands that meet, one that dies in its turn, a clock that was wrong."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from plugins.field_visits import turns
from plugins.field_visits.states import VisitState
from plugins.field_visits.turns import BusyError, Turn
from tests.plugins.field_visits.field import DAY, Field

pytestmark = pytest.mark.db


async def test_what_is_told_while_a_day_is_planned_stays(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node or command that puts the day in order does not write back the visit that it read before its visitor told of it."""
    visit = await field.given(0)
    await field.given(1)
    place, read = field.book.place, asyncio.Event()

    async def slowly(one: object) -> object:
        read.set()
        await asyncio.sleep(0.05)
        return await place(one)  # type: ignore[arg-type]

    monkeypatch.setattr(field.book, "place", slowly)

    async def planned() -> None:
        async with Turn(field.engine):
            await field.book.plan("vera", DAY)

    async def told() -> None:
        await read.wait()
        async with Turn(field.engine):
            await field.tell(visit, "begin")
            await field.tell(visit, "end", outcome="nobody")

    await asyncio.gather(planned(), told())
    assert (await field.book.get(visit.id)).state is VisitState.FAILED


async def test_a_turn_is_waited_for_and_lapses(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two nodes one waits; one that dies in its turn holds the other up until it lapses, and a clock that was wrong not at all."""
    monkeypatch.setattr(turns, "WAIT", dt.timedelta(seconds=0.2))
    dead, other = Turn(field.engine), Turn(field.engine)
    await dead.__aenter__()
    with pytest.raises(BusyError):
        await other.__aenter__()
    field.clock.step_wall(turns.HOLD)
    async with other:
        await dead.__aexit__(None, None, None)  # it was not dead, but slow: the turn is not its own any more
        with pytest.raises(BusyError):
            await Turn(field.engine).__aenter__()
    field.clock.step_wall(dt.timedelta(days=365))
    await dead.__aenter__()
    field.clock.step_wall(-dt.timedelta(days=365))
    async with other:
        pass
