"""How fast leads come in and go out: a file of a portfolio imported while an engine claims, then claims by one and by eight claimers.

    python -m benchmarks.store --json
    python -m benchmarks.store --accounts 50000 --seconds 5 --url sqlite:////var/tmp/bench.db

Each account has two phones and ten contacts of the weeks before. Half of the list is blocked: a quarter of the people by a do-not-call
list, a quarter by the contacts, which reach the cap of the rule pack. Claims go by the rule packs `mx` and, where it is there,
`us-federal`, in batches of twenty (`claim`) and one by one (`next_lead`); each claim is a transaction of its own and durable. After the
claims, the attempts are counted for duplicates in the table itself.

Without `--url` it uses a SQLite file in `--folder`, and a PostgreSQL server of its own there if one is installed (durable, 256 MB of
buffers). Databases must be empty.
"""

import argparse
import contextlib
import datetime as dt
import json
import multiprocessing
import os
import pwd
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import hopper
from dialer_core.campaigns.leads_import import import_leads
from dialer_core.clock import SystemClock
from dialer_core.compliance.packs import load_packs
from dialer_core.store import bulk, campaigns
from dialer_core.store.database import Database, open_database
from dialer_core.store.models import Base
from dialer_core.vocabulary import CampaignId, TrunkId, new_id

ROOT = Path(__file__).resolve().parents[1]
PACKS = ROOT / "dialer_core" / "config_defaults" / "compliance"
NOON = dt.datetime(2026, 3, 3, 18, 0, tzinfo=dt.UTC)
"""A Tuesday, noon in Mexico City: by this the gate judges."""
CONTACTS = 10
BATCH = 20
LIST, SMALL = CampaignId("list"), CampaignId("small")
_T = Base.metadata.tables
_AREA_CODES = ("55", "33", "81", "222", "442", "477", "722")


def main() -> None:
    """Run what was asked for and print a line for each figure."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="bench-store-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # the server's user must come in
        file = write_portfolio(folder / "cartera.csv", arguments.accounts)
        small = write_portfolio(folder / "small.csv", max(1000, arguments.accounts // 50), first=10**8)
        for url in arguments.url or [f"sqlite:///{folder / 'bench.db'}"]:
            measure(url, file, small, arguments)
        if not arguments.url:
            with own_postgresql(folder) as url:
                if url is None:
                    print("PostgreSQL is not installed: apt-get install postgresql", file=sys.stderr)
                else:
                    measure(url, file, small, arguments)


def measure(url: str, file: Path, small: Path, arguments: argparse.Namespace) -> None:
    """Measure one database: the import beside a claiming engine, then claims of one and of several claimers."""
    database = open_database(url, node="bench")
    database.migrate()
    settings = {"trunks": ["carrier"], "rule_pack": "mx"}
    with database.write() as tx:
        campaigns.sync(tx, {LIST: settings, SMALL: settings})
    import_leads(database, small, SMALL, clock=SystemClock(), reject_dir=small.parent / "rejects")
    database.dispose()
    tell = _Teller(arguments.json, database.dialect)
    _measure_import(url, file, tell)
    _past(url, SMALL, blocked=False)
    _past(url, LIST, blocked=True)
    claimers = 8 if database.dialect == "postgresql" else 1
    _measure_claims(url, tell, "claim", BATCH, claimers, arguments.seconds)
    _measure_claims(url, tell, "next_lead", 1, 1, arguments.seconds)


def write_portfolio(file: Path, accounts: int, first: int = 0) -> Path:
    """Write a bank's file: numbers as people write them, amounts with commas, names with accents. The same one each time."""
    draw = random.Random(accounts + first)
    forms = ("{}", "{}", "{}", "+52 1 {}", "044 {}")

    def number() -> str:
        code = draw.choice(_AREA_CODES)
        return draw.choice(forms).format(code + "".join(draw.choices("0123456789", k=10 - len(code))))

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


def _measure_import(url: str, file: Path, tell: _Teller) -> None:
    context = multiprocessing.get_context("spawn")
    stop, waits = context.Event(), context.Queue()
    engine = context.Process(target=_claim_slowly, args=(url, stop, waits))
    engine.start()
    waits.get()  # it has claimed once
    importer = context.Process(target=_import, args=(url, file, waits))
    importer.start()
    figures = waits.get()
    importer.join()
    stop.set()
    latencies = waits.get()
    engine.join()
    tell("import", 1, **figures, p99_ms=_p99(latencies), duplicates=_duplicates(url))


def _import(url: str, file: Path, told: Any) -> None:
    database = open_database(url, node="bench")
    began = time.monotonic()
    report = import_leads(database, file, LIST, clock=SystemClock(), reject_dir=file.parent / "rejects")
    seconds = time.monotonic() - began
    database.dispose()
    rss = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    told.put(
        {"per_second": round(report.accepted / seconds), "rss_mb": rss // 1024, "seconds": round(seconds, 1)}
    )


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


def _past(url: str, campaign: CampaignId, *, blocked: bool) -> None:
    """Write the contacts of the weeks before, and the do-not-call list: a person in four is on it, one in four has been called too often."""
    database = open_database(url, node="bench")
    leads, phones, rows = _T["lead"], _T["phone"], []
    with database.read() as tx:
        people = tx.execute(
            select(leads.c.person_id, leads.c.account_id, phones.c.e164, phones.c.rank)
            .join(phones, phones.c.person_id == leads.c.person_id)
            .where(leads.c.campaign_id == campaign)
            .order_by(leads.c.id)
        ).all()
    numbers = [row.e164 for row in people if blocked and int(row.person_id[-1], 16) % 4 == 0]
    for row in people:
        if row.rank != 0:
            continue
        often = blocked and int(row.person_id[-1], 16) % 4 == 1
        for nth in range(CONTACTS):
            at = NOON - (dt.timedelta(hours=1 + 2 * nth / 10) if often else dt.timedelta(days=8 + 3 * nth))
            rows.append(
                {"id": new_id(), "person_id": row.person_id, "account_id": row.account_id, "channel": "voice", "address": row.e164,
                 "purpose": "collection", "at_utc": at, "settlement": "counted", "conversation": False, "prior": True}
            )  # fmt: skip
        if len(rows) >= 5_000:
            _flush(database, "contact", rows)
    _flush(database, "contact", rows)
    listed = [
        {"id": new_id(), "kind": "do_not_call", "scope": "number", "scope_value": number, "source": "bench",
         "from_utc": NOON - dt.timedelta(days=9)}
        for number in dict.fromkeys(numbers)
    ]  # fmt: skip
    _flush(database, "restriction", listed)
    with database.write() as tx:
        bulk.finish(tx, "contact", "restriction")
    database.dispose()


def _flush(database: Database, table: str, rows: list[dict[str, Any]]) -> None:
    with database.write() as tx:
        bulk.prepare(tx)
        bulk.insert(tx, _T[table], rows)
    rows.clear()


def _measure_claims(url: str, tell: _Teller, what: str, batch: int, claimers: int, seconds: float) -> None:
    context = multiprocessing.get_context("spawn")
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
        p50_ms=round(1000 * statistics.median(latencies), 2),
        duplicates=_duplicates(url),
        rss_mb=max(one["rss_mb"] for one in found),
        seconds=round(took, 1),
    )


def _claimer(url: str, batch: int, seconds: float, start: Event, told: Any, nth: int) -> None:
    database = open_database(url, node=f"node{nth}")
    _claim(database, SMALL, 1)  # statements are compiled and connections open before the clock runs
    told.put("ready")
    start.wait()
    end, attempts, latencies = time.monotonic() + seconds, 0, []
    while time.monotonic() < end:
        claimed, took = _claim(database, LIST, batch)
        attempts += claimed
        latencies.append(took)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told.put({"attempts": attempts, "latencies": latencies, "rss_mb": rss})


_MADE: dict[str, Any] = {}


def _claim(database: Database, campaign: CampaignId, count: int) -> tuple[int, float]:
    """Claim once; return how many attempts, and how long until they were durable, in seconds."""
    if not _MADE:
        packs = load_packs(PACKS)
        _MADE["packs"] = [packs[name] for name in ("mx", "us-federal") if name in packs]
        _MADE["settings"] = CampaignSettings.model_validate({"trunks": ["carrier"], "rule_pack": "mx"})
    _MADE["packs"].append(_MADE["packs"].pop(0))
    began = time.monotonic()
    with database.write("engine") as tx:
        claim = hopper.claim(
            tx, campaign_id=campaign, settings=_MADE["settings"], pack=_MADE["packs"][0],
            trunks=[TrunkId("carrier")] * count, node=database.node, boot_id="bench", now=NOON,
        )  # fmt: skip
    return len(claim.attempts), time.monotonic() - began


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


def _p99(values: list[float]) -> float:
    return round(1000 * sorted(values)[min(len(values) - 1, int(0.99 * len(values)))], 2)


@contextlib.contextmanager
def own_postgresql(folder: Path) -> Iterator[str | None]:
    """Run a server of our own in a folder and yield a database's URL; None where there is no PostgreSQL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda one: int(one.parts[-3]))
    binaries = found[-1].parent if found else None
    if binaries is None and (on_path := shutil.which("initdb")):
        binaries = Path(on_path).resolve().parent
    if binaries is None:
        yield None
        return
    home = folder / "pg"
    home.mkdir()
    prefix: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
        prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    run = {"cwd": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(
        [*prefix, binaries / "initdb", "-D", home / "data", "-U", "postgres", "--auth=trust", "--locale=C.UTF-8", "-E", "UTF8"],
        check=True, **run,
    )  # fmt: skip
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(home),
        "shared_buffers": "256MB",
        "max_wal_size": "2GB",
    }
    flags = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
    server = subprocess.Popen([*prefix, binaries / "postgres", "-D", home / "data", *flags], **run)
    try:
        while subprocess.run([binaries / "pg_isready", "-h", home], check=False, **run).returncode:
            time.sleep(0.1)
        yield f"postgresql+psycopg://postgres@/postgres?host={home}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure imports and claims.")
    parser.add_argument("--json", action="store_true", help="a JSON object a line")
    parser.add_argument(
        "--accounts", type=int, default=1_000_000, help="accounts of the list, two phones each"
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each claiming")
    parser.add_argument("--url", action="append", help="an empty database; may be given twice")
    parser.add_argument(
        "--folder", default=None, help="where files are made; by default the system's temporary folder"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
