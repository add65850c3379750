"""How fast leads come in and go out: portfolios imported while an engine claims, claims by one and by eight claimers, reports over a year.

    python -m benchmarks.store --json
    python -m benchmarks.store --accounts 50000 --attempts 500000 --seconds 5

Of the accounts that are dialed three in four are Mexican (rule pack `mx`), one is of the USA (`us-federal`). Each account has two phones and ten
contacts of the weeks before. Half of each list is blocked: a quarter of the people by a do-not-call list, a quarter by the contacts of today, which
reach the cap of the rule pack. The accounts stand in three campaigns: `list` and `usa`, which are dialed, and `later`, six in ten, which waits.

`import` is the three files, while an engine claims two leads ten times a second. `claim_met` claims in batches of twenty from the list as it then is,
every other lead a forbidden one; `screen` is the pass with which the host takes those out (`campaigns/screening.py`); after it `claim` claims, and
`next_lead` one by one. Each claim is a transaction of its own and durable. Attempts are counted for duplicates in the table itself. `report`
adds up ten attempts an account, of a year, by every kind of filter, each time in a new process with the caches of the database and of the system
emptied; the slowest counts. `rollup` is the counting up before it, and `report_raw` the same from the attempts, which must give the same.

The whole takes some 25 minutes and 30 GB; each line is printed when it is known, and what is being done meanwhile is told on standard error.

Without `--url` it uses a SQLite file in `--folder`, and a PostgreSQL server of its own there if one is installed (durable, 256 MB of
buffers). Databases must be empty.
"""

import argparse
import datetime as dt
import hashlib
import json
import multiprocessing
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import func, select

from benchmarks import store_rows
from benchmarks.own_postgresql import Server, own_postgresql
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import hopper, screening
from dialer_core.campaigns.leads_import import import_leads
from dialer_core.clock import SystemClock
from dialer_core.compliance.packs import load_packs
from dialer_core.compliance.rules import RulePack
from dialer_core.store import campaigns, rollups
from dialer_core.store.database import Database, open_database
from dialer_core.store.models import Base
from dialer_core.vocabulary import CampaignId, TrunkId

ROOT = Path(__file__).resolve().parents[1]
PACKS = ROOT / "dialer_core" / "config_defaults" / "compliance"
NOON = dt.datetime(2026, 3, 3, 18, 0, tzinfo=dt.UTC)
"""A Tuesday, noon in Mexico City: by this the gate judges."""
BATCH = 20
LIST, USA, LATER, SMALL = map(CampaignId, ("list", "usa", "later", "small"))
RULES = {LIST: "mx", USA: "us-federal", LATER: "mx", SMALL: "mx"}
_T = Base.metadata.tables
_AREA_CODES = ("55", "33", "81", "222", "442", "477", "722")
_US_CODES = ("212", "312", "305", "713", "213")
_FORMS = ("{}", "{}", "{}", "+52 1 {}", "044 {}")
_US_FORMS = ("+1 {}",)


def main() -> None:
    """Run what was asked for and print a line for each figure."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="bench-store-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the server's user must come in
        waiting = arguments.accounts * 6 // 10
        american = (arguments.accounts - waiting) // 4
        files = {
            LIST: write_portfolio(folder / "cartera.csv", arguments.accounts - waiting - american),
            USA: write_portfolio(folder / "usa.csv", american, 2 * 10**8, _US_CODES, _US_FORMS),
            LATER: write_portfolio(folder / "later.csv", waiting, 3 * 10**8),
            SMALL: write_portfolio(folder / "small.csv", max(1000, arguments.accounts // 50), 10**8),
        }
        for url in arguments.url or [f"sqlite:///{folder / 'bench.db'}"]:
            measure(url, files, arguments, lambda: _forget(folder))
        for file in folder.glob("bench.db*"):
            file.unlink()
        if not arguments.url:
            with own_postgresql(folder) as server:
                if server is None:
                    print("PostgreSQL is not installed: apt-get install postgresql", file=sys.stderr)
                else:
                    measure(server.url, files, arguments, lambda: _forget(folder, server))


def measure(
    url: str, files: dict[CampaignId, Path], arguments: argparse.Namespace, forget: Callable[[], None]
) -> None:
    """Measure one database: the import beside a claiming engine, claims, and reports."""
    database = open_database(url, node="bench")
    database.migrate()
    with database.write() as tx:
        campaigns.sync(tx, {name: {"trunks": ["carrier"], "rule_pack": RULES[name]} for name in files})
    import_leads(
        database, files[SMALL], SMALL, clock=SystemClock(), reject_dir=files[SMALL].parent / "rejects"
    )
    tell = _Teller(arguments.json, database.dialect)
    _measure_import(url, files, tell)
    database.dispose()  # the loading wants the file to itself
    _doing("loading the contacts of the weeks before")
    store_rows.past_contacts(url)
    claimers = 8 if database.dialect == "postgresql" else 1
    _measure_claims(url, tell, "claim_met", BATCH, claimers, arguments.seconds / 2)
    _measure_screening(database, tell)
    # one by one first: a short list may be dialed through by eight
    _measure_claims(url, tell, "next_lead", 1, 1, arguments.seconds / 2)
    _measure_claims(url, tell, "claim", BATCH, claimers, arguments.seconds)
    attempts = 10 * arguments.accounts if arguments.attempts is None else arguments.attempts
    if attempts:
        database.dispose()
        _doing("loading a year of attempts")
        store_rows.year_of_attempts(url, attempts)
        _measure_reports(database, url, tell, forget)
    database.dispose()


def write_portfolio(
    file: Path,
    accounts: int,
    first: int = 0,
    codes: Sequence[str] = _AREA_CODES,
    forms: Sequence[str] = _FORMS,
) -> Path:
    """Write a bank's file: numbers as people write them, amounts with commas, names with accents. The same one each time."""
    draw = random.Random(accounts + first)

    def number() -> str:
        code = draw.choice(codes)
        return draw.choice(forms).format(
            code + draw.choice("23456789") + "".join(draw.choices("0123456789", k=9 - len(code)))
        )

    with file.open("w", encoding="utf-8") as out:
        out.write(
            "cuenta,id_cliente,nombre,telefono_1,telefono_2,saldo,moneda,dias_mora,fecha_vencimiento,producto,sucursal\n"
        )
        for index in range(first, first + accounts):
            saldo = f'"{draw.randint(100, 9_000_000) / 100:,.2f}"'
            out.write(
                f"C{index:09d},P{index:09d},José Núñez {index},{number()},{number()},{saldo},MXN,{draw.randint(1, 400)},"
                f"2026-01-{draw.randint(1, 28):02d},tarjeta,S{draw.randint(1, 400)}\n"
            )
    return file


def _doing(what: str) -> None:
    print(f"{dt.datetime.now():%H:%M:%S} {what}", file=sys.stderr, flush=True)  # noqa: DTZ005 - for whoever waits


class _Teller:
    """Prints a figure as JSON or in words."""

    def __init__(self, as_json: bool, database: str) -> None:  # noqa: FBT001 - the option itself
        self._as_json, self._database = as_json, database

    def __call__(self, what: str, claimers: int, **figures: Any) -> None:
        line = {"what": what, "database": self._database, "claimers": claimers, **figures}
        if self._as_json:
            print(json.dumps(line), flush=True)
        else:
            print(" ".join(f"{key}={value}" for key, value in line.items()), flush=True)


def _measure_import(url: str, files: dict[CampaignId, Path], tell: _Teller) -> None:
    context = _context()
    stop, waits = context.Event(), context.Queue()
    engine = context.Process(target=_claim_slowly, args=(url, stop, waits))
    engine.start()
    waits.get()  # it has claimed once
    importer = context.Process(target=_import, args=(url, files, waits))
    importer.start()
    figures = waits.get()
    importer.join()
    stop.set()
    latencies = waits.get()
    engine.join()
    tell("import", 1, **figures, p99_ms=_p99(latencies), duplicates=_duplicates(url))


def _import(url: str, files: dict[CampaignId, Path], told: Any) -> None:
    database = open_database(url, node="bench")
    began, accepted = time.monotonic(), 0
    for name in (LIST, USA, LATER):
        rejects = files[name].parent / "rejects"
        accepted += import_leads(
            database, files[name], name, clock=SystemClock(), reject_dir=rejects
        ).accepted
    seconds = time.monotonic() - began
    database.dispose()
    # of a reader that ended the kernel keeps the most it had, and that of the process it was forked from where that was more
    rss = _peak_rss_mb() + resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    told.put({"per_second": round(accepted / seconds), "rss_mb": rss, "seconds": round(seconds, 1)})


def _claim_slowly(url: str, stop: Event, told: Any) -> None:
    """Claim as an engine does, a lead or two ten times a second; tell how long each took."""
    database = open_database(url, node="engine")
    latencies: list[float] = []
    while not stop.is_set():
        latencies.append(_claim(database, SMALL, 2)[1])
        if len(latencies) == 1:
            told.put("claimed")
        time.sleep(0.1)
    told.put(latencies)


def _measure_screening(database: Database, tell: _Teller) -> None:
    packs, began, looked_at, refused = load_packs(PACKS), time.monotonic(), 0, 0
    for name in (LIST, USA):
        found = screening.screen(database, name, _settings(name), packs[RULES[name]], now=NOON)
        looked_at, refused = looked_at + found.looked_at, refused + found.refused
    seconds = time.monotonic() - began
    rss = _peak_rss_mb()
    tell(
        "screen",
        1,
        per_second=round(looked_at / seconds),
        refused=refused,
        rss_mb=rss,
        seconds=round(seconds, 1),
    )


def _measure_reports(database: Database, url: str, tell: _Teller, forget: Callable[[], None]) -> None:
    """Count up, add up by every kind of filter with cold caches, and hold the whole against the attempts themselves."""
    began = time.monotonic()
    hours = rollups.roll_up(database)
    tell("rollup", 1, hours=hours, seconds=round(time.monotonic() - began, 1))
    database.dispose()
    context = _context()
    told = context.Queue()
    found: dict[str, tuple[float, int]] = {}
    attempts = 0
    for name in _FILTERS:
        forget()
        asking = context.Process(target=_report, args=(url, name, told))
        asking.start()
        seconds, rss, added = told.get()
        attempts = max(attempts, added)
        asking.join()
        found[name] = (seconds, rss)
    slowest = max(found, key=lambda name: found[name][0])
    tell(
        "report", 1, seconds=round(found[slowest][0], 2), slowest=slowest, rss_mb=max(rss for _, rss in found.values()),
        attempts=attempts, each={name: round(seconds, 2) for name, (seconds, _) in found.items()},
    )  # fmt: skip
    began = time.monotonic()
    with database.read() as tx:
        counted, raw = (_digest(rollups.totals(tx, rollups.DIMENSIONS, raw=raw)) for raw in (False, True))
    tell("report_raw", 1, seconds=round(time.monotonic() - began, 1), equal=counted == raw)


_FILTERS: dict[str, dict[str, Any]] = {
    "everything": {"by": ()},
    "by campaign and outcome": {"by": ("campaign_id", "outcome")},
    "by agent and disposition": {"by": ("agent_id", "disposition")},
    "by hour": {"by": ("hour",)},
    "one agent by hour": {"by": ("hour", "disposition"), "only": {"agent_id": ["agent7"]}},
    "one product, a month": {
        "by": ("campaign_id", "outcome", "reason"),
        "only": {"product": ["tarjeta"]},
        "since": dt.datetime(2025, 5, 1, tzinfo=dt.UTC),
        "until": dt.datetime(2025, 6, 1, tzinfo=dt.UTC),
    },
}


def _report(url: str, name: str, told: Any) -> None:
    """Open the store and add up, as a process that has just started; tell seconds, memory and attempts."""
    database = open_database(url, node="bench")
    began = time.monotonic()
    with database.read() as tx:
        found = rollups.totals(tx, **_FILTERS[name])
    seconds = time.monotonic() - began
    database.dispose()
    rss = _peak_rss_mb()
    told.put((seconds, rss, sum(one.attempts for one in found)))


def _digest(totals: Sequence[rollups.Totals]) -> str:
    return hashlib.sha256(msgspec.json.encode(totals)).hexdigest()


def _forget(folder: Path, server: Server | None = None) -> None:
    """Empty the caches: the server's by a restart, the system's file by file."""
    if server is not None:
        server.stop()
    os.sync()
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    if server is not None:
        server.start()


def _measure_claims(url: str, tell: _Teller, what: str, batch: int, claimers: int, seconds: float) -> None:
    context = _context()
    start, told = context.Event(), context.Queue()
    processes = [
        context.Process(target=_claimer, args=(url, batch, seconds, start, told, nth))
        for nth in range(claimers)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        told.get()  # each is ready
    began = time.monotonic()
    start.set()
    found = [told.get() for _ in processes]
    took = time.monotonic() - began
    for process in processes:
        process.join()
    attempts = sum(one["attempts"] for one in found)
    latencies = [value for one in found for value in one["latencies"]]
    tell(
        what,
        claimers,
        per_second=round(attempts / took),
        p99_ms=_p99(latencies),
        p50_ms=round(1000 * statistics.median(latencies), 2) if latencies else None,
        duplicates=_duplicates(url),
        rss_mb=max(one["rss_mb"] for one in found),
        seconds=round(took, 1),
    )


def _claimer(url: str, batch: int, seconds: float, start: Event, told: Any, nth: int) -> None:
    database = open_database(url, node=f"node{nth}")
    _claim(database, SMALL, 1)  # statements are compiled and connections open before the clock runs
    told.put("ready")
    start.wait()
    end, attempts, latencies, lists = time.monotonic() + seconds, 0, [], [LIST, LIST, LIST, USA]
    while time.monotonic() < end and lists:
        name = lists[len(latencies) % len(lists)]
        claimed, took = _claim(database, name, batch)
        if not claimed:  # this list is dialed through
            lists = [one for one in lists if one != name]
            continue
        attempts += claimed
        latencies.append(took)
    rss = _peak_rss_mb()
    told.put({"attempts": attempts, "latencies": latencies, "rss_mb": rss})


_MADE: dict[str, RulePack] = {}


@lru_cache
def _settings(name: CampaignId) -> CampaignSettings:
    return CampaignSettings.model_validate({"trunks": ["carrier"], "rule_pack": RULES[name]})


def _claim(database: Database, campaign: CampaignId, count: int) -> tuple[int, float]:
    """Claim once; return how many attempts, and how long until they were durable, in seconds."""
    _MADE.update({} if _MADE else load_packs(PACKS))
    began = time.monotonic()
    with database.write("engine") as tx:
        claim = hopper.claim(
            tx, campaign_id=campaign, settings=_settings(campaign), pack=_MADE[RULES[campaign]],
            trunks=[TrunkId("carrier")] * count, node=database.node, boot_id="bench", now=NOON,
        )  # fmt: skip
    return len(claim.attempts), time.monotonic() - began


def _context() -> ForkServerContext:
    """Return how processes are made: new ones, of a server that has read the program's files once and holds nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["benchmarks.store_rows", "dialer_core.campaigns.leads_import", "dialer_core.campaigns.screening"]
    )
    return context


def _duplicates(url: str) -> int:
    """Count attempts beyond the first of each lead, live number and live person."""
    database, table = open_database(url), _T["attempt"]
    extra = 0
    with database.read() as tx:
        total = tx.scalar(select(func.count()).select_from(table))
        for column in (table.c.lead_id, table.c.number, table.c.person_id):
            extra += total - tx.scalar(select(func.count(column.distinct())))
    database.dispose()
    return int(extra)


def _peak_rss_mb() -> int:
    """Return the most memory this program has had; `getrusage` would tell that of the process it was forked from, where that had more."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def _p99(values: list[float]) -> float | None:
    if not values:
        return None
    return round(1000 * sorted(values)[min(len(values) - 1, int(0.99 * len(values)))], 2)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure imports and claims.")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.add_argument(
        "--accounts", type=int, default=1_000_000, help="accounts of the list, two phones each"
    )
    parser.add_argument(
        "--attempts", type=int, help="attempts of the reports' year; by default ten an account"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each claiming")
    parser.add_argument("--url", action="append", help="an empty database; may be given twice")
    parser.add_argument(
        "--folder", default=None, help="where files are made; by default the system's temporary folder"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
