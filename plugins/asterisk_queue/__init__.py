"""Agents who are members of Asterisk's queues: their states read over the manager interface (AMI).

It owns the connection's life: log-in, the list of members, events as they come, and connecting again. Settings: `plugins/asterisk_queue.toml`. It
speaks for the agents with `state_from = "asterisk_queue"`, by their `member` (`PJSIP/1001`, or `1001`). It uses what any plugin gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dialer_core.plugin_api import (
    AgentReport,
    AgentStates,
    AgentStateSource,
    AttemptId,
    CommandRefusedError,
    EngineHandle,
    NotRunningError,
    Presence,
    hookimpl,
)
from plugins.asterisk_queue.ami import Ami, AmiError, first
from plugins.asterisk_queue.members import Connected, Members, names_of

TELL_EVERY_S: Final = 1.0
LIST_EVERY_S: Final = 30.0
"""All members are asked for so often, beside the events: one that was missed is made good."""
NO_ENGINE_S: Final = 0.2


class AmiSettings(BaseModel):
    """`plugins/asterisk_queue.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    """Asterisk's address."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 5038
    """Of its manager interface: 5038, or 5039 with TLS."""
    tls: bool = False
    """Speak TLS, and check its certificate."""
    ca_file: Path | None = None
    """Certificates to check by, where the system's are not those."""
    user: str = Field(min_length=1, max_length=80)
    """A section of manager.conf, with `read = agent,call` and `write = agent,reporting,system`."""
    secret_env: str = ""
    """Environment variable that holds its secret."""
    secret_file: Path | None = None
    """Or a file that holds it."""
    queues: frozenset[str] = frozenset()
    """The queues that are looked at; empty: all."""
    wrap_up_s: Annotated[float, Field(ge=0, le=3600)] = 0.0
    """`wrapuptime` of the queues in queues.conf: Asterisk does not tell it."""
    stale_after_s: Annotated[float, Field(ge=3, le=300)] = 6.0
    """Without a word from Asterisk for so long, nobody of these agents is dialed for."""

    @model_validator(mode="after")
    def _one_secret(self) -> AmiSettings:
        if bool(self.secret_env) == bool(self.secret_file):
            msg = "give either secret_env or secret_file"
            raise ValueError(msg)
        return self


class AsteriskQueues:
    """The source of states."""

    def __init__(self, settings: AmiSettings, secret: str) -> None:
        self._settings = settings
        self._secret = secret
        self._order = 0
        self._told: set[str] = set()
        """Interfaces spoken of: one that is in no queue any more is told to be gone."""

    async def run(self, tell: AgentStates) -> None:
        """Tell how members are for as long as the connection holds; AmiError when it does not: it is made again after a while."""
        its = self._settings
        tls = None
        if its.tls:
            tls = ssl.create_default_context(cafile=str(its.ca_file) if its.ca_file else None)
        ami = await Ami.connect(its.host, its.port, its.user, self._secret, tls=tls)
        try:
            await self._serve(ami, tell)
        finally:
            await ami.close()

    async def _serve(self, ami: Ami, tell: AgentStates) -> None:
        loop, members = asyncio.get_running_loop(), Members(self._settings.queues, self._settings.wrap_up_s)
        listed_s = told_s = 0.0
        complete = False
        while True:
            now_s = loop.time()
            if not listed_s or now_s - listed_s >= LIST_EVERY_S:
                members.begin_list()
                await ami.act("QueueStatus")
                listed_s = now_s
            elif now_s - told_s >= TELL_EVERY_S:
                await ami.act("Ping")  # only who answers is believed
            changed, calls = await self._take(ami, members, told_s + TELL_EVERY_S - now_s)
            complete = complete or changed == "complete"
            for call in calls:
                await self._connected(tell, call)
            if complete and (changed or loop.time() - told_s >= TELL_EVERY_S):
                await self._tell(tell, members)
                told_s = loop.time()

    async def _take(self, ami: Ami, members: Members, wait_s: float) -> tuple[str, list[Connected]]:
        """Take what has come, or wait for the next; return whether there was anything, `complete` where a list has ended, and calls."""
        calls: list[Connected] = []
        seen = ""
        try:
            async with asyncio.timeout(max(0.01, wait_s)):
                event = await ami.events.get()
        except TimeoutError:
            return seen, calls
        while True:
            if event is None:
                raise AmiError("Asterisk has closed the connection")
            if (call := members.take(event)) is not None:
                calls.append(call)
            seen = (
                "complete" if first(event, "Event") == "QueueStatusComplete" or seen == "complete" else "yes"
            )
            try:
                event = ami.events.get_nowait()
            except asyncio.QueueEmpty:
                return seen, calls

    async def _tell(self, tell: AgentStates, members: Members) -> None:
        self._order = max(self._order + 1, time.time_ns() // 1000)
        present = members.presences(time.time())
        everybody = dict.fromkeys(self._told, (Presence.OFFLINE, "")) | present
        self._told |= present.keys()
        reports = [
            AgentReport(agent=name, state=state, order=self._order, reason=reason)
            for interface, (state, reason) in everybody.items()
            for name in names_of(interface)
        ]
        with contextlib.suppress(NotRunningError):  # told again in a moment
            await tell.tell(reports, stale_after_s=self._settings.stale_after_s)

    async def _connected(self, tell: AgentStates, call: Connected) -> None:
        """Say that a call of ours has its agent: at once, for the person's deadline runs."""
        if not call.attempt:
            return
        for name in (*names_of(call.interface), ""):
            try:
                await tell.connected(AttemptId(call.attempt), name)
            except NotRunningError:
                await asyncio.sleep(NO_ENGINE_S)
            except CommandRefusedError:
                continue  # nobody of ours by that name, or the call is over
            return


@hookimpl
def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at settings and secret."""
    dialer_register_agent_states(engine)


@hookimpl
def dialer_register_agent_states(engine: EngineHandle) -> AgentStateSource:
    """Speak for the members of Asterisk's queues."""
    settings = engine.settings(AmiSettings)
    secret = engine.secret("plugins/asterisk_queue.toml: secret", settings.secret_env, settings.secret_file)
    return AsteriskQueues(settings, secret)
