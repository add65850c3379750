"""The attempt table: one row per try at one number, from before its INVITE to its outcome.

It owns the rows and their two guards: a person and a number have one live attempt at most (I3), and an
attempt ends once (I2). It does not own the attempt's states (`calls/attempt.py`) nor what follows from an
outcome.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import msgspec
import structlog
from sqlalchemy import Row, Table, bindparam, exc, func, select, text, true
from sqlalchemy import insert as sql_insert
from sqlalchemy import update as sql_update

from dialer_core.errors import StoreError
from dialer_core.events import AttemptEnded
from dialer_core.line_names import line_of
from dialer_core.store import rollups
from dialer_core.store.errors import AlreadyEndedError, AlreadyLiveError, violated_constraint
from dialer_core.store.models import ANSWERED_LIVE, LIVE, Attempt, DetectionSample
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AttemptId,
    AttemptState,
    CampaignId,
    Disposition,
    EndedBy,
    LeadId,
    Outcome,
    PersonId,
    PhoneId,
    TrunkId,
)

log = structlog.get_logger(__name__)

_TABLE: Table = Attempt.__table__  # type: ignore[assignment]
_SAMPLE: Table = DetectionSample.__table__  # type: ignore[assignment]
_INSERT = Prepared(sql_insert(_TABLE))
_END_ONLY = frozenset({"id", "live", "outcome", "ended_at_utc", "ended_mono_ns"})
_LIVE_GUARDS = {
    "uq_attempt_live_person": "person",
    "attempt.person_id": "person",
    "uq_attempt_live_number": "number",
    "attempt.line": "number",
}


class NewAttempt(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an attempt when it is committed."""

    id: AttemptId
    node: str
    boot_id: str
    campaign_id: CampaignId
    lead_id: LeadId
    account_id: AccountId
    person_id: PersonId
    phone_id: PhoneId
    number: str
    trunk: TrunkId
    committed_at_utc: dt.datetime
    evidence: dict[str, Any]
    """What the gate saw (I11)."""
    retry_of: AttemptId | None = None
    worker: str | None = None
    segment: str | None = None
    caller_id: str | None = None


def insert(tx: Tx, *new: NewAttempt) -> None:
    """Write live attempts in state `committed`: all of them, or none.

    The Call-ID is settled here, as the attempt's own id: an INVITE whose sending nobody lived to tell of still names its row (I1).

    Raises
    ------
    AlreadyLiveError
        The person or the number of one has one (I3). Work that goes on after it in the same transaction puts this
        call into `tx.savepoint()`.
    """
    if not new:
        return
    begun = {"live": True, "state": AttemptState.COMMITTED.value, "live_answer": False, "abandoned": False}
    rows = [
        {field: getattr(one, field) for field in NewAttempt.__struct_fields__}
        | begun
        | {"call_id": one.id, "line": line_of(one.number)}
        for one in new
    ]
    try:
        tx.execute(_INSERT, rows)
    except exc.IntegrityError as error:
        what = _LIVE_GUARDS.get(violated_constraint(error))
        if what is None:
            raise
        raise AlreadyLiveError(what) from None


def update(tx: Tx, attempt_id: AttemptId, **columns: Any) -> None:
    """Set columns of an attempt; ending it is `end`'s alone. A state is only given to a live one.

    Raises
    ------
    AlreadyEndedError
        A state was given and the attempt has ended, or does not exist.
    StoreError
        A column is not one of the attempt's, or belongs to `end`; or there is no such attempt.
    """
    if wrong := columns.keys() & _END_ONLY:
        raise StoreError(f"attempt.{min(wrong)} is set when the attempt ends; call end()")
    if (
        tx.execute(_update_of(frozenset(columns), "state" in columns), columns | {"key": attempt_id}).rowcount
        == 1
    ):
        if rollups.LATE_COLUMNS & columns.keys():
            rollups.changed(tx, attempt_id)
        return
    if "state" in columns:
        raise AlreadyEndedError(f"attempt {attempt_id} is not live; its state cannot change")
    raise StoreError(f"there is no attempt {attempt_id}")


def end(
    tx: Tx,
    attempt_id: AttemptId,
    *,
    outcome: Outcome,
    at_utc: dt.datetime,
    at_mono_ns: int | None,
    **columns: Any,
) -> None:
    """Give an attempt its one outcome.

    Parameters
    ----------
    tx
        The transaction.
    attempt_id
        A live attempt.
    outcome
        How it ended.
    at_utc, at_mono_ns
        When; no monotonic time where the boot has changed since it began.
    **columns
        Whatever else is known now: `sip_code`, `q850`, `ended_by`, `verdict` …

    Raises
    ------
    AlreadyEndedError
        It has ended, or never was.
    """
    values = columns | {
        "live": False,
        "state": AttemptState.ENDED.value,
        "outcome": outcome.value,
        "ended_at_utc": at_utc,
        "ended_mono_ns": at_mono_ns,
    }
    if tx.execute(_update_of(frozenset(values), True), values | {"key": attempt_id}).rowcount != 1:
        raise AlreadyEndedError(f"attempt {attempt_id} is not live; it cannot end as {outcome.value}")
    rollups.changed(tx, attempt_id)


def get(tx: Tx, attempt_id: AttemptId) -> Attempt | None:
    """Return an attempt, or None."""
    row = tx.execute(select(_TABLE).where(_TABLE.c.id == attempt_id)).first()
    return None if row is None else _record(row)


def live(tx: Tx, node: str | None = None) -> list[Attempt]:
    """Return the live attempts, of one node or all, the oldest first."""
    query = select(_TABLE).where(text(LIVE)).order_by(_TABLE.c.id)
    if node is not None:
        query = query.where(_TABLE.c.node == node)
    return [_record(row) for row in tx.execute(query)]


def interrupt(
    tx: Tx, attempts: Iterable[Attempt], *, at_utc: dt.datetime, at_mono_ns: int, boot_id: str
) -> None:
    """End live attempts as `interrupted`, with their events; the records given say so afterwards too.

    For an engine that starts and finds what nobody can go on with. What was begun in another boot gets no
    monotonic end: times of two boots are never compared. Recycling and settling their contacts is the
    caller's.
    """
    for attempt in attempts:
        ended_mono_ns = at_mono_ns if attempt.boot_id == boot_id else None
        attempt_id = AttemptId(attempt.id)
        try:
            end(
                tx,
                attempt_id,
                outcome=Outcome.INTERRUPTED,
                at_utc=at_utc,
                at_mono_ns=ended_mono_ns,
                ended_by=EndedBy.WORKER.value,
            )
        except AlreadyEndedError:  # a node taken for gone was only slow, and ended it itself
            log.info("ended_meanwhile", attempt_id=attempt_id)
            continue
        tx.emit(
            AttemptEnded(
                attempt_id=attempt_id,
                campaign_id=CampaignId(attempt.campaign_id),
                account_id=AccountId(attempt.account_id),
                at_mono_ns=at_mono_ns,
                outcome=Outcome.INTERRUPTED.value,
                sip_code=attempt.sip_code or 0,
                q850=attempt.q850 or 0,
                ended_by=EndedBy.WORKER.value,
                agent_id=attempt.agent_id,
            )
        )
        attempt.live, attempt.state, attempt.outcome = (
            False,
            AttemptState.ENDED.value,
            Outcome.INTERRUPTED.value,
        )
        attempt.ended_at_utc, attempt.ended_mono_ns, attempt.ended_by = (
            at_utc,
            ended_mono_ns,
            EndedBy.WORKER.value,
        )


def sent_since(tx: Tx, node: str, boot_id: str, since_mono_ns: int) -> list[tuple[TrunkId, int]]:
    """Return trunk and time of every INVITE of a node since then: what its trunks' rate still has to count."""
    query = select(_TABLE.c.trunk, _TABLE.c.sent_mono_ns).where(
        _TABLE.c.node == node, _TABLE.c.boot_id == boot_id, _TABLE.c.sent_mono_ns >= since_mono_ns,
        _TABLE.c.committed_at_utc >= tx.utc() - dt.timedelta(minutes=5),
    )  # fmt: skip
    return [(TrunkId(row.trunk), row.sent_mono_ns) for row in tx.execute(query)]


def count_by_outcome(tx: Tx, campaign_id: CampaignId) -> dict[Outcome, int]:
    """Count a campaign's ended attempts by outcome."""
    query = (
        select(_TABLE.c.outcome, func.count().label("attempts"))
        .where(_TABLE.c.campaign_id == campaign_id, _TABLE.c.outcome.is_not(None))
        .group_by(_TABLE.c.outcome)
    )
    return {Outcome(row.outcome): row.attempts for row in tx.execute(query)}


def abandonment_counts(
    tx: Tx, campaign_id: CampaignId, since_utc: Sequence[dt.datetime]
) -> list[tuple[int, int]]:
    """Return (live answers, abandoned among them) of a campaign's attempts committed since each of some instants, all read in one walk.

    A machine connected for evidence is a live answer once an agent has said that it was a person, or once it was abandoned.
    """
    drawn = select(_SAMPLE.c.attempt_id).where(
        _SAMPLE.c.attempt_id == _TABLE.c.id, _SAMPLE.c.connected == true()
    )
    heard = _TABLE.c.disposition.not_in((Disposition.MACHINE, Disposition.OTHER))
    counts = (_TABLE.c.abandoned == true()) | ~drawn.exists() | heard
    answers = (
        select(
            _TABLE.c.committed_at_utc,
            _TABLE.c.abandoned,
            ((_TABLE.c.live_answer == true()) & counts).label("answer"),
        )
        .where(
            _TABLE.c.campaign_id == campaign_id,
            _TABLE.c.committed_at_utc >= min(since_utc),
            text(ANSWERED_LIVE),  # in the index's own words, so that it is used
        )
        .subquery()
    )
    query = select(
        *(
            func.count().filter(which == true(), answers.c.committed_at_utc >= since)
            for since in since_utc
            for which in (answers.c.answer, answers.c.abandoned)
        )
    )
    row = tuple(tx.execute(query).one())
    return list(zip(row[::2], row[1::2], strict=True))


@lru_cache(maxsize=256)
def _update_of(columns: frozenset[str], only_live: bool) -> Prepared:  # noqa: FBT001 - part of the cache's key
    """Build the UPDATE of a set of columns once; the engine uses a few dozen sets."""
    if unknown := columns - set(_TABLE.c.keys()):
        raise StoreError(f"attempt has no column {min(unknown)}")
    statement = (
        sql_update(_TABLE)
        .where(_TABLE.c.id == bindparam("key"))
        .values({name: bindparam(name) for name in columns})
    )
    return Prepared(statement.where(_TABLE.c.live == true()) if only_live else statement)


def _record(row: Row[Any]) -> Attempt:
    """Return a row as a detached record: changing it changes nothing in the store."""
    return Attempt(**row._asdict())
