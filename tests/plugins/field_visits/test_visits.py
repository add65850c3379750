"""Visits: handed over once, in the order of the way, taken from one and given to another; the settings that say who and what."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest
from pydantic import ValidationError

from dialer_core.errors import CommandRefusedError
from plugins.field_visits.day import stops
from plugins.field_visits.settings import FieldVisitSettings
from plugins.field_visits.states import TRANSITIONS, Cue, VisitState, next_state
from tests.campaigns.lists import NOON, put_restriction
from tests.plugins.field_visits.field import DAY, SETTINGS, Field

pytestmark = pytest.mark.db


async def test_a_day_is_in_the_order_of_its_way(field: Field) -> None:
    """The nearest first, what has no place last; one that is begun comes before, and the way goes on from there."""
    for number in (3, 0, 1, 2):
        await field.given(number)
    found = await stops(field.engine, field.its, "vera", DAY)
    assert [one.number for one in found] == ["A1", "A2", "A0", "A3"]
    assert [one.visit.place for one in found] == [1, 2, 3, 4]
    assert [one.from_last_m for one in found] == [1112, 1112, 1112, None]
    assert found[0].address == "Calle 1"
    [(begin, end)] = found[0].hours
    assert (begin.hour, end.hour) == (13, 4)  # 07:00 to 22:00 in Mexico City
    await field.tell(found[2].visit, "begin")
    await field.book.plan("vera", DAY)
    again = await stops(field.engine, field.its, "vera", DAY)
    assert [one.number for one in again] == ["A0", "A2", "A1", "A3"]


async def test_one_open_visit_of_an_account(field: Field) -> None:
    """Handed over again it is the same one; after it is over, another; a paid account is not visited."""
    first = await field.given(0)
    assert (await field.book.propose(field.leads[0].account, by="x")).id == first.id
    await field.tell(first, "begin")
    await field.tell(first, "end", outcome="nobody")
    second = await field.book.propose(field.leads[0].account, by="x")
    assert second.id != first.id
    assert [one.id for one in await field.book.every(VisitState.PROPOSED)] == [second.id]
    with field.database.write() as tx:
        tx.connection.exec_driver_sql("UPDATE account SET status = 'paid'")
    with pytest.raises(CommandRefusedError, match="the account is paid"):
        await field.book.propose(field.leads[1].account, by="x")


async def test_given_to_another_and_taken_back(field: Field) -> None:
    """It leaves one day and enters the other; whoever had it is remembered; what is begun cannot be taken back."""
    visit = await field.given(0)
    visit = await field.book.assign(visit, "bruno", DAY)
    assert (visit.visitor, visit.had) == ("bruno", ["vera"])
    assert await stops(field.engine, field.its, "vera", DAY) == []
    with pytest.raises(CommandRefusedError, match="no visitor 'carla'"):
        await field.book.assign(visit, "carla", DAY)
    for day, said in (("2025-03-03", "is over"), ("tomorrow", "is no day")):
        with pytest.raises(CommandRefusedError, match=said):
            await field.book.assign(visit, "vera", day)
    tomorrow = (NOON + dt.timedelta(days=1)).date().isoformat()
    visit = await field.book.assign(await field.book.assign(visit, "bruno", tomorrow), "bruno", DAY)
    assert [(one.id, one.day) for one in await field.book.since(DAY)] == [(visit.id, DAY)]
    assert await field.book.since(tomorrow) == []
    assert (await field.book.withdraw(visit)).state is VisitState.PROPOSED
    assert [one.id for one in await field.book.since(tomorrow)] == [visit.id]  # nobody's yet: on every plan
    visit = await field.book.assign(visit, "vera", DAY)
    await field.tell(visit, "begin")
    with pytest.raises(CommandRefusedError, match="too late to cancel"):
        await field.book.withdraw(await field.book.get(visit.id), cancel=True)


async def test_hours_and_what_stands_in_the_way(field: Field) -> None:
    """Who asked for no more contact has no hours on the page, and the rule that forbids it."""
    await field.given(0)
    with field.database.write() as tx:
        put_restriction(tx, "cease_contact", "person", field.leads[0].person)
    [one] = await stops(field.engine, field.its, "vera", DAY)
    assert (one.hours, one.rule) == ([], "cease_contact")
    visit = await field.given(1, day=(NOON + dt.timedelta(days=1)).date().isoformat())
    assert visit.place == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"zone": "Mars"}, "not a time zone"),
        ({"visitors": {"vera": {"start": [99, 0]}}}, "latitude -90 to 90"),
        ({"questions": [SETTINGS["questions"][0]] * 2}, "two have the id 'knows'"),
        ({"questions": [{"id": "a", "kind": "choice", "label": {"es": "a", "en": "a"}}]}, "needs two at least"),
        ({"questions": [{"id": "a", "kind": "text", "label": {"es": "a"}}]}, "needs a text in 'en'"),
        ({"questions": [{"id": "a", "kind": "text", "label": {"es": "a", "en": "a"}, "when": ["met"]}]}, "'met' is no outcome"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)  # fmt: skip
def test_settings_that_are_wrong(change: dict[str, Any], said: str) -> None:
    """A questionnaire is checked when it is loaded: each mistake is told."""
    with pytest.raises(ValidationError, match=said):
        FieldVisitSettings.model_validate(SETTINGS | change)


def test_every_pair_of_state_and_cue() -> None:
    """Each is a next state or comes too late; what is over stays over."""
    for state, cue in itertools.product(VisitState, Cue):
        assert next_state(state, cue) in (None, TRANSITIONS.get((state, cue)))
    assert not [pair for pair in TRANSITIONS if pair[0] in (VisitState.DONE, VisitState.FAILED)]
    assert set(TRANSITIONS.values()) == set(VisitState)
