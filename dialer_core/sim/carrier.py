"""The simulated carrier: takes the dialer's INVITEs and does with each what its called number's row of the table says.

Owns the course of a customer's call: ringing, early media, answer, greeting, the wait for an agent, the talk,
the BYE. The rows are in `behaviours.py`, the sounds in `voices.py`, SIP in `sip_dialog.py`, RTP in `rtp.py`.

A person says the greeting, waits for an agent's tone, after a breath answers with a tone of their own for
`talk_s`, and hangs up; without an agent they hang up `patience_s` after the greeting. A phrase begun is said
to its end; later phrases are not begun once the agent is heard. Some press keys after the greeting (`people.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from dialer_core.errors import StartError
from dialer_core.sim import sip_messages as sip
from dialer_core.sim import tone_plan
from dialer_core.sim.behaviours import (
    RING_LIMIT_S,
    Behaviour,
    CallPlan,
    Ending,
    PersonTimes,
    plan_call,
)
from dialer_core.sim.call_leg import CallLeg, CallOverError, Stage
from dialer_core.sim.ear import Ear, Heard
from dialer_core.sim.sip_endpoint import SipEndpoint
from dialer_core.sim.voices import Utterance, utterances

if TYPE_CHECKING:
    from collections.abc import Callable

    from dialer_core.sim.rtp import Received
    from dialer_core.sim.sip_dialog import Dialog


ATTEMPT_HEADER = "x-marcador-attempt"
"""By which a carrier's trace is joined to the dialer's rows, also where a row never learned its Call-ID."""


class CarrierCall(CallLeg):
    """One call to a customer."""

    def __init__(self, stage: Stage, dialog: Dialog, plan: CallPlan) -> None:
        super().__init__(stage, dialog, plan.law)
        self.plan = plan
        self.ear = Ear(stage.agent_tones_hz)
        self.agent_heard = asyncio.Event()
        self.tone_hz: int | None = None

    # ---- the course of the call

    async def run(self) -> None:
        """From the INVITE to the closing line."""
        row = self.plan.behaviour
        with contextlib.suppress(CallOverError):  # cancelled, or the other side hung up: the dialog knows how
            await self._course(row)
        self.stage.customer_tones.give_back(self)
        await self.finish(
            {
                "called_number": self.dialog.called_number,
                "behaviour": row.name,
                "true_class": row.true_class,
                "expected_outcome": row.expected_outcome,
                "message_heard_ms": self.ear.message_ms if self.ear.message else 0,
            }
        )

    async def _course(self, row: Behaviour) -> None:
        if not self.offer_is_usable:
            self.dialog.reject(488)
            return
        try:
            if row.ending is Ending.EARLY_THEN_REJECT:
                await self._early_media(row)
                return
            await self._ring(row)
            if row.ending in {Ending.REJECT, Ending.RINGS_OUT}:
                self._reject(row, 408 if row.ending is Ending.RINGS_OUT else row.final_code)
                return
            self.dialog.answer(self.open_sound("answered"))
        except sip.UnusableSdpError:
            self.dialog.reject(488)
            return
        except StartError as error:  # no RTP port left: what a far end without a free channel says
            self.dialog.log("sim.error", error=str(error))
            self.dialog.reject(503)
            return
        await self.until_over(self.dialog.acked.wait(), None)
        if row.ending is Ending.HANGS_UP:
            await self.pause(self.plan.hang_up_s)
            self.dialog.hang_up("hangs_up")
        elif row.ending is Ending.PERSON:
            await self._be_a_person()
        else:
            for utterance in utterances(self.plan, self.law):
                await self._play(utterance)
            await self.pause(row.quiet_s)
            self.dialog.hang_up("played_out")

    async def _ring(self, row: Behaviour) -> None:
        if row.ending is Ending.RINGS_OUT:
            self.dialog.respond(180)
            await self.pause(RING_LIMIT_S)
            return
        if row.final_code != 503:
            self.dialog.respond(180)
        await self.pause(self.plan.ring_s)

    async def _early_media(self, row: Behaviour) -> None:
        await self.pause(self.plan.ring_s)
        self.dialog.respond(183, self.open_sound("early"))
        for utterance in utterances(self.plan, self.law):
            await self._play(utterance)
        self._reject(row, row.final_code)

    def _reject(self, row: Behaviour, code: int) -> None:
        if row.q850_cause is None:
            self.dialog.reject(code)
        else:
            self.dialog.reject(code, {"Reason": f"Q.850;cause={row.q850_cause}"})

    # ---- people

    async def _be_a_person(self) -> None:
        await self._greet()
        for press in self.plan.behaviour.presses:
            await self.pause(press.after_s)
            await self._press(press.key)
        if not await self.until_over(self.agent_heard.wait(), self.plan.patience_s):
            self.dialog.hang_up("patience")
            return
        await self.pause(self.plan.reply_s)
        self._speak()
        await self.pause(self.plan.talk_s)
        self.dialog.hang_up("talked")

    async def _press(self, key: str) -> None:
        """Presses a key, where the other side has agreed to hear of keys (RFC 4733)."""
        events = self.offer.telephone_event if self.offer else None
        if self.leg is None or events is None:
            self.dialog.log("sim.error", error=f"{key} cannot be pressed: no telephone-event was offered")
            return
        self.dialog.log("key.pressed", key=key, payload_type=events)
        await self.until_over(self.leg.press(key, events), None)

    async def _greet(self) -> None:
        said: list[str] = []
        ended_ns = 0
        for utterance in utterances(self.plan, self.law):
            if said and self.agent_heard.is_set():
                self.dialog.log("hello.shortened")
                break
            if not utterance.audible:
                await self._frames(utterance)
                continue
            if not said:
                ended_ns = await self._frames(
                    utterance, lambda at_ns: self.dialog.log("hello.started", at_ns=at_ns)
                )
            else:
                ended_ns = await self._frames(utterance)
            ended_ns -= _filling_ns(utterance)
            said.append(utterance.name)
        self.dialog.log("hello.ended", at_ns=ended_ns, clips=said)

    def _speak(self) -> None:
        hz = self.stage.customer_tones.take(self)
        self.tone_hz = hz or tone_plan.CUSTOMER_TONES_HZ[0]
        self._set_tone(
            lambda at_ns: self.dialog.log("speaking.started", hz=self.tone_hz, at_ns=at_ns, shared=hz is None)
        )

    def _set_tone(self, on_start: Callable[[int], None] | None = None) -> None:
        if self.leg is not None and self.tone_hz is not None:
            self.leg.set_tone(tone_plan.tone_frame(self.tone_hz, self.leg.law), on_start)

    def codec_changed(self) -> None:
        """Goes on with the own tone in the new codec."""
        self._set_tone()

    def heard(self, packet: Received) -> None:
        """Listens for an agent and for a message."""
        heard = self.ear.listen(packet)
        if heard is None:
            return
        if heard.hz is None:
            self.dialog.log("message.heard", first_audible_ns=heard.first_audible_ns)
        else:
            self._agent(heard)

    def _agent(self, heard: Heard) -> None:
        self.dialog.log("agent.heard", hz=heard.hz, first_audible_ns=heard.first_audible_ns)
        self.agent_heard.set()

    # ---- sounds

    async def _play(self, utterance: Utterance) -> None:
        if not utterance.audible:
            await self._frames(utterance)
            return
        ended_ns = await self._frames(
            utterance, lambda at_ns: self.dialog.log("sound.started", name=utterance.name, at_ns=at_ns)
        )
        self.dialog.log("sound.ended", name=utterance.name, at_ns=ended_ns - _filling_ns(utterance))

    async def _frames(self, utterance: Utterance, on_start: Callable[[int], None] | None = None) -> int:
        """Plays to the end; returns when the last frame ends."""
        if self.leg is None or self.dialog.over.is_set():
            raise CallOverError
        playing = asyncio.ensure_future(self.leg.play(utterance.frames, on_start))
        await self.until_over(playing, None)
        return playing.result()


def _filling_ns(utterance: Utterance) -> int:
    """The silence that fills the last frame of an utterance."""
    return round((len(utterance.frames) * 0.020 - utterance.length_s) * 1e9)


class SimulatedCarrier:
    """A carrier's SIP port on which every called number behaves by the table.

    Parameters
    ----------
    stage
        What is shared with the other far ends.
    port
        Its SIP port.
    times
        Ranges for people's times.
    behaviour_of
        Chooses a row by the called number; None leaves it to the number's suffix.
    """

    def __init__(
        self,
        stage: Stage,
        port: int,
        times: PersonTimes | None = None,
        behaviour_of: Callable[[str], Behaviour | None] = lambda _: None,
    ) -> None:
        self.stage, self.port = stage, port
        self.times = times or PersonTimes()
        self.behaviour_of = behaviour_of
        self.endpoint = SipEndpoint(
            host=stage.host, port=port, side="carrier", on_invite=self._on_invite, log=stage.log
        )
        self.calls: dict[str, CarrierCall] = {}
        """Live calls by Call-ID."""
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begins to take calls (StartError: the port cannot be had)."""
        await self.endpoint.start()

    async def stop(self) -> None:
        """Hangs up, saves every recording, and closes the port; the stage's `closing` is set before."""
        for call in self.calls.values():
            call.shut_down()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.endpoint.stop()

    def _on_invite(self, dialog: Dialog) -> None:
        plan = plan_call(
            dialog.called_number, self.stage.seed, self.times, self.behaviour_of(dialog.called_number)
        )
        call = CarrierCall(self.stage, dialog, plan)
        call.log_invite(
            behaviour=plan.behaviour.name, true_class=plan.behaviour.true_class,
            expected_outcome=plan.behaviour.expected_outcome, attempt=dialog.invite.headers.get_first(ATTEMPT_HEADER),
        )  # fmt: skip
        self.calls[dialog.call_id] = call
        task = asyncio.get_running_loop().create_task(call.run())
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._done(dialog.call_id, done))

    def _done(self, call_id: str, task: asyncio.Task[None]) -> None:
        self.calls.pop(call_id, None)
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.stage.log.write("sim.error", call_id=call_id, error=repr(task.exception()))
