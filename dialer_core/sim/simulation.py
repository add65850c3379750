"""A whole simulated world: one or more carriers, softphones, one pacer, one event log; started and stopped together.

Owns the composition and its settings. `__main__.py` runs it as a process; tests and tools use it within their
own loop:

    settings = SimulationSettings(carrier_ports=(21000,), softphone_ports=(21010, 21011), ...)
    async with Simulation(settings) as sim:
        sim.softphones[0].hang_up()
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dialer_core.errors import StartError
from dialer_core.sim import tone_plan, voices
from dialer_core.sim.behaviours import Behaviour, PersonTimes
from dialer_core.sim.call_leg import Stage
from dialer_core.sim.carrier import SimulatedCarrier
from dialer_core.sim.event_log import EventLog
from dialer_core.sim.pacer import Pacer
from dialer_core.sim.rtp_ports import PortPairs
from dialer_core.sim.softphone import SimulatedSoftphone

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


@dataclass(frozen=True, slots=True)
class SimulationSettings:
    """What a simulation is made of."""

    log: Path
    recordings: Path
    carrier_ports: tuple[int, ...] = ()
    softphone_ports: tuple[int, ...] = ()
    host: str = "127.0.0.1"
    rtp_ports: tuple[int, int] = (32000, 32999)
    seed: int = 0
    times: PersonTimes = field(default_factory=PersonTimes)
    behaviour_of: Callable[[str], Behaviour | None] = lambda _: None
    """Chooses a row by the called number; None leaves it to the number's suffix."""


class Simulation:
    """The simulated far ends of a dialer; see the module's docstring.

    Raises
    ------
    StartError
        On entering: a port is taken, a folder cannot be written, or there are more softphones than agents'
        tones.
    """

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self.carriers: list[SimulatedCarrier] = []
        self.softphones: list[SimulatedSoftphone] = []
        self._started: list[SimulatedCarrier | SimulatedSoftphone] = []

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Opens every port; a failure closes those already open."""
        settings = self.settings
        if len(settings.softphone_ports) > len(tone_plan.AGENT_TONES_HZ):
            raise StartError(f"at most {len(tone_plan.AGENT_TONES_HZ)} softphones: one tone each")
        try:
            settings.recordings.mkdir(parents=True, exist_ok=True)
            settings.log.parent.mkdir(parents=True, exist_ok=True)
            self._log = EventLog(settings.log)
        except OSError as error:
            raise StartError(f"the simulator cannot write {error.filename}: {error.strerror}") from error
        voices.load_all()
        self.pacer = Pacer()
        self.stage = stage = Stage(
            host=settings.host,
            pacer=self.pacer,
            ports=PortPairs(settings.host, *settings.rtp_ports),
            log=self._log,
            recordings=settings.recordings,
            customer_tones=tone_plan.TonePool(),
            agent_tones_hz=tone_plan.AGENT_TONES_HZ,
            seed=settings.seed,
            closing=asyncio.Event(),
        )
        self.carriers = [
            SimulatedCarrier(stage, port, settings.times, settings.behaviour_of)
            for port in settings.carrier_ports
        ]
        self.softphones = [
            SimulatedSoftphone(stage, port, hz)
            for port, hz in zip(settings.softphone_ports, tone_plan.AGENT_TONES_HZ, strict=False)
        ]
        self._log.write("sim.started", **self.description())
        try:
            stage.ports.check()
            ends: list[SimulatedCarrier | SimulatedSoftphone] = [*self.carriers, *self.softphones]
            for end in ends:
                await end.start()
                self._started.append(end)
        except StartError:
            await self.stop()
            raise
        self.pacer.start()

    async def stop(self) -> None:
        """Ends every call, saves every recording, writes the last line, closes every port."""
        self.stage.closing.set()
        for end in self._started:
            await end.stop()
        self._started.clear()
        self.pacer.stop()
        pacer = self.pacer
        self._log.write(
            "sim.stopped",
            ticks=pacer.ticks,
            late_ticks=pacer.late_ticks,
            worst_late_ms=round(pacer.worst_late_s * 1e3, 3),
        )
        self._log.close()

    def description(self) -> dict[str, Any]:
        """What the first line of the log and the `sim_ready` line say."""
        settings = self.settings
        return {
            "seed": settings.seed,
            "host": settings.host,
            "carrier_ports": settings.carrier_ports,
            "softphones": [
                {"port": phone.port, "hz": phone.hz, "uri": phone.uri} for phone in self.softphones
            ],
            "agent_tones_hz": tone_plan.AGENT_TONES_HZ,
            "customer_tones_hz": tone_plan.CUSTOMER_TONES_HZ,
            "recordings": str(settings.recordings.resolve()),
            "log": str(settings.log.resolve()),
            "started_mono_ns": time.monotonic_ns(),
        }
