"""Whether trunks are alive: OPTIONS to each, what calls have shown, and telling every change once.

It owns the probing and the event. The state itself is `trunks.py`'s.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import structlog

from dialer_core.calls.trunks import Trunk, Trunks
from dialer_core.events import TrunkStateChanged
from dialer_core.ipc.messages import Probe, ProbeResult
from dialer_core.lines import AGENT_WORKER_PREFIX, WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.settings import TrunkSettings
from dialer_core.vocabulary import TrunkId, WorkerId

log = structlog.get_logger(__name__)

LOOK_INTERVAL_S = 0.1
ANSWER_LIMIT_S = 3.0


class TrunkWatch:
    """Keeps the state of every trunk.

    Parameters
    ----------
    on_change
        Called when a trunk came up or went down.
    """

    def __init__(
        self, runtime: Runtime, trunks: Trunks, workers: WorkerPool, *, on_change: Callable[[], None]
    ) -> None:
        self._runtime = runtime
        self._trunks = trunks
        self._workers = workers
        self._on_change = on_change
        self._turn = itertools.count()

    async def run(self) -> None:
        """Probe whoever is due, for ever."""
        while True:
            now_ns = self._runtime.clock.mono_ns()
            for trunk in self._trunks.all():
                if trunk.settings.options_interval_s and now_ns >= trunk.next_probe_ns:
                    self._probe(trunk, now_ns)
            await asyncio.sleep(LOOK_INTERVAL_S)

    def _probe(self, trunk: Trunk, now_ns: int) -> None:
        worker = self._next_worker()
        if worker is None:
            return
        wait_s = trunk.settings.options_interval_s
        if trunk.reason:
            wait_s = min(wait_s, trunk.probe_backoff_s)
        trunk.next_probe_ns = now_ns + int((wait_s + ANSWER_LIMIT_S) * 1e9)
        self._workers.send(
            worker,
            Probe(
                probe_id=trunk.id,
                uri=probe_uri(trunk.settings),
                proxy=proxy_uri(trunk.settings),
                timeout_s=ANSWER_LIMIT_S,
            ),
        )

    def _next_worker(self) -> WorkerId | None:
        """Return the customers' workers in turn: one that cannot send must not make a trunk look dead for ever."""
        able = sorted(
            worker.id
            for worker in self._workers.workers.values()
            if worker.free and not worker.id.startswith(AGENT_WORKER_PREFIX)
        )
        return able[next(self._turn) % len(able)] if able else None

    def probed(self, result: ProbeResult) -> None:
        """Take the answer to a probe, or that none came. 503 says that it takes no calls."""
        name = TrunkId(result.probe_id)
        alive = result.code not in (0, 503)
        if alive:
            self.alive(name)
        else:
            self.silent(name, probe=True, why="answers OPTIONS with 503" if result.code else "")
        trunk = self._trunks[name]
        wait_s = trunk.settings.options_interval_s if alive else trunk.probe_backoff_s
        trunk.next_probe_ns = self._runtime.clock.mono_ns() + int(wait_s * 1e9)

    def alive(self, name: TrunkId) -> None:
        """A trunk has answered something."""
        if self._trunks.note_alive(name):
            self._tell(self._trunks[name])

    def accepted(self, name: TrunkId) -> None:
        """A trunk has taken a call on."""
        self.alive(name)
        if self._trunks.note_accepted(name):
            self._tell(self._trunks[name])

    def refused(self, name: TrunkId, retry_after_s: float) -> None:
        """A trunk has refused a call that had not got anywhere."""
        if self._trunks.note_refused(name, self._runtime.clock.mono_ns(), retry_after_s):
            self._tell(self._trunks[name])

    def silent(self, name: TrunkId, *, probe: bool, why: str = "") -> None:
        """A trunk has not answered a probe, or an INVITE, or not as one that works."""
        if self._trunks.note_silent(name, probe=probe, why=why):
            self._tell(self._trunks[name])

    def _tell(self, trunk: Trunk) -> None:
        log.warning("trunk_state_changed", trunk=trunk.id, state=trunk.state, reason=trunk.reason)
        self._runtime.journal.append(
            TrunkStateChanged(
                trunk=trunk.id,
                state=trunk.state,
                reason=trunk.reason,
                at_mono_ns=self._runtime.clock.mono_ns(),
            )
        )
        self._on_change()


def probe_uri(trunk: TrunkSettings) -> str:
    """Return where OPTIONS to a trunk goes."""
    return f"sip:{sip_place(trunk)}"


def proxy_uri(trunk: TrunkSettings) -> str:
    """Return the trunk's outbound proxy as a loose route; empty where it has none."""
    return f"sip:{trunk.proxy};lr" if trunk.proxy else ""


def sip_place(trunk: TrunkSettings) -> str:
    """Return host, port and transport of a trunk, as they stand in a URI."""
    transport = "" if trunk.transport == "udp" else f";transport={trunk.transport}"
    return f"{trunk.host}:{trunk.port}{transport}"
