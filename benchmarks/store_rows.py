"""Millions of rows for `benchmarks.store`, written by the databases themselves: the contacts of the weeks before, and a year of attempts.

They are written past the store, with keys and indexes off meanwhile: what is measured is what is done with them.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import make_url

CONTACTS = 10
NOON = "2026-03-03 18:00:00"
"""A Tuesday, noon in Mexico City: by this the gate judges, and what is past is before it."""
_HOURS = 24 * 365
_INDEXES = {
    "contact": {
        "ix_contact_person_id_at_utc": "person_id, at_utc",
        "ix_contact_account_id_at_utc": "account_id, at_utc",
        "ix_contact_address_at_utc": "address, at_utc",
        "ix_contact_attempt_id": "attempt_id",
    },
    "attempt": {
        "ix_attempt_campaign_id_committed_at_utc": "campaign_id, committed_at_utc",
        "ix_attempt_lead_id": "lead_id",
        "ix_attempt_call_id": "call_id",
    },
}


def past_contacts(url: str) -> None:
    """Give every lead ten contacts and block half: a person in four is on the do-not-call list, one in four was called three times today."""
    with _loading(url, "contact") as run:
        sqlite = url.startswith("sqlite")
        run("UPDATE phone SET consent = TRUE WHERE e164 LIKE '+1%'")
        often = "CASE WHEN nth % 4 = 1 THEN 3600 + 720 * k ELSE 691200 + 259200 * k END"
        at = (
            f"strftime('%Y-%m-%d %H:%M:%f000', '{NOON}', '-' || ({often}) || ' seconds')"
            if sqlite
            else f"timestamptz '{NOON}+00' - ({often}) * interval '1 second'"
        )
        run(
            "INSERT INTO contact (id, person_id, account_id, channel, address, purpose, at_utc, settlement, conversation, prior) "  # noqa: S608
            f"SELECT {_id('7', f'nth * {CONTACTS} + k', sqlite)}, person_id, account_id, 'voice', e164, 'collection', {at}, 'counted', FALSE, TRUE "
            f"FROM (SELECT person_id, account_id, row_number() OVER (ORDER BY id) AS nth, (SELECT e164 FROM phone "
            f"WHERE phone.person_id = lead.person_id ORDER BY rank LIMIT 1) AS e164 FROM lead) AS list CROSS JOIN {_series(CONTACTS, sqlite)}"
        )
        run(
            "INSERT INTO restriction (id, kind, scope, scope_value, source, from_utc) "  # noqa: S608
            f"SELECT {_id('6', 'nth', sqlite)}, 'do_not_call', 'number', e164, 'benchmark', "
            f"'2026-02-01 00:00:00{'.000000' if sqlite else '+00'}' "
            "FROM (SELECT e164, row_number() OVER () AS nth FROM (SELECT DISTINCT e164 FROM phone WHERE person_id IN "
            "(SELECT person_id FROM (SELECT person_id, row_number() OVER (ORDER BY id) AS nth FROM lead) AS list "
            "WHERE nth % 4 = 3)) AS told) AS numbered"
        )


def year_of_attempts(url: str, attempts: int) -> None:
    """Write a year of ended attempts, one in ten a conversation with one of 40 agents, over the leads there are."""
    with _loading(url, "attempt") as run:
        sqlite = url.startswith("sqlite")
        [[leads]] = run("SELECT count(*) FROM lead") or [[0]]
        rounds = -(-attempts // leads)
        second = f"(n % {_HOURS}) * 3600 + n % 3600"
        at = (
            f"strftime('%Y-%m-%d %H:%M:%f000', '2025-01-01 00:00:00', '+' || ({second}) || ' seconds')"
            if sqlite
            else f"timestamptz '2025-01-01 00:00:00+00' + ({second}) * interval '1 second'"
        )
        outcome = (
            "CASE n % 10 WHEN 0 THEN 'connected' WHEN 1 THEN 'busy' WHEN 2 THEN 'machine' WHEN 3 THEN 'machine' "
            "WHEN 4 THEN 'invalid_number' WHEN 5 THEN 'caller_hung_up' ELSE 'no_answer' END"
        )
        agent = "'agent' || (n / 10) % 40" if sqlite else "'agent' || ((n / 10) % 40)::text"
        said = "CASE (n / 10) % 5 WHEN 0 THEN 'promise' WHEN 1 THEN 'refuses' WHEN 2 THEN 'third_party' ELSE 'callback' END"
        key = _id("8", "n", sqlite)
        for k in range(rounds):  # a million or so at a time: more than that would be sorted in memory
            run(
                "INSERT INTO attempt (id, node, boot_id, campaign_id, lead_id, account_id, person_id, phone_id, number, trunk, live, state, outcome, "  # noqa: S608
                "call_id, live_answer, abandoned, agent_id, disposition, reason, evidence, committed_at_utc, ended_at_utc, sent_mono_ns, "
                "answered_mono_ns, bridged_mono_ns, ended_mono_ns) "
                f"SELECT {key}, 'bench', 'boot', campaign_id, lead_id, account_id, person_id, phone_id, e164, 'carrier', FALSE, 'ended', {outcome}, "
                f"{'lower(hex(n))' if sqlite else 'to_hex(n)'}, n % 10 IN (0, 5), n % 400 = 5, CASE WHEN n % 10 = 0 THEN {agent} END, "
                f"CASE WHEN n % 10 = 0 THEN {said} END, CASE WHEN n % 50 = 10 THEN 'no_work' END, '{{}}', {at}, {at}, 1000000000, "
                "CASE WHEN n % 10 IN (0, 2, 3, 5) THEN 9000000000 END, CASE WHEN n % 10 = 0 THEN 10000000000 END, "
                "11000000000 + (n % 97) * 1000000000 "
                f"FROM (SELECT campaign_id, lead.id AS lead_id, account_id, lead.person_id, phone.id AS phone_id, e164, "
                f"{k * leads} + row_number() OVER (ORDER BY lead.id) AS n "
                f"FROM lead JOIN phone ON phone.person_id = lead.person_id AND phone.rank = 0) AS made "
                f"WHERE n <= {attempts}"
            )


def _id(family: str, number: str, sqlite: bool) -> str:  # noqa: FBT001 - which of the two
    """Return an ascending UUID made of a number, in the database's own form."""
    if sqlite:
        return f"printf('0000000{family}000070008%015x', {number})"
    return f"('0000000{family}000070008' || lpad(to_hex(({number})::bigint), 15, '0'))::uuid"


def _series(count: int, sqlite: bool) -> str:  # noqa: FBT001 - which of the two
    if not sqlite:
        return f"generate_series(0, {count - 1}) AS series (k)"
    rows = ", ".join(f"({k})" for k in range(count))
    return f"(WITH series (k) AS (VALUES {rows}) SELECT k FROM series)"  # noqa: S608


@contextlib.contextmanager
def _loading(url: str, table: str) -> Iterator[Any]:
    """Yield what runs SQL on a connection of its own, without keys and this table's indexes until its end."""
    sqlite = url.startswith("sqlite")
    link: Any
    if sqlite:
        link = sqlite3.connect(Path(make_url(url).database or ""), isolation_level=None)
        for pragma in (
            "foreign_keys=OFF",
            "synchronous=OFF",
            "journal_mode=OFF",
            "cache_size=-400000",
            "temp_store=MEMORY",
        ):
            link.execute(f"PRAGMA {pragma}")
    else:
        parsed = make_url(url)
        link = psycopg.connect(
            host=parsed.query.get("host") or parsed.host, user=parsed.username, password=parsed.password, dbname=parsed.database, autocommit=True
        )  # fmt: skip
        for setting in (
            "session_replication_role = replica",
            "synchronous_commit = off",
            "maintenance_work_mem = '512MB'",
            "work_mem = '256MB'",
        ):
            link.execute(f"SET {setting}")

    def run(sql: str) -> list[Any] | None:
        cursor = link.execute(sql)
        return cursor.fetchall() if cursor.description else None

    for name in _INDEXES[table]:
        run(f"DROP INDEX {name}")
    yield run
    for name, columns in _INDEXES[table].items():
        run(f"CREATE INDEX {name} ON {table} ({columns})")
    if sqlite:
        run("PRAGMA journal_mode=WAL")
    else:
        run("VACUUM ANALYZE")
    link.close()
