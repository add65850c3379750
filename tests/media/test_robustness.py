"""What strangers, a bad network and a dead engine do to the media plane: nothing that a caller would hear."""

from __future__ import annotations

import itertools
import random
import socket
from functools import partial

import pytest

from dialer_core.ipc.messages import (
    Bridge,
    CloseLeg,
    ConnectLeg,
    LegClosed,
    LegOpened,
    LegRtpBack,
    LegRtpLost,
    Listen,
    MediaHealth,
    OpenLeg,
    Play,
    Unbridge,
)
from dialer_core.vocabulary import DetectionMode, LegId, LegKind, new_id
from tests.media.harness import HEADER, PCMU, SILENCE, Engine, Plane, assert_one_stream
from tests.polling import wait_until

pytestmark = pytest.mark.sip


def test_strangers_are_counted_and_heard_by_nobody(plane: Plane) -> None:
    """RTP from any other source than the negotiated one reaches nobody, whatever it claims to be (I13)."""
    customer, agent = plane.pair()
    plane.bridge(customer, agent)
    customer.far.speak()
    agent.far.wait_for(10)
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        for i in range(30):
            forged = HEADER.pack(
                0x80, 0, (customer.far.sequence0 + 500 + i) & 0xFFFF, 999_000 + i * 160, customer.far.ssrc
            )
            stranger.sendto(forged + b"\x55" * 160, ("127.0.0.1", customer.port))
        agent.far.wait_for(15)
    assert not any(p.payload[0] == 0x55 for p in agent.far.packets)
    assert plane.close(customer).statistics.rx_refused == 30


def test_a_flood_of_strangers_is_shut_out_and_the_talk_goes_on(plane: Plane) -> None:
    """30,000 packets of a stranger at a bridged leg's port: after the first ones the kernel keeps them out, and the talk loses nothing.

    A far end that then moves is still heard: the door is where the negotiation says.
    """
    customer, agent = plane.pair()
    plane.bridge(customer, agent)
    customer.far.speak()
    agent.far.wait_for(10)
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        for _ in range(30):
            for _ in range(1000):
                stranger.sendto(HEADER.pack(0x80, 0, 1, 1, 1) + b"\x55" * 160, ("127.0.0.1", customer.port))
            agent.far.wait_for(2)
    agent.far.wait_for(20)
    assert not any(p.payload[0] == 0x55 for p in agent.far.packets)
    customer.far.hush()
    with socket.socket(type=socket.SOCK_DGRAM) as moved:
        moved.bind(("127.0.0.1", 0))
        host, port = moved.getsockname()
        plane.engine.send(ConnectLeg(leg_id=customer.leg_id, host=host, port=port, codec="PCMU"))
        plane.engine.dump()  # in order: the command has been done
        for i in range(10):
            moved.sendto(HEADER.pack(0x80, 0, i, i * 160, 77) + b"\x66" * 160, ("127.0.0.1", customer.port))
        wait_until(
            lambda: any(p.payload[0] == 0x66 for p in agent.far.packets), 5.0, "the moved far end to be heard"
        )
    statistics = plane.close(customer).statistics
    assert 50 <= statistics.rx_refused < 25_000


def test_latching_takes_the_first_source_and_keeps_it(plane: Plane) -> None:
    """With `latch` the first valid source becomes the far end, is answered there, and no later one replaces it."""
    leg_id = LegId(new_id())
    plane.engine.send(OpenLeg(leg_id=leg_id, kind=LegKind.CUSTOMER))
    opened = plane.engine.wait(LegOpened, leg_id=leg_id)
    plane.engine.send(ConnectLeg(leg_id=leg_id, host="192.0.2.1", port=9, codec="PCMU", latch=True))
    near, second = plane.far_end(whose=1), plane.far_end(whose=2)
    for far in (near, second):
        far.aim(opened.port)
    near.send_raw(b"not RTP at all")
    near.speak()
    near.wait_for(5)
    second.speak()
    near.wait_for(15)
    assert not second.packets
    assert plane.engine.dump()[leg_id].connected is not None
    plane.engine.send(CloseLeg(leg_id=leg_id))
    statistics = plane.engine.wait(LegClosed).statistics
    assert statistics.rx_refused >= 10
    assert statistics.rx_packets >= 15


def test_early_packets_before_the_answer_are_not_heard(plane: Plane) -> None:
    """Sound that comes before the far end is known is refused."""
    leg_id = LegId(new_id())
    plane.engine.send(OpenLeg(leg_id=leg_id, kind=LegKind.CUSTOMER))
    opened = plane.engine.wait(LegOpened, leg_id=leg_id)
    far = plane.far_end()
    far.aim(opened.port)
    for frame in range(4):
        far.send(frame)
    plane.engine.dump()
    plane.engine.send(CloseLeg(leg_id=leg_id))
    statistics = plane.engine.wait(LegClosed).statistics
    assert (statistics.rx_packets, statistics.rx_refused) == (0, 4)


def test_lost_doubled_and_overtaken_packets(plane: Plane) -> None:
    """A gap of the source stays a gap, a double goes on once, and what was overtaken takes its own place."""
    customer, agent = plane.pair()
    plane.bridge(customer, agent)
    order = [0, 1, 2, 4, 3, 3, 5, 7, 8, 8, 9, 12, 11, 10, 13]
    customer.far.perform([partial(customer.far.send, frame) for frame in order])
    agent.far.wait_for(5)
    heard = [p for p in agent.far.packets if p.payload != SILENCE[PCMU]]
    assert [p.payload[3] for p in heard] == [0, 1, 2, 4, 3, 5, 7, 8, 9, 12, 11, 10, 13]
    for packet in heard:
        frame = packet.payload[3]
        assert (packet.sequence - heard[0].sequence) & 0xFFFF == frame
        assert (packet.timestamp - heard[0].timestamp) & 0xFFFF_FFFF == frame * 160
    statistics = plane.close(customer).statistics
    assert (statistics.rx_lost, statistics.rx_late, statistics.rx_duplicate) == (1, 3, 2)
    assert statistics.rx_packets == 13


def test_a_source_that_restarts_or_jumps_stays_one_stream(plane: Plane) -> None:
    """Another SSRC, or a wild sequence and timestamp, is anchored anew: the partner never sees sequence or timestamp go back."""
    customer, agent = plane.pair()
    plane.bridge(customer, agent)
    far = customer.far
    for ssrc, sequence, timestamp in [
        (1, 100, 5_000),
        (2, 30_000, 4_000_000_000),
        (2, 50, 77),
        (3, 65_530, 2**32 - 320),
    ]:
        far.ssrc, far.sequence0, far.timestamp0 = ssrc, sequence, timestamp
        far.perform([partial(far.send, frame) for frame in range(10)])
    packets = agent.far.packets[:]
    for before, after in itertools.pairwise(packets):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        assert 0 < (after.timestamp - before.timestamp) & 0xFFFF_FFFF < 8000
    heard = [p for p in packets if p.payload != SILENCE[PCMU]]
    # the jump under one SSRC costs the packet that announces it (RFC 3550 A.1)
    assert len(heard) == 39


def test_nonsense_never_stops_the_loop(plane: Plane) -> None:
    """Random bytes, cut and bent RTP and RTCP from the far end and commands for unknown legs leave the plane at work."""
    customer, agent = plane.pair(dtmf_pt=101)
    plane.bridge(customer, agent)
    random_ = random.Random(7)
    rtcp_port = customer.port + 1
    for n in range(1500):
        data = random_.randbytes(random_.randrange(0, 200))
        if n % 3:
            first = random_.choice([0x80, 0x90, 0xA0, 0xB0, 0x8F, 0xBF])
            second = random_.choice([0, 8, 13, 101, 120, 200, 201, 203, 128])
            data = bytes((first, second)) + data
        customer.far.send_raw(data)
        customer.far.rtcp.sendto(data, ("127.0.0.1", rtcp_port))
    nobody = LegId("nobody")
    plane.engine.send(
        Unbridge(leg_id=nobody),
        Play(leg_id=nobody, prompts=("connect",)),
        CloseLeg(leg_id=nobody),
        Listen(leg_id=nobody, mode=DetectionMode.FAST),
        Bridge(leg_id=nobody, agent_leg_id=nobody),
        ConnectLeg(leg_id=customer.leg_id, host="a.name.example", port=5, codec="PCMU"),
        ConnectLeg(leg_id=customer.leg_id, host="127.0.0.1", port=70_000, codec="PCMU"),
        ConnectLeg(leg_id=customer.leg_id, host="127.0.0.1", port=customer.far.port, codec="OPUS"),
    )
    customer.far.ssrc = 99
    customer.far.speak()
    wait_until(
        lambda: sum(p.payload[:1] == b"\x01" and len(p.payload) == 160 for p in agent.far.packets[-20:]) > 15,
        5,
        "the customer's sound again",
    )
    assert plane.process.poll() is None


def test_a_far_end_that_is_gone_costs_nothing(plane: Plane) -> None:
    """Sending to a closed port (ICMP unreachable) disturbs neither the loop nor the other legs."""
    customer, agent = plane.pair()
    with socket.socket(type=socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    plane.connect(customer, port=port)
    plane.bridge(customer, agent)
    agent.far.speak()
    agent.far.wait_for(60)
    assert_one_stream(agent.far.packets[:])


def test_a_silent_agent_is_noticed_and_a_returning_one_too(plane: Plane) -> None:
    """An agent's leg without RTP for two seconds is told once, and once more when it sends again; a waiting customer's is not."""
    customer, agent = plane.pair()
    agent.far.speak()
    agent.far.wait_for(5)
    agent.far.hush()
    lost = plane.engine.wait(LegRtpLost, timeout_s=6)
    assert lost.leg_id == agent.leg_id
    assert lost.silent_s >= 2.0
    agent.far.speak()
    plane.engine.wait(LegRtpBack, leg_id=agent.leg_id)
    assert len(plane.engine.all(LegRtpLost)) == 1
    assert customer.far.packets


def test_a_dead_engine_leaves_the_talk_alone(plane: Plane) -> None:
    """Without an engine the relay goes on; the next engine gets the hello, what happened meanwhile, and the true state."""
    customer, agent = plane.pair()
    waiting = plane.leg(LegKind.AGENT, whose=3)
    plane.bridge(customer, agent)
    for leg in (customer, agent):
        leg.far.speak()
    customer.far.wait_for(5)
    boot = plane.engine.hello.boot
    plane.engine.close()
    begin = len(agent.far.packets)
    # the silent third leg is reported lost while nobody is attached
    agent.far.wait_for(120)
    heard = [p.payload for p in agent.far.packets[begin:]]
    assert all(payload[0] == 1 for payload in heard)
    plane.engine = Engine(plane.socket_path)
    assert plane.engine.events[0] is plane.engine.hello
    assert plane.engine.hello.boot == boot
    plane.engine.wait(LegRtpLost, leg_id=waiting.leg_id)
    state = plane.engine.dump()
    assert state[customer.leg_id].bridged_to == agent.leg_id
    assert state[agent.leg_id].bridged_to == customer.leg_id
    assert state[customer.leg_id].connected == ConnectLeg(
        leg_id=customer.leg_id, host="127.0.0.1", port=customer.far.port, codec="PCMU"
    )
    assert (state[waiting.leg_id].kind, state[waiting.leg_id].port) == (LegKind.AGENT, waiting.port)
    assert_one_stream(agent.far.packets[:])


def test_a_newer_engine_replaces_the_older(plane: Plane) -> None:
    """A second engine takes over at once, and the first is told by its connection's end."""
    older = plane.engine
    plane.engine = Engine(plane.socket_path)
    wait_until(lambda: not older.pump(), 5, "the older connection's end")
    older.close()
    assert plane.leg(LegKind.CUSTOMER).port


def test_an_engine_that_breaks_the_protocol_is_cut_off(plane: Plane) -> None:
    """Bytes that are no command end that connection and nothing else."""
    plane.engine._socket.sendall(b"\0\0\0\x03abc")
    wait_until(lambda: not plane.engine.pump(), 5, "the connection's end")
    plane.engine.close()
    plane.engine = Engine(plane.socket_path)
    assert plane.leg(LegKind.CUSTOMER).port


def test_ports_are_even_asked_for_and_free_again(plane: Plane) -> None:
    """A leg gets an even port, may ask for one, is told when it is taken, and opening it twice changes nothing."""
    first = plane.leg(LegKind.CUSTOMER)
    assert first.port % 2 == 0
    plane.engine.send(OpenLeg(leg_id=LegId("again"), kind=LegKind.CUSTOMER, port=first.port))
    refused = plane.engine.wait(LegOpened, leg_id="again")
    assert refused.port == 0
    assert str(first.port) in refused.error
    before = len(plane.engine.all(LegOpened))
    plane.engine.send(OpenLeg(leg_id=first.leg_id, kind=LegKind.CUSTOMER))
    wait_until(lambda: len(plane.engine.all(LegOpened)) > before, 5, "the answer")
    assert plane.engine.all(LegOpened)[-1].port == first.port
    plane.close(first)
    plane.engine.send(OpenLeg(leg_id=LegId("later"), kind=LegKind.CUSTOMER, port=first.port))
    assert plane.engine.wait(LegOpened, leg_id="later").port == first.port


def test_health_is_told_each_second(plane: Plane) -> None:
    """Legs, pairs, lag and memory are reported."""
    customer, agent = plane.pair()
    plane.bridge(customer, agent)
    health = plane.engine.wait(MediaHealth, legs=2, bridged_pairs=1)
    assert health.tick_lag_ms >= 0
    assert 10 < health.rss_mb < 500
