"""A small call centre's two days, written row by row, whose every figure can be worked out by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from dialer_core.portfolio import payments, promises
from dialer_core.portfolio.payments import NewPayment
from dialer_core.store import attempts, people
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, CampaignId, Outcome, PromiseKind, new_id
from tests.store.rows import Debtor, new_attempt, put, put_campaign, put_debtor

MONDAY = dt.datetime(2026, 3, 2, 18, 0, tzinfo=dt.UTC)
"""Noon in Mexico City."""
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
S = 10**9
ANA, LUIS = AgentId("ana"), AgentId("luis")


@dataclass
class Floor:
    """Ids of what was written."""

    debtors: list[Debtor]
    promised: str
    kept: str
    broken: str


def call(
    tx: Tx, debtor: Debtor, at: dt.datetime, outcome: Outcome, *, campaign: str = "spring", agent: str | None = None,
    word: str | None = None, reason: str | None = None, talk_s: int = 0, abandoned: bool = False,
) -> None:  # fmt: skip
    """Write an attempt that rang for 10 s and, answered, was bridged 2 s later."""
    new = new_attempt(debtor, committed_at_utc=at, campaign_id=CampaignId(campaign))
    attempts.insert(tx, new)
    times: dict[str, Any] = {"sent_mono_ns": 1 * S}
    end_ns = 11 * S
    if agent:
        times |= {
            "answered_mono_ns": 11 * S,
            "bridged_mono_ns": 13 * S,
            "agent_id": agent,
            "live_answer": True,
        }
        end_ns = (13 + talk_s) * S
    if abandoned:
        times |= {"answered_mono_ns": 11 * S, "live_answer": True, "abandoned": True}
        end_ns = 15 * S
    attempts.end(
        tx, new.id, outcome=outcome, at_utc=at + HOUR / 10, at_mono_ns=end_ns, disposition=word, reason=reason,
        sip_code=200 if agent or abandoned else 486, **times,
    )  # fmt: skip


def write(tx: Tx) -> Floor:
    """Write it: Monday seven calls of two campaigns, Tuesday one; three promises, of which one is kept and one broken; a debt paid off."""
    put_campaign(
        tx, "spring", dispositions={"promesa_total": {"under": "promise"}, "cuelga": {"under": "refuses"}}
    )
    put_campaign(tx, "autumn")
    debtors = [
        put_debtor(tx, f"+5255100000{n:02d}", campaign="spring" if n < 4 else "autumn") for n in range(6)
    ]
    for debtor in debtors:
        people.update_account(tx, debtor.account, {"balance_minor": 100_000, "currency": "MXN"})
    people.update_account(tx, debtors[0].account, {"product": "tarjeta"})
    call(
        tx,
        debtors[0],
        MONDAY,
        Outcome.CONNECTED,
        agent="ana",
        word="promesa_total",
        reason="illness",
        talk_s=60,
    )
    call(tx, debtors[1], MONDAY, Outcome.CONNECTED, agent="luis", word="third_party", talk_s=20)
    call(tx, debtors[2], MONDAY, Outcome.CONNECTED, agent="luis", word="machine", talk_s=5)
    call(tx, debtors[3], MONDAY + HOUR, Outcome.ABANDONED, abandoned=True)
    call(tx, debtors[1], MONDAY + HOUR, Outcome.BUSY)
    call(
        tx,
        debtors[4],
        MONDAY + HOUR,
        Outcome.CONNECTED,
        campaign="autumn",
        agent="ana",
        word="refuses",
        reason="illness",
        talk_s=100,
    )
    call(tx, debtors[5], MONDAY + 2 * HOUR, Outcome.NO_ANSWER, campaign="autumn")
    call(
        tx,
        debtors[2],
        MONDAY + DAY,
        Outcome.CONNECTED,
        agent="ana",
        word="cuelga",
        reason="unwilling",
        talk_s=40,
    )
    for agent, begun, spent in (
        ("ana", MONDAY - HOUR, 4 * HOUR),
        ("luis", MONDAY, 2 * HOUR),
        ("ana", MONDAY + DAY, HOUR),
    ):
        _logged_in(tx, agent, begun, spent)
    today = MONDAY.date()

    def promise(debtor: Debtor, amount: int, agent: AgentId) -> str:
        return promises.make(
            tx, account_id=debtor.account, instalments=[(today + DAY, amount)], kind=PromiseKind.AGREEMENT, now=MONDAY,
            agent_id=agent, campaign_id=CampaignId("spring"),
        ).id  # fmt: skip

    promised, kept, broken = (
        promise(debtors[0], 30_000, ANA),
        promise(debtors[1], 100_000, LUIS),
        promise(debtors[2], 5_000, ANA),
    )
    tuesday = (today + DAY).isoformat()
    paid = [
        NewPayment(debtors[1].account, "P1", 100_000, "MXN", tuesday),
        NewPayment(debtors[5].account, "P2", 7_000, "MXN", tuesday),
    ]
    payments.receive(tx, paid, source="bank", now=MONDAY + DAY)
    payments.receive(
        tx, [NewPayment(debtors[5].account, "P3", -2_000, "MXN", tuesday)], source="bank", now=MONDAY + DAY
    )
    promises.break_overdue(tx, today + 5 * DAY, MONDAY + 5 * DAY)
    return Floor(debtors, promised, kept, broken)


def _logged_in(tx: Tx, agent: str, begun: dt.datetime, spent: dt.timedelta) -> None:
    from sqlalchemy import select

    from tests.store.rows import TABLES

    if not tx.execute(select(TABLES["agent"]).where(TABLES["agent"].c.id == agent)).first():
        put(tx, "agent", id=agent, name=agent, sip_uri=f"sip:{agent}@x", active=True)
    put(
        tx, "agent_interval", id=new_id(), agent_id=agent, session_id=new_id(), state="ready", reason="", boot_id="b",
        from_utc=begun, to_utc=begun + spent, from_mono_ns=1, to_mono_ns=2,
    )  # fmt: skip
