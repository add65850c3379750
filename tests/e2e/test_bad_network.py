"""Sound over a bad network."""

from __future__ import annotations

from collections import Counter
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
from tests.e2e.sounds import AGENT_HZ, ALL_HZ, CUSTOMER_HZ
from tests.e2e.wire import capture, requires_capture
from tests.skips import requires_program

pytestmark = [
    *(pytest.mark.sip, requires_program("sipp"), requires_program("baresip"), requires_program("tshark")),
    requires_capture,
]
PERSON_HZ = CUSTOMER_HZ[0]
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
