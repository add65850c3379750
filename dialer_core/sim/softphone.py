"""A simulated agent's softphone: answers the dialer's call, sends its own tone all the time, records what it hears.

Owns one agent's line: whether it rings, declines, answers and hangs up, on command. One call at a time; a
second INVITE gets 486, as a single-line phone gives.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from dialer_core.errors import StartError
from dialer_core.sim import g711, tone_plan
from dialer_core.sim import sip_messages as sip
from dialer_core.sim.call_leg import CallLeg, CallOverError, Stage
from dialer_core.sim.sip_endpoint import SipEndpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from dialer_core.sim.sip_dialog import Dialog


class SoftphoneCall(CallLeg):
    """One call to an agent."""

    def __init__(
        self, stage: Stage, dialog: Dialog, *, law: g711.Law, hz: int, ring_s: float, refuse: int | None
    ) -> None:
        super().__init__(stage, dialog, law)
        self._hz, self._ring_s, self._refuse = hz, ring_s, refuse

    async def run(self) -> None:
        """From the INVITE to the closing line."""
        with contextlib.suppress(CallOverError):  # cancelled, or the engine hung up: the dialog knows how
            await self._course()
        await self.finish({"hz": self._hz})

    async def _course(self) -> None:
        dialog = self.dialog
        if self._refuse is not None or not self.offer_is_usable:
            dialog.reject(self._refuse or 488)
            return
        dialog.respond(180)
        if self._ring_s:
            await self.pause(self._ring_s)
        try:
            dialog.answer(self.open_sound("answered"))
        except sip.UnusableSdpError:
            dialog.reject(488)
            return
        except StartError as error:  # no RTP port left: what a far end without a free channel says
            self.dialog.log("sim.error", error=str(error))
            self.dialog.reject(503)
            return
        self._speak(lambda at_ns: dialog.log("speaking.started", hz=self._hz, at_ns=at_ns, shared=False))
        await self.until_over(None, None)

    def _speak(self, on_start: Callable[[int], None] | None = None) -> None:
        if self.leg is not None:
            self.leg.set_tone(tone_plan.tone_frame(self._hz, self.leg.law), on_start)

    def codec_changed(self) -> None:
        """Goes on with the own tone in the new codec."""
        self._speak()


class SimulatedSoftphone:
    """An agent's SIP port.

    Parameters
    ----------
    stage
        What is shared with the other far ends.
    port
        Its SIP port.
    hz
        The agent's tone.
    law
        The codec it takes if it is offered.
    """

    def __init__(self, stage: Stage, port: int, hz: int, law: g711.Law = g711.Law.PCMU) -> None:
        self.stage, self.port, self.hz, self.law = stage, port, hz, law
        self.ring_s = 0.0
        """How long it rings before it answers."""
        self.refuse_with: int | None = None
        """While set, each INVITE gets this final code (486, 480, 603 ...)."""
        self.endpoint = SipEndpoint(
            host=stage.host, port=port, side="softphone", on_invite=self._on_invite, log=stage.log
        )
        self.call: SoftphoneCall | None = None
        """The live call."""
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        """The agent's SIP address."""
        return f"sip:agent@{self.stage.host}:{self.port}"

    async def start(self) -> None:
        """Begins to take calls (StartError: the port cannot be had)."""
        await self.endpoint.start()

    def hang_up(self) -> bool:
        """Ends the live call with BYE; False when there is none that was answered."""
        if self.call is None or not self.call.dialog.acked.is_set() or self.call.dialog.over.is_set():
            return False
        self.call.dialog.hang_up("command")
        return True

    async def vanish(self) -> None:
        """The phone loses its network: its port closes without a word, its sound stops. `start` brings it back."""
        if self.call is not None:
            self.call.dialog.lose()
        await self.endpoint.stop()

    async def stop(self) -> None:
        """Hangs up, saves the recording, and closes the port; the stage's `closing` is set before."""
        if self.call is not None:
            self.call.shut_down()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.endpoint.stop()

    def _on_invite(self, dialog: Dialog) -> None:
        busy = self.call is not None and not self.call.dialog.over.is_set()
        call = SoftphoneCall(
            self.stage,
            dialog,
            law=self.law,
            hz=self.hz,
            ring_s=self.ring_s,
            refuse=486 if busy else self.refuse_with,
        )
        call.log_invite(hz=self.hz)
        if not busy:
            self.call = call
        task = asyncio.get_running_loop().create_task(call.run())
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.stage.log.write("sim.error", port=self.port, error=repr(task.exception()))
