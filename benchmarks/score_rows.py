"""A portfolio with a past for the line `score` of `benchmarks.channels`: who answers when, and who pays, follows rules that can be learned.

Half of the people answer in the evening and half before noon; three in ten pay when they were spoken to. Calls stand in the order of their time, as a
dialer writes them. Written past the store, with keys off meanwhile: what is measured is what is done with them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import psycopg
from sqlalchemy import make_url

CAMPAIGN: Final = "cobranza"
DAYS: Final = 120
"""Over which the calls of the past are spread."""
_AT_ONCE: Final = 100_000
_UTC_OFFSET_S: Final = 6 * 3600
"""Mexico City is so far behind."""
_Put = Callable[[str, tuple[str, ...], Iterable[tuple[Any, ...]]], None]


def portfolio(url: str, accounts: int, tries: int, now: dt.datetime, seed: int = 1) -> None:
    """Write so many accounts on one list, with so many calls each."""
    rng = np.random.default_rng(seed)
    begun = (now - dt.timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    evening, good = rng.random(accounts) < 0.5, rng.random(accounts) < 0.3
    overdue = np.where(good, rng.integers(1, 60, accounts), rng.integers(30, 300, accounts))
    first, born_ms = str(begun.replace(tzinfo=None)) + ".000000", int(begun.timestamp() * 1000)
    persons, phones, owed, leads = ([_id(born_ms, 4 * n + k) for n in range(accounts)] for k in range(4))
    with _loading(url) as put:
        put("campaign", ("id", "state", "settings", "changed_at_utc"), [(CAMPAIGN, "running", "{}", first)])
        put("person", ("id", "name", "language", "created_at_utc"), ((one, "", "es", first) for one in persons))  # fmt: skip
        put(
            "phone", ("id", "person_id", "e164", "kind", "rank", "zones", "failures", "tries", "answers"),
            ((phones[n], persons[n], f"+5255{10_000_000 + n}", "mobile", 0, "America/Mexico_City", 0, 0, 0) for n in range(accounts)),
        )  # fmt: skip
        put(
            "lead", ("id", "campaign_id", "account_id", "person_id", "state", "priority", "next_at_utc", "attempts", "created_at_utc"),
            ((leads[n], CAMPAIGN, owed[n], persons[n], "dialable", 0.0, first, tries, first) for n in range(accounts)),
        )  # fmt: skip
        calls = accounts * tries
        paid = np.zeros(accounts, np.int64)
        for begin in range(0, calls, _AT_ONCE):
            size = min(_AT_ONCE, calls - begin)
            whose, hour = rng.integers(0, accounts, size), rng.integers(8, 21, size)
            day = (begin + np.arange(size)) * (DAYS - 2) // calls
            at_s = np.sort(
                begun.timestamp() + day * 86_400 + hour * 3600 + _UTC_OFFSET_S + rng.integers(0, 3000, size)
            )
            hour = ((at_s - _UTC_OFFSET_S) // 3600 % 24).astype(int)
            heard = rng.random(size) < np.where(np.where(evening[whose], hour >= 18, hour < 12), 0.45, 0.08)
            pays = heard & (rng.random(size) < np.where(good[whose], 0.35, 0.03))
            paid += np.bincount(whose[pays], minlength=accounts)
            written = _written(at_s)
            put(
                "attempt",
                ("id", "node", "boot_id", "campaign_id", "lead_id", "account_id", "person_id", "phone_id", "number", "trunk", "live", "state",
                 "outcome", "live_answer", "abandoned", "evidence", "committed_at_utc", "ended_at_utc"),
                ((_id(int(at_s[k]) * 1000, begin + k), "n", "b", CAMPAIGN, leads[n], owed[n], persons[n], phones[n], "", "t", False, "ended",
                  "connected" if heard[k] else "no_answer", bool(heard[k]), False, "{}", written[k], written[k])
                 for k, n in enumerate(whose.tolist())),
            )  # fmt: skip
            later = _written(at_s + 3 * 86_400)
            put(
                "payment", ("id", "account_id", "external_id", "amount_minor", "currency", "paid_on", "source", "received_at_utc"),
                ((_id(int(at_s[k] + 3 * 86_400) * 1000, begin + k), owed[whose[k]], f"p{begin + k}", 20_000, "MXN", later[k][:10], "t", later[k])
                 for k in np.flatnonzero(pays).tolist()),
            )  # fmt: skip

        put(
            "account",
            ("id", "person_id", "portfolio", "external_id", "creditor", "product", "currency", "balance_minor", "days_past_due", "attributes",
             "created_at_utc", "status"),
            ((owed[n], persons[n], "default", f"A{n}", "Banco", "evening" if evening[n] else "morning", "MXN",
              500_000 - 20_000 * int(paid[n]), int(overdue[n]), "{}", first,
              "open") for n in range(accounts)),
        )  # fmt: skip


def _id(at_ms: int, number: int) -> str:
    """Return a UUIDv7 of a time as 32 digits; its random half is the number, mixed."""
    return f"{at_ms:012x}7{number & 0xFFF:03x}8{number * 0x9E3779B97F4A7 & 0xFFFFFFFFFFFFFFF:015x}"


def _written(at_s: Any) -> list[str]:
    told = (at_s * 1e6).astype("int64").astype("datetime64[us]")
    return [one.replace("T", " ") for one in np.datetime_as_string(told).tolist()]


@contextlib.contextmanager
def _loading(url: str) -> Iterator[_Put]:
    """Yield what writes rows into a table on a connection of its own, without keys until its end."""
    if url.startswith("sqlite"):
        lite = sqlite3.connect(Path(make_url(url).database or ""), isolation_level=None)
        for pragma in ("foreign_keys=OFF", "synchronous=OFF", "journal_mode=OFF", "cache_size=-400000"):
            lite.execute(f"PRAGMA {pragma}")

        def insert(table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
            lite.execute("BEGIN")
            places = ", ".join("?" * len(columns))
            lite.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})", rows)  # noqa: S608
            lite.execute("COMMIT")

        yield insert
        lite.execute("PRAGMA journal_mode=WAL")
        lite.execute("ANALYZE")
        lite.close()
        return
    parsed = make_url(url)
    link = psycopg.connect(
        host=parsed.query.get("host") or parsed.host, user=parsed.username, password=parsed.password, dbname=parsed.database, autocommit=True
    )  # fmt: skip
    link.execute("SET session_replication_role = replica")
    link.execute("SET synchronous_commit = off")
    link.execute("SET timezone = 'UTC'")

    def copy(table: str, columns: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
        with link.cursor() as cursor, cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as into:
            for row in rows:
                into.write_row(row)

    yield copy
    link.execute("VACUUM ANALYZE")
    link.close()
