"""Scheduled reports by e-mail: when they are due, that each goes out once, and what stands in the mail; against a mail server that is not ours."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dialer_core.clock import VirtualClock
from dialer_core.event_tail import EventTail
from dialer_core.plugin_api import EngineHandle
from dialer_core.plugin_records import Records
from dialer_core.store.database import Database, open_database
from plugins import email
from plugins.email import reporting
from plugins.email.channel import EmailChannel
from plugins.email.reporting import MOST_OCTETS, Made, ReportError, mail_of
from plugins.email.rounds import LEASE, TRIES, Rounds, key_of
from plugins.email.schedule import last_due, moment, next_due, span
from plugins.email.settings import EmailSettings, ScheduledReport
from tests.commands.test_cli import config, invoke  # noqa: F401 - the fixture
from tests.plugins.mail_servers import mail_server
from tests.plugins.plugin_sets import Refusing

pytestmark = [pytest.mark.unit, pytest.mark.timeout(60)]

ZONE = "America/Tijuana"
"""Where clocks still change: 2026-03-08 at 2:00 to 3:00, 2026-11-01 at 2:00 back to 1:00."""
DAY = {"name": "dia", "at": "07:30:00", "to": ["jefa@example.mx", "gerente@example.mx"]}
MORNING = dt.datetime(2026, 6, 16, 14, 30, tzinfo=dt.UTC)
"""A Tuesday, 7:30 in Tijuana."""


def report(**more: object) -> ScheduledReport:
    """Return a scheduled report's settings."""
    return ScheduledReport.model_validate(DAY | more)


def settings(port: int, *reports: dict[str, object]) -> EmailSettings:
    """Return the plugin's settings, with a server on loopback."""
    smtp = {"host": "127.0.0.1", "port": port, "security": "none"}
    return EmailSettings.model_validate(
        {"sender": "informes@example.mx", "smtp": smtp, "reports": list(reports) or [DAY]}
    )


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    """A store that several nodes share."""
    found = open_database(f"sqlite:///{tmp_path / 'store.db'}", node="n")
    found.migrate()
    yield found
    found.dispose()


class Node:
    """A node with the plugin, which makes reports of so many octets."""

    def __init__(
        self, database: Database, clock: VirtualClock, port: int, *reports: dict[str, object]
    ) -> None:
        self.made: list[dt.date] = []
        self.fails = False
        self.its = settings(port, *reports)
        self.engine = EngineHandle(
            port=Refusing(),
            tail=EventTail(database),
            clock=clock,
            actor="plugin:email",
            records=Records(database, clock=clock, actor="plugin:email"),
            zone=ZONE,
        )
        self.channel = EmailChannel(self.its)
        self.rounds = Rounds(self.engine, self.channel, self.its, self.make)

    async def make(self, one: ScheduledReport, on: dt.date, _config: Path) -> Made:
        """Make a report, or fail."""
        await asyncio.sleep(0)
        if self.fails:
            raise ReportError("error: the store is away")
        self.made.append(on)
        return Made(f"{one.name}.csv", b"campaign,attempts\n", {"attempts": 12}, 18)

    async def mark(self, address: str = "jefa@example.mx") -> dict[str, object]:
        """Return a report's mark for an address."""
        found = await self.engine.store.get(key_of(self.its.reports[0], address))
        assert isinstance(found, dict)
        return found


def at(clock: VirtualClock, moment: dt.datetime) -> None:
    """Move the clock there."""
    clock.step_wall(moment - clock.utc())


async def began(*nodes: Node, clock: VirtualClock) -> None:
    """Let nodes look a first time, the evening before."""
    at(clock, MORNING - dt.timedelta(hours=12))
    for node in nodes:
        await node.rounds.go()
    at(clock, MORNING)


# --- when -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "time", "utc"),
    [
        ("2026-03-07", "02:30", "2026-03-07T10:30"),
        ("2026-03-08", "02:30", "2026-03-08T10:30"),  # the clock never shows 2:30: at 3:30 of the new time
        ("2026-03-09", "02:30", "2026-03-09T09:30"),
        ("2026-11-01", "01:30", "2026-11-01T08:30"),  # it shows 1:30 twice: the first time
        ("2026-11-02", "01:30", "2026-11-02T09:30"),
    ],
)
def test_a_report_has_one_moment_on_every_day(day: str, time: str, utc: str) -> None:
    """By the company's clock, also on the days on which that changes."""
    its = report(at=f"{time}:00")
    found = moment(its, dt.date.fromisoformat(day), ZoneInfo(ZONE))
    assert found == dt.datetime.fromisoformat(utc).replace(tzinfo=dt.UTC)


@given(
    st.integers(0, 730 * 1440).map(
        lambda minutes: dt.datetime(2026, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minutes)
    ),
    st.times(),
    st.sets(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat", "sun"]), min_size=1),
    st.sampled_from([ZONE, "America/Mexico_City", "Pacific/Apia", "UTC", "Asia/Kolkata"]),
)
def test_the_last_and_the_next_stand_side_by_side(
    now: dt.datetime, time: dt.time, weekdays: set[str], zone: str
) -> None:
    """Whenever one looks: the last is over, the next ahead, on a day that is asked for, and nothing lies between them."""
    its, here, when = report(at=time, weekdays=sorted(weekdays)), ZoneInfo(zone), now
    last, ahead = last_due(its, when, here), next_due(its, when, here)
    assert moment(its, last, here) <= when < ahead
    assert ahead - moment(its, last, here) <= dt.timedelta(days=7, hours=2)
    assert last_due(its, ahead, here) > last
    assert last_due(its, ahead - dt.timedelta(microseconds=1), here) == last


@pytest.mark.parametrize(
    ("days", "first", "last"),
    [
        ("today", "2026-03-01", "2026-03-01"),
        ("yesterday", "2026-02-28", "2026-02-28"),
        ("last_7_days", "2026-02-22", "2026-02-28"),
        ("this_month", "2026-02-01", "2026-02-28"),  # on the first the month that has just ended
        ("last_month", "2026-02-01", "2026-02-28"),
    ],
)
def test_the_days_that_a_report_is_of(days: str, first: str, last: str) -> None:
    """Whole days, seen from the day on which it goes out."""
    found = span(report(days=days).days, dt.date(2026, 3, 1))
    assert [day.isoformat() for day in found] == [first, last]


# --- once -------------------------------------------------------------------------------------------------------------------------


async def test_each_report_goes_out_once_a_day(database: Database) -> None:
    """Nothing of the morning before it was asked for; then one mail an address and day, however often one looks."""
    clock = VirtualClock(MORNING)
    async with mail_server() as server:
        node = Node(database, clock, server.port)
        for minutes in (-600, -1, 0, 1, 600, 1439, 1440, 1500):
            at(clock, MORNING + dt.timedelta(minutes=minutes))
            await node.rounds.go()
        await node.channel.close()
    assert [mail["To"] for mail in server.mails] == ["jefa@example.mx", "gerente@example.mx"] * 2
    assert node.made == [dt.date(2026, 6, 16), dt.date(2026, 6, 17)]
    assert len({mail["Message-ID"] for mail in server.mails}) == 4
    assert (await node.mark())["state"] == "sent"


async def test_of_several_nodes_one_sends(database: Database) -> None:
    """All look in the same moment, again and again: one mail an address."""
    clock = VirtualClock(MORNING)
    async with mail_server() as server:
        nodes = [Node(database, clock, server.port) for _ in range(4)]
        await began(*nodes, clock=clock)
        for _ in range(3):
            await asyncio.gather(*(node.rounds.go() for node in nodes))
        for node in nodes:
            await node.channel.close()
    assert sorted(mail["To"] for mail in server.mails) == ["gerente@example.mx", "jefa@example.mx"]


async def test_a_node_that_dies_while_it_makes_a_report_forgets_none(database: Database) -> None:
    """Before the text is handed over another node takes it, once the dead one's time is over."""
    clock = VirtualClock(MORNING)
    async with mail_server() as server:
        dead, other = Node(database, clock, server.port), Node(database, clock, server.port)
        await began(dead, other, clock=clock)
        assert await dead.rounds._take(
            dead.its.reports[0], "jefa@example.mx", dt.date(2026, 6, 16)
        )  # and dies
        await other.rounds.go()
        assert [mail["To"] for mail in server.mails] == ["gerente@example.mx"]
        at(clock, MORNING + LEASE)
        await other.rounds.go()
        await other.channel.close()
    assert [mail["To"] for mail in server.mails] == ["gerente@example.mx", "jefa@example.mx"]


async def test_a_node_that_dies_while_it_hands_over_repeats_none(database: Database) -> None:
    """The text was on its way: nobody can say, so it is told and not sent again; the next day's goes out."""
    clock = VirtualClock(MORNING)
    async with mail_server() as server:
        dead, other = Node(database, clock, server.port, DAY | {"to": ["jefa@example.mx"]}), Node(
            database, clock, server.port, DAY | {"to": ["jefa@example.mx"]}
        )  # fmt: skip
        await began(dead, other, clock=clock)
        server.answers["DATA"] = lambda: _killed(task)
        task = asyncio.create_task(dead.rounds.go())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await other.mark())["state"] == "handing"
        del server.answers["DATA"]
        for minutes in (1, 30, 60):
            at(clock, MORNING + dt.timedelta(minutes=minutes))
            await other.rounds.go()
        assert (await other.mark())["state"] == "uncertain"
        assert len(server.mails) == 1
        at(clock, MORNING + dt.timedelta(days=1))
        await other.rounds.go()
        await other.channel.close()
        await dead.channel.close()
    assert len(server.mails) == 2


def _killed(task: asyncio.Task[None]) -> str:
    task.cancel()
    return "250 OK"


async def test_a_server_or_a_store_that_is_away_is_tried_again(database: Database) -> None:
    """With growing pauses, until it is given up; what is refused for good is not tried again; the others get theirs."""
    clock = VirtualClock(MORNING)
    async with mail_server() as server:
        node = Node(database, clock, server.port, DAY | {"to": ["jefa@example.mx"]})
        await began(node, clock=clock)
        node.fails = True
        await node.rounds.go()
        assert (await node.mark())["code"] == "not_made"
        node.fails, server.answers["RCPT"] = False, lambda: "451 greylisted"
        for minutes in (1, 7):
            at(clock, MORNING + dt.timedelta(minutes=minutes))
            await node.rounds.go()
        assert ((await node.mark())["state"], (await node.mark())["tries"]) == ("again", 3)
        del server.answers["RCPT"]
        at(clock, MORNING + dt.timedelta(minutes=23))
        await node.rounds.go()
        assert ((await node.mark())["state"], len(server.mails)) == ("sent", 1)
        server.answers["RCPT"] = lambda: "550 unknown"
        at(clock, MORNING + dt.timedelta(days=1))
        await node.rounds.go()
        assert (await node.mark())["state"] == "failed"
        asked: list[float] = []
        server.answers["RCPT"] = lambda: asked.append(hours) or "451 greylisted"  # type: ignore[func-returns-value]
        for quarter in range(95):
            hours = quarter / 4
            at(clock, MORNING + dt.timedelta(days=2, hours=hours))
            await node.rounds.go()
        await node.channel.close()
    assert len(server.mails) == 1
    assert ((await node.mark())["state"], (await node.mark())["code"]) == ("failed", "451")
    assert len(asked) == TRIES
    pauses = [second - first for first, second in itertools.pairwise(asked)]
    assert pauses == sorted(pauses)


async def test_a_node_that_was_slow_leaves_what_another_has_settled(database: Database) -> None:
    """Its own making failed after its time was over: the other's mail is sent, and stays so."""
    clock = VirtualClock(MORNING)
    async with mail_server() as server:
        slow, other = (
            Node(database, clock, server.port, DAY | {"to": ["jefa@example.mx"]}) for _ in range(2)
        )
        await began(slow, other, clock=clock)

        async def make(*_: object) -> Made:
            at(clock, MORNING + LEASE)
            await other.rounds.go()
            raise ReportError("took longer")

        slow.rounds = Rounds(slow.engine, slow.channel, slow.its, make)
        await slow.rounds.go()
        await other.channel.close()
    assert ((await other.mark())["state"], len(server.mails)) == ("sent", 1)


async def test_a_machine_without_room_puts_reports_off(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A full disk, or no process to be had, is a report that is not made now, and tried again; it does not end the looking."""
    clock = VirtualClock(MORNING)
    async with mail_server() as server:
        node = Node(database, clock, server.port, DAY | {"to": ["jefa@example.mx"]})
        node.rounds = Rounds(node.engine, node.channel, node.its)
        await began(node, clock=clock)

        def full(**_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(reporting.tempfile, "TemporaryDirectory", full)
        await node.rounds.go()
        assert ((await node.mark())["state"], (await node.mark())["code"]) == ("again", "not_made")


async def test_what_breaks_the_looking_once_does_not_end_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, without what it quotes, and the clock is looked at again."""
    looked = asyncio.Event()
    tries: list[int] = []

    class Breaking:
        async def go(self) -> None:
            tries.append(1)
            if len(tries) == 2:
                looked.set()
            raise KeyError("jefa@example.mx")

    monkeypatch.setattr(email, "LOOK_S", 0.0)
    with structlog.testing.capture_logs() as logs:
        task = asyncio.create_task(email._look(Breaking()))  # type: ignore[arg-type]
        await asyncio.wait_for(looked.wait(), 10)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert logs[0]["event"] == "reports_broke"
    assert "jefa" not in repr(logs)


# --- what -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "subject", "said"),
    [
        ({}, "Resumen: 15 de junio de 2026", ["Llamadas: 1,200", "Contactabilidad: 31.5 %", "Prometido: 9,000.00", "adjunto dia.csv"]),
        (
            {"language": "en", "days": "last_7_days", "currency": "MXN"}, "Summary: June 9, 2026 to June 15, 2026",
            ["Calls: 1,200", "Contact rate: 31.5 %", "Promised: $9,000.00 MXN", "attached file dia.csv"],
        ),
    ],
)  # fmt: skip
def test_a_mail_says_the_figures_and_has_the_file(more: dict[str, object], subject: str, said: list[str]) -> None:  # fmt: skip
    """In the report's language, as text and as HTML; what is not known is left out."""
    its = settings(25, DAY | more)
    figures = {"attempts": 1200, "contact_rate": 0.315, "promised": 900_000, "kept_rate": None}
    made = Made("dia.csv", "campaña,1\n".encode(), figures, 11)
    mail = mail_of(its.reports[0], made, dt.date(2026, 6, 16), "jefa@example.mx", its, "<x@y>", MORNING)
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain
    assert page
    assert mail["Subject"] == subject
    assert all(one in plain.get_content() for one in said)
    assert "cumplidas" not in plain.get_content()
    assert "1,200" in page.get_content()
    [file] = mail.iter_attachments()
    assert (file.get_filename(), file.get_content_type(), file.get_payload(decode=True)) == ("dia.csv", "text/csv", made.content)  # fmt: skip


def test_a_file_too_large_for_a_mail_is_told_of() -> None:
    """The figures go out, the file stays."""
    its = settings(25)
    made = Made("dia.csv", b"", {"attempts": 1}, MOST_OCTETS + 1)
    mail = mail_of(its.reports[0], made, dt.date(2026, 6, 16), "jefa@example.mx", its, "<x@y>", MORNING)
    plain = mail.get_body(("plain",))
    assert plain
    assert "pesa 15 MB" in plain.get_content()
    assert list(mail.iter_attachments()) == []


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ({"name": "Día"}, "pattern"),
        ({"to": []}, "at least 1"),
        ({"to": ["nobody"]}, "pattern"),
        ({"weekdays": ["lun"]}, "mon"),
        ({"weekdays": []}, "at least 1"),
        ({"report": "sumary"}, "summary"),
        ({"report": "outcomes", "by": ["day"]}, "not by day"),
        ({"report": "cdr", "by": ["campaign"]}, "given by nothing"),
        ({"at": "07:30:00Z"}, "without a zone"),
        ({"when": "now"}, "Extra"),
    ],
)
def test_wrong_settings_are_refused_at_the_start(more: dict[str, object], wrong: str) -> None:
    """Each with what would be right."""
    with pytest.raises(ValidationError, match=wrong):
        settings(25, DAY | more)
    with pytest.raises(ValidationError, match="two reports are called 'dia'"):
        settings(25, DAY, DAY)


async def test_a_command_says_when_and_sends_one_now(config: Path) -> None:  # noqa: F811
    """`dialer mail-reports` on a real store: the file is what `dialer report` writes; a campaign without a file is refused."""
    async with mail_server() as server:
        folder = config / "plugins"
        folder.mkdir(exist_ok=True)
        text = f"""
            sender = "informes@example.mx"
            smtp = {{ host = "127.0.0.1", port = {server.port}, security = "none" }}
            [[reports]]
            name = "dia"
            by = ["campaign"]
            campaigns = ["cobranza"]
            at = 07:30:00
            to = ["jefa@example.mx"]
        """
        (folder / "email.toml").write_text(text)
        listed = await asyncio.to_thread(invoke, "mail-reports", "list", "--json", "--config", str(config))
        (one,) = json.loads(listed.stdout)
        assert dt.datetime.fromisoformat(one["next_at_utc"]) > dt.datetime.now(dt.UTC)
        assert one["last"] == [{"day": None, "state": "none", "code": None}]
        asked = ("send", "dia", "--to", "otra@example.mx", "--day", "2026-06-16")
        sent = await asyncio.to_thread(invoke, "mail-reports", *asked, "--config", str(config))
        assert sent.stdout == "otra@example.mx: sent\n"
        [mail] = server.mails
        [file] = mail.iter_attachments()
        assert file.get_filename() == "dia-2026-06-15.csv"
        assert file.get_content().startswith("campaign,attempts,")
        (folder / "email.toml").write_text(text.replace('["cobranza"]', '["nobody"]'))
        wrong = await asyncio.to_thread(invoke, "mail-reports", "list", "--config", str(config))
        assert "no campaign 'nobody'" in wrong.stderr
