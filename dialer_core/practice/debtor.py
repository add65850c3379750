"""A simulated person on a real call: answers the agent's softphone, speaks a script, and goes by when the agent speaks and pauses.

It owns the conversation. The far end's SIP and RTP are the simulator's; nothing here knows a campaign, an account or a store.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, Self

import numpy as np

from dialer_core.practice.score import Span
from dialer_core.practice.script import Mark, Script
from dialer_core.sim import g711, tone_plan
from dialer_core.sim.call_leg import CallLeg, CallOverError, Stage
from dialer_core.sim.event_log import EventLog
from dialer_core.sim.pacer import Pacer
from dialer_core.sim.rtp import Received
from dialer_core.sim.rtp_ports import PortPairs
from dialer_core.sim.sip_dialog import Dialog
from dialer_core.sim.sip_endpoint import SipEndpoint

SPEECH_DBFS: Final = -38.0
"""A 20 ms frame that is louder is speech: softphones' noise lies below, quiet talkers above."""
BRIDGED_S: Final = 0.3
"""Pauses within a word, and between two, belong to what is said."""
LEAST_S: Final = 0.3
"""What is shorter is a knock, and no answer."""
PATIENCE_TIMES: Final = 3
TICK_S: Final = 0.05
FRAME_S: Final = 0.02

Speak = Callable[[str], Awaitable[bytes]]
"""Returns a text as PCMU at 8 kHz."""


class Ear:
    """When the agent speaks: by the level of each frame."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def hear(self, at_s: float, samples: np.ndarray) -> None:
        """Take 20 ms of sound, shape (n_samples,), in [-1, 1]."""
        power = float(np.mean(samples.astype(np.float64) ** 2)) if len(samples) else 0.0
        if power < 10 ** (SPEECH_DBFS / 10):
            return
        if self.spans and at_s - self.spans[-1][1] <= BRIDGED_S:
            self.spans[-1] = (self.spans[-1][0], at_s + FRAME_S)
        else:
            self.spans.append((at_s, at_s + FRAME_S))

    def spoke_since(self, at_s: float) -> float:
        """Return how long they have spoken after an instant."""
        return sum(max(0.0, until - max(begin, at_s)) for begin, until in self.spans)

    @property
    def last_s(self) -> float:
        """When they were heard last."""
        return self.spans[-1][1] if self.spans else 0.0


class PractisedCall(CallLeg):
    """One call to the simulated person."""

    def __init__(self, stage: Stage, dialog: Dialog, script: Script, sounds: Mapping[str, bytes]) -> None:
        super().__init__(stage, dialog, g711.Law.PCMU)
        self._script, self._sounds = script, sounds
        self._began_ns = 0
        self.ear = Ear()
        self.person: list[Span] = []
        self.marks: dict[Mark, float] = {}
        self.seconds = 0.0
        self.done = asyncio.Event()

    def now_s(self) -> float:
        """Seconds since the answer."""
        return (time.monotonic_ns() - self._began_ns) / 1e9 if self._began_ns else 0.0

    def mark(self, mark: Mark) -> None:
        """Note what the agent marks; the first time counts."""
        self.marks.setdefault(mark, self.now_s())

    def heard(self, packet: Received) -> None:
        """Listen to the agent."""
        if self._began_ns:
            law = g711.LAW_OF_PAYLOAD_TYPE[packet.payload_type]
            self.ear.hear((packet.arrival_ns - self._began_ns) / 1e9, g711.decode(packet.payload, law))

    async def run(self) -> None:
        """From the INVITE to the end."""
        with contextlib.suppress(CallOverError):
            if not self.offer_is_usable:
                self.dialog.reject(488)
            else:
                self.dialog.respond(180)
                self.dialog.answer(self.open_sound("answered"))
                self._began_ns = time.monotonic_ns()
                await self._talk()
                self.dialog.hang_up("script")
        self.seconds = self.now_s()
        await self.finish({})
        self.done.set()

    async def _talk(self) -> None:
        await self._say(self._script.turns[0].say)
        silences = 0
        left = list(self._script.turns[1:])
        while left:
            if not await self._answered():
                silences += 1
                if silences == PATIENCE_TIMES:
                    return
                await self._say(self._script.silence)
                continue
            turn = left[0]
            if turn.needs is not None and turn.needs not in self.marks:
                await self._say(turn.instead)
                continue
            left.pop(0)
            await self._say(turn.say)

    async def _answered(self) -> bool:
        """Wait until the agent has spoken and paused; False: they were silent for too long."""
        asked_s = self.now_s()
        while True:
            await self.pause(TICK_S)
            now_s = self.now_s()
            spoke_s = self.ear.spoke_since(asked_s)
            if spoke_s >= LEAST_S and now_s - self.ear.last_s >= self._script.pause_s:
                return True
            if spoke_s < LEAST_S and now_s - asked_s >= self._script.patience_s:
                return False

    async def _say(self, text: str) -> None:
        sound = self._sounds[text]
        frames = [
            sound[at : at + g711.FRAME_SAMPLES]
            for at in range(0, len(sound) - g711.FRAME_SAMPLES + 1, g711.FRAME_SAMPLES)
        ]
        began_s = self.now_s()
        assert self.leg is not None  # noqa: S101 - answered
        await self.until_over(self.leg.play(frames), None)
        self.person.append((began_s, self.now_s()))


async def render(script: Script, speak: Speak) -> dict[str, bytes]:
    """Return everything that a script says, rendered ahead."""
    texts = {
        script.silence,
        *(turn.say for turn in script.turns),
        *(t.instead for t in script.turns if t.instead),
    }
    return {text: await speak(text) for text in sorted(texts)}


class Practice:
    """One simulated person at a SIP port, for one call.

    Raises
    ------
    StartError
        On entering: a port is taken.
    """

    def __init__(
        self, script: Script, sounds: Mapping[str, bytes], *, host: str, port: int, folder: Path
    ) -> None:
        self._script, self._sounds, self._folder = script, sounds, folder
        self._host, self._port = host, port
        self.call: PractisedCall | None = None
        self.answered = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._log = EventLog(self._folder / "practice.jsonl")
        self._pacer = Pacer()
        self._stage = Stage(
            host=self._host, pacer=self._pacer, ports=PortPairs(self._host, self._port + 10, self._port + 29), log=self._log,
            recordings=self._folder, customer_tones=tone_plan.TonePool(), agent_tones_hz=tone_plan.AGENT_TONES_HZ, seed=0,
            closing=asyncio.Event(),
        )  # fmt: skip
        self._endpoint = SipEndpoint(
            host=self._host, port=self._port, side="softphone", on_invite=self._invited, log=self._log
        )
        await self._endpoint.start()
        self._pacer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stage.closing.set()
        if self.call is not None:
            self.call.shut_down()
        if self._running is not None:
            await asyncio.gather(self._running, return_exceptions=True)
        await self._endpoint.stop()
        self._pacer.stop()
        self._log.close()

    def _invited(self, dialog: Dialog) -> None:
        if self.call is not None:
            dialog.reject(486)
            return
        self.call = PractisedCall(self._stage, dialog, self._script, self._sounds)
        self._running = asyncio.get_running_loop().create_task(self.call.run())
        self.answered.set()
