"""Workers, media plane and far ends in one, over virtual time: what each dialed number does is a `Behaviour`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from dialer_core.ipc.messages import (
    Attend,
    Await,
    Bridge,
    BridgeRefused,
    CloseLeg,
    ConnectLeg,
    Dialog,
    FallbackStarted,
    Hangup,
    LegAnswered,
    LegBeep,
    LegClosed,
    LegEnded,
    LegNegotiated,
    LegOpened,
    LegProvisional,
    LegQuiet,
    LegsBridged,
    LegSent,
    LegStatistics,
    LegVerdict,
    Listen,
    OpenLeg,
    Place,
    Play,
    Probe,
    ProbeResult,
    PromptFinished,
    Unbridge,
    VerdictRevised,
    WorkerHealth,
)
from dialer_core.vocabulary import EndedBy, LegId, LegKind, Verdict, WorkerId

if TYPE_CHECKING:
    from tests.engine.virtual import Floor

MESSAGE_S = 4.0
"""Length of the abandonment message."""


@dataclass
class Behaviour:
    """What one dialed number does. Times in seconds; None: it never comes to that."""

    progress_s: float | None = 0.1
    early: bool = False
    code: int = 200
    final_s: float | None = 1.0
    """After the INVITE; None: it rings for ever."""
    q850: int = 0
    verdict: Verdict | None = Verdict.HUMAN
    verdict_s: float = 1.0
    silence_s: float = 0.5
    """Silence between the greeting's end and the verdict; a verdict of silence has no greeting."""
    revised: Verdict | None = None
    revised_s: float = 1.5
    second_verdict: Verdict | None = None
    """When it is listened to again, after our answer to a phone's assistant."""
    beep_s: float | None = None
    """A recording beep so long after a machine's verdict."""
    quiet_s: float | None = None
    """The greeting's end is told so long after it, without a beep."""
    talk_s: float = 30.0
    """From the bridge to their BYE."""
    patience_s: float | None = None
    """Hangs up so long after the answer, unless bridged by then."""


@dataclass
class _Call:
    place: Place
    worker: WorkerId
    behaviour: Behaviour
    state: str = "calling"
    bridged_to: LegId | None = None
    fallback: bool = False
    listened: bool = False
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    fallback_timer: asyncio.TimerHandle | None = None


class FakeCarrier:
    """Workers, media plane and far ends in one: answers the call loop's commands as the real ones would, over virtual time."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.by_suffix: dict[str, Behaviour] = {}
        self.default = Behaviour()
        self.calls: dict[LegId, _Call] = {}
        self.opened: dict[LegId, LegKind] = {}
        self.placed: list[Place] = []
        self.ended: list[str] = []
        self.played: list[tuple[int, tuple[str, ...]]] = []
        """When which prompts were asked for, the abandonment message's apart."""
        self.hold_back: set[type] = set()
        """Kinds of our own answers that are held back until `let_go`."""
        self.held: list[Callable[[], None]] = []
        self.trunk_codes: dict[str, int | None] = {}
        """Per host: the code of every INVITE, None: silence, to OPTIONS as well."""
        self.probe_codes: dict[str, int | None] = {}
        """Per host: the code of OPTIONS, where it is not 200."""
        self.full_workers: set[WorkerId] = set()
        self.worker_of: dict[LegId, WorkerId] = {}
        self.over_mark = False
        """The media plane has too much unread."""
        self._port = 30000

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The virtual loop."""
        return self.floor.loop

    def now_ns(self) -> int:
        """Monotonic virtual time."""
        return self.floor.clock.mono_ns()

    def later(self, call: _Call | None, delay_s: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something later, unless the call has ended by then."""
        handle = self.loop.call_later(delay_s, action)
        if call is not None:
            call.timers.append(handle)
        return handle

    # --- worker side -----------------------------------------------------------------------------------------------

    def to_worker(self, worker: WorkerId, command: object) -> None:
        """Take a command for a worker."""
        match command:
            case Place():
                self._place(worker, command)
            case Hangup():
                self.loop.call_later(0.002, lambda: self.end(command.leg_id, 487, EndedBy.US))
            case Probe():
                host = command.uri.removeprefix("sip:").partition(":")[0]
                invited = self.trunk_codes.get(host, 200)
                code = self.probe_codes.get(host, None if invited is None else 200)
                delay_s = 3.0 if code is None else 0.01
                result = ProbeResult(at_ns=self.now_ns(), probe_id=command.probe_id, code=code or 0)
                self.loop.call_later(delay_s, lambda: self.tell_worker(worker, result))
            case _:
                pass

    def tell_worker(self, worker: WorkerId, event: Any) -> None:
        """Say something as a worker, now or, for kinds held back, when let go."""
        self._tell(type(event), lambda: self.floor.engine.workers.receive(worker, event))

    def tell_media(self, event: Any) -> None:
        """Say something as the media plane."""
        self._tell(type(event), lambda: self.floor.engine.media.receive(event))

    def _tell(self, kind: type, say: Callable[[], None]) -> None:
        if kind in self.hold_back:
            self.held.append(say)
        else:
            say()

    def let_go(self) -> None:
        """Say what was held back, in order."""
        self.hold_back = set()
        held, self.held = self.held, []
        for say in held:
            say()

    def _place(self, worker: WorkerId, place: Place) -> None:
        if worker in self.full_workers:
            refused = LegEnded(
                at_ns=self.now_ns(), leg_id=place.leg_id, code=0, by=EndedBy.WORKER, invite_sent=False
            )
            self.loop.call_later(0.001, lambda: self.tell_worker(worker, refused))
            return
        self.placed.append(place)
        user, _, host = place.to_uri.removeprefix("sip:").partition("@")
        behaviour = self.by_suffix.get(user[-2:], self.default)
        if place.kind is LegKind.AGENT:
            behaviour = Behaviour(progress_s=None, final_s=0.05)
        code = self.trunk_codes.get(host.partition(":")[0], 0)
        if code is None:
            behaviour = Behaviour(progress_s=None, final_s=None)
        elif code:
            behaviour = Behaviour(progress_s=None, final_s=0.02, code=code)
        call = _Call(place, worker, behaviour)
        self.calls[place.leg_id] = call
        self.worker_of[place.leg_id] = worker
        leg_id = place.leg_id
        self.later(
            call,
            0.002,
            lambda: self.tell_worker(worker, LegSent(at_ns=self.now_ns(), leg_id=leg_id, call_id=leg_id)),
        )
        if behaviour.progress_s is not None:
            self.later(call, 0.002 + behaviour.progress_s, lambda: self._progress(call))
        elif behaviour.final_s is None:
            self.later(call, place.progress_limit_s, lambda: self.end(leg_id, 408, EndedBy.LIMIT))
        if behaviour.final_s is not None:
            self.later(call, 0.004 + behaviour.final_s, lambda: self._final(call))
        self.later(call, place.ring_limit_s, lambda: self._ring_limit(call))

    def _progress(self, call: _Call) -> None:
        leg_id = call.place.leg_id
        if call.behaviour.early:
            self._negotiated(call)
        early = call.behaviour.early
        self.tell_worker(
            call.worker,
            LegProvisional(at_ns=self.now_ns(), leg_id=leg_id, code=183 if early else 180, early_sdp=early),
        )

    def _negotiated(self, call: _Call) -> None:
        self.tell_worker(
            call.worker,
            LegNegotiated(
                at_ns=self.now_ns(),
                leg_id=call.place.leg_id,
                host="127.0.0.1",
                port=40000,
                codec="PCMU",
                dtmf_pt=101,
            ),
        )

    def _final(self, call: _Call) -> None:
        leg_id, behaviour = call.place.leg_id, call.behaviour
        if behaviour.code != 200:
            self.end(leg_id, behaviour.code, EndedBy.FAR, q850=behaviour.q850)
            return
        call.state = "confirmed"
        self._negotiated(call)
        dialog = Dialog(
            call_id=leg_id, local_uri="sip:a@b", local_tag="1", remote_uri="sip:c@d", remote_tag="2",
            remote_target="sip:c@d",
        )  # fmt: skip
        self.tell_worker(call.worker, LegAnswered(at_ns=self.now_ns(), leg_id=leg_id, dialog=dialog))
        if behaviour.patience_s is not None:
            self.later(call, behaviour.patience_s, lambda: self._lose_patience(call))

    def _lose_patience(self, call: _Call) -> None:
        if call.bridged_to is None:
            self.end(call.place.leg_id, 200, EndedBy.FAR)

    def _ring_limit(self, call: _Call) -> None:
        if call.state == "calling":
            self.end(call.place.leg_id, 487, EndedBy.LIMIT)

    def end(self, leg_id: LegId, code: int, by: EndedBy, *, q850: int = 0) -> None:
        """End a leg, once."""
        call = self.calls.pop(leg_id, None)
        if call is None:
            return
        for timer in [*call.timers, *([call.fallback_timer] if call.fallback_timer else [])]:
            timer.cancel()
        self.ended.append(call.place.to_uri)
        self._unbridge(leg_id, call)
        self.tell_worker(
            call.worker, LegEnded(at_ns=self.now_ns(), leg_id=leg_id, code=code, by=by, q850=q850)
        )
        self.tell_worker(
            call.worker,
            WorkerHealth(
                at_ns=self.now_ns(), slots_used=self._slots(call.worker), capacity=4, lag_ms=0, rss_mb=10
            ),
        )

    def _slots(self, worker: WorkerId) -> int:
        return sum(call.worker == worker for call in self.calls.values())

    # --- media side ------------------------------------------------------------------------------------------------

    def send(self, command: object) -> None:
        """Take a command for the media plane."""
        leg_id: LegId | None = getattr(command, "leg_id", None)
        call = self.calls.get(leg_id) if leg_id else None
        match command:
            case OpenLeg():
                self._port += 2
                opened = LegOpened(
                    at_ns=self.now_ns(), leg_id=command.leg_id, host="127.0.0.1", port=self._port
                )
                self.opened[command.leg_id] = command.kind
                self.loop.call_soon(lambda: self.tell_media(opened))
            case CloseLeg():
                if self.opened.pop(command.leg_id, None) is not None:
                    closed = LegClosed(
                        at_ns=self.now_ns(), leg_id=command.leg_id, statistics=LegStatistics(rx_packets=1)
                    )
                    self.loop.call_soon(lambda: self.tell_media(closed))
            case Listen(early=False) if call is not None:
                self._listen(call, command)
            case Await() if call is not None:
                self._run_fallback(call, command.agent_wait_s)
            case Bridge():
                self.loop.call_later(0.001, lambda: self._bridge(command))
            case Play() if call is not None:
                self._play(call, command)
            case Unbridge() if call is not None:
                self._unbridge(command.leg_id, call)
            case Attend() | ConnectLeg():
                pass
            case _:
                pass

    def _listen(self, call: _Call, listen: Listen) -> None:
        behaviour = call.behaviour
        if behaviour.verdict is None:
            return

        again, call.listened = call.listened, True

        def decide() -> None:
            label = behaviour.second_verdict if again else behaviour.verdict
            if label is None:
                return
            greeted = label is not Verdict.SILENCE
            greeting_end_ns = self.now_ns() - int(behaviour.silence_s * 1e9) if greeted else 0
            live = label in (Verdict.HUMAN, Verdict.SILENCE, Verdict.UNKNOWN)
            self.tell_media(
                LegVerdict(
                    at_ns=self.now_ns(),
                    leg_id=call.place.leg_id,
                    label=label,
                    reason="test",
                    confidence=0.9,
                    provisional=live,
                    greeting_end_ns=greeting_end_ns,
                )
            )
            if live and listen.mode != "monitor":
                self._run_fallback(call, listen.agent_wait_s - (behaviour.silence_s if greeted else 0.0))
            for delay_s, kind in ((behaviour.beep_s, LegBeep), (behaviour.quiet_s, LegQuiet)):
                if label is Verdict.MACHINE and delay_s is not None:
                    self.later(call, delay_s, partial(self._tell_of_machine, call, kind))
            if behaviour.revised is not None:
                self.later(call, behaviour.revised_s, revise)

        def revise() -> None:
            assert behaviour.revised is not None
            self.tell_media(
                VerdictRevised(
                    at_ns=self.now_ns(),
                    leg_id=call.place.leg_id,
                    label=behaviour.revised,
                    reason="test",
                    confidence=0.9,
                )
            )

        self.later(call, behaviour.verdict_s, decide)

    def _tell_of_machine(self, call: _Call, kind: type) -> None:
        more = {"end_ns": self.now_ns()} if kind is LegBeep else {}
        self.tell_media(kind(at_ns=self.now_ns(), leg_id=call.place.leg_id, **more))

    def _play(self, call: _Call, play: Play) -> None:
        leg_id = call.place.leg_id
        self.played.append((self.now_ns(), play.prompts))
        self.later(
            call, MESSAGE_S,
            lambda: self.tell_media(PromptFinished(at_ns=self.now_ns(), leg_id=leg_id, play_id=play.play_id)),
        )  # fmt: skip

    def _run_fallback(self, call: _Call, wait_s: float) -> None:
        def fall_back() -> None:
            if call.bridged_to is None and call.place.leg_id in self.calls:
                call.fallback = True
                self.tell_media(FallbackStarted(at_ns=self.now_ns(), leg_id=call.place.leg_id))
                finished = PromptFinished(at_ns=self.now_ns(), leg_id=call.place.leg_id, play_id="fallback")
                self.later(call, MESSAGE_S, lambda: self.tell_media(finished))

        if call.fallback_timer is not None:
            call.fallback_timer.cancel()
        call.fallback_timer = self.loop.call_later(wait_s, fall_back)

    def _bridge(self, bridge: Bridge) -> None:
        call, agent = self.calls.get(bridge.leg_id), self.calls.get(bridge.agent_leg_id)
        reason = ""
        if (
            call is None
            or agent is None
            or bridge.leg_id not in self.opened
            or bridge.agent_leg_id not in self.opened
        ):
            reason = "gone"
        elif call.fallback:
            reason = "fallback"
        elif call.bridged_to or agent.bridged_to:
            reason = "busy"
        if reason or call is None or agent is None:
            self.tell_media(
                BridgeRefused(
                    at_ns=self.now_ns(), leg_id=bridge.leg_id, agent_leg_id=bridge.agent_leg_id, reason=reason
                )
            )
            return
        call.bridged_to, agent.bridged_to = bridge.agent_leg_id, bridge.leg_id
        if call.fallback_timer is not None:
            call.fallback_timer.cancel()
        self.tell_media(
            LegsBridged(at_ns=self.now_ns(), leg_id=bridge.leg_id, agent_leg_id=bridge.agent_leg_id)
        )
        self.later(call, call.behaviour.talk_s, lambda: self.end(bridge.leg_id, 200, EndedBy.FAR))

    def _unbridge(self, leg_id: LegId, call: _Call) -> None:
        partner = self.calls.get(call.bridged_to) if call.bridged_to else None
        if partner is not None and partner.bridged_to == leg_id:
            partner.bridged_to = None
        call.bridged_to = None
