"""The plugin `asterisk_queue` reads queues over the manager interface as a real Asterisk speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dialer_core.errors import CommandRefusedError
from dialer_core.plugin_api import AgentReport, AgentStates, Presence, ReportsTaken
from plugins.asterisk_queue import AmiSettings, AsteriskQueues
from plugins.asterisk_queue.ami import Ami, AmiError, write_block
from plugins.asterisk_queue.members import Connected, Members
from tests.plugins.asterisk import SECRET, USER, Asterisk, Recorded, blocks
from tests.skips import may_need_program

pytestmark = pytest.mark.unit

ANA = "Local/1001@members"


def block(text: str) -> dict[str, tuple[str, ...]]:
    """Return one message as it is read."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        found.setdefault(key, []).append(value.strip())
    return {key: tuple(values) for key, values in found.items()}


class Told(AgentStates):
    """What a source has told, instead of an engine."""

    def __init__(self) -> None:
        self.states: list[tuple[str, Presence, str]] = []
        self.orders: list[int] = []
        self.calls: list[tuple[str, str]] = []
        self.news = asyncio.Event()

    async def tell(self, reports: Sequence[AgentReport], *, stale_after_s: float) -> ReportsTaken:
        """Note it."""
        assert stale_after_s == 6.0
        for report in reports:
            self.orders.append(report.order)
            if report.agent == ANA and (
                not self.states or self.states[-1][1:] != (report.state, report.reason)
            ):
                self.states.append((report.agent, report.state, report.reason))
        self.news.set()
        return ReportsTaken()

    async def connected(self, attempt: str, agent: str = "") -> Any:
        """Note it; the dialer knows its agents by their numbers alone."""
        if agent == ANA:
            raise CommandRefusedError("no agent is called that", "invalid")
        self.calls.append((attempt, agent))
        self.news.set()

    async def until(self, what: Any) -> None:
        """Wait until something has been told."""
        async with asyncio.timeout(8):
            while not what():
                self.news.clear()
                await self.news.wait()


def source(port: int, secret: str = SECRET) -> AsteriskQueues:
    """Return the source for a manager interface."""
    settings = {"port": port, "user": USER, "secret_env": "X", "queues": {"cobranza"}}
    return AsteriskQueues(AmiSettings.model_validate(settings), secret)


def test_members_are_read_as_a_real_asterisk_tells_them() -> None:
    """Free, paused with its reason, free, in a call that carries our id, free: the recorded day of a member; the other's phone is not there."""
    members, seen, calls = Members(frozenset({"cobranza"})), [], []
    members.begin_list()
    for text in blocks():
        if (call := members.take(block(text))) is not None:
            calls.append(call)
        now = members.presences(2e9).get(ANA)
        if now is not None and (not seen or seen[-1] != now):
            seen.append(now)
    assert calls == [Connected("abc-1", ANA)]
    assert seen == [
        (Presence.AVAILABLE, ""), (Presence.PAUSED, "comida"), (Presence.AVAILABLE, ""), (Presence.BUSY, ""), (Presence.AVAILABLE, ""),
    ]  # fmt: skip
    assert members.presences(2e9)["PJSIP/1002"][0] is Presence.OFFLINE


def test_the_wrap_up_time_of_the_queue_is_kept() -> None:
    """Asterisk gives nobody to a member for so long after a call, and says nothing when that is over: they are busy until the clock says so."""
    text = next(b for b in blocks() if "LastCall: 1795346586" in b)
    members = Members(frozenset(), wrap_up_s=30.0)
    members.take(block(text))
    assert [members.presences(1795346586.0 + s)[ANA][0] for s in (1, 29, 31)] == [
        Presence.BUSY, Presence.BUSY, Presence.AVAILABLE
    ]  # fmt: skip


def test_who_is_in_no_list_any_more_is_gone() -> None:
    """A list that does not name a member, and an event of their removal, take them out."""
    members = Members(frozenset())
    listed = [block(b) for b in blocks() if "ActionID: 2" in b]
    for event in listed:
        members.take(event)
    members.begin_list()
    for event in listed:
        if event.get("Location") != ("PJSIP/1002",):
            members.take(event)
    assert set(members.presences(0.0)) == {ANA}
    members.take({"Event": ("QueueMemberRemoved",), "Queue": ("cobranza",), "Interface": (ANA,)})
    assert members.presences(0.0) == {}


async def test_a_whole_day_over_the_wire() -> None:
    """Log-in by challenge, the list, events as they come: told in order, the call's agent by the name that the dialer knows."""
    async with Recorded(blocks()) as asterisk:
        told = Told()
        running = asyncio.create_task(source(asterisk.port).run(told))
        await told.until(lambda: told.states == [(ANA, Presence.AVAILABLE, "")])
        asterisk.go_on.set()
        await told.until(lambda: told.calls == [("abc-1", "1001")])
        await told.until(lambda: told.states[-1][1] is Presence.AVAILABLE)
        assert told.orders == sorted(told.orders)
        asterisk.writers[0].close()
        with pytest.raises(AmiError):
            await running


async def test_a_refused_log_in_says_so_without_the_secret() -> None:
    """One line with Asterisk's reason."""
    async with Recorded(blocks()) as asterisk:
        with pytest.raises(AmiError, match="Login is refused: Authentication failed") as caught:
            await source(asterisk.port, "wr0ng").run(Told())
        assert "wr0ng" not in str(caught.value)


async def test_whoever_is_not_asterisk_is_told_apart() -> None:
    """Another server, one that says nothing, and nobody."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(AmiError, match="no Asterisk manager interface"):
        await Ami.connect("127.0.0.1", port, USER, SECRET)
    server.close()
    with pytest.raises(AmiError, match="nobody answers"):
        await Ami.connect("127.0.0.1", port, USER, SECRET)


def test_a_value_does_not_break_out_of_its_line() -> None:
    """A line break would be an action of its own."""
    with pytest.raises(AmiError):
        write_block({"Action": "Ping", "X": "a\r\nAction: Command"})


class TestRealAsterisk:
    """The same against Asterisk itself."""

    pytestmark = may_need_program("asterisk")

    async def test_a_call_of_ours_and_a_pause(self, tmp_path: Path) -> None:
        """A member is free, paused by Asterisk's console, free; takes a call that carries our id, and is free again."""
        dialplan = (
            "[members]\nexten => 1001,1,Answer()\n same => n,Wait(1)\n same => n,Hangup()\n"
            "[default]\nexten => 600,1,Set(MARCADOR_ATTEMPT=abc-1)\n same => n,Queue(cobranza,n,,,20)\n"
        )
        files = {"extensions.conf": dialplan, "pjsip.conf": ""}
        asterisk = await asyncio.to_thread(lambda: Asterisk(tmp_path, ami=15138, files=files))
        told = Told()
        running = asyncio.create_task(source(15138).run(told))
        try:
            await told.until(lambda: told.states == [(ANA, Presence.AVAILABLE, "")])
            await asyncio.to_thread(asterisk.say, f"queue pause member {ANA} queue cobranza reason comida")
            await told.until(lambda: told.states[-1][1:] == (Presence.PAUSED, "comida"))
            await asyncio.to_thread(asterisk.say, f"queue unpause member {ANA} queue cobranza")
            await told.until(lambda: told.states[-1][1] is Presence.AVAILABLE)
            await asyncio.to_thread(asterisk.say, "channel originate Local/600@default application Wait 3")
            await told.until(lambda: told.calls == [("abc-1", "1001")])
            await told.until(lambda: told.states[-1][1] is Presence.BUSY)
            await told.until(lambda: told.states[-1][1] is Presence.AVAILABLE)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await asyncio.to_thread(asterisk.close)
