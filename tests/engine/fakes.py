"""Workers, media plane and far ends in one, over virtual time: what each dialed number does is a `Behaviour`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from dialer_core.ipc.messages import (
    Await,
    Bridge,
    BridgeRefused,
    CloseLeg,
    ConnectLeg,
    Dialog,
    DumpState,
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
    LegSnapshot,
    LegStatistics,
    LegVerdict,
    Listen,
    MediaLegSnapshot,
    MediaState,
    OpenLeg,
    Place,
    Play,
    Probe,
    ProbeResult,
    PromptFinished,
    Unbridge,
    VerdictRevised,
    WorkerHealth,
    WorkerState,
)
from dialer_core.vocabulary import EndedBy, LegId, LegKind, Verdict, WorkerId
from tests.engine.hearing import HeldHearing
from tests.engine.held import Behaviour, HeldCall, HeldSound
from tests.engine.playing import MESSAGE_S, play_prompts

if TYPE_CHECKING:
    from tests.engine.mortal import Life
    from tests.engine.virtual import Floor


class FakeCarrier:
    """Workers, media plane and far ends in one: answers the call loop's commands as the real ones would, over virtual time."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.by_suffix: dict[str, Behaviour] = {}
        self.default = Behaviour()
        self.by_extension: dict[str, Behaviour] = {}
        self.by_agent: dict[str, Behaviour] = {}
        """What softphones do that do not answer at once."""
        self.calls: dict[LegId, HeldCall] = {}
        self.opened: dict[LegId, HeldSound] = {}
        self.hearing = HeldHearing(self.opened)
        self.closed: list[MediaLegSnapshot] = []
        self.recent_ends: dict[WorkerId, list[LegSnapshot]] = {}
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
        self.kept: list[tuple[WorkerId | None, Callable[[], None]]] = []
        """What was said while there was no engine."""
        self.orphans: dict[str, LegId] = {}
        """Answered calls whose worker died and that nobody has ended yet, by Call-ID."""
        self.orphan_byes: list[str] = []
        self.mute_workers: set[WorkerId] = set()
        """Workers that hang: they say nothing."""
        self.full_workers: set[WorkerId] = set()
        self.worker_of: dict[LegId, WorkerId] = {}
        self.draining: set[WorkerId] = set()
        """Workers that want to leave."""
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

    def later(self, call: HeldCall | None, delay_s: float, action: Callable[[], None]) -> asyncio.TimerHandle:
        """Do something later, unless the call has ended by then."""
        handle = self.loop.call_later(delay_s, action)
        if call is not None:
            call.timers.append(handle)
        return handle

    def behave(self) -> Behaviour:
        """Return what a number without a behaviour of its own does."""
        return self.default

    # --- worker side -----------------------------------------------------------------------------------------------

    def to_worker(self, worker: WorkerId, command: object) -> None:
        """Take a command for a worker."""
        self.hearing.take(command)
        match command:
            case Place():
                self._place(worker, command)
            case Hangup():
                self.loop.call_later(0.002, lambda: self.end(command.leg_id, 487, EndedBy.US))
            case DumpState() if worker in self.mute_workers:
                pass
            case DumpState():
                legs = tuple(call.snapshot() for call in self.calls.values() if call.worker == worker)
                state = WorkerState(
                    at_ns=self.now_ns(), legs=legs, recent_ends=tuple(self.recent_ends.get(worker, ()))
                )
                self.loop.call_soon(lambda: self.tell_worker(worker, state))
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
        self._tell(
            worker,
            event,
            lambda life: life is self.floor.life and self.floor.engine.workers.receive(worker, event),
        )

    def tell_media(self, event: Any) -> None:
        """Say something as the media plane."""
        self._tell(
            None, event, lambda life: life is self.floor.life and self.floor.engine.media.receive(event)
        )

    def tell_kept(self, source: WorkerId | None) -> None:
        """Say what was kept while no engine was there; one that dies takes some of it along, unread."""
        kept, self.kept = self.kept, []
        for name, say in kept:
            if name == source:
                say()
            else:
                self.kept.append((name, say))

    def forget_worker(self, name: WorkerId) -> None:
        """A worker is dead: its legs are gone, and so is what it remembered."""
        for leg_id in [leg for leg, call in self.calls.items() if call.worker == name]:
            call = self.calls.pop(leg_id)
            for timer in [*call.timers, *([call.fallback_timer] if call.fallback_timer else [])]:
                timer.cancel()
            if call.answered_ns:
                self.orphans[leg_id] = leg_id
        self.recent_ends.pop(name, None)
        self.kept = [(source, say) for source, say in self.kept if source != name]

    def forget_sound(self) -> None:
        """The media plane is dead: its legs are gone, and so is what it remembered."""
        self.opened, self.closed = {}, []
        self.kept = [(source, say) for source, say in self.kept if source is not None]

    def end_orphan(self, dialog: Dialog) -> None:
        """Take a BYE that somebody else than the worker sent."""
        self.orphan_byes.append(dialog.call_id)
        self.orphans.pop(dialog.call_id, None)

    def _tell(self, source: WorkerId | None, event: Any, say: Callable[[Life], object]) -> None:
        life = self.floor.life
        if type(event) in self.hold_back:
            self.held.append(lambda: say(life))
        elif life.alive:
            say(life)
        elif not isinstance(event, WorkerHealth | WorkerState | MediaState):
            self.kept.append((source, lambda: say(self.floor.life)))

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
        if place.kind is LegKind.EXTENSION:
            behaviour = self.by_extension.get(place.owner, Behaviour(final_s=2.0))
        elif place.kind is LegKind.AGENT:
            behaviour = self.by_agent.get(place.owner, Behaviour(progress_s=None, final_s=0.05))
        else:
            behaviour = self.by_suffix.get(user[-2:]) or self.behave()
        code = self.trunk_codes.get(host.partition(":")[0], 0)
        if code is None:
            behaviour = Behaviour(progress_s=None, final_s=None)
        elif code:
            behaviour = Behaviour(progress_s=None, final_s=0.02, code=code)
        call = HeldCall(place, worker, behaviour)
        self.calls[place.leg_id] = call
        self.worker_of[place.leg_id] = worker
        leg_id = place.leg_id
        self.later(call, 0.002, lambda: self._sent(call))
        if behaviour.progress_s is not None:
            self.later(call, 0.002 + behaviour.progress_s, lambda: self._progress(call))
        elif behaviour.final_s is None:
            self.later(call, place.progress_limit_s, lambda: self.end(leg_id, 408, EndedBy.LIMIT))
        if behaviour.final_s is not None:
            self.later(call, 0.004 + behaviour.final_s, lambda: self._final(call))
        self.later(call, place.ring_limit_s, lambda: self._ring_limit(call))

    def _sent(self, call: HeldCall) -> None:
        leg_id, call.sent_ns = call.place.leg_id, self.now_ns()
        sent = LegSent(at_ns=call.sent_ns, leg_id=leg_id, call_id=leg_id)
        self.tell_worker(call.worker, sent)

    def _progress(self, call: HeldCall) -> None:
        leg_id, call.ringing_ns = call.place.leg_id, self.now_ns()
        if call.behaviour.early:
            self._negotiated(call)
        early = call.behaviour.early
        self.tell_worker(
            call.worker,
            LegProvisional(at_ns=self.now_ns(), leg_id=leg_id, code=183 if early else 180, early_sdp=early),
        )

    def _negotiated(self, call: HeldCall) -> None:
        call.negotiated = LegNegotiated(
            at_ns=self.now_ns(),
            leg_id=call.place.leg_id,
            host="127.0.0.1",
            port=40000,
            codec="PCMU",
            dtmf_pt=101,
        )
        self.tell_worker(call.worker, call.negotiated)

    def _final(self, call: HeldCall) -> None:
        leg_id, behaviour = call.place.leg_id, call.behaviour
        if behaviour.code != 200:
            self.end(leg_id, behaviour.code, EndedBy.FAR, q850=behaviour.q850)
            return
        call.answered_ns = self.now_ns()
        self._negotiated(call)
        dialog = call.dialog = Dialog(
            call_id=leg_id, local_uri="sip:a@b", local_tag="1", remote_uri="sip:c@d", remote_tag="2",
            remote_target="sip:c@d",
        )  # fmt: skip
        self.tell_worker(call.worker, LegAnswered(at_ns=self.now_ns(), leg_id=leg_id, dialog=dialog))
        if behaviour.patience_s is not None:
            self.later(call, behaviour.patience_s, lambda: self._lose_patience(call))

    def _lose_patience(self, call: HeldCall) -> None:
        if not self._partner(call.place.leg_id):
            self.end(call.place.leg_id, 200, EndedBy.FAR)

    def _partner(self, leg_id: LegId) -> LegId | None:
        sound = self.opened.get(leg_id)
        return sound.bridged_to if sound else None

    def _ring_limit(self, call: HeldCall) -> None:
        if not call.answered_ns:
            self.end(call.place.leg_id, 487, EndedBy.LIMIT)

    def end(self, leg_id: LegId, code: int, by: EndedBy, *, q850: int = 0) -> None:
        """End a leg, once."""
        call = self.calls.pop(leg_id, None)
        if call is None:
            return
        for timer in [*call.timers, *([call.fallback_timer] if call.fallback_timer else [])]:
            timer.cancel()
        self.ended.append(call.place.to_uri)
        ended = LegEnded(at_ns=self.now_ns(), leg_id=leg_id, code=code, by=by, q850=q850)
        self.recent_ends.setdefault(call.worker, []).append(call.snapshot(ended))
        self.tell_worker(call.worker, ended)
        self.tell_worker(
            call.worker,
            WorkerHealth(
                at_ns=self.now_ns(),
                slots_used=self._slots(call.worker),
                capacity=4,
                lag_ms=0,
                rss_mb=10,
                draining=call.worker in self.draining,
            ),
        )

    def _slots(self, worker: WorkerId) -> int:
        return sum(call.worker == worker for call in self.calls.values())

    # --- media side ------------------------------------------------------------------------------------------------

    def send(self, command: object) -> None:
        """Take a command for the media plane."""
        self.hearing.take(command)
        leg_id: LegId | None = getattr(command, "leg_id", None)
        call = self.calls.get(leg_id) if leg_id else None
        match command:
            case DumpState():
                legs = tuple(self.hearing.snapshot(leg_id, sound) for leg_id, sound in self.opened.items())
                state = MediaState(at_ns=self.now_ns(), legs=legs, recent_ends=tuple(self.closed))
                self.loop.call_soon(lambda: self.tell_media(state))
            case OpenLeg():
                self._port += 2
                port = command.port or self._port
                sound = self.opened.setdefault(command.leg_id, HeldSound(command.kind, port))
                opened = LegOpened(
                    at_ns=self.now_ns(), leg_id=command.leg_id, host="127.0.0.1", port=sound.port
                )
                self.loop.call_soon(lambda: self.tell_media(opened))
            case CloseLeg():
                self._close(command.leg_id)
            case ConnectLeg():
                if command.leg_id in self.opened:
                    self.opened[command.leg_id].connected = command
            case Listen(early=False) if call is not None:
                self._listen(call, command)
            case Await() if call is not None:
                self._unbridge(command.leg_id)
                self._run_fallback(call, command.agent_wait_s)
            case Bridge():
                self.loop.call_later(0.001, lambda: self._bridge(command))
            case Play() if call is not None:
                play_prompts(self, call, command)
            case Unbridge():
                self._unbridge(command.leg_id)
            case _:
                pass

    def _close(self, leg_id: LegId) -> None:
        sound = self.opened.get(leg_id)
        if sound is None:
            return
        if sound.kind is LegKind.CUSTOMER:
            self.closed = [*self.closed[-255:], sound.snapshot(leg_id)]
        self._unbridge(leg_id)
        del self.opened[leg_id]
        closed = LegClosed(at_ns=self.now_ns(), leg_id=leg_id, kind=sound.kind, statistics=LegStatistics(rx_packets=1))  # fmt: skip
        self.loop.call_soon(lambda: self.tell_media(closed))

    def _listen(self, call: HeldCall, listen: Listen) -> None:
        behaviour, sound = call.behaviour, self.opened.get(call.place.leg_id)
        if behaviour.verdict is None or sound is None or sound.listening:
            return
        sound.listening = True
        again = sound.verdict is not None

        def decide() -> None:
            label = behaviour.second_verdict if again else behaviour.verdict
            if label is None:
                return
            greeted = label is not Verdict.SILENCE
            greeting_end_ns = self.now_ns() - int(behaviour.silence_s * 1e9) if greeted else 0
            live = label in (Verdict.HUMAN, Verdict.SILENCE, Verdict.UNKNOWN)
            if self.opened.get(call.place.leg_id) is not sound:
                return  # that media plane is dead
            sound.verdict = LegVerdict(
                at_ns=self.now_ns(),
                leg_id=call.place.leg_id,
                label=label,
                reason="test",
                confidence=0.9,
                provisional=live,
                greeting_end_ns=greeting_end_ns,
            )
            sound.listening = live
            if live and listen.mode != "monitor":  # in the same tick, before anybody can answer
                self._run_fallback(call, listen.agent_wait_s - (behaviour.silence_s if greeted else 0.0))
            self.tell_media(sound.verdict)
            for delay_s, kind in ((behaviour.beep_s, LegBeep), (behaviour.quiet_s, LegQuiet)):
                if label is Verdict.MACHINE and delay_s is not None:
                    self.later(call, delay_s, partial(self._tell_of_machine, call, kind))
            if behaviour.revised is not None:
                self.later(call, behaviour.revised_s, revise)

        def revise() -> None:
            assert behaviour.revised is not None
            if self.opened.get(call.place.leg_id) is not sound or sound.verdict is None:
                return
            sound.verdict = replace(sound.verdict, label=behaviour.revised)
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

    def _tell_of_machine(self, call: HeldCall, kind: type) -> None:
        more = {"end_ns": self.now_ns()} if kind is LegBeep else {}
        self.tell_media(kind(at_ns=self.now_ns(), leg_id=call.place.leg_id, **more))

    def _run_fallback(self, call: HeldCall, wait_s: float) -> None:
        leg_id = call.place.leg_id
        sound = self.opened.get(leg_id)
        if sound is None or sound.bridged_to or sound.fallback_ns:
            return

        def fall_back() -> None:
            if sound.bridged_to is None and self.opened.get(leg_id) is sound:
                sound.fallback_ns, sound.wait_until_ns = self.now_ns(), 0
                sound.play_id, sound.playing = "fallback", True
                self.tell_media(FallbackStarted(at_ns=self.now_ns(), leg_id=leg_id))
                self.loop.call_later(MESSAGE_S, finish)

        def finish() -> None:
            if self.opened.get(leg_id) is sound:
                sound.playing = False
                self.tell_media(PromptFinished(at_ns=self.now_ns(), leg_id=leg_id, play_id="fallback"))

        if call.fallback_timer is not None:
            call.fallback_timer.cancel()
        sound.wait_until_ns = self.now_ns() + int(max(0.0, wait_s) * 1e9)
        call.fallback_timer = self.loop.call_later(wait_s, fall_back)

    def _bridge(self, bridge: Bridge) -> None:
        customer, agent = self.opened.get(bridge.leg_id), self.opened.get(bridge.agent_leg_id)
        call = self.calls.get(bridge.leg_id)
        reason = ""
        if customer is None or agent is None:
            reason = "gone"
        elif customer.fallback_ns:
            reason = "fallback"
        elif customer.bridged_to != bridge.agent_leg_id and (customer.bridged_to or agent.bridged_to):
            reason = "busy"
        if reason or customer is None or agent is None:
            refused = BridgeRefused(
                at_ns=self.now_ns(), leg_id=bridge.leg_id, agent_leg_id=bridge.agent_leg_id, reason=reason
            )
            self.tell_media(refused)
            return
        new = customer.bridged_to is None
        if new:
            customer.bridged_to, agent.bridged_to = bridge.agent_leg_id, bridge.leg_id
            customer.bridged_ns = agent.bridged_ns = self.now_ns()
            customer.wait_until_ns = 0
        if call is not None and call.fallback_timer is not None:
            call.fallback_timer.cancel()
        self.tell_media(
            LegsBridged(at_ns=self.now_ns(), leg_id=bridge.leg_id, agent_leg_id=bridge.agent_leg_id)
        )
        if new and call is not None and not call.talking:
            call.talking = True
            self.later(call, call.behaviour.talk_s, lambda: self.end(bridge.leg_id, 200, EndedBy.FAR))

    def _unbridge(self, leg_id: LegId) -> None:
        sound = self.opened.get(leg_id)
        self.hearing.forget(leg_id, sound.bridged_to if sound else None)
        partner = self.opened.get(sound.bridged_to) if sound and sound.bridged_to else None
        if partner is not None:
            partner.bridged_to = None
        if sound is not None:
            sound.bridged_to = None
