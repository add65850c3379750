"""An engine's socket that answers as told: the other end of the host's link, for tests of the host alone.

Tests with the real engine are in `tests/commands` and in the end-to-end tests; this one can refuse, keep silent and go away on cue.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from dialer_core.ipc.channel import Link, listen_unix
from dialer_core.ipc.messages import EngineToHost, EventsCommitted, HostCommand, HostReply
from dialer_core.snapshot import AgentView, CallView, CampaignView, Snapshot, TrunkView, WorkerView

SNAPSHOT = Snapshot(
    node="node1",
    at_utc="2026-03-02T16:00:00+00:00",
    uptime_s=12.5,
    draining=False,
    store_healthy=True,
    media_attached=True,
    loop_lag_ms_p99=3.5,
    campaigns=(
        CampaignView(
            id="cobranza",
            state="running",
            reason="",
            pacing="ratio",
            detection="fast",
            attempts=40,
            dialing=5,
            listening=2,
            waiting=1,
            talking=3,
            live_answers=12,
            abandoned=1,
            outcomes={"connected": 9, "busy": 4},
            ledger_live=12,
            ledger_abandoned=1,
            abandonment_ceiling=0.03,
            last_decision="place 2: one idle agent",
        ),
    ),
    agents=(
        AgentView(id="ana", name="Ana", state="talking", reason="", seconds_in_state=4.0, leg_up=True),
        AgentView(id="luis", name="Luis", state="paused", reason="lunch", seconds_in_state=60.0, leg_up=True),
    ),
    trunks=(TrunkView(id="carrier", state="up", reason="", lines=30, lines_used=8, calls_per_second=5.0),),
    workers=(WorkerView(id="customers-0", attached=True, slots_used=3, capacity=4, rss_mb=30.0),),
)
CALLS = (
    CallView(
        attempt_id="0198c0de-0000-7000-8000-000000000001",
        campaign="cobranza",
        state="ringing",
        trunk="carrier",
        seconds=2.0,
    ),
)

Answer = tuple[Any, str, str] | None
"""result, error, kind; None: no answer at all."""


class ScriptedEngine:
    """Listens on `path`; `script` says what to answer, by default what an idle engine would."""

    def __init__(self, path: Path, script: Callable[[HostCommand], Answer] | None = None) -> None:
        self.path = path
        self.commands: list[HostCommand] = []
        self._script = script or (lambda _command: (None, "", ""))
        self._links: list[Link[EngineToHost, HostCommand]] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> ScriptedEngine:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._connected, sock=listen_unix(self.path))
        return self

    async def stop(self) -> None:
        """Go away, as a dying process does: every connection closes."""
        self.path.unlink(missing_ok=True)
        if self._server is not None:
            self._server.close()
        for _ in range(3):  # a connection that was accepted in this very turn is closed too
            await asyncio.sleep(0)
            for link in self._links:
                link.close()
        self._links.clear()

    def committed(self, seq: int) -> None:
        """Tell the host that there are events."""
        for link in self._links:
            link.send(EventsCommitted(seq=seq))

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link: Link[EngineToHost, HostCommand] = Link(
            reader, writer, HostCommand, lambda command: self._received(link, command), lambda: None
        )
        self._links.append(link)

    def _received(self, link: Link[EngineToHost, HostCommand], command: HostCommand) -> None:
        self.commands.append(command)
        answer: Answer
        if command.name == "status":
            answer = (msgspec.to_builtins(SNAPSHOT), "", "")
        elif command.name == "calls.list":
            answer = (msgspec.to_builtins(CALLS), "", "")
        else:
            answer = self._script(command)
        if answer is not None:
            result, error, kind = answer
            link.send(HostReply(request_id=command.request_id, result=result, error=error, kind=kind))
