"""The far ends of the kill test as a process: the simulator with a table of its own, in which each state of a call lasts long enough to be hit.

Owns that table and which called number meets which row of it. The simulator itself is `dialer_core.sim`: an implementation of SIP and RTP apart
from the dialer's, whose log is the oracle.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dialer_core.sim.behaviours import (
    Behaviour,
    Ending,
    Pause,
    PersonTimes,
    Speech,
    Tones,
    TrueClass,
    suffix_of,
)
from dialer_core.sim.carrier import ATTEMPT_HEADER
from dialer_core.sim.simulation import Simulation, SimulationSettings
from dialer_core.sim.sip_dialog import Dialog

PULSE_AREA = "5233"
"""Numbers of this area are busy at once, for ever: from their INVITEs is read when dialing goes on."""
TALK_AREA = "5255"


def _row(
    name: str, suffixes: range, true_class: TrueClass, ending: Ending, ring_s: tuple[float, float], *plays: Pause | Speech | Tones,
    final_code: int = 200, q850_cause: int | None = None, quiet_s: float = 20.0,
) -> Behaviour:  # fmt: skip
    return Behaviour(
        name, suffixes, true_class, ending, "", name, plays, final_code=final_code, q850_cause=q850_cause, ring_s=ring_s, quiet_s=quiet_s
    )  # fmt: skip


_SOON = Pause(0.1, 0.2)
ROWS: tuple[Behaviour, ...] = (
    _row("talks", range(40), TrueClass.HUMAN, Ending.PERSON, (0.2, 0.6), _SOON, Speech("hello")),
    _row("rings_long", range(40, 48), TrueClass.HUMAN, Ending.PERSON, (2.0, 3.5), _SOON, Speech("hello")),
    _row("thinks_first", range(48, 58), TrueClass.HUMAN, Ending.PERSON, (0.2, 0.5), Pause(1.2, 1.8), Speech("hello")),
    _row("voicemail", range(58, 66), TrueClass.MACHINE, Ending.PLAYS_OUT, (0.2, 0.5), Pause(0.2, 0.4), Speech("voicemail"), Tones(("beep",))),
    # nothing at all for a while, then sound before the answer
    _row(
        "early_sound", range(66, 84), TrueClass.ANNOUNCEMENT, Ending.EARLY_THEN_REJECT, (1.0, 1.6), Pause(1.5, 2.0), Speech("announcement"),
        final_code=404, q850_cause=1,
    ),
    _row("rings_out", range(84, 92), TrueClass.NONE, Ending.RINGS_OUT, (0.0, 0.0), final_code=487),
    _row("silent", range(92, 100), TrueClass.NONE, Ending.PLAYS_OUT, (0.2, 0.4), quiet_s=7.0),
)  # fmt: skip
AT_ONCE = _row("at_once", range(100), TrueClass.HUMAN, Ending.PERSON, (0.0, 0.0), _SOON, Speech("hello"))
PULSE = _row("pulse", range(100), TrueClass.NONE, Ending.REJECT, (0.1, 0.3), final_code=486, q850_cause=17)


def behaviour_of(number: str) -> Behaviour | None:
    """Return the row that a called number meets."""
    if PULSE_AREA in number[:5]:
        return PULSE
    return next(row for row in ROWS if suffix_of(number) in row.suffixes)


TICK_NS, LATE_NS = 20_000_000, 80_000_000


@dataclass
class Mood:
    """What the whole carrier does for a while, beside what its numbers do; turned by a signal."""

    at_once: bool = False
    """Every call is answered at once, by a person (SIGUSR1)."""
    deaf: bool = False
    """No BYE and no CANCEL of ours is answered (SIGUSR2)."""

    def behaviour_of(self, number: str) -> Behaviour | None:
        """Return the row that a called number meets in this mood."""
        return AT_ONCE if self.at_once else behaviour_of(number)

    def deafen(self) -> None:
        """Have the simulator's dialogs lose what they would hear while the mood is deaf: as if it never came."""
        for name in ("on_bye", "on_cancel"):
            hear = getattr(Dialog, name)

            def maybe(dialog: Dialog, request: Any, source: Any, *, hear: Any = hear) -> None:
                if not (self.deaf and dialog.invite.headers.get_first(ATTEMPT_HEADER)):
                    hear(dialog, request, source)

            setattr(Dialog, name, maybe)


async def _serve(settings: SimulationSettings, mood: Mood) -> None:
    stopping = asyncio.Event()
    mood.deafen()
    turns = {
        signal.SIGUSR1: lambda: setattr(mood, "at_once", not mood.at_once),
        signal.SIGUSR2: lambda: setattr(mood, "deaf", not mood.deaf),
    }
    for number, turn in turns.items():
        asyncio.get_running_loop().add_signal_handler(number, turn)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with Simulation(settings) as simulation:
        watching = asyncio.create_task(_tell_lateness(simulation))
        print(json.dumps({"event": "sim_ready", **simulation.description()}), flush=True)  # noqa: T201 - its starter waits for it
        await stopping.wait()
        watching.cancel()


async def _tell_lateness(simulation: Simulation) -> None:
    """Log when the far ends themselves stood still: what was not sent or read meanwhile is no fault of the dialer's."""
    while True:
        due_ns = time.monotonic_ns() + TICK_NS
        await asyncio.sleep(TICK_NS / 1e9)
        late_ns = time.monotonic_ns() - due_ns
        if late_ns > LATE_NS:
            simulation.stage.log.write("sim.late", from_ns=due_ns, late_ms=late_ns // 1_000_000)


def main() -> None:
    """Run until SIGTERM: `python -m tests.kill.far_ends`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--carrier-port", type=int, required=True)
    parser.add_argument("--softphone-ports", required=True, help="first-last")
    parser.add_argument("--rtp-ports", required=True, help="first-last")
    parser.add_argument("--seed", type=int, required=True)
    given = parser.parse_args()
    with contextlib.suppress(
        PermissionError
    ):  # as the media plane does: what is measured is the dialer's silence, not theirs
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    first, last = map(int, given.softphone_ports.split("-"))
    low, high = map(int, given.rtp_ports.split("-"))
    mood = Mood()
    settings = SimulationSettings(
        log=given.folder / "log.jsonl",
        recordings=given.folder / "recordings",
        carrier_ports=(given.carrier_port,),
        softphone_ports=tuple(range(first, last + 1)),
        rtp_ports=(low, high),
        seed=given.seed,
        times=PersonTimes(talk_s=(6.0, 11.0), reply_s=(0.2, 0.4), patience_s=7.0),
        behaviour_of=mood.behaviour_of,
    )
    asyncio.run(_serve(settings, mood))


if __name__ == "__main__":
    main()
