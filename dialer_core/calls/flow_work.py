"""What a flow's conversation comes to in the store: opting out, a promise, a statement asked for, a call-back; and what the host hands over.

It owns the units. When they are written, and what is said then, is `flow_calls.py`'s; the rules behind each are their owners'.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import msgspec

from dialer_core.calls.attempt import Attempt
from dialer_core.calls.machine import event_of
from dialer_core.campaigns import dispositions
from dialer_core.errors import StoreError
from dialer_core.events import Event
from dialer_core.flows.interpreter import Work
from dialer_core.flows.language import Callback, Step
from dialer_core.message_events import OptOutReceived
from dialer_core.portfolio import promises
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AttemptId, Channel, Disposition, PromiseKind
from dialer_core.voice_events import StatementRequested

Unit = tuple[Callable[[Tx], None], list[Event]]


class Terms(msgspec.Struct, frozen=True):
    """What a promise step offers."""

    amount_minor: int
    due_date: str


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What the host hands over for one attempt, in two stages; a later one of the debt takes the place of an earlier."""

    attempt: AttemptId
    language: str
    values: dict[str, str | int | None]
    prompts: dict[str, tuple[str, ...]]
    """Prompt ids by step."""
    wrong: tuple[str, ...] = ()
    terms: dict[str, Terms] = {}
    debt: bool = False
    """What tells of the debt is in it."""


def unit_of(
    work: Work,
    step: Step,
    terms: Terms | None,
    attempt: Attempt,
    flow: str,
    now_utc: dt.datetime,
    now_ns: int,
) -> Unit | None:
    """Return what is written for a step's work, and the events of the same transaction; None where a promise has no terms."""
    attempt_id, campaign_id, account_id = attempt.id, attempt.campaign_id, attempt.account_id
    if work is Work.OPT_OUT:
        told = event_of(OptOutReceived, attempt, now_ns, channel=Channel.VOICE.value, flow=flow)
        return disposition_of(attempt, Disposition.DO_NOT_CALL, now_utc), [told]
    if work is Work.STATEMENT:
        return _nothing, [event_of(StatementRequested, attempt, now_ns, flow=flow)]
    if work is Work.CALLBACK and isinstance(step, Callback):
        at = now_utc + dt.timedelta(minutes=step.in_minutes)
        return disposition_of(attempt, Disposition.CALLBACK, now_utc, at), []
    if work is not Work.PROMISE or terms is None:
        return None
    due, amount_minor = dt.date.fromisoformat(terms.due_date), terms.amount_minor

    def promise(tx: Tx) -> None:
        promises.make(
            tx, account_id=account_id, instalments=[(due, amount_minor)], kind=PromiseKind.AGREEMENT, now=now_utc,
            campaign_id=campaign_id, attempt_id=attempt_id,
        )  # fmt: skip
        disposition_of(attempt, Disposition.PROMISE, now_utc)(tx)

    return promise, []


def disposition_of(
    attempt: Attempt, disposition: Disposition, now_utc: dt.datetime, callback_at: dt.datetime | None = None
) -> Callable[[Tx], None]:
    """Return the unit that stores what a flow says a conversation was, and what follows from it."""
    attempt_id = attempt.id

    def write(tx: Tx) -> None:
        dispositions.apply(
            tx, attempt_id=attempt_id, disposition=disposition, agent_id=None, now=now_utc, callback_at=callback_at
        )  # fmt: skip

    return write


def in_time(write: Callable[[Tx], None], wanted: Callable[[], bool]) -> Callable[[Tx], None]:
    """Return a unit that fails, and its events with it, where the store has taken so long that they were told it failed."""

    def write_in_time(tx: Tx) -> None:
        if not wanted():
            raise StoreError("the store took too long, and they were told that nothing was written down")
        write(tx)

    return write_in_time


def _nothing(tx: Tx) -> None:
    """Write nothing: the event says it all."""
    del tx
