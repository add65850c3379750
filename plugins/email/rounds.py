"""Scheduled reports, each to each address once a day it is due: over restarts, over several nodes, over a mail server that is away.

It owns the marks that see to it, one for each report and address, and its own tries: these mails are to the company's own people, and no debtor's
gate, cap or opt-out is asked. Of a mark:

| state | what it means |
|---|---|
| passed | it was due before anybody had asked for it |
| taken | a node makes it; if that node dies, another one takes it after `LEASE` |
| handing | its text is being given to the mail server. Who dies here leaves it open whether it went: it becomes `uncertain`, and is not sent again |
| sent | the server has it |
| again | the server, or the report, was not to be had: tried again at a time |
| failed | given up: refused for good, or `TRIES` times in vain |
| uncertain | nobody can say; `dialer mail-reports send` sends it by hand |
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import structlog

from dialer_core.plugin_api import Accepted, DialerError, EngineHandle, NotAccepted
from plugins.email.channel import EmailChannel
from plugins.email.reporting import Made, mail_of, make
from plugins.email.schedule import last_due
from plugins.email.settings import EmailSettings, ScheduledReport

log = structlog.get_logger(__name__)

LEASE: Final = dt.timedelta(minutes=12)
"""A node that has taken a report has made and sent it by then, or is dead."""
AGAIN: Final = tuple(dt.timedelta(minutes=one) for one in (1, 5, 15, 30, 60, 60, 120, 120, 240))
TRIES: Final = len(AGAIN) + 1
Maker = Callable[[ScheduledReport, dt.date, Path], Awaitable[Made]]
Mark = dict[str, Any]


def key_of(report: ScheduledReport, address: str) -> str:
    """Return the key of a report's mark for an address; the address itself does not stand in it."""
    return f"report/{report.name}/{hashlib.sha256(address.lower().encode()).hexdigest()[:16]}"


class Rounds:
    """One node's rounds.

    Parameters
    ----------
    engine
        The plugin's handle: its clock, its zone, its store.
    channel
        Who hands mails over.
    settings
        Of the plugin.
    maker
        Makes a report.
    """

    def __init__(
        self, engine: EngineHandle, channel: EmailChannel, settings: EmailSettings, maker: Maker = make
    ) -> None:
        self._engine = engine
        self._channel = channel
        self._its = settings
        self._maker = maker
        self._zone = ZoneInfo(engine.zone)

    async def go(self) -> None:
        """Send what is due now and nobody else has taken."""
        for report in self._its.reports:
            day = last_due(report, self._engine.now(), self._zone)
            mine = [address for address in dict.fromkeys(report.to) if await self._take(report, address, day)]
            if not mine:
                continue
            try:
                made = await self._maker(report, day, self._engine.config_directory)
            except DialerError as error:
                log.warning("report_not_made", report=report.name, error=str(error))
                for address in mine:
                    await self._put_off(report, address)
                continue
            for address in mine:
                await self._send(report, address, day, made)

    async def send_now(self, report: ScheduledReport, day: dt.date, addresses: tuple[str, ...]) -> dict[str, str]:  # fmt: skip
        """Send a report of a day whatever its marks say, and leave them; return what the server said to each address.

        Raises
        ------
        DialerError
            It cannot be made.
        """
        made = await self._maker(report, day, self._engine.config_directory)
        said = {}
        for address in dict.fromkeys(addresses):
            sent_as = self._sent_as(report, address, self._engine.now().isoformat())
            mail = mail_of(report, made, day, address, self._its, sent_as, self._engine.now())
            answer = await self._channel.hand_over(address, mail, sent_as)
            said[address] = "sent" if isinstance(answer, Accepted) else answer.code
        return said

    async def _take(self, report: ScheduledReport, address: str, day: dt.date) -> bool:
        key, now = key_of(report, address), self._engine.now()
        mark: Mark | None = await self._engine.store.get(key)
        if mark is None:  # whoever asks for a report at noon does not want this morning's
            await self._engine.store.swap(key, None, {"day": day.isoformat(), "state": "passed"})
            return False
        if mark["day"] > day.isoformat():
            return False
        tries = 0
        if mark["day"] == day.isoformat():
            if mark["state"] not in {"taken", "handing", "again"} or dt.datetime.fromisoformat(mark["until"]) > now:  # fmt: skip
                return False
            if mark["state"] == "handing":
                if await self._engine.store.swap(key, mark, {"day": mark["day"], "state": "uncertain"}):
                    log.warning("report_uncertain", report=report.name, day=mark["day"])
                return False
            tries = mark["tries"]
        taken = {
            "day": day.isoformat(),
            "state": "taken",
            "until": (now + LEASE).isoformat(),
            "tries": tries + 1,
        }
        return await self._engine.store.swap(key, mark, taken)

    async def _send(self, report: ScheduledReport, address: str, day: dt.date, made: Made) -> None:
        key = key_of(report, address)
        mark: Mark = await self._engine.store.get(key)
        sent_as = self._sent_as(report, address, day.isoformat())
        mail = mail_of(report, made, day, address, self._its, sent_as, self._engine.now())
        handing = mark | {"state": "handing", "until": (self._engine.now() + LEASE).isoformat()}

        async def still_mine() -> bool:
            return mark["state"] == "taken" and await self._engine.store.swap(key, mark, handing)

        answer = await self._channel.hand_over(address, mail, sent_as, still_mine)
        if isinstance(answer, Accepted):
            ends: Mark = {
                "day": mark["day"],
                "state": "sent",
                "at_utc": self._engine.now().isoformat(),
                "as": sent_as,
            }
            log.info("report_sent", report=report.name, day=mark["day"], octets=made.octets)
        elif isinstance(answer, NotAccepted) and answer.code == "withdrawn":
            return
        elif isinstance(answer, NotAccepted) and not answer.permanent:
            await self._put_off(report, address, answer.code)
            return
        elif isinstance(answer, NotAccepted):
            ends = {"day": mark["day"], "state": "failed", "code": answer.code}
            log.warning("report_refused", report=report.name, day=mark["day"], code=answer.code)
        else:
            ends = {"day": mark["day"], "state": "uncertain"}
            log.warning("report_uncertain", report=report.name, day=mark["day"])
        await self._engine.store.put(key, ends)

    async def _put_off(self, report: ScheduledReport, address: str, code: str = "not_made") -> None:
        key = key_of(report, address)
        mark: Mark = await self._engine.store.get(key)
        if mark["state"] not in {"taken", "handing"}:  # it took so long that another node has settled it
            return
        if mark["tries"] >= TRIES:
            log.warning("report_given_up", report=report.name, day=mark["day"], code=code)
            await self._engine.store.put(key, {"day": mark["day"], "state": "failed", "code": code})
            return
        until = self._engine.now() + AGAIN[mark["tries"] - 1]
        await self._engine.store.put(key, mark | {"state": "again", "until": until.isoformat(), "code": code})

    def _sent_as(self, report: ScheduledReport, address: str, when: str) -> str:
        """Return the Message-ID: the same for each try of one, so that a server which has it already may know it."""
        digest = hashlib.sha256(f"{report.name}/{address.lower()}/{when}".encode()).hexdigest()[:32]
        return f"<report-{digest}@{self._its.sender.partition('@')[2]}>"
