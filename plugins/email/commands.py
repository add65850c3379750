"""`dialer mail-reports`: when each scheduled report goes out next, what became of the last, and one sent by hand."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

import click

from dialer_core.plugin_api import CommandRefusedError, EngineHandle
from dialer_core.plugin_cli import Invocation, example, invocation, open_handle
from plugins.email import PLUGIN, channel_of, settings_of
from plugins.email.rounds import Rounds, key_of
from plugins.email.schedule import next_due
from plugins.email.settings import EmailSettings, ScheduledReport


@click.group("mail-reports", epilog=example("dialer mail-reports list", "dialer mail-reports send dia"))
def mail_reports() -> None:
    """Reports that go out by e-mail at their time: list them, send one now."""


@mail_reports.command("list", epilog=example("dialer mail-reports list", "dialer mail-reports list --json"))
@invocation
def list_command(call: Invocation) -> None:
    """Say of each scheduled report when it goes out next, and what became of the last one to each address."""
    with open_handle(call, PLUGIN) as engine:
        zone = ZoneInfo(engine.zone)
        told: list[dict[str, Any]] = []
        for report in settings_of(engine).reports:
            marks = asyncio.run(engine.store.get_many([key_of(report, address) for address in report.to]))
            last = [marks.get(key_of(report, address), {}) for address in report.to]
            told.append({
                "name": report.name, "report": report.report, "to": list(report.to),
                "next_at_utc": next_due(report, engine.now(), zone).isoformat(),
                "last": [{"day": one.get("day"), "state": one.get("state", "none"), "code": one.get("code")} for one in last],
            })  # fmt: skip
    call.give(told)
    call.table(
        ("name", "report", "next", "to", "the last"),
        [
            (one["name"], one["report"], f"{dt.datetime.fromisoformat(one['next_at_utc']).astimezone(zone):%a %Y-%m-%d %H:%M}", len(one["to"]),
             ", ".join(sorted({_last(its) for its in one["last"]})))
            for one in told
        ],
    )  # fmt: skip


def _last(mark: dict[str, str | None]) -> str:
    if mark["state"] in {"none", "passed"}:
        return "-"
    return f"{mark['day']} {mark['state']}" + (f" ({mark['code']})" if mark["code"] else "")


@mail_reports.command("send", epilog=example("dialer mail-reports send dia", "dialer mail-reports send dia --to jefa@example.mx"))  # fmt: skip
@click.argument("name")
@click.option("--to", multiple=True, metavar="ADDRESS", help="Instead of its own addresses; repeatable.")
@click.option(
    "--day",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    default=None,
    metavar="DAY",
    help="As it would go out on this day; by default today.",
)
@invocation
def send(call: Invocation, name: str, *, to: tuple[str, ...], day: dt.datetime | None) -> None:
    """Send the scheduled report NAME now. The one that is due by itself goes out all the same."""
    with open_handle(call, PLUGIN) as engine:
        its = settings_of(engine)
        report = _named(its, name)
        if to:  # checked as those of the file are
            report = ScheduledReport.model_validate(report.model_dump() | {"to": to})
        on = day.date() if day else engine.now().astimezone(ZoneInfo(engine.zone)).date()
        said = asyncio.run(_send(engine, its, report, on))
    call.give(said)
    for address, answer in said.items():
        call.say(f"{address}: {answer}")
    if refused := [address for address, answer in said.items() if answer != "sent"]:
        raise CommandRefusedError(f"not sent to {len(refused)} of {len(said)}")


async def _send(
    engine: EngineHandle, its: EmailSettings, report: ScheduledReport, on: dt.date
) -> dict[str, str]:
    channel = channel_of(engine, its)
    try:
        return await Rounds(engine, channel, its).send_now(report, on, report.to)
    finally:
        await channel.close()


def _named(its: EmailSettings, name: str) -> ScheduledReport:
    for report in its.reports:
        if report.name == name:
            return report
    known = ", ".join(report.name for report in its.reports) or "none"
    raise CommandRefusedError(
        f"no [[reports]] {name!r} in plugins/{PLUGIN}.toml; there are: {known}", "unknown"
    )
