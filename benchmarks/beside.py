"""Dialing beside messages: how late the engine's loop is while many thousands go out, and how late it was just before.

    python -m benchmarks.beside --json
    python -m benchmarks.beside --messages 10000

One dialer as anyone runs it, on SQLite: SIPp answers `--rate` calls a second, and a message centre (SMPP, a process of its own) takes what the plugin
`sms` sends through gate and outbox; every receipt comes back and is stored. A line:
`{"what","messages","per_second","lost","twice","seconds","attempts_before_hz","attempts_with_hz","loop_lag_ms_p50_before",
"loop_lag_ms_p50_with",
"loop_lag_ms_p99_before","loop_lag_ms_p99_with"}`. The lags are those of `dialer status`, over 20 s each: of the readings before and with, the
median one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import update

from benchmarks.calls import say
from benchmarks.floor import FullSize
from benchmarks.message_lines import centre, far_end
from dialer_core.messaging import composing
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.templates import load_template
from dialer_core.store import bulk, messages
from dialer_core.store.models import Base
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, Channel, MessageState, new_id
from tests.e2e.live import CAMPAIGN
from tests.e2e.scenario import Answer, Ring, Stay

BEFORE_S: Final = 40.0
"""What is dialed without messages: the lag is told over 20 s."""
START_S: Final = 25.0
"""Until every softphone is up."""
READ_S: Final = 5.0
LIMIT_S: Final = 600.0
WINDOW_S: Final = 20.0
_T = Base.metadata.tables
_SMS = """
provider = "smpp"
system_id = "bench"
password_file = "word"
source = "55000"
window = 50
per_second = 10000
binds = [{{ host = "127.0.0.1", port = {port} }}, {{ host = "127.0.0.1", port = {port} }}]
"""
_TEMPLATE = 'channel = "sms"\n[given]\nnth = "plain"\n[text]\nes = "Mensaje {{ nth }}. Responda BAJA."\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """The line."""

    what: str
    messages: int
    per_second: float
    lost: int
    twice: int
    seconds: float
    attempts_before_hz: float
    attempts_with_hz: float
    loop_lag_ms_p50_before: float
    loop_lag_ms_p50_with: float
    loop_lag_ms_p99_before: float
    loop_lag_ms_p99_with: float


def measure(number: int, rate_hz: float) -> Beside:
    """Dial, then dial while messages go out."""
    agents = max(2, round(1.5 * rate_hz))
    with (
        far_end(centre) as (port, report),
        FullSize(
            customers=(Ring(200), Answer(echo=True), Stay(600)),
            agents=agents,
            softphones=(Answer(echo=True), Stay(3_600_000)),
            lines=max(20, round(6 * rate_hz)),
            calls_per_second=rate_hz,
            campaign={"detection": "fast", "pacing": "ratio", "ratio": 4},
            plugins=("metrics", "sms"),
        ) as floor,
    ):
        began_s = time.monotonic()
        _configure(floor.dialer.config, port)
        floor.import_leads(round(rate_hz * (BEFORE_S + LIMIT_S + START_S)))
        _queue(floor, number)
        say(f"  {number:,} messages queued in {time.monotonic() - began_s:.0f} s")
        due = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=START_S + BEFORE_S)
        _due(floor, due)
        floor.start()
        first_s = time.monotonic()
        if (due - dt.datetime.now(dt.UTC)).total_seconds() < BEFORE_S / 2:
            raise SystemExit(
                "the dialer took too long to start: the stretch before the messages is too short"
            )
        before, attempts = [], _attempts(floor)
        while (left_s := (due - dt.datetime.now(dt.UTC)).total_seconds()) > 0:
            time.sleep(min(READ_S, left_s))
            if time.monotonic() - first_s >= WINDOW_S:
                before.append(floor.dialer.status())
        before_hz = (_attempts(floor) - attempts) / (time.monotonic() - first_s)
        during, attempts, begun_s = [], _attempts(floor), time.monotonic()
        while (done := _delivered(floor)) < number and time.monotonic() - begun_s < LIMIT_S:
            time.sleep(min(READ_S, 1.0 + number / 10_000))
            during.append(floor.dialer.status())
            say(
                f"  {done:,} delivered; loop lag p99 {during[-1]['loop_lag_ms_p99']:.1f} ms; {_attempts(floor)} attempts"
            )
        seconds = time.monotonic() - begun_s
        with_hz = (_attempts(floor) - attempts) / seconds
        came = report()
    return Beside(
        what="dialing_beside_messages", messages=number, per_second=round(done / seconds, 1), lost=number - min(done, len(came)),
        twice=sum(times > 1 for times in came.values()), seconds=round(seconds, 1),
        attempts_before_hz=round(before_hz, 2), attempts_with_hz=round(with_hz, 2),
        loop_lag_ms_p50_before=_middle(before, "loop_lag_ms_p50"), loop_lag_ms_p50_with=_middle(during, "loop_lag_ms_p50"),
        loop_lag_ms_p99_before=_middle(before, "loop_lag_ms_p99"), loop_lag_ms_p99_with=_middle(during, "loop_lag_ms_p99"),
    )  # fmt: skip


def _configure(config: Path, port: int) -> None:
    (config / "plugins").mkdir(exist_ok=True)
    (config / "templates").mkdir(exist_ok=True)
    (config / "word").write_text("secret")
    (config / "word").chmod(0o600)
    (config / "plugins" / "sms.toml").write_text(_SMS.format(port=port))
    (config / "templates" / "aviso.toml").write_text(_TEMPLATE)


def _queue(floor: FullSize, number: int) -> None:
    """Queue messages to people who are not dialed, for tomorrow."""
    template = load_template(floor.dialer.config / "templates" / "aviso.toml")
    now = dt.datetime.now(dt.UTC)
    for first in range(0, number, 1000):
        with floor.dialer.database.write() as tx:
            these = range(first, min(first + 1000, number))
            for nth, account in zip(these, _people(tx, these, now), strict=True):
                request = MessageRequest(
                    campaign_id=CampaignId(CAMPAIGN), account_id=account, template="aviso", given={"nth": str(nth)},
                    not_before=now + dt.timedelta(days=1), valid_hours=72,
                )  # fmt: skip
                composing.queue(tx, request, template, now, source="bench")


def _people(tx: Tx, these: Sequence[int], now: dt.datetime) -> list[AccountId]:
    """Write a person with a number and an account for each, on no list; return the accounts."""
    persons, accounts = [new_id() for _ in these], [AccountId(new_id()) for _ in these]
    bulk.insert(
        tx,
        _T["person"],
        [{"id": one, "name": "Debtor", "language": "es", "created_at_utc": now} for one in persons],
    )
    bulk.insert(
        tx, _T["phone"],
        [{"id": new_id(), "person_id": one, "e164": f"+5281{10_000_000 + nth}", "kind": "mobile", "rank": 0,
          "zones": "America/Mexico_City", "failures": 0}
         for nth, one in zip(these, persons, strict=True)],
    )  # fmt: skip
    bulk.insert(
        tx, _T["account"],
        [{"id": account, "person_id": person, "portfolio": "default", "external_id": account, "creditor": "Banco", "attributes": {},
          "created_at_utc": now} for account, person in zip(accounts, persons, strict=True)],
    )  # fmt: skip
    return accounts


def _due(floor: FullSize, at: dt.datetime) -> None:
    """Let them go out at a moment."""
    with floor.dialer.database.write() as tx:
        tx.execute(update(_T["message"]).values(next_at_utc=at))


def _delivered(floor: FullSize) -> int:
    with floor.dialer.database.read() as tx:
        return messages.counts(tx).get((Channel.SMS, MessageState.DELIVERED), 0)


def _attempts(floor: FullSize) -> int:
    return int(floor.dialer.campaign()["attempts"])


def _middle(readings: list[Mapping[str, Any]], name: str) -> float:
    return round(statistics.median(one[name] for one in readings), 2) if readings else 0.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=4.0, help="answered calls a second")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    line = asdict(measure(options.messages, options.rate))
    print(json.dumps(line) if options.json else "  ".join(f"{name} {value}" for name, value in line.items()))


if __name__ == "__main__":
    main()
