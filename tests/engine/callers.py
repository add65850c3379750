"""A fake carrier by which people call us too: workers that take calls, and callers who wait, press digits and hang up."""

from __future__ import annotations

from msgspec.structs import replace

from dialer_core.call_loop import CallLoop
from dialer_core.ipc.messages import (
    Answer,
    DumpState,
    Expect,
    ExpectedLeg,
    LegDigit,
    LegIncoming,
    LegSnapshot,
    Place,
    SipIdentity,
    WorkerState,
)
from dialer_core.vocabulary import AgentId, EndedBy, LegId, LegKind, WorkerId
from tests.engine.fakes import FakeCarrier
from tests.engine.held import Behaviour, HeldCall
from tests.engine.virtual import Floor

OUR_NUMBER = "+525512340000"
INBOUND = WorkerId("inbound-0")


class CallerCarrier(FakeCarrier):
    """Callers as well."""

    def __init__(self, floor: Floor) -> None:
        super().__init__(floor)
        self.expected: dict[WorkerId, list[ExpectedLeg]] = {}
        self.arrivals: dict[LegId, LegIncoming] = {}
        self.callers: list[LegId] = []
        """Everybody who has called, in order."""

    def to_worker(self, worker: WorkerId, command: object) -> None:
        """Take a command for a worker."""
        match command:
            case Expect(legs=legs):
                self.expected[worker] = [leg for leg in legs if leg.leg_id not in self.calls]
            case Answer(leg_id=leg_id) if leg_id in self.calls and not self.calls[leg_id].answered_ns:
                self.loop.call_later(0.002, lambda: leg_id in self.calls and self._final(self.calls[leg_id]))
            case DumpState() if worker in self.expected:
                legs = tuple(self._told_of(call) for call in self.calls.values() if call.worker == worker)
                state = WorkerState(
                    at_ns=self.now_ns(), legs=legs, recent_ends=tuple(self.recent_ends.get(worker, ()))
                )
                self.loop.call_soon(lambda: self.tell_worker(worker, state))
            case _:
                super().to_worker(worker, command)

    def call_in(
        self,
        caller: str,
        *,
        talk_s: float = 30.0,
        patience_s: float | None = None,
        worker: WorkerId = INBOUND,
    ) -> LegId:
        """Let somebody call our number; return their leg. They hang up after `talk_s` with an agent, or without one after `patience_s`."""
        offered = self.expected[worker].pop(0)
        place = Place(
            leg_id=offered.leg_id, kind=LegKind.CUSTOMER, to_uri="in", identity=SipIdentity(from_uri=""), media_host="", media_port=offered.media_port
        )  # fmt: skip
        self.calls[place.leg_id] = HeldCall(place, worker, Behaviour(talk_s=talk_s, patience_s=patience_s))
        self.worker_of[place.leg_id] = worker
        arrival = LegIncoming(
            at_ns=self.now_ns(), leg_id=place.leg_id, call_id=place.leg_id, number=OUR_NUMBER.removeprefix("+"), caller=caller, trunk="carrier"
        )  # fmt: skip
        self.arrivals[place.leg_id] = arrival
        self.callers.append(place.leg_id)
        self.tell_worker(worker, arrival)
        return place.leg_id

    def press(self, leg_id: LegId, digit: str) -> None:
        """Let a caller press a digit."""
        self.tell_media(LegDigit(at_ns=self.now_ns(), leg_id=leg_id, digit=digit))

    def hang_up(self, leg_id: LegId) -> None:
        """Let a caller hang up."""
        self.end(leg_id, 200, EndedBy.FAR)

    def _told_of(self, call: HeldCall) -> LegSnapshot:
        return replace(call.snapshot(), arrival=self.arrivals.get(call.place.leg_id))


def take_calls(floor: Floor, workers: int = 1) -> CallerCarrier:
    """Give a floor that has not started workers that take calls; return its carrier."""
    floor.carrier = carrier = CallerCarrier(floor)
    floor.worker_names += [WorkerId(f"inbound-{index}") for index in range(workers)]
    return carrier


def talking(engine: CallLoop) -> list[tuple[AgentId, LegId]]:
    """Return which agent talks to which caller."""
    return [(agent.id, call.leg_id) for agent, call in engine.inbound.talks()]
