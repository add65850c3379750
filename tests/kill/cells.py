"""The cells of the kill test: what an attempt is doing, and which process dies.

Owns what each state means on the wire and in the store: how it is waited for (`waiting_for`), and how it is proved afterwards that an attempt was
in it when the process died (`state_at`).
"""

from __future__ import annotations

import enum
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from dialer_core.store import models
from dialer_core.store.database import Database
from tests.kill.carrier_watch import CarrierWatch, WireCall

A = models.Attempt.__table__
E = models.EventRow.__table__
G = models.Leg.__table__
I = models.AgentInterval.__table__  # noqa: E741 - the table of intervals

ENDING_NS = 60_000_000
"""A BYE or CANCEL so short before the kill: the end was on its way through the parts."""
STANDS_NS = 50_000_000
"""A state that lasts has lasted so long when it is struck."""


class Doing(enum.StrEnum):
    """What an attempt is doing, as the far end and the store can tell."""

    COMMITTED = "committed"
    """In the store, and no INVITE at the carrier."""
    SENT = "sent"
    """The INVITE is there, and nothing has come back but 100."""
    RINGING = "ringing"
    EARLY_MEDIA = "early_media"
    LISTENING = "listening"
    """Answered, no verdict."""
    WAITING = "waiting"
    """A live answer and no agent."""
    BRIDGED = "bridged"
    MESSAGE = "message"
    """The abandonment message is playing."""
    ENDING = "ending"
    """BYE or CANCEL is on the wire."""
    WRAP_UP = "wrap_up"
    """Over, and its agent in after-call work."""


class Victim(enum.StrEnum):
    """Which process dies."""

    WORKER = "worker"
    MEDIA = "media"
    ENGINE = "engine"
    HOST = "host"
    DATABASE = "database"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the matrix."""

    doing: Doing
    victim: Victim

    def __str__(self) -> str:
        return f"{self.doing}:{self.victim}"

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read `state:process`."""
        doing, _, victim = text.partition(":")
        return cls(Doing(doing), Victim(victim))


def every_cell(*, database: bool = True) -> list[Cell]:
    """Return every cell; those of the database only where it is a process."""
    victims = [victim for victim in Victim if database or victim is not Victim.DATABASE]
    return [Cell(doing, victim) for victim in victims for doing in Doing]


_UNANSWERED = frozenset({Doing.SENT, Doing.RINGING, Doing.EARLY_MEDIA})
"""Told by the wire, which is ahead of the store."""
_STORED = {
    Doing.COMMITTED: ("committed",),
    Doing.LISTENING: ("listening",),
    Doing.WAITING: ("waiting",),
    Doing.BRIDGED: ("bridged",),
    Doing.MESSAGE: ("abandoning",),
}


def waiting_for(
    doing: Doing, database: Database, wire: CarrierWatch, campaign: str, seen: int, *, held: bool = False
) -> str | None:
    """Return an attempt that is doing this now; None where there is none.

    Parameters
    ----------
    seen
        Events of the wire before this monotonic instant are old news.
    held
        Whether the workers are held still: one of them has been told to dial then, and has not.
    """
    if doing is Doing.ENDING:
        wire.poll()
        for call in wire.customers:
            if (
                call.attempt
                and max(call.bye_ns, call.cancel_ns) > seen
                and not call.number.startswith("+5233")
            ):
                return call.attempt
        return None
    now_ns = time.monotonic_ns()
    if doing in _UNANSWERED:
        wire.poll()
        for call in reversed(wire.customers[-60:]):
            if (
                call.attempt
                and not (call.final_ns or call.over_by(now_ns))
                and now_ns - call.invited_ns > STANDS_NS
                and _unanswered(call, now_ns) is doing
            ):
                return call.attempt
        return None
    with database.read() as tx:
        if doing is Doing.WRAP_UP:
            row = tx.execute(
                select(I.c.attempt_id)
                .where(
                    I.c.to_utc.is_(None), I.c.state == "wrap_up", I.c.from_mono_ns < now_ns - 2 * STANDS_NS
                )
                .limit(1)
            ).first()
            return row.attempt_id if row is not None else None
        query = select(A.c.id).where(A.c.live, A.c.state.in_(_STORED[doing]))
        if held:
            query = select(A.c.id).where(
                A.c.live, A.c.state.in_(("placing", "dialing")), A.c.sent_mono_ns.is_(None)
            )
        if doing is Doing.WAITING:  # not on its way to an agent
            query = query.where(A.c.verdict_mono_ns < now_ns - 2 * STANDS_NS)
        if doing is not Doing.COMMITTED:  # which campaign's does not matter where nothing has been said yet
            query = query.where(A.c.campaign_id == campaign)
        row = tx.execute(query.order_by(A.c.id.desc()).limit(1)).first()
        return row.id if row is not None else None


@dataclass(slots=True)
class InFlight:
    """An attempt that was alive, or in wrap-up, when a process died."""

    id: str
    worker: str | None
    agent_id: str | None
    agent_worker: str | None
    """Where the leg of the agent who had it then was."""
    doing: Doing | None
    row: Any
    call: WireCall | None
    events: list[Any] = field(default_factory=list)


def in_flight(database: Database, wire: CarrierWatch, at_ns: int) -> list[InFlight]:
    """Return every attempt that was under way at an instant, with what it was doing; asked once it can be known."""
    by_attempt = {call.attempt: call for call in wire.customers if call.attempt}
    since_ns = at_ns - 300_000_000_000
    with database.read() as tx:
        rows = tx.execute(
            select(A).where(A.c.ended_mono_ns.is_(None) | (A.c.ended_mono_ns >= at_ns - ENDING_NS))
        ).all()
        wrapping = {
            row.attempt_id
            for row in tx.execute(
                select(I.c.attempt_id).where(
                    I.c.state == "wrap_up", I.c.from_mono_ns <= at_ns, I.c.to_mono_ns.is_(None) | (I.c.to_mono_ns >= at_ns)
                )
            )
        }  # fmt: skip
        rows += tx.execute(select(A).where(A.c.id.in_(wrapping - {row.id for row in rows}))).all()
        ids = [row.id for row in rows]
        events: dict[str, list[Any]] = {}
        for event in tx.execute(
            select(E).where(E.c.attempt_id.in_(ids)).order_by(E.c.node, E.c.source, E.c.seq)
        ):
            events.setdefault(event.attempt_id, []).append(event)
    with database.read() as tx:
        legs = tx.execute(
            select(G.c.agent_id, G.c.worker, G.c.id).where(
                G.c.kind == "agent", G.c.call_id.in_(_up(wire, at_ns))
            )
        ).all()
    agent_workers = {leg.agent_id: leg.worker for leg in legs}
    found = []
    for row in rows:
        committed = next(
            (e.at_mono_ns for e in events.get(row.id, []) if e.name == "attempt.committed"), None
        )
        if committed is None or not since_ns < committed <= at_ns:
            continue
        call = by_attempt.get(row.id)
        doing = state_at(row, call, events[row.id], at_ns, wrapping)
        agent_id = _agent_at(events[row.id], at_ns)
        found.append(
            InFlight(
                row.id, row.worker, agent_id, agent_workers.get(agent_id), doing, row, call, events[row.id]
            )
        )
    return found


def _up(wire: CarrierWatch, at_ns: int) -> list[str]:
    return [call.call_id for call in wire.agents if call.up_at(at_ns)]


def _agent_at(events: Sequence[Any], at_ns: int) -> str | None:
    """Return the agent of the last bridge before an instant."""
    bridges = [e.data["agent_id"] for e in events if e.name == "attempt.bridged" and e.at_mono_ns <= at_ns]
    return bridges[-1] if bridges else None


def state_at(
    row: Any, call: WireCall | None, events: Sequence[Any], at_ns: int, wrapping: set[str]
) -> Doing | None:
    """Say what an attempt was doing at an instant, by the wire first and the store second; None: it was over."""
    if call is None or call.invited_ns > at_ns:
        ended = row.ended_mono_ns
        return Doing.COMMITTED if ended is None or ended >= at_ns else None
    if at_ns - ENDING_NS <= max(call.bye_ns, call.cancel_ns) <= at_ns:
        return Doing.ENDING
    if call.over_by(at_ns):
        return Doing.WRAP_UP if row.id in wrapping else None
    return _answered(row, events, at_ns) if call.up_at(at_ns) else _unanswered(call, at_ns)


def _unanswered(call: WireCall, at_ns: int) -> Doing:
    if 0 < call.early_ns <= at_ns:
        return Doing.EARLY_MEDIA
    return Doing.RINGING if 0 < call.ringing_ns <= at_ns else Doing.SENT


_SINCE = {
    "attempt.bridged": Doing.BRIDGED,
    "attempt.unbridged": Doing.WAITING,
    "attempt.abandoned": Doing.MESSAGE,
    "attempt.answered": Doing.LISTENING,
}


def _answered(row: Any, events: Sequence[Any], at_ns: int) -> Doing:
    """Say what an answered attempt was doing: what was told last."""
    for event in reversed([event for event in events if event.at_mono_ns <= at_ns]):
        if event.name == "attempt.verdict_given":
            return Doing.WAITING if row.live_answer else Doing.ENDING
        if event.name in _SINCE:
            return _SINCE[event.name]
    return Doing.LISTENING
