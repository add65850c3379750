"""How fast the journal commits: units per second when it has as many as it can take, and latency at a steady pace.

A unit is what placing one call writes: the attempt's row, its contact in the ledger, its `attempt.committed`. Beside each row of the
table stand two alternatives measured in the same run: the same rows in one transaction each, without grouping, and the disk's
own flush.

    python -m benchmarks.journal --url sqlite:////var/tmp/bench.db
    python -m benchmarks.journal --url postgresql+psycopg://localhost/bench

The database must be empty or made by this script; its rows are left in it.
"""

import argparse
import asyncio
import datetime as dt
import itertools
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import insert

from dialer_core.clock import SystemClock
from dialer_core.events import AttemptCommitted
from dialer_core.store import attempts, campaigns
from dialer_core.store.database import Database, open_database
from dialer_core.store.journal import Journal
from dialer_core.store.models import Base
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AttemptId,
    CampaignId,
    LeadId,
    PersonId,
    PhoneId,
    TrunkId,
    new_id,
)

CAMPAIGN = CampaignId("bench")
PEOPLE = 20_000
_T = Base.metadata.tables
_INSERT_CONTACT = insert(_T["contact"])

Unit = tuple[Callable[[Tx], None], AttemptCommitted]


def make_people(database: Database, count: int) -> list[dict[str, str]]:
    """Store the people to be called, and return their ids."""
    now = dt.datetime.now(dt.UTC)
    ids = [{kind: new_id() for kind in ("person", "phone", "account", "lead")} for _ in range(count)]
    with database.write() as tx:
        campaigns.sync(tx, {CAMPAIGN: {}})
    for start in range(0, count, 1000):
        part = ids[start : start + 1000]
        with database.write() as tx:
            tx.execute(
                insert(_T["person"]),
                [{"id": i["person"], "name": "", "language": "es", "created_at_utc": now} for i in part],
            )
            tx.execute(
                insert(_T["phone"]),
                [
                    {"id": i["phone"], "person_id": i["person"], "e164": number, "kind": "mobile", "rank": 0,
                     "zones": "America/Mexico_City", "failures": 0}
                    for number, i in enumerate(part, start)
                ],
            )  # fmt: skip
            tx.execute(
                insert(_T["account"]),
                [
                    {"id": i["account"], "person_id": i["person"], "portfolio": "bench", "external_id": i["account"],
                     "creditor": "", "attributes": {}, "created_at_utc": now}
                    for i in part
                ],
            )  # fmt: skip
            tx.execute(
                insert(_T["lead"]),
                [
                    {"id": i["lead"], "campaign_id": CAMPAIGN, "account_id": i["account"], "person_id": i["person"],
                     "state": "dialable", "priority": 0.0, "next_at_utc": now, "attempts": 0, "created_at_utc": now}
                    for i in part
                ],
            )  # fmt: skip
    return ids


def units(ids: list[dict[str, str]]) -> Iterator[Unit]:
    """Yield one unit for each person."""
    for number, person in enumerate(ids):
        attempt_id = AttemptId(new_id())
        now = dt.datetime.now(dt.UTC)
        new = attempts.NewAttempt(
            id=attempt_id,
            node="node1",
            boot_id="bench",
            campaign_id=CAMPAIGN,
            lead_id=LeadId(person["lead"]),
            account_id=AccountId(person["account"]),
            person_id=PersonId(person["person"]),
            phone_id=PhoneId(person["phone"]),
            number=f"+5255{number:08d}",
            trunk=TrunkId("bench"),
            committed_at_utc=now,
            evidence={
                "pack": "mx",
                "version": "1",
                "zones": ["America/Mexico_City"],
                "counts": {"day": 0, "week": 3},
            },
        )
        contact = {
            "id": new_id(), "person_id": person["person"], "account_id": person["account"], "attempt_id": attempt_id,
            "campaign_id": CAMPAIGN, "channel": "voice", "address": new.number, "purpose": "collection", "at_utc": now,
            "settlement": "reserved", "conversation": False, "prior": False,
        }  # fmt: skip

        def work(tx: Tx, new: attempts.NewAttempt = new, contact: dict[str, object] = contact) -> None:
            attempts.insert(tx, new)
            tx.execute(_INSERT_CONTACT, contact)

        yield work, AttemptCommitted(attempt_id=attempt_id, campaign_id=CAMPAIGN, trunk="bench")


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that at least that share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


async def saturate(journal: Journal, source: Iterator[Unit], count: int, name: str) -> None:
    """Submit everything at once and wait for the last commit."""
    began, cpu = time.perf_counter(), cpu_s()
    await asyncio.gather(*(journal.submit(work, event) for work, event in itertools.islice(source, count)))
    took = time.perf_counter() - began
    print(f"{name:<34}{count / took:>9.0f}/s {(cpu_s() - cpu) / count * 1e6:>8.0f} us CPU per unit")


async def pace(journal: Journal, source: Iterator[Unit], per_s: float, seconds: float) -> None:
    """Submit at a steady pace, and measure from the submission to the loop's hearing of the commit, and the loop's lag."""
    latencies_ms: list[float] = []
    lags_ms: list[float] = []
    began = time.perf_counter()
    cpu = cpu_s()
    count = int(per_s * seconds)
    for number, (work, event) in enumerate(itertools.islice(source, count)):
        due = began + number / per_s
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        submitted = time.perf_counter()
        lags_ms.append((submitted - due) * 1e3)
        future = journal.submit(work, event)
        future.add_done_callback(
            lambda _, at=submitted: latencies_ms.append((time.perf_counter() - at) * 1e3)
        )
    await future
    print(
        f"{f'journal, {per_s:.0f}/s':<34}{per_s:>9.0f}/s {(cpu_s() - cpu) / count * 1e6:>8.0f} us CPU per unit"
        f"   latency p50 {percentile(latencies_ms, 0.5):.2f} p99 {percentile(latencies_ms, 0.99):.2f}"
        f" max {max(latencies_ms):.1f} ms   loop lag p50 {statistics.median(lags_ms):.2f}"
        f" p99 {percentile(lags_ms, 0.99):.2f} ms"
    )


def ungrouped(database: Database, source: Iterator[Unit], count: int) -> None:
    """Write the same rows in one transaction each."""
    began, cpu = time.perf_counter(), cpu_s()
    for work, event in itertools.islice(source, count):
        with database.write("bench") as tx:
            work(tx)
            tx.emit(event)
    took = time.perf_counter() - began
    print(
        f"{'one transaction each':<34}{count / took:>9.0f}/s {(cpu_s() - cpu) / count * 1e6:>8.0f} us CPU per unit"
    )


def flush_of_disk(folder: str) -> None:
    """Time the flush of one page, which a commit cannot undercut."""
    times_ms = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times_ms.append((time.perf_counter() - began) * 1e3)
    print(
        f"{'fdatasync of 4 KiB in ' + folder:<34}p50 {percentile(times_ms, 0.5):.2f} p99 {percentile(times_ms, 0.99):.2f} ms"
    )


def cpu_s() -> float:
    """Return this process's CPU time."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def measure(database: Database, *, short: bool) -> None:
    """Print the table; short: a hundredth of the units, for the shape of the report."""
    scale = 100 if short else 1
    source = units(make_people(database, PEOPLE // scale))
    journal = Journal(database, node="node1", boot_id="bench", clock=SystemClock())
    await saturate(journal, source, 200 // scale, "warming up")  # fills the statement caches
    await saturate(journal, source, 5_000 // scale, "journal, saturated")
    for per_s in (20.0, 100.0, 500.0):
        await pace(journal, source, per_s, 5.0 / scale)
    await asyncio.to_thread(journal.close)
    ungrouped(database, source, 1_000 // scale)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description="Units per second and latency of the journal.")
    parser.add_argument(
        "--url", required=True, help="an empty database: sqlite:///FILE or postgresql+psycopg://..."
    )
    parser.add_argument("--short", action="store_true", help="a hundredth of the units")
    arguments = parser.parse_args()
    database = open_database(arguments.url)
    database.migrate()
    print(database.place)
    if database.dialect == "sqlite":
        flush_of_disk(str(Path(database.place.removeprefix("sqlite:///")).parent))
    asyncio.run(measure(database, short=arguments.short))
    database.dispose()


if __name__ == "__main__":
    main()
