"""What comes back from the door: once, with what it means for ledger, history and promises, and marked where somebody should look."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from typing import Any

import pytest

from dialer_core.errors import CommandRefusedError
from dialer_core.portfolio import account_view
from plugins.field_visits import photos
from plugins.field_visits.results import Item
from plugins.field_visits.states import VisitState
from tests.campaigns.lists import NOON, put_restriction
from tests.plugins.field_visits.field import DAY, Field

pytestmark = pytest.mark.db

ANSWERS = {"knows": "yes", "house": "own", "people": "4"}
JPEG = b"\xff\xd8\xff\xe0 a photo of a door"


def contacts(field: Field) -> list[tuple[Any, ...]]:
    """Return the ledger."""
    return [
        (row["channel"], row["settlement"], row["outcome"], row["conversation"])
        for row in field.table("contact")
    ]


async def test_a_visit_as_it_should_be(field: Field) -> None:
    """Begun, spoken, promised: one contact, one promise, one note in the account's line of time; told again, nothing more."""
    visit = await field.given(0)
    begun = await field.tell(visit, "begin", position=field.at(19.4301))
    assert (begun.status, begun.state, begun.marks) == ("taken", "under_way", [])
    promise = {"amount_minor": 100_000, "due_date": "2025-03-10"}
    more: dict[str, Any] = {
        "id": str(uuid.uuid4()), "position": field.at(19.4301), "outcome": "spoke", "answers": ANSWERS, "promise": promise, "note": "Muy atenta.",
    }  # fmt: skip
    for status in ("taken", "known"):
        done = await field.tell(visit, "end", **more)
        assert (done.status, done.state, done.marks, done.conflicts) == (status, "done", [], [])
    assert contacts(field) == [("visit", "counted", "spoke", True)]
    [made] = field.table("promise")
    assert (made["state"], made["campaign_id"]) == ("open", "spring")
    with field.database.read() as tx:
        told = [
            one
            for one in account_view.view(tx, field.leads[0].account, NOON).timeline
            if one.what in ("contact", "note")
        ]
    assert sorted((one.what, one.channel, one.result) for one in told) == [
        ("contact", "visit", "spoke"),
        ("note", None, None),
    ]
    [note] = [one.text for one in told if one.what == "note"]
    assert (
        note
        == "Visita: Hablé con la persona\n¿Reconoce? sí\nVivienda: propia\nPersonas: 4\nMuy atenta.\nDistancia al domicilio: 11 m"
    )


@pytest.mark.parametrize(
    ("position", "marks"),
    [
        ({"latitude": 19.4301}, []),
        ({"latitude": 19.45}, ["far"]),
        ({"latitude": 19.45, "accuracy_m": 3000}, ["inaccurate"]),
        ({"latitude": 19.4301, "ago_s": 900}, ["old_position"]),
        ({"latitude": 19.45, "ago_s": 900}, ["old_position", "far"]),
        (None, ["no_position"]),
    ],
)
async def test_where_the_telephone_was(
    field: Field, position: dict[str, float] | None, marks: list[str]
) -> None:
    """A visit far away, with a position that is not exact, old or missing is kept, and marked."""
    visit = await field.given(0)
    where = field.at(**position) if position else None
    done = await field.tell(visit, "begin", position=where)
    assert (done.status, done.marks) == ("taken", marks)


async def test_an_address_that_nobody_can_place(field: Field) -> None:
    """It is said, and the better of two positions counts."""
    visit = await field.given(3)
    assert (await field.tell(visit, "begin", position=field.at(19.4))).marks == ["address_unknown"]
    visit = await field.given(0)
    await field.tell(visit, "begin", position=field.at(19.45, accuracy_m=50))
    done = await field.tell(visit, "end", position=field.at(19.43, accuracy_m=8), outcome="nobody")
    assert done.marks == []
    assert contacts(field)[-1] == ("visit", "counted", "nobody", False)


async def test_the_gate_is_asked_before(field: Field) -> None:
    """At night, or where the person asked for no more contact, nothing is begun, and why is told."""
    visit = await field.given(0)
    with field.database.write() as tx:
        put_restriction(tx, "cease_contact", "person", field.leads[0].person)
    told = await field.tell(visit, "begin")
    assert (told.status, told.why, told.state) == ("refused", "cease_contact", "assigned")
    other = await field.given(1)
    field.clock.step_wall(dt.timedelta(hours=14))
    told = await field.tell(other, "begin")
    assert (told.status, told.why) == ("refused", "window")
    assert told.allowed_from is not None
    assert contacts(field) == []


async def test_what_happened_offline_is_kept_whatever_the_gate_says(field: Field) -> None:
    """A restriction that came meanwhile is a conflict; the visit is in the ledger at its own time, and in the history."""
    visit, at = await field.given(0), field.clock.utc().isoformat()
    with field.database.write() as tx:
        put_restriction(tx, "cease_contact", "person", field.leads[0].person)
    field.clock.step_wall(dt.timedelta(hours=3))
    told = await field.tell(visit, "begin", offline=True, at=at)
    assert (told.status, told.marks, told.conflicts) == (
        "taken",
        ["offline", "no_position"],
        ["rule cease_contact"],
    )
    await field.tell(visit, "end", offline=True, at=at, outcome="third_party")
    [contact] = field.table("contact")
    assert (contact["at_utc"], contact["outcome"], contact["prior"]) == (NOON, "third_party", True)
    [note] = field.table("account_note")
    assert "A esa hora no se podía visitar: cease_contact" in note["note"]


async def test_what_was_taken_back_or_given_away_meanwhile(field: Field) -> None:
    """Whoever was there tells it all the same; that it had been cancelled, or was another's by then, is a conflict."""
    visit = await field.given(0)
    await field.book.withdraw(visit, cancel=True)
    told = await field.tell(visit, "end", offline=True, outcome="nobody")
    assert (told.status, told.state, told.conflicts) == ("taken", "failed", ["cancelled"])
    other = await field.book.assign(await field.given(1), "bruno", DAY)
    told = await field.tell(other, "begin", offline=True)
    assert told.conflicts == ["given_away"]
    assert (await field.tell(other, "end", outcome="spoke", answers=ANSWERS)).state == "done"
    late = await field.tell(other, "end", visitor="bruno", outcome="nobody")
    assert (late.state, late.conflicts) == ("done", ["given_away", "told_twice"])
    assert len(field.table("account_note")) == 3
    assert len(field.table("contact")) == 2


async def test_whose_it_is_not(field: Field) -> None:
    """Somebody else's visit cannot be told of, begun or photographed; one that there is not is refused."""
    visit = await field.given(0)
    assert (await field.tell(visit, "begin", visitor="bruno")).why == "not_yours"
    with pytest.raises(CommandRefusedError, match="no such visit"):
        await keep(field, visit.id, visitor="bruno")
    visit.id = str(uuid.uuid4())
    with pytest.raises(CommandRefusedError, match="no such visit"):
        await field.tell(visit, "begin")


async def test_promises_beyond_the_policy(field: Field) -> None:
    """What may not be agreed to at the door is a conflict with its reason; the rest of the visit is taken."""
    visit = await field.given(0)
    await field.tell(visit, "begin")
    promise = {"amount_minor": 100_000, "due_date": "2025-06-01"}
    told = await field.tell(visit, "end", outcome="spoke", answers=ANSWERS, promise=promise)
    assert told.state == "done"
    assert told.conflicts == [
        "promise the first payment is due within 10 days; a supervisor may agree to more"
    ]
    assert field.table("promise") == []


async def test_answers_to_other_questions_are_kept(field: Field) -> None:
    """The page may be older than the questions: what was answered is in the history, marked; so is what was left out."""
    for number, answers in enumerate(
        ({"colour": "red", "knows": "yes"}, {"knows": "perhaps"}, {"people": "nan", "knows": "no"}, {})
    ):
        visit = await field.given(number)
        await field.tell(visit, "begin", position=field.at(19.43, accuracy_m=90))
        told = await field.tell(visit, "end", outcome="spoke", answers=answers)
        assert "other_questions" in told.marks
    assert any("colour red" in row["note"] for row in field.table("account_note"))


async def test_clocks_that_are_wrong(field: Field) -> None:
    """Tomorrow, or a month ago, is now; and it is marked."""
    for number, days in enumerate((1, -30)):
        visit = await field.given(number)
        at = (NOON + dt.timedelta(days=days)).isoformat()
        assert "clock" in (await field.tell(visit, "begin", at=at)).marks
    assert {row["at_utc"].date() for row in field.table("contact")} == {NOON.date()}


async def keep(
    field: Field, visit: str, photo: str = "", content: bytes = JPEG, sha256: str = "", visitor: str = "vera"
) -> dict[str, Any]:
    """Send a photo."""
    digest = sha256 or hashlib.sha256(content).hexdigest()
    return await photos.keep(
        field.engine, field.its, visitor, visit, photo or str(uuid.uuid4()), content, digest, "Foto"
    )


async def test_photos(field: Field) -> None:
    """A photo is a document of the account under its checksum, once; anything else is refused."""
    visit, photo = await field.given(0), str(uuid.uuid4())
    assert (await keep(field, visit.id, photo))["status"] == "taken"
    assert (await keep(field, visit.id, photo))["status"] == "known"
    [document] = field.table("account_document")
    assert (document["kind"], document["sha256"]) == ("visit_photo", hashlib.sha256(JPEG).hexdigest())
    assert (field.state_dir / document["location"]).read_bytes() == JPEG
    for wrong, said in (
        ({"photo": photo, "content": JPEG + b"2"}, "another photo"),
        ({"content": b"<script>"}, "no photo"),
        ({"content": b"\xff\xd8\xff" + bytes(photos.MOST_BYTES)}, "bytes at most"),
        ({"sha256": "0" * 64}, "checksum is another"),
    ):
        with pytest.raises(CommandRefusedError, match=said):
            await keep(field, visit.id, **wrong)  # type: ignore[arg-type]
    for number in range(3):
        await keep(field, visit.id, content=JPEG + bytes([number]))
    with pytest.raises(CommandRefusedError, match="4 photos at most"):
        await keep(field, visit.id, content=JPEG + b"5")
    assert len((await field.book.get(visit.id)).photos) == 4


def test_what_is_told_is_checked() -> None:
    """Nonsense is no item: an outcome that there is not, a place that is none, a time without a zone."""
    good = {"id": str(uuid.uuid4()), "visit": str(uuid.uuid4()), "what": "end", "at": "2025-03-04T18:00:00Z"}
    Item.model_validate(good)
    for wrong in (
        {"outcome": "eaten"},
        {"at": "2025-03-04T18:00:00"},
        {"position": {"latitude": 91, "longitude": 0, "accuracy_m": 1, "at": good["at"]}},
        {"answers": {"a": "x" * 1001}},
        {"state": VisitState.DONE},
    ):
        with pytest.raises(ValueError, match="validation error"):
            Item.model_validate(good | wrong)
