"""What comes back from the door: checked, counted in the ledger, written into the account's history, once, however late it is told.

It owns what is made of one thing that was told, and when it is marked for somebody to look at. It refuses nothing that has happened: what no
longer fits is a conflict, and stands in the history all the same.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Any, Final, Literal

import msgspec
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from dialer_core.plugin_api import AccountId, CampaignId, Channel, CommandRefusedError, EngineHandle, Texts
from plugins.field_visits.questions import checked, said_in_words
from plugins.field_visits.route import distances_m
from plugins.field_visits.settings import FieldVisitSettings
from plugins.field_visits.states import OUTCOMES, Cue, VisitState, next_state
from plugins.field_visits.visits import Book, Visit

AHEAD: Final = dt.timedelta(minutes=5)
"""A telephone's clock may be so far ahead of ours."""
OLDEST: Final = dt.timedelta(days=14)
_NAMESPACE: Final = uuid.UUID("3c1f0d52-7d1b-5a57-9c1e-0d2a6f3b8e11")
_S = VisitState


_Name = Annotated[str, Field(max_length=32)]
_Answer = Annotated[str, Field(max_length=1000)]


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Position(_Told):
    """Where the telephone was."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    accuracy_m: Annotated[float, Field(ge=0, le=1e7)]
    at: AwareDatetime


class Promised(_Told):
    """What they promised at the door: one payment."""

    amount_minor: Annotated[int, Field(gt=0, lt=10**15)]
    due_date: dt.date


class Item(_Told):
    """One thing that a visitor's page tells: that they began a visit, or how it ended."""

    id: uuid.UUID
    """The page's own: told again, nothing is written again."""
    visit: uuid.UUID
    what: Literal["begin", "end"]
    at: AwareDatetime
    """When it happened, by the telephone's clock."""
    offline: bool = False
    """Nobody could be asked then."""
    position: Position | None = None
    outcome: Literal["", *OUTCOMES] = ""  # type: ignore[valid-type]
    answers: dict[_Name, _Answer] = Field(default_factory=dict, max_length=100)
    note: Annotated[str, Field(max_length=2000)] = ""
    promise: Promised | None = None


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    id: str
    status: Literal["taken", "known", "refused"]
    why: str = ""
    """Where it was refused: the gate's rule, or that it is somebody else's."""
    allowed_from: dt.datetime | None = None
    state: str = ""
    marks: list[str] = []
    conflicts: list[str] = []


class Results:
    """Takes what is told.

    Parameters
    ----------
    engine
        As the plugin.
    its
        The settings.
    texts
        The plugin's words, of which the note in the history is made.
    """

    def __init__(self, engine: EngineHandle, its: FieldVisitSettings, texts: Texts) -> None:
        self._engine, self._its, self._texts = engine, its, texts
        self._book = Book(engine, its)

    async def take(self, item: Item, visitor: str) -> Taken:
        """Take one thing that a visitor told."""
        visit = await self._book.get(str(item.visit))
        if visitor not in (visit.visitor, *visit.had):
            return Taken(id=str(item.id), status="refused", why="not_yours")
        if str(item.id) in visit.told:
            return self._answer(item, visit, "known")
        as_them = self._engine.acting_as(f"user:{visitor}")
        refused = await (self._begin if item.what == "begin" else self._end)(item, visit, visitor, as_them)
        if refused is not None:
            return refused
        visit.told.append(str(item.id))
        await self._book.put(visit)
        return self._answer(item, visit, "taken")

    async def _begin(self, item: Item, visit: Visit, visitor: str, as_them: EngineHandle) -> Taken | None:
        at, fits = self._when(item)
        if visit.state in (_S.UNDER_WAY, _S.DONE, _S.FAILED):
            if visit.visitor != visitor:
                _add(visit.conflicts, "given_away")
            return None  # its end says the rest
        happened = at if item.offline or not fits else None
        word = await as_them.contacts.begin(
            CampaignId(self._its.campaign),
            AccountId(visit.account),
            Channel.VISIT,
            f"visit/{visit.id}",
            address=f"visit {visit.account}",  # each its own: no cap of an address adds them up
            happened_at=happened,
        )
        if not word.allowed and happened is None:
            return Taken(id=str(item.id), status="refused", why=word.rule, allowed_from=word.allowed_from, state=visit.state.value)  # fmt: skip
        if not word.allowed:
            _add(visit.conflicts, f"rule {word.rule}")
        if item.offline:
            _add(visit.marks, "offline")
        if not fits:
            _add(visit.marks, "clock")
        if visit.state is _S.CANCELLED:
            _add(visit.conflicts, "cancelled")
        elif visit.state is _S.PROPOSED:
            _add(visit.conflicts, "withdrawn")
        if visit.visitor != visitor:
            _add(visit.conflicts, "given_away") if visit.visitor else None
            _add(visit.had, visit.visitor) if visit.visitor else None
            visit.visitor = visitor
        visit.day = visit.day or at.date().isoformat()
        visit.state = next_state(visit.state, Cue.BEGIN) or visit.state
        visit.begun_at = at.isoformat()
        await self._look_where(item, visit)
        return None

    async def _end(self, item: Item, visit: Visit, visitor: str, as_them: EngineHandle) -> Taken | None:
        if not item.outcome:
            return Taken(id=str(item.id), status="refused", why="no_outcome", state=visit.state.value)
        if visit.state in (_S.ASSIGNED, _S.PROPOSED, _S.CANCELLED):  # its begin was lost, or comes later
            await self._begin(item.model_copy(update={"offline": True}), visit, visitor, as_them)
        outcome, account = OUTCOMES[item.outcome], AccountId(visit.account)
        at, _ = self._when(item)
        state = next_state(visit.state, outcome.cue)
        if state is None or visit.visitor != visitor:
            _add(visit.conflicts, "told_twice")
            words = await self._words(item, visit, item.answers, late=True)
        else:
            answers, fit = checked(self._its.questions, item.outcome, item.answers)
            if not fit:
                _add(visit.marks, "other_questions")
            await self._look_where(item, visit)
            await as_them.contacts.settle(
                f"visit/{visit.id}", outcome=item.outcome, conversation=item.outcome == "spoke", reached=outcome.reached
            )  # fmt: skip
            visit.state, visit.outcome, visit.ended_at, visit.answers = (
                state,
                item.outcome,
                at.isoformat(),
                answers,
            )
            if item.promise is not None and item.outcome == "spoke":
                await self._promise(item.promise, item, visit, as_them)
            words = await self._words(item, visit, answers, late=False)
        await as_them.contacts.note(account, words, str(uuid.uuid5(_NAMESPACE, str(item.id))))
        return None

    async def _promise(self, promised: Promised, item: Item, visit: Visit, as_them: EngineHandle) -> None:
        try:
            await as_them.promises.make(
                AccountId(visit.account),
                [(promised.due_date, promised.amount_minor)],
                campaign=CampaignId(self._its.campaign),
                key=str(uuid.uuid5(_NAMESPACE, f"promise {item.id}")),
                policy=as_them.contacts.promise_policy(CampaignId(self._its.campaign)),
            )
        except CommandRefusedError as error:
            _add(visit.conflicts, f"promise {error}")

    def _when(self, item: Item) -> tuple[dt.datetime, bool]:
        """Return when it happened, as far as that can be: a clock that is wrong is put right to now."""
        now = self._engine.now()
        at = item.at.astimezone(dt.UTC)
        return (at, True) if now - OLDEST <= at <= now + AHEAD else (now, False)

    async def _look_where(self, item: Item, visit: Visit) -> None:
        """Hold where the telephone was against the address; the best position that was told counts."""
        place = await self._book.place(visit)
        found, its = item.position, self._its
        if place.point is None:
            _add(visit.marks, "address_unknown")
        if found is None:
            if visit.position is None:
                _add(visit.marks, "no_position")
            return
        before = visit.position
        if before is not None and before["accuracy_m"] <= found.accuracy_m:
            return
        visit.marks = [one for one in visit.marks if one not in ("no_position", "far", "inaccurate", "old_position")]  # fmt: skip
        visit.position = {
            "latitude": found.latitude, "longitude": found.longitude, "accuracy_m": found.accuracy_m,
            "at": found.at.isoformat(),
        }  # fmt: skip
        if found.accuracy_m > its.accurate_m:
            _add(visit.marks, "inaccurate")
        if abs((found.at - item.at).total_seconds()) > its.fresh_s:
            _add(visit.marks, "old_position")
        if place.point is not None:
            here = (found.latitude, found.longitude)
            visit.distance_m = round(float(distances_m([here], [place.point])[0, 0]), 1)
            if visit.distance_m - found.accuracy_m > its.near_m:
                _add(visit.marks, "far")

    async def _words(self, item: Item, visit: Visit, answers: dict[str, Any], *, late: bool) -> str:
        """Return what stands in the account's history."""

        def t(key: str) -> str:
            return self._texts.get(self._its.language, key)

        lines = [f"{t('history.visit')}: {t('script.outcome.' + item.outcome)}"]
        if late:
            lines.append(t("history.late"))
        lines += said_in_words(self._its.questions, answers, self._its.language)
        if item.note:
            lines.append(item.note)
        if visit.distance_m is not None:
            lines.append(f"{t('history.distance')}: {visit.distance_m:.0f} m")
        lines += [t(f"script.mark.{one}") for one in visit.marks]
        lines += [_conflict(t, one) for one in visit.conflicts]
        return "\n".join(lines)

    @staticmethod
    def _answer(item: Item, visit: Visit, status: Literal["taken", "known"]) -> Taken:
        return Taken(
            id=str(item.id), status=status, state=visit.state.value, marks=visit.marks, conflicts=visit.conflicts
        )  # fmt: skip


def _conflict(t: Any, one: str) -> str:
    kind, _, more = one.partition(" ")
    return f"{t(f'script.conflict.{kind}')}{f': {more}' if more else ''}"


def _add(to: list[str], one: str) -> None:
    if one not in to:
        to.append(one)
