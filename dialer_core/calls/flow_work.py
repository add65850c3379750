"""What a flow's conversation comes to in the store: opting out, a promise, a statement asked for, a call-back; and what the host hands over.

It owns the units. When they are written, and what is said then, is `flow_calls.py`'s; the rules behind each are their owners'.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from dialer_core.campaigns import dispositions
from dialer_core.errors import StoreError
from dialer_core.events import Event
from dialer_core.flows.interpreter import Work
from dialer_core.flows.language import Callback, Step
from dialer_core.message_events import OptOutReceived
from dialer_core.portfolio import promises
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AttemptId, CampaignId, Channel, Disposition, LegId, PromiseKind
from dialer_core.voice_events import EvidenceRequested, StatementRequested

Unit = tuple[Callable[[Tx], None], list[Event]]


class Terms(msgspec.Struct, frozen=True):
    """What a promise step offers."""

    amount_minor: int
    due_date: str


class Party(Protocol):
    """Whom a flow speaks to: an attempt's person, or somebody who has called."""

    id: str
    """The attempt's, or the leg's of a call that came in."""
    leg_id: LegId
    account_id: AccountId | None
    campaign_id: CampaignId
    attempt_id: AttemptId | None

    @property
    def identified(self) -> bool:
        """They said, or showed, who they are."""

    @identified.setter
    def identified(self, yes: bool) -> None: ...

    @property
    def served(self) -> bool:
        """The flow has said or done what it is for."""

    @served.setter
    def served(self, yes: bool) -> None: ...

    def here(self) -> bool:
        """They are in the flow now."""

    def ids(self) -> dict[str, str]:
        """Return what a log line names them by."""

    def event(self, kind: type[Event], at_ns: int, /, **data: Any) -> Event:
        """Return an event of their conversation."""

    def dispose(
        self, disposition: Disposition, now_utc: dt.datetime, callback_at: dt.datetime | None
    ) -> Callable[[Tx], None]:
        """Return the unit that stores what their conversation was, and what follows from it."""

    def to_agent(self) -> None:
        """They are to have an agent."""

    def over(self) -> None:
        """The flow has said its last."""


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What the host hands over for one call, in two stages; a later one of the debt takes the place of an earlier."""

    call: str
    """An attempt's id, or the leg's of a call that came in."""
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
    party: Party,
    flow: str,
    now_utc: dt.datetime,
    now_ns: int,
) -> Unit | None:
    """Return what is written for a step's work, and the events of the same transaction; None where a promise has no terms."""
    if work is Work.OPT_OUT:
        told = party.event(OptOutReceived, now_ns, channel=Channel.VOICE.value, flow=flow)
        return party.dispose(Disposition.DO_NOT_CALL, now_utc, None), [told]
    if work is Work.STATEMENT:
        return _nothing, [party.event(StatementRequested, now_ns, flow=flow)]
    if work is Work.EVIDENCE:
        return _nothing, [party.event(EvidenceRequested, now_ns, flow=flow)]
    if work is Work.CALLBACK and isinstance(step, Callback):
        at = now_utc + dt.timedelta(minutes=step.in_minutes)
        return party.dispose(Disposition.CALLBACK, now_utc, at), []
    account_id = party.account_id
    if work is not Work.PROMISE or terms is None or account_id is None:
        return None
    due, amount_minor = dt.date.fromisoformat(terms.due_date), terms.amount_minor
    campaign_id, attempt_id = party.campaign_id, party.attempt_id

    def promise(tx: Tx) -> None:
        promises.make(
            tx, account_id=account_id, instalments=[(due, amount_minor)], kind=PromiseKind.AGREEMENT, now=now_utc,
            campaign_id=campaign_id, attempt_id=attempt_id,
        )  # fmt: skip
        party.dispose(Disposition.PROMISE, now_utc, None)(tx)

    return promise, []


def disposition_of(
    attempt_id: AttemptId,
    disposition: Disposition,
    now_utc: dt.datetime,
    callback_at: dt.datetime | None = None,
) -> Callable[[Tx], None]:
    """Return the unit that stores what a flow says an attempt's conversation was, and what follows from it."""

    def write(tx: Tx) -> None:
        dispositions.apply(
            tx, attempt_id=attempt_id, disposition=disposition, agent_id=None, now=now_utc, callback_at=callback_at
        )  # fmt: skip

    return write


def written_in_time(
    write: Callable[[Tx], None], wanted: Callable[[], bool]
) -> tuple[Callable[[Tx], None], Callable[[], bool]]:
    """Return a unit that is written only while it is wanted, and what gives it up: one of the two wins, also in the same instant.

    The unit fails, and its events with it, where it was given up first, or the conversation has gone on. Giving up returns False where the writing
    has begun: then its end decides what the person is told.
    """
    lock = threading.Lock()
    given_up = begun = False

    def write_in_time(tx: Tx) -> None:
        nonlocal begun
        with lock:
            if given_up or not (begun or wanted()):
                raise StoreError("the store took too long, and they were told that nothing was written down")
            begun = True
        write(tx)

    def give_up() -> bool:
        nonlocal given_up
        with lock:
            given_up = given_up or not begun
            return given_up

    return write_in_time, give_up


def _nothing(tx: Tx) -> None:
    """Write nothing: the event says it all."""
    del tx
