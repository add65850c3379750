"""One continuous stream per leg, over silence, prompts, bridges and holds: read from what real far ends received."""

from __future__ import annotations

import itertools
from functools import partial

import pytest

from dialer_core.ipc.messages import LegDigit, Play, PromptFinished, Unbridge
from dialer_core.vocabulary import LegKind
from tests.media.harness import PCMA, PCMU, SILENCE, Plane, assert_one_stream, tagged

pytestmark = pytest.mark.sip


def test_one_stream_over_silence_prompt_bridge_and_silence(plane: Plane) -> None:
    """A leg's SSRC stays, its sequence rises by 1 and its timestamp by 160, with a marker at each switch and nowhere else."""
    customer, agent = plane.pair()
    customer.far.wait_for(10)
    plane.engine.send(Play(leg_id=customer.leg_id, prompts=("connect",), play_id="x"))
    plane.engine.wait(PromptFinished, play_id="x", cut=False)
    customer.far.wait_for(5)
    agent.far.speak()
    plane.bridge(customer, agent)
    customer.far.wait_for(25)
    plane.engine.send(Unbridge(leg_id=customer.leg_id))
    customer.far.wait_for(15)
    packets = customer.far.packets[:]
    assert_one_stream(packets)
    kinds = [
        ("silence" if p.payload == SILENCE[PCMU] else "agent" if p.payload[0] == 2 else "prompt")
        for p in packets
    ]
    runs = [kind for kind, _ in itertools.groupby(kinds)]
    assert runs == ["silence", "prompt", "silence", "agent", "silence"]
    switches = [0, *(i for i in range(1, len(kinds)) if kinds[i] != kinds[i - 1])]
    assert [i for i, p in enumerate(packets) if p.marker] == switches
    assert kinds.count("prompt") == 5


def test_silence_is_paced_by_the_clock(plane: Plane) -> None:
    """Over two seconds silence comes 50 times a second: the schedule is absolute, lateness does not add up."""
    customer = plane.leg(LegKind.CUSTOMER)
    customer.far.wait_for(110)
    first, last = customer.far.packets[5], customer.far.packets[105]
    elapsed_samples = (last.timestamp - first.timestamp) & 0xFFFF_FFFF
    assert elapsed_samples == 100 * 160
    # 100 frames are 2 s; half a second of tolerance is scheduling on a busy machine, not drift
    assert abs((last.at_ns - first.at_ns) / 1e9 - 2.0) < 0.5


def test_the_agents_sound_is_relayed_untouched(plane: Plane) -> None:
    """Every frame either side sends while bridged arrives once, in order and bit for bit."""
    customer, agent = plane.pair()
    plane.bridge(customer, agent)
    for leg in (customer, agent):
        leg.far.speak()
    customer.far.wait_for(60)
    plane.engine.pump()
    for speaker, hearer in ((customer, agent), (agent, customer)):
        heard = [p.payload for p in hearer.far.packets if p.payload != SILENCE[PCMU]]
        assert len(heard) > 40
        assert heard == [tagged(n, speaker.far.whose) for n in range(len(heard))]
        assert_one_stream(hearer.far.packets[:])


def test_nothing_is_heard_before_the_bridge_or_after_it(plane: Plane) -> None:
    """The partner's sound reaches a leg from the bridge to the unbridging, and never else (I13)."""
    customer, agent = plane.pair()
    for leg in (customer, agent):
        leg.far.speak()
    customer.far.wait_for(15)
    bridged_ns = plane.bridge(customer, agent).at_ns
    customer.far.wait_for(15)
    plane.engine.send(Unbridge(leg_id=agent.leg_id))
    plane.engine.dump()
    customer.far.wait_for(3)
    parted_ns = customer.far.packets[-1].at_ns
    customer.far.wait_for(20)
    for hearer in (customer, agent):
        sound = [p.at_ns for p in hearer.far.packets if p.payload != SILENCE[PCMU]]
        assert sound
        assert min(sound) >= bridged_ns
        assert max(sound) <= parted_ns
        assert_one_stream(hearer.far.packets[:])


def test_the_tone_reaches_the_agent_alone_and_first(plane: Plane) -> None:
    """On connect the agent hears 100 ms of tone and then the customer; the customer hears the agent at once and no tone."""
    customer, agent = plane.pair()
    for leg in (customer, agent):
        leg.far.speak()
    customer.far.wait_for(10)
    plane.bridge(customer, agent, connect_tone="connect")
    customer.far.wait_for(25)
    sound = [p.payload for p in agent.far.packets if p.payload != SILENCE[PCMU]]
    is_customer = [payload == payload[:4] * 40 and payload[0] == 1 for payload in sound]
    assert is_customer.index(True) == 5, "five frames of tone"
    assert all(is_customer[5:])
    assert all(p.payload[0] == 2 for p in customer.far.packets if p.payload != SILENCE[PCMU])
    assert_one_stream(agent.far.packets[:])


def test_mu_law_and_a_law_are_translated(plane: Plane) -> None:
    """Between a PCMU and a PCMA leg each octet becomes the other law's octet of the nearest value, under the right payload type."""
    from amd.g711 import PCMA_TO_PCMU, PCMU_TO_PCMA

    customer, agent = plane.pair(codecs=(PCMU, PCMA))
    plane.bridge(customer, agent)
    every_octet = (bytes(range(256)) * 2)[:160], bytes(range(96, 256))
    for leg in (customer, agent):
        leg.far.speak(lambda n: every_octet[n % 2])
    customer.far.wait_for(40)
    for hearer, table in ((agent, PCMU_TO_PCMA), (customer, PCMA_TO_PCMU)):
        heard = [p.payload for p in hearer.far.packets]
        assert {p.payload_type for p in hearer.far.packets} == {hearer.far.codec}
        for octets in every_octet:
            assert heard.count(octets.translate(table)) > 5
    assert_one_stream(customer.far.packets[:])
    assert_one_stream(agent.far.packets[:])


@pytest.mark.parametrize("samples", [80, 240])
def test_other_packet_lengths_pass_as_they_are(plane: Plane, samples: int) -> None:
    """10 ms and 30 ms packets are relayed one for one with their own timestamp spacing, and the stream stays one."""
    customer, agent = plane.pair()
    customer.far.wait_for(5)
    agent.far.speak(samples=samples)
    plane.bridge(customer, agent)
    customer.far.wait_for(30)
    plane.engine.send(Unbridge(leg_id=customer.leg_id))
    customer.far.wait_for(10)
    packets = customer.far.packets[:]
    assert_one_stream(packets)
    sound = [p for p in packets if len(p.payload) == samples]
    assert len(sound) > 20
    spacing = {(b.timestamp - a.timestamp) & 0xFFFF_FFFF for a, b in itertools.pairwise(sound)}
    assert spacing == {samples}


def test_silence_fills_in_for_a_partner_that_stops(plane: Plane) -> None:
    """A partner that pauses is replaced by silence, and goes on where it stands; no timestamp is sent twice."""
    customer, agent = plane.pair()
    plane.bridge(customer, agent)
    agent.far.speak(lambda n: None if 20 <= n < 40 else tagged(n, 2))
    customer.far.wait_for(70)
    packets = customer.far.packets[:]
    assert len({p.timestamp for p in packets}) == len(packets)
    kinds = [p.payload != SILENCE[PCMU] for p in packets]
    runs = [(kind, len(list(group))) for kind, group in itertools.groupby(kinds)]
    begin = 1 if not runs[0][0] else 0
    (_, spoken), (_, filled), (_, again) = runs[begin : begin + 3]
    # 20 frames are missing; the first three (60 ms) might still have come, the rest is filled
    assert spoken == 20
    assert 10 <= filled <= 20
    assert again > 10
    gaps = [(b.sequence - a.sequence) & 0xFFFF for a, b in itertools.pairwise(packets)]
    assert set(gaps) == {1}, "what was never sent is no loss on our side"


def test_digits_are_told_once_and_passed_on_under_the_partners_type(plane: Plane) -> None:
    """A press is one event to the engine, and reaches a partner with another payload type as a press of the same timestamp."""
    customer = plane.leg(LegKind.CUSTOMER, whose=1, dtmf_pt=101)
    agent = plane.leg(LegKind.AGENT, whose=2, dtmf_pt=96)
    plane.bridge(customer, agent)
    far = customer.far
    steps = [partial(far.send, frame) for frame in range(3)]
    for press, (code, pt) in enumerate([(7, 101), (10, 120)]):
        begin = 3 + press * 12
        send = partial(far.send_event, code=code, timestamp=far.timestamp0 + begin * 160, pt=pt)
        steps += [
            *(partial(send, begin + i, duration=160 * (i + 1), end=False, marker=i == 0) for i in range(8)),
            *(partial(send, begin + i, duration=1440, end=True, marker=False) for i in range(8, 11)),
            partial(far.send, begin + 11),
        ]
    far.perform(steps)
    plane.engine.wait(LegDigit, digit="*")
    assert [e.digit for e in plane.engine.all(LegDigit)] == ["7", "*"]
    agent.far.wait_for(3)
    events = [p for p in agent.far.packets if p.payload_type == 96]
    assert len(events) == 22
    assert {p.payload_type for p in agent.far.packets} == {96, PCMU}
    for packets in (events[:11], events[11:]):
        assert len({p.timestamp for p in packets}) == 1
        assert [p.marker for p in packets] == [True, *[False] * 10]
    assert events[0].timestamp != events[11].timestamp
    sequences = [p.sequence for p in agent.far.packets]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(sequences))


def test_digits_stop_at_a_leg_that_has_no_telephone_event(plane: Plane) -> None:
    """A partner that negotiated no telephone-event gets none, and sees no gap where the press was."""
    customer = plane.leg(LegKind.CUSTOMER, whose=1, dtmf_pt=101)
    agent = plane.leg(LegKind.AGENT, whose=2, dtmf_pt=-1)
    plane.bridge(customer, agent)
    far = customer.far
    event = partial(far.send_event, code=5, timestamp=far.timestamp0 + 640, pt=101)
    far.perform(
        [
            *(partial(far.send, frame) for frame in range(4)),
            *(partial(event, 4 + i, duration=160 * (i + 1), end=i == 2, marker=i == 0) for i in range(3)),
            *(partial(far.send, frame) for frame in range(7, 12)),
        ]
    )
    plane.engine.wait(LegDigit, digit="5")
    agent.far.wait_for(3)
    assert {p.payload_type for p in agent.far.packets} == {PCMU}
    assert {p.payload[3] for p in agent.far.packets if p.payload != SILENCE[PCMU]} == {
        *range(4),
        *range(7, 12),
    }
    sequences = [p.sequence for p in agent.far.packets]
    assert all((b - a) & 0xFFFF == 1 for a, b in itertools.pairwise(sequences))


def test_a_held_far_end_gets_nothing_and_the_stream_goes_on_after(plane: Plane) -> None:
    """On hold nothing is sent; afterwards the same stream goes on, its timestamp where the clock is, with a marker."""
    customer = plane.leg(LegKind.CUSTOMER)
    customer.far.wait_for(5)
    plane.connect(customer, host="0.0.0.0")
    plane.engine.dump()
    held_at = len(customer.far.packets)
    other = plane.leg(LegKind.CUSTOMER)
    other.far.wait_for(20)
    assert len(customer.far.packets) <= held_at + 1, "one may have been on its way"
    plane.connect(customer)
    customer.far.wait_for(5)
    packets = customer.far.packets[:]
    assert_one_stream(packets)
    jumps = [(b.timestamp - a.timestamp) & 0xFFFF_FFFF for a, b in itertools.pairwise(packets)]
    assert max(jumps) >= 15 * 160
    for direction in (0, 2):
        plane.connect(customer, direction=direction)
        plane.engine.dump()
        held_at = len(customer.far.packets)
        other.far.wait_for(10)
        assert len(customer.far.packets) <= held_at + 1
