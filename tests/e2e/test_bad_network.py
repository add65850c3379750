"""Sound over a bad network, and sound from strangers."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import numpy as np
import pytest

from dialer_core.sim.audio_check import tone_levels_dbfs
from dialer_core.sim.playout import play_out
from tests.e2e.floor import Floor
from tests.e2e.live import Dialer, number
from tests.e2e.middlebox import Middlebox, Misdeeds
from tests.e2e.scenario import Answer, Ring, Stay
from tests.e2e.sounds import AGENT_HZ, ALL_HZ, CUSTOMER_HZ, Sounds
from tests.e2e.wire import capture, requires_capture
from tests.skips import requires_program

pytestmark = [
    *(pytest.mark.sip, requires_program("sipp"), requires_program("baresip"), requires_program("tshark")),
    requires_capture,
]
PERSON_HZ, STRANGER_HZ = CUSTOMER_HZ[0], CUSTOMER_HZ[5]
BAD = Misdeeds(loss=0.03, duplication=0.03, reordering=0.03)


def _talk(floor: Floor, trunk: dict[str, int] | None = None) -> Dialer:
    """One person talks to one agent for four seconds."""
    floor.carrier({1: (Ring(100), Answer(floor.sounds.speaking(PERSON_HZ)), Stay(4000))})
    floor.softphone()
    dialer = floor.dialer(trunks={"carrier": trunk or {}}, campaign={"detection": "off"})
    dialer.import_numbers([number(1)])
    return dialer


def _ports_of_the_legs(dialer: Dialer) -> tuple[int, int]:
    (customer,), (agent, *_) = dialer.legs("customer"), dialer.legs("agent")
    return customer.media_port, agent.media_port


def test_a_bridge_stands_over_a_bad_network(floor: Floor) -> None:
    """Of every hundred packets each way three are lost, three doubled, three overtaken: both hear each other, and the losses are counted."""
    ports = floor.ports
    dialer = _talk(floor, {"port": ports.carrier(1)})
    box = Middlebox(
        near=ports.carrier(1), far=ports.carrier(2), rtp=ports.carrier_rtp(2), carrier=ports.carrier(0), misdeeds=BAD, seed=1
    )  # fmt: skip
    with closing(box), capture(floor.folder, ports) as watching:
        dialer.start()
        (attempt,) = dialer.ended(number(1))
        dialer.close()
        wire = watching.read()
    assert attempt.outcome == "connected"
    _, agent_leg_port = _ports_of_the_legs(dialer)
    did = box.to_dialer.did
    assert min(did["lost"], did["doubled"], did["overtaken"]) > 0

    (leg,) = dialer.legs("customer")
    counted = leg.statistics
    # what was in the box or under way when the leg was closed may be missing from its counts
    assert did["doubled"] - 1 <= counted["rx_duplicate"] <= did["doubled"]
    assert did["overtaken"] - 1 <= counted["rx_late"] <= did["overtaken"]
    assert did["lost"] - 2 <= counted["rx_lost"] <= did["lost"] + 1
    # a first packet may overtake the word that the call was answered, before which nobody's sound is taken
    assert counted.get("rx_refused", 0) <= 1

    (agent_port,) = {packet.target for packet in wire.rtp if packet.source == agent_leg_port}
    to_agent = wire.received(agent_port, agent_leg_port)
    assert len({packet.ssrc for packet in to_agent}) == 1
    assert max(Counter(packet.sequence for packet in to_agent).values()) == 1  # nothing twice
    behind = [((b.sequence - a.sequence + 0x8000) & 0xFFFF) - 0x8000 for a, b in pairwise(to_agent)]
    assert min(behind) >= -5  # an overtaken packet comes a few places late; the stream never goes back
    assert len(to_agent) >= 0.9 * (to_agent[-1].sequence - to_agent[0].sequence & 0xFFFF)

    for port, source, hz in (
        (agent_port, agent_leg_port, PERSON_HZ),
        (ports.carrier_rtp(0), ports.carrier_rtp(2) + 2, AGENT_HZ[0]),
    ):
        heard = play_out(
            wire.recording(port, source), (attempt.bridged_mono_ns, attempt.ended_mono_ns)
        ).samples
        levels = tone_levels_dbfs(heard, ALL_HZ)
        own = ALL_HZ.index(hz)
        margin = levels[:, own] - np.delete(levels, own, axis=1).max(axis=1)
        assert np.median(margin) >= 20.0
        assert np.mean(levels[:, own] > -20.0) >= 0.9


class Stranger:
    """Somebody who sends well-formed RTP to a port that is not theirs."""

    def __init__(self, law_bytes: bytes) -> None:
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._frames = [law_bytes[i : i + 160] for i in range(0, len(law_bytes) - 159, 160)]
        self.sent: Counter[int] = Counter()

    def send(self, port: int, packets: int, *, ssrc: int, sequence: int) -> None:
        """Send so many packets at once, numbered from `sequence` on."""
        for i in range(packets):
            frame = self._frames[i % len(self._frames)]
            head = struct.pack("!BBHII", 0x80, 0, (sequence + i) & 0xFFFF, 160 * i, ssrc)
            self._socket.sendto(head + frame, ("127.0.0.1", port))
        self.sent[port] += packets

    def close(self) -> None:
        """Go away."""
        self._socket.close()


@pytest.fixture
def stranger(sounds: Sounds) -> Iterator[Stranger]:
    """Yield a stranger with a tone of their own."""
    with closing(Stranger(sounds.speaking(STRANGER_HZ, talk_s=1.0).read_bytes())) as one:
        yield one


def test_a_strangers_sound_reaches_nobody(floor: Floor, stranger: Stranger) -> None:
    """Packets to both legs' ports from a third party, with a foreign or the real SSRC: counted as refused, heard by nobody."""
    dialer = _talk(floor)
    with capture(floor.folder, floor.ports) as watching:
        dialer.start()
        dialer.in_state(number(1), "bridged")
        leg_port, agent_leg_port = _ports_of_the_legs(dialer)
        sipps_own = 0xCA110000  # SIPp numbers its streams from here
        for port in (leg_port, agent_leg_port):
            for ssrc in (0x1234, sipps_own):
                stranger.send(port, 60, ssrc=ssrc, sequence=100)
        (attempt,) = dialer.ended(number(1))
        dialer.close()
        wire = watching.read()
    assert attempt.outcome == "connected"
    for port in (leg_port, agent_leg_port):
        (far,) = {packet.target for packet in wire.rtp if packet.source == port}
        recording = wire.recording(far, port)
        span = (int(recording.arrival_ns[0]), int(recording.arrival_ns[-1]))
        levels = tone_levels_dbfs(play_out(recording, span).samples, [STRANGER_HZ])
        assert levels.max() < -45.0
        steps = {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(wire.received(far, port))}
        assert steps == {1}
    legs = {leg.media_port: leg.statistics for kind in ("customer", "agent") for leg in dialer.legs(kind)}
    assert legs[leg_port]["rx_refused"] == stranger.sent[leg_port]
    softphone_heard = np.concatenate(floor.softphones[0].heard())
    assert tone_levels_dbfs(softphone_heard, [STRANGER_HZ]).max() < -45.0
