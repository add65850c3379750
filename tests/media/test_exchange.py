"""What the process cannot be made to do from outside: faults of its own code, and a carrier's captured stream through a bridge."""

from __future__ import annotations

import itertools
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog.testing

from dialer_core.clock import SystemClock
from dialer_core.ipc.messages import Bridge, ConnectLeg, LegClosed, LegOpened, OpenLeg, SourcedEvent
from dialer_core.media.exchange import Exchange
from dialer_core.media.leg import Leg
from dialer_core.media.rtp import FRAME_NS
from dialer_core.media.sockets import PortPool
from dialer_core.vocabulary import LegId, LegKind
from tests.media.captures import read_udp
from tests.media.harness import FIRST_PORT, HEADER

pytestmark = pytest.mark.sip

CUSTOMER, AGENT = LegId("customer"), LegId("agent")


class Desk:
    """An exchange without a loop: the test is the loop and the clock of its ticks."""

    def __init__(self) -> None:
        self.events: list[SourcedEvent] = []
        self._epoll = select.epoll()
        pool = PortPool("127.0.0.1", FIRST_PORT, FIRST_PORT + 149)
        self.exchange = Exchange(self._epoll, pool, "127.0.0.1", {}, self.events.append, SystemClock())
        self.far = {leg_id: socket.socket(type=socket.SOCK_DGRAM) for leg_id in (CUSTOMER, AGENT)}
        for leg_id, far in self.far.items():
            far.bind(("127.0.0.1", 0))
            far.setblocking(False)
            kind = LegKind.CUSTOMER if leg_id == CUSTOMER else LegKind.AGENT
            self.exchange.apply(OpenLeg(leg_id=leg_id, kind=kind))
            port = far.getsockname()[1]
            self.exchange.apply(ConnectLeg(leg_id=leg_id, host="127.0.0.1", port=port, codec="PCMA"))

    def leg(self, leg_id: LegId) -> Leg:
        """The leg itself."""
        return self.exchange._legs[leg_id]

    def heard(self, leg_id: LegId) -> list[bytes]:
        """What has come to a far end."""
        packets = []
        while True:
            try:
                packets.append(self.far[leg_id].recv(2048))
            except BlockingIOError:
                return packets

    def close(self) -> None:
        """End everything."""
        self.exchange.close()
        self._epoll.close()
        for far in self.far.values():
            far.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Two connected legs."""
    desk = Desk()
    yield desk
    desk.close()


def test_a_fault_in_one_leg_ends_that_leg_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """When our own code fails on a leg it is closed and told, its partner hears silence, and every other leg goes on."""
    desk.exchange.apply(Bridge(leg_id=CUSTOMER, agent_leg_id=AGENT, connect_tone=""))
    healthy = Leg.tick

    def faulty(leg: Leg, now_ns: int) -> object:
        if leg.leg_id == CUSTOMER:
            raise RuntimeError("a fault of ours")
        return healthy(leg, now_ns)

    monkeypatch.setattr(Leg, "tick", faulty)
    now_ns = SystemClock().mono_ns()
    with structlog.testing.capture_logs() as logs:
        for n in range(3):
            desk.exchange.pace(now_ns + n * FRAME_NS, now_ns)
    assert [(line["event"], line["leg_id"]) for line in logs] == [("leg_fault", CUSTOMER)]
    assert [e.leg_id for e in desk.events if isinstance(e, LegClosed)] == [CUSTOMER]
    assert [data[12:] for data in desk.heard(AGENT)] == [b"\xd5" * 160] * 3
    assert desk.leg(AGENT).partner is None


@pytest.mark.needs_shared
def test_a_carriers_stream_with_comfort_noise_and_digits_stays_continuous(
    desk: Desk, shared_data: Path
) -> None:
    """A captured carrier's 10 ms packets go on without a gap over 163 of comfort noise and 3 of telephone-event that are not for the agent."""
    capture = shared_data / "sip_rtp_pcaps" / "ndpi" / "FAX-Call-t38-CA-TDM-SIP-FB-1.pcap"
    flow = [d for d in read_udp(capture) if d.flow == "10.23.1.52:16756->10.35.60.100:15580"]
    desk.exchange.apply(Bridge(leg_id=CUSTOMER, agent_leg_id=AGENT, connect_tone=""))
    customer, received = desk.leg(CUSTOMER), []
    source = desk.far[CUSTOMER].getsockname()
    start_ns = SystemClock().mono_ns()
    due_ns = start_ns
    for datagram in flow:
        now_ns = start_ns + datagram.at_ns - flow[0].at_ns
        while due_ns <= now_ns:
            desk.exchange.pace(due_ns, due_ns)
            due_ns += FRAME_NS
        customer.receive(datagram.data, source, now_ns)
        received += desk.heard(AGENT)
    packets = [(HEADER.unpack_from(data), data[12:]) for data in received]
    for (before, sound), (after, _) in itertools.pairwise(packets):
        assert (after[2] - before[2]) & 0xFFFF == 1
        assert len(sound) <= (after[3] - before[3]) & 0xFFFFFFFF < 80_000
    assert {head[1] & 0x7F for head, _ in packets} == {8}
    sent_on = [sound for _, sound in packets if sound != b"\xd5" * 160]
    theirs = [d.data[12:] for d in flow if d.data[1] & 0x7F == 8]
    assert len(theirs) == 1005
    assert sent_on == theirs[: len(sent_on)]
    assert len(sent_on) == len(theirs)
    assert customer.totals().rx_packets == 1171
    assert customer.totals().rx_lost == 0
    assert [e.port % 2 for e in desk.events if isinstance(e, LegOpened)] == [0, 0]
