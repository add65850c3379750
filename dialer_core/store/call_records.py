"""Attempts as they are read afterwards: who was called when, how it went, and how long each part of it took.

It owns reads of the attempt table for desks and call detail records. The rows and their guards are `store/attempts.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, Table, func, select

from dialer_core.store.models import Account, Attempt, Campaign
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    AttemptId,
    CampaignId,
    LeadId,
    PersonId,
    PhoneId,
    TrunkId,
)

_TABLE: Table = Attempt.__table__  # type: ignore[assignment]
_ACCOUNT: Table = Account.__table__  # type: ignore[assignment]
_CAMPAIGN: Table = Campaign.__table__  # type: ignore[assignment]
_ROWS_AT_ONCE = 2_000
_AS_STORED = (
    "id", "node", "campaign_id", "lead_id", "account_id", "person_id", "phone_id", "number", "trunk", "call_id", "retry_of", "outcome",
    "sip_code", "q850", "ended_by", "verdict", "live_answer", "abandoned", "agent_id", "disposition", "reason",
)  # fmt: skip
_MOMENTS = ("sent", "ringing", "answered", "bridged", "ended")
COLUMNS = (
    *(_TABLE.c[name] for name in _AS_STORED),
    _TABLE.c.committed_at_utc,
    _TABLE.c.ended_at_utc,
    *(_TABLE.c[f"{moment}_mono_ns"] for moment in _MOMENTS),
)
"""What a record is made of."""


class CallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. Times of its moments are empty where it did not come so far, and its seconds 0."""

    id: AttemptId
    node: str
    campaign_id: CampaignId
    lead_id: LeadId
    account_id: AccountId
    person_id: PersonId
    phone_id: PhoneId
    number: str
    trunk: TrunkId
    call_id: str | None
    """SIP's."""
    retry_of: AttemptId | None
    outcome: str | None
    """Empty while it goes on."""
    sip_code: int | None
    q850: int | None
    ended_by: str | None
    verdict: str | None
    live_answer: bool
    abandoned: bool
    agent_id: AgentId | None
    disposition: str | None
    reason: str | None
    """Why they do not pay."""
    started_at_utc: dt.datetime
    ringing_at_utc: dt.datetime | None
    answered_at_utc: dt.datetime | None
    bridged_at_utc: dt.datetime | None
    ended_at_utc: dt.datetime | None
    ring_s: float
    """From the INVITE to the answer, or to its end."""
    billed_s: float
    """From the answer to its end."""
    talk_s: float
    """From the first bridge to its end."""
    wait_s: float
    """From the answer to the first bridge."""


def of_leads(tx: Tx, lead_ids: Collection[str], limit: int) -> list[CallRecord]:
    """Return the attempts of some leads, the latest first."""
    query = (
        select(*COLUMNS)
        .where(_TABLE.c.lead_id.in_(list(lead_ids)))
        .order_by(_TABLE.c.committed_at_utc.desc(), _TABLE.c.id.desc())
        .limit(limit)
    )
    return [record(row) for row in tx.execute(query)]


def record(row: Row[Any]) -> CallRecord:
    """Return a row of `COLUMNS` as a record: moments are placed by their monotonic distance to the one whose time is known."""
    sent, ringing, answered, bridged, ended = (getattr(row, f"{moment}_mono_ns") for moment in _MOMENTS)
    known_at, known_ns = (
        (row.ended_at_utc, ended) if row.ended_at_utc is not None and ended else (row.committed_at_utc, sent)
    )

    def at(moment_ns: int | None) -> dt.datetime | None:
        if moment_ns is None or known_ns is None:
            return None
        return known_at + dt.timedelta(microseconds=(moment_ns - known_ns) // 1000)  # type: ignore[no-any-return]

    def between(first_ns: int | None, last_ns: int | None) -> float:
        return round(max(0, last_ns - first_ns) / 1e9, 3) if first_ns and last_ns else 0.0

    return CallRecord(
        **{name: getattr(row, name) for name in _AS_STORED},
        started_at_utc=row.committed_at_utc,
        ringing_at_utc=at(ringing),
        answered_at_utc=at(answered),
        bridged_at_utc=at(bridged),
        ended_at_utc=row.ended_at_utc,
        ring_s=between(sent, answered or ended),
        billed_s=between(answered, ended),
        talk_s=between(bridged, ended),
        wait_s=between(answered, bridged),
    )


def between(
    tx: Tx,
    since_utc: dt.datetime | None,
    until_utc: dt.datetime | None,
    only: Mapping[str, Collection[str]],
) -> Iterator[CallRecord]:
    """Yield attempts committed in a time, in that order, holding a few thousand at once.

    `only` keeps values of `campaign_id`, `agent_id`, `segment`, `portfolio` and `product`; an empty text keeps what has none.
    """
    query = select(*COLUMNS).order_by(_TABLE.c.committed_at_utc, _TABLE.c.id)
    if since_utc is not None or until_utc is not None:
        query = query.where(_TABLE.c.campaign_id.in_(select(_CAMPAIGN.c.id)))  # in time along each campaign
    if since_utc is not None:
        query = query.where(_TABLE.c.committed_at_utc >= since_utc)
    if until_utc is not None:
        query = query.where(_TABLE.c.committed_at_utc < until_utc)
    if {"portfolio", "product"} & set(only):
        query = query.join(_ACCOUNT, _ACCOUNT.c.id == _TABLE.c.account_id)
    columns = {
        "campaign_id": _TABLE.c.campaign_id,
        "agent_id": func.coalesce(_TABLE.c.agent_id, ""),
        "segment": func.coalesce(_TABLE.c.segment, ""),
        "portfolio": _ACCOUNT.c.portfolio,
        "product": func.coalesce(_ACCOUNT.c.product, ""),
    }
    for name, values in only.items():
        query = query.where(columns[name].in_(list(values)))
    for row in tx.execute(query.execution_options(yield_per=_ROWS_AT_ONCE)):
        yield record(row)
