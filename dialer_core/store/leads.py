"""The lead table: the accounts on campaigns' lists, and when each is next.

It owns the rows and the hopper's order. A lead that may be dialed now carries `next_at_utc = READY_UTC`; one that may be dialed at a
known time carries that time, and `promote_due` makes it ready when the time has come. So the ready leads of a campaign stand together in
`ix_lead_hopper`, by priority, the untried first, in order of import, and a claim of a few reads only those few, however long the list.

It does not own who may be dialed (`compliance/gate.py`) nor what follows an outcome (`campaigns/recycle.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Table, Text, and_, bindparam, case, cast, func, literal, or_, select, text, update

from dialer_core.events import LeadFinished
from dialer_core.store import bulk
from dialer_core.store.models import Attempt, Lead, Person
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, LeadId, LeadState, PersonId

_LEAD: Table = Lead.__table__  # type: ignore[assignment]
_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]
_PERSON: Table = Person.__table__  # type: ignore[assignment]

READY_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
"""`next_at_utc` of a lead that may be dialed now."""
READY_AGAIN_UTC = dt.datetime(1970, 1, 2, tzinfo=dt.UTC)
"""That of one that may be dialed now and was tried before, in a campaign that keeps the two apart (`campaigns/mix.py`)."""

_THOSE = _LEAD.c.id.in_(bindparam("keys", expanding=True))
_BLOCK = Prepared(
    update(_LEAD)
    .where(_LEAD.c.id == bindparam("key"))
    .values(
        state=bindparam("new_state"),
        next_at_utc=bindparam("next_at"),
        waiting_for=bindparam("waits"),
        blocked_rule=bindparam("rule"),
        blocked_reason=bindparam("reason"),
        finished_reason=bindparam("finished"),
    )
)
_BEGIN = Prepared(
    update(_LEAD)
    .where(_THOSE)
    .values(
        state=LeadState.IN_ATTEMPT.value,
        next_at_utc=READY_UTC,
        attempts=_LEAD.c.attempts + bindparam("more"),
        blocked_rule=None,
        blocked_reason=None,
        waiting_for=None,
    )
)


_OF_CAMPAIGN = (_LEAD.c.campaign_id == bindparam("campaign"), _LEAD.c.state == LeadState.DIALABLE.value)
_DUE = (
    select(_LEAD.c.id)
    .where(*_OF_CAMPAIGN, _LEAD.c.next_at_utc > READY_UTC, _LEAD.c.next_at_utc <= bindparam("now"))
    .order_by(_LEAD.c.next_at_utc, _LEAD.c.priority.desc(), _LEAD.c.attempts, _LEAD.c.id)
    .limit(bindparam("most"))
)
_PROMOTE = Prepared(update(_LEAD).where(_THOSE).values(next_at_utc=READY_UTC))
_DUE_APART = _DUE.where(_LEAD.c.next_at_utc > READY_AGAIN_UTC)
_PROMOTE_APART = Prepared(
    update(_LEAD)
    .where(_THOSE)
    .values(
        next_at_utc=case(
            (_LEAD.c.attempts > 0, literal(READY_AGAIN_UTC, _LEAD.c.next_at_utc.type)),
            else_=literal(READY_UTC, _LEAD.c.next_at_utc.type),
        )
    )
)
_READY_ROWS = (
    select(
        _LEAD.c.id,
        _LEAD.c.campaign_id,
        _LEAD.c.account_id,
        _LEAD.c.person_id,
        _LEAD.c.attempts,
        _LEAD.c.blocked_rule,
        _PERSON.c.language,
        _PERSON.c.region,
        _LEAD.c.segment,
        _LEAD.c.propensity,
        _LEAD.c.propensity_at_utc,
        _LEAD.c.priority,
    )
    .join(_PERSON, _PERSON.c.id == _LEAD.c.person_id)
    .where(*_OF_CAMPAIGN, _LEAD.c.next_at_utc == bindparam("ready"))
    .order_by(_LEAD.c.priority.desc(), _LEAD.c.attempts, _LEAD.c.id)
)
_READY = _READY_ROWS.limit(bindparam("most"))
_THESE = _READY_ROWS.where(_LEAD.c.id.in_(bindparam("these", expanding=True)))
# PostgreSQL has many writers: rows are kept for this claim, and what another claim keeps is passed over.
_DUE_KEPT = Prepared(_DUE.with_for_update(skip_locked=True, key_share=True))
_READY_KEPT = Prepared(_READY.with_for_update(of=[_LEAD, _PERSON], skip_locked=True, key_share=True))
_THESE_KEPT = Prepared(_THESE.with_for_update(of=[_LEAD, _PERSON], skip_locked=True, key_share=True))
_DUE_ALONE, _READY_ALONE, _THESE_ALONE = Prepared(_DUE), Prepared(_READY), Prepared(_THESE)
_DUE_STATEMENTS = {
    (False, False): _DUE_ALONE,
    (False, True): _DUE_KEPT,
    (True, False): Prepared(_DUE_APART),
    (True, True): Prepared(_DUE_APART.with_for_update(skip_locked=True, key_share=True)),
}
_READY_IN = {
    "any": _READY,
    "named": _READY.where(_LEAD.c.segment == bindparam("named")),
    "unseen": _READY.where(_LEAD.c.segment.is_(None)),
}
_READY_STATEMENTS = {
    (which, kept): Prepared(
        query.with_for_update(of=[_LEAD, _PERSON], skip_locked=True, key_share=True) if kept else query
    )
    for which, query in _READY_IN.items()
    for kept in (False, True)
}
_WITH_PERSON = (
    select(_LEAD, _PERSON.c.language, _PERSON.c.region)
    .join(_PERSON, _PERSON.c.id == _LEAD.c.person_id)
    .where(_LEAD.c.id == bindparam("key"))
)
_GET = Prepared(select(_LEAD).where(_LEAD.c.id == bindparam("key")))
_GET_KEPT = Prepared(_GET.statement.with_for_update(key_share=True))  # type: ignore[attr-defined]


class ReadyLead(msgspec.Struct, frozen=True):
    """What a claim needs of a lead and its person."""

    id: LeadId
    campaign_id: CampaignId
    account_id: AccountId
    person_id: PersonId
    attempts: int
    blocked_rule: str | None
    language: str
    region: str | None
    segment: str | None = None
    propensity: str | None = None
    propensity_at_utc: dt.datetime | None = None

    @property
    def again(self) -> bool:
        """It was tried before."""
        return self.attempts > 0


class Block(msgspec.Struct, frozen=True):
    """Why and until when a lead is not dialed."""

    lead_id: LeadId
    rule: str
    reason: str
    next_at_utc: dt.datetime | None = None
    waiting_for: str | None = None
    finished_reason: str | None = None

    @property
    def state(self) -> LeadState:
        """The lead's state from now on (I18): finished, waiting for something named, or dialable at a known time."""
        if self.finished_reason is not None:
            return LeadState.FINISHED
        return LeadState.WAITING if self.waiting_for is not None else LeadState.DIALABLE


class Tally(msgspec.Struct, frozen=True):
    """A campaign's list at one moment; `counts` by state and its reason."""

    counts: dict[tuple[LeadState, str], int]
    ready: int
    next_at_utc: dt.datetime | None
    complete: bool
    """False: the list is longer than was counted."""


def promote_due(tx: Tx, campaign_id: CampaignId, now: dt.datetime, limit: int, *, apart: bool = False) -> int:
    """Make leads ready whose time has come, at most so many; return how many. `apart`: those tried before stand by themselves."""
    due = _DUE_STATEMENTS[apart, tx.dialect == "postgresql"]
    ids = list(tx.scalars(due, {"campaign": campaign_id, "now": now, "most": limit}))
    if ids:
        tx.execute(_PROMOTE_APART if apart else _PROMOTE, {"keys": ids})
    return len(ids)


def take_ready(tx: Tx, campaign_id: CampaignId, limit: int) -> list[ReadyLead]:
    """Return the next ready leads, in the hopper's order, each with its person kept from other claims until the transaction's end."""
    ready = _READY_KEPT if tx.dialect == "postgresql" else _READY_ALONE
    asked = {"campaign": campaign_id, "most": limit, "ready": READY_UTC}
    return [_ready_lead(row) for row in tx.execute(ready, asked)]


def take_those_ready(tx: Tx, campaign_id: CampaignId, lead_ids: Collection[LeadId]) -> list[ReadyLead]:
    """Return those of these leads that are still ready and that no claim holds, kept as `take_ready` keeps them."""
    those = _THESE_KEPT if tx.dialect == "postgresql" else _THESE_ALONE
    asked = {"campaign": campaign_id, "these": list(lead_ids)}
    return [
        _ready_lead(row)
        for ready in (READY_UTC, READY_AGAIN_UTC)
        for row in tx.execute(those, asked | {"ready": ready})
    ]


def each_ready(tx: Tx, campaign_id: CampaignId, at_once: int) -> Iterator[list[ReadyLead]]:
    """Yield every ready lead of the transaction's snapshot, so many at a time."""
    query = _READY_ROWS.execution_options(yield_per=at_once)
    for ready in (READY_UTC, READY_AGAIN_UTC):
        for rows in tx.connection.execute(query, {"campaign": campaign_id, "ready": ready}).partitions():
            yield [_ready_lead(row) for row in rows]


def _ready_lead(row: Sequence[Any]) -> ReadyLead:
    return ReadyLead(*row[:-1])  # without its priority


def take_ready_of(
    tx: Tx,
    campaign_id: CampaignId,
    limit: int,
    *,
    segment: str | None,
    again: bool | None,
    unseen: bool = False,
) -> list[ReadyLead]:
    """Return the next ready leads of one stratum, kept as `take_ready` keeps them.

    Parameters
    ----------
    segment
        Only of this one; None: of any.
    again
        Only those tried before, or only those never tried; None: either, the untried first where priorities are equal.
    unseen
        Only those that have not been put into any segment yet.
    """
    which = "unseen" if unseen else ("any" if segment is None else "named")
    statement = _READY_STATEMENTS[which, tx.dialect == "postgresql"]
    found: list[tuple[float, ReadyLead]] = []
    for ready in (
        (READY_UTC, READY_AGAIN_UTC) if again is None else ((READY_AGAIN_UTC,) if again else (READY_UTC,))
    ):
        given = {"campaign": campaign_id, "most": limit, "ready": ready, "named": segment or ""}
        found += [
            (row.priority, ReadyLead(*(getattr(row, name) for name in ReadyLead.__struct_fields__)))
            for row in tx.execute(statement, given)
        ]
    found.sort(key=lambda one: (-one[0], one[1].attempts, one[1].id))
    return [lead for _, lead in found[:limit]]


def count_alone(tx: Tx, campaign_id: CampaignId) -> None:
    """Keep other transactions of the campaign that ask for this from going on until this one's end. SQLite has one writer anyway."""
    if tx.dialect == "postgresql":
        tx.execute(_ALONE, {"key": f"quota/{campaign_id}"})


def dialed(
    tx: Tx, campaign_id: CampaignId, since: dt.datetime, before: dt.datetime | None = None
) -> dict[str, int]:
    """Count a campaign's attempts of a time by segment, failover left out; `before` None: of all the time since."""
    query = (
        select(func.coalesce(_ATTEMPT.c.segment, "").label("named"), func.count().label("attempts"))
        .where(
            _ATTEMPT.c.campaign_id == campaign_id,
            _ATTEMPT.c.committed_at_utc >= since,
            _ATTEMPT.c.retry_of.is_(None),
        )
        .group_by("named")
    )
    if before is not None:
        query = query.where(_ATTEMPT.c.committed_at_utc < before)
    return {row.named: row.attempts for row in tx.execute(query)}


def begin_attempts(tx: Tx, lead_ids: Sequence[LeadId], *, count: bool = True) -> None:
    """Say that these leads have a live attempt; one by failover is not counted again."""
    if lead_ids:
        tx.execute(_BEGIN, {"keys": list(lead_ids), "more": int(count)})


def block(tx: Tx, blocks: Sequence[Block]) -> None:
    """Store why leads are not dialed and what they wait for."""
    if blocks:
        tx.execute(
            _BLOCK,
            [
                {
                    "key": one.lead_id,
                    "new_state": one.state.value,
                    "next_at": one.next_at_utc or READY_UTC,
                    "waits": one.waiting_for,
                    "rule": one.rule,
                    "reason": one.reason,
                    "finished": one.finished_reason,
                }
                for one in blocks
            ],
        )


def get(tx: Tx, lead_id: LeadId, *, keep: bool = False) -> Lead | None:
    """Return a lead as a detached record, or None; `keep`: nobody else changes it until the transaction's end."""
    query = _GET_KEPT if keep and tx.dialect == "postgresql" else _GET
    row = tx.execute(query, {"key": lead_id}).first()
    return None if row is None else Lead(**row._asdict())


def with_person(tx: Tx, lead_id: LeadId) -> tuple[Lead, ReadyLead] | None:
    """Return a lead's own row and what a claim needs of it and its person, or None."""
    row = tx.execute(_WITH_PERSON, {"key": lead_id}).mappings().first()
    if row is None:
        return None
    values = dict(row)
    language, region = values.pop("language"), values.pop("region")
    lead = Lead(**values)
    ready = ReadyLead(
        lead_id,
        row["campaign_id"],
        row["account_id"],
        row["person_id"],
        lead.attempts,
        lead.blocked_rule,
        language,
        region,
        lead.segment,
        lead.propensity,
        lead.propensity_at_utc,
    )
    return lead, ready


def sample_dialable(
    tx: Tx, campaign_id: CampaignId, most: int
) -> tuple[list[tuple[ReadyLead, dt.datetime]], int]:
    """Return a campaign's dialable leads with their times, and how many there are; of more than `most`, about so many by chance.

    By chance: by the last digits of their ids, which are random in a UUIDv7.
    """
    of_campaign = (_LEAD.c.campaign_id == campaign_id, _LEAD.c.state == LeadState.DIALABLE.value)
    total = tx.scalar(select(func.count()).select_from(_LEAD).where(*of_campaign)) or 0
    query = (
        select(
            *(_LEAD.c[name] for name in ("id", "campaign_id", "account_id", "person_id", "attempts")),
            _LEAD.c.blocked_rule,
            _LEAD.c.next_at_utc,
            _PERSON.c.language,
            _PERSON.c.region,
        )
        .join(_PERSON, _PERSON.c.id == _LEAD.c.person_id)
        .where(*of_campaign)
    )
    if total > most:
        digits = 1
        while total / 16**digits > most:
            digits += 1
        endings = max(1, round(most / (total / 16**digits)))
        text = cast(_LEAD.c.id, Text)
        query = query.where(or_(*(text.like(f"%{ending:0{digits}x}") for ending in range(endings))))
    return [
        (
            ReadyLead(
                row.id,
                row.campaign_id,
                row.account_id,
                row.person_id,
                row.attempts,
                row.blocked_rule,
                row.language,
                row.region,
            ),
            row.next_at_utc,
        )
        for row in tx.execute(query)
    ], total


def update_lead(tx: Tx, lead_id: LeadId, **changes: Any) -> None:
    """Change some columns of a lead."""
    tx.execute(_update_of(frozenset(changes)), changes | {"key": lead_id})


@lru_cache(maxsize=64)
def _update_of(columns: frozenset[str]) -> Prepared:
    return Prepared(
        update(_LEAD)
        .where(_LEAD.c.id == bindparam("key"))
        .values({name: bindparam(name) for name in columns})
    )


def finish(tx: Tx, lead: Lead, reason: str, **changes: Any) -> None:
    """Finish a lead with a reason, and tell it in the same transaction."""
    update_lead(
        tx,
        LeadId(lead.id),
        state=LeadState.FINISHED.value,
        finished_reason=reason,
        waiting_for=None,
        **changes,
    )
    tx.emit(
        LeadFinished(
            campaign_id=CampaignId(lead.campaign_id),
            account_id=AccountId(lead.account_id),
            lead_id=lead.id,
            reason=reason,
        )
    )


LEAD_COLUMNS = (
    "id", "campaign_id", "account_id", "person_id", "state", "priority", "next_at_utc", "waiting_for", "blocked_rule", "blocked_reason",
    "finished_reason", "attempts", "created_at_utc",
)  # fmt: skip
"""What is written of a new lead, in this order."""


def insert_leads(tx: Tx, rows: Sequence[tuple[Any, ...]]) -> None:
    """Write new leads: their `LEAD_COLUMNS`."""
    bulk.insert_values(tx, _LEAD, LEAD_COLUMNS, rows)


def by_account(tx: Tx, campaign_id: CampaignId, account_ids: Collection[str]) -> dict[str, Lead]:
    """Return a campaign's leads by account, as detached records."""
    query = select(_LEAD).where(_LEAD.c.campaign_id == campaign_id, _LEAD.c.account_id.in_(list(account_ids)))
    return {row["account_id"]: Lead(**row) for row in tx.execute(query).mappings()}


def of_account(tx: Tx, account_id: AccountId) -> list[Lead]:
    """Return an account's leads on every campaign's list, by campaign."""
    query = select(_LEAD).where(_LEAD.c.account_id == account_id).order_by(_LEAD.c.campaign_id)
    return [Lead(**row) for row in tx.execute(query).mappings()]


def any_due(tx: Tx, campaign_id: CampaignId, now: dt.datetime) -> bool:
    """Say whether some lead of a campaign may be dialed now, as far as its own row says."""
    query = (
        select(_LEAD.c.id)
        .where(
            _LEAD.c.campaign_id == campaign_id,
            _LEAD.c.state == LeadState.DIALABLE.value,
            _LEAD.c.next_at_utc <= now,
        )
        .limit(1)
    )
    return tx.scalar(query) is not None


def tally(tx: Tx, campaign_id: CampaignId, limit: int) -> Tally:
    """Count a campaign's leads by state and reason, over at most `limit` leads of each state, and find when the next is due."""
    of_campaign = _LEAD.c.campaign_id == campaign_id
    counts: dict[tuple[LeadState, str], int] = {}
    complete = True
    reasons = {
        LeadState.DIALABLE: _LEAD.c.blocked_rule,
        LeadState.IN_ATTEMPT: _LEAD.c.waiting_for,
        LeadState.WAITING: _LEAD.c.waiting_for,
        LeadState.FINISHED: _LEAD.c.finished_reason,
    }
    for state, reason in reasons.items():
        some = (
            select(reason.label("reason"))
            .where(of_campaign, _LEAD.c.state == state.value)
            .limit(limit)
            .subquery()
        )
        found = 0
        for row in tx.execute(select(some.c.reason, func.count().label("leads")).group_by(some.c.reason)):
            counts[state, row.reason or ""] = row.leads
            found += row.leads
        complete = complete and found < limit
    dialable = and_(of_campaign, _LEAD.c.state == LeadState.DIALABLE.value)
    ready = select(_LEAD.c.id).where(dialable, _LEAD.c.next_at_utc <= READY_AGAIN_UTC).limit(limit).subquery()
    return Tally(
        counts,
        tx.scalar(select(func.count()).select_from(ready)) or 0,
        tx.scalar(
            select(func.min(_LEAD.c.next_at_utc)).where(dialable, _LEAD.c.next_at_utc > READY_AGAIN_UTC)
        ),
        complete,
    )
