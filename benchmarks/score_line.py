"""The line `score` of `benchmarks.channels`: a night's scoring, as the plugin `prioritization` does it, of a list with a past.

The time is that of the one command, from its start to its end: read everything, learn both models anew, score every account, write the list's
order and who answers when. Its memory at most is told on the standard error.
"""

from __future__ import annotations

import datetime as dt
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.message_lines import Line
from benchmarks.own_postgresql import own_postgresql
from benchmarks.score_rows import CAMPAIGN, portfolio
from dialer_core.settings import load_settings
from dialer_core.store import scan
from dialer_core.store.database import open_database

TRIES = 5
"""Calls an account has behind it, on the average."""


def score(number: int) -> Line:
    """Say how long a night's scoring takes on SQLite."""
    with tempfile.TemporaryDirectory() as folder:
        return _night("score", Path(folder), "", number)


def score_postgresql(number: int) -> Line:
    """Say the same on PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the server is another user's where we are root
        with own_postgresql(Path(folder)) as server:
            if server is None:
                raise SystemExit("score_postgresql needs PostgreSQL's programs: apt install postgresql")
            return _night("score_postgresql", Path(folder), server.url, number)


def _night(what: str, folder: Path, url: str, number: int) -> Line:
    config = folder / "config"
    _dialer("init", str(config))
    if url:
        file = config / "dialer.toml"
        file.write_text(file.read_text().replace("[store]\n", f'[store]\nurl = "{url}"\n'))
    settings = load_settings(config)
    database = open_database(settings.store_url, node="bench")
    database.migrate()
    database.dispose()
    portfolio(settings.store_url, number, TRIES, dt.datetime.now(dt.UTC))
    began_s = time.monotonic()
    told = json.loads(_dialer("score", "run", CAMPAIGN, "--train", "--json", "--config", str(config)))
    seconds = time.monotonic() - began_s
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    learned = ", ".join(f"{name} AUC {one['held_out']['auc']:.3f}" for name, one in told["train"].items() if one["model"])  # fmt: skip
    print(f"{what}: {megabytes:,.0f} MB at most; learned: {learned or 'nothing'}", file=sys.stderr)
    with database.read() as tx:
        scored = sum(row.propensity is not None for row in scan.rows(tx, "lead", "propensity"))
    database.dispose()
    return Line(
        what,
        round(number / seconds, 1),
        scored,
        number - scored,
        told["accounts"] - scored,
        round(seconds, 2),
    )


def _dialer(*arguments: str) -> str:
    run = [sys.executable, "-m", "dialer_core.commands.cli", *arguments]
    return subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout
