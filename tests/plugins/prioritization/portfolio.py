"""A portfolio whose truth is known: who answers when, and who pays, by rules that the tests can hold what is learned against.

Rows are written as the engine and imports write them, by the store's own bulk inserts.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np

from dialer_core.store import bulk
from dialer_core.store.database import Database
from dialer_core.store.models import Base
from dialer_core.vocabulary import new_id

NOW = dt.datetime(2026, 6, 15, 18, 0, tzinfo=dt.UTC)
"""A Monday, noon in Mexico City."""
_T = Base.metadata.tables


def made_at(at: dt.datetime, number: int) -> str:
    """Return an id as it would have been made at a time."""
    digits = f"{int(at.timestamp() * 1000):012x}7{number % 4096:03x}8{number:015x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"


def chance(evening: np.ndarray, hour: np.ndarray) -> np.ndarray:
    """Return who answers: evening people from 18:00 on, the others before noon."""
    fits = np.where(evening, hour >= 18, hour < 12)
    return np.where(fits, 0.45, 0.08)


def write(
    database: Database,
    n: int,
    seed: int = 1,
    tries: int = 12,
    campaign: str = "cobranza",
    now: dt.datetime = NOW,
) -> dict[str, tuple[bool, bool]]:
    """Write a list of `n` accounts with their past; return their truth by account."""
    rng = np.random.default_rng(seed)
    begun = now - dt.timedelta(days=120)
    persons = [made_at(begun, 4 * index) for index in range(n)]
    accounts = [made_at(begun, 4 * index + 1) for index in range(n)]
    leads = [made_at(begun, 4 * index + 2) for index in range(n)]
    phones = [made_at(begun, 4 * index + 3) for index in range(n)]
    evening = rng.random(n) < 0.5
    good = rng.random(n) < 0.3
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in ("person", "phone", "account", "lead", "attempt", "payment")}  # fmt: skip
    dpd = np.where(good, rng.integers(1, 60, n), rng.integers(30, 300, n))
    for index in range(n):
        rows["person"].append({
            "id": persons[index], "external_id": None, "name": "", "language": "es" if index % 2 else "en", "region": None, "created_at_utc": begun,
        })  # fmt: skip
        rows["phone"].append({
            "id": phones[index], "person_id": persons[index], "e164": f"+5255{10_000_000 + index}", "kind": "mobile", "rank": 0,
            "zones": "America/Mexico_City", "consent": None, "failures": 0, "last_outcome": None,
        })  # fmt: skip
        rows["account"].append({
            "id": accounts[index], "person_id": persons[index], "portfolio": "default", "external_id": f"A{index}", "creditor": "Banco",
            "product": "evening" if evening[index] else "morning", "currency": "MXN", "balance_minor": 500_000, "days_past_due": int(dpd[index]),
            "due_date": None, "attributes": {}, "created_at_utc": begun, "status": "open",
        })  # fmt: skip
        rows["lead"].append({
            "id": leads[index], "campaign_id": campaign, "account_id": accounts[index], "person_id": persons[index], "state": "dialable",
            "priority": 0.0, "next_at_utc": begun, "waiting_for": None, "blocked_rule": None, "blocked_reason": None, "finished_reason": None,
            "attempts": tries, "created_at_utc": begun,
        })  # fmt: skip
    number = 0
    for index in range(n):
        for _ in range(tries):
            hour = int(rng.integers(8, 21))
            day = (begun + dt.timedelta(days=int(rng.integers(1, 118)))).date()
            at = dt.datetime.combine(day, dt.time(hour, 5)) + dt.timedelta(hours=6, seconds=int(rng.integers(3000)))  # fmt: skip
            at = at.replace(tzinfo=dt.UTC)
            heard = bool(rng.random() < chance(evening[index : index + 1], np.array([hour]))[0])
            number += 1
            rows["attempt"].append({
                "id": made_at(at, number), "node": "n", "boot_id": "b", "campaign_id": campaign, "lead_id": leads[index],
                "account_id": accounts[index], "person_id": persons[index], "phone_id": phones[index], "number": f"+5255{10_000_000 + index}",
                "trunk": "t", "live": False, "state": "ended", "outcome": "connected" if heard else "no_answer", "live_answer": heard,
                "abandoned": False, "evidence": {}, "committed_at_utc": at, "ended_at_utc": at,
            })  # fmt: skip
            if heard and rng.random() < (0.35 if good[index] else 0.03):
                paid = at + dt.timedelta(days=3)
                rows["account"][index]["balance_minor"] -= 20_000
                rows["payment"].append({
                    "id": made_at(paid, number), "account_id": accounts[index], "external_id": new_id(), "amount_minor": 20_000,
                    "currency": "MXN", "paid_on": paid.date().isoformat(), "promise_id": None, "source": "t", "received_at_utc": paid,
                })  # fmt: skip
    with database.write() as tx:
        tx.execute(_T["campaign"].insert(), {"id": campaign, "state": "running", "settings": {}, "changed_at_utc": begun})  # fmt: skip
        for name, these in rows.items():
            bulk.insert(tx, _T[name], these)
    return {account: (bool(evening[index]), bool(good[index])) for index, account in enumerate(accounts)}
