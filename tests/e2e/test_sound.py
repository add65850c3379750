"""What each party of a conversation received, by what baresip recorded and by what dumpcap saw reach SIPp and baresip."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dialer_core.sim.audio_check import check_conversation, strays, tone_levels_dbfs, worst_gap_ms
from tests.e2e.campaign_run import PEOPLE, CampaignRun
from tests.e2e.sounds import AGENT_HZ, ALL_HZ, GREETING_PAUSE_S, PICK_UP_S, clip
from tests.e2e.wire import Rtp, Wire, requires_capture
from tests.skips import requires_program

pytestmark = [
    *(pytest.mark.sip, requires_program("sipp"), requires_program("baresip"), requires_program("tshark")),
    requires_capture,
]
RATE_HZ = 8000
TICK_NS = 20_000_000
HELLO_S = PICK_UP_S + len(clip("hello_bueno_2")) / RATE_HZ + GREETING_PAUSE_S
"""From a person's first packet to their tone."""


@dataclass(frozen=True)
class Conversation:
    """One conversation: who, when, and through which ports."""

    attempt: Any
    customer_hz: int
    agent_hz: int
    customer_port: int
    """SIPp's RTP port; several calls may share one, told apart by where they send."""
    agent_port: int
    """baresip's."""
    leg_port: int
    """Ours to the customer."""
    agent_leg_port: int
    """Ours to the agent."""
    bridged_ns: int
    ended_ns: int
    spoke_ns: int


@cache
def conversation(run: CampaignRun, suffix: int) -> Conversation:
    """Join the store's rows with the capture."""
    assert run.wire is not None
    attempt = run.dialer.attempts(run.numbers[suffix])[-1]
    leg = next(leg for leg in run.dialer.legs("customer") if leg.attempt_id == attempt.id)
    agent_leg = next(leg for leg in run.dialer.legs("agent") if leg.agent_id == attempt.agent_id)
    far = {leg.media_port: _far_port(run.wire, leg.media_port) for leg in (leg, agent_leg)}
    first_ns = run.wire.received(leg.media_port, far[leg.media_port])[0].at_ns
    return Conversation(
        attempt, PEOPLE[suffix], AGENT_HZ[int(attempt.agent_id[1:])], far[leg.media_port], far[agent_leg.media_port],
        leg.media_port, agent_leg.media_port, attempt.bridged_mono_ns, attempt.ended_mono_ns, first_ns + int(HELLO_S * 1e9),
    )  # fmt: skip


def _far_port(wire: Wire, port: int) -> int:
    (far,) = {packet.target for packet in wire.rtp if packet.source == port}
    return far


def _wire(run: CampaignRun) -> Wire:
    assert run.wire is not None
    return run.wire


@pytest.mark.parametrize("suffix", PEOPLE)
def test_two_people_hear_each_other_and_nobody_else(campaign_run: CampaignRun, suffix: int) -> None:
    """From bridge to BYE each received the other's tone 20 dB over every other, without a gap over 60 ms, and none of it outside."""
    wire, talk = _wire(campaign_run), conversation(campaign_run, suffix)
    judged = check_conversation(
        wire.recording(talk.customer_port, talk.leg_port), wire.recording(talk.agent_port), customer_hz=talk.customer_hz, agent_hz=talk.agent_hz,
        tones_hz=ALL_HZ, intervals=[(talk.bridged_ns, talk.ended_ns)], spoke_ns=talk.spoke_ns,
    )  # fmt: skip
    assert judged.at_agent.measured
    assert judged.at_customer.measured
    assert judged.ok, judged


def test_an_agent_hears_nobody_but_their_callers(campaign_run: CampaignRun) -> None:
    """Over a whole log-in, no tone reaches an agent outside the conversation it belongs to (invariant I13)."""
    wire = _wire(campaign_run)
    talks = [conversation(campaign_run, suffix) for suffix in PEOPLE]
    for port in {talk.agent_port for talk in talks}:
        allowed = {t.customer_hz: [(t.bridged_ns, t.ended_ns)] for t in talks if t.agent_port == port}
        assert strays(wire.recording(port), tones_hz=ALL_HZ, allowed=allowed) == ()


@pytest.mark.parametrize("suffix", PEOPLE)
def test_baresip_heard_the_person_out(campaign_run: CampaignRun, suffix: int) -> None:
    """In baresip's own recording the person's tone is as long as they spoke, pure, and without a gap."""
    talk = conversation(campaign_run, suffix)
    (heard,) = campaign_run.softphones[talk.attempt.agent_id].heard()
    spoke_s = (talk.ended_ns - talk.spoke_ns) / 1e9
    tones = [talk.customer_hz, *(hz for hz in ALL_HZ if hz != talk.customer_hz)]
    levels = tone_levels_dbfs(heard, tones)
    margin = levels[:, 0] - levels[:, 1:].max(axis=1)
    clear = _longest_run(margin >= 20.0)
    step_s, window_s = 0.05, 0.2
    # the windows at both ends hold a part of the tone only; a gap would break the run
    assert (clear.stop - clear.start - 1) * step_s + window_s == pytest.approx(spoke_s, abs=2 * window_s)
    begin = round((clear.start * step_s + window_s) * RATE_HZ)
    end = round((clear.stop - 1) * step_s * RATE_HZ)
    assert worst_gap_ms(heard[begin:end], talk.customer_hz) <= 60.0
    outside = np.concatenate([levels[: max(0, clear.start - 4), 0], levels[clear.stop + 4 :, 0]])
    assert outside.max() <= levels[clear, 0].max() - 20.0


def _longest_run(flags: NDArray[np.bool_]) -> slice:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    starts, ends = edges[::2], edges[1::2]
    longest = int((ends - starts).argmax())
    return slice(int(starts[longest]), int(ends[longest]))


# --- the streams, packet by packet -----------------------------------------------------------------------------------


def _steps(packets: list[Rtp]) -> tuple[Counter[int], Counter[int]]:
    pairs = list(pairwise(packets))
    return (
        Counter((b.sequence - a.sequence) & 0xFFFF for a, b in pairs),
        Counter((b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairs),
    )


@pytest.mark.parametrize("suffix", [1, 2])
@pytest.mark.parametrize("side", ["customer", "agent"])
def test_a_leg_gets_one_continuous_stream(campaign_run: CampaignRun, suffix: int, side: str) -> None:
    """One SSRC, each sequence number one more, each timestamp 160 more, the negotiated payload type, from silence through talk."""
    wire, talk = _wire(campaign_run), conversation(campaign_run, suffix)
    ours, far = (
        (talk.leg_port, talk.customer_port) if side == "customer" else (talk.agent_leg_port, talk.agent_port)
    )
    packets = wire.received(far, ours)
    sequence_steps, timestamp_steps = _steps(packets)
    assert len({packet.ssrc for packet in packets}) == 1
    assert set(sequence_steps) == {1}
    assert set(timestamp_steps) == {160}
    law = 8 if side == "customer" and suffix == 2 else 0
    assert {packet.payload_type for packet in packets} == {law}
    assert {len(packet.payload) for packet in packets} == {160}


def test_the_marker_stands_where_sound_changes_hands(campaign_run: CampaignRun) -> None:
    """The marker bit is on the first packet, where a bridge begins or ends, and nowhere else."""
    wire = _wire(campaign_run)
    talk = conversation(campaign_run, 1)
    packets = wire.received(talk.customer_port, talk.leg_port)
    assert packets[0].marker
    for packet in packets[1:]:
        if packet.marker:
            assert min(abs(packet.at_ns - at) for at in (talk.bridged_ns, talk.ended_ns)) < 100_000_000
    mine = wire.received(talk.agent_port, talk.agent_leg_port)
    switches = [
        event.at_mono_ns
        for event in campaign_run.dialer.events("agent.state_changed")
        if event.data["agent_id"] == talk.attempt.agent_id and event.data["state"] in ("talking", "wrap_up")
    ]
    assert mine[0].marker
    for packet in mine[1:]:
        if packet.marker:  # the connect tone comes between bridge and relay
            assert min(packet.at_ns - at for at in switches if packet.at_ns >= at - 50_000_000) < 500_000_000


@pytest.mark.parametrize("suffix", PEOPLE)
def test_reports_come_from_the_port_next_to_the_sound(campaign_run: CampaignRun, suffix: int) -> None:
    """RTCP: SR with SDES from RTP's port + 1 to the far end's, the stream's own SSRC, and one BYE as the last."""
    wire, talk = _wire(campaign_run), conversation(campaign_run, suffix)
    (ssrc,) = {packet.ssrc for packet in wire.received(talk.customer_port, talk.leg_port)}
    reports = [r for r in wire.rtcp if ssrc == r.ssrc]
    assert {(r.source, r.target) for r in reports} == {(talk.leg_port + 1, talk.customer_port + 1)}
    assert {report.kinds[:2] for report in reports} == {(200, 202)}
    assert [203 in report.kinds for report in reports] == [False] * (len(reports) - 1) + [True]


@pytest.mark.parametrize("suffix", PEOPLE)
def test_after_the_bye_there_is_no_sound(campaign_run: CampaignRun, suffix: int) -> None:
    """Once the leg's RTCP BYE is out nothing more goes to the far end, and it is out as soon as the SIP BYE is answered."""
    wire, talk = _wire(campaign_run), conversation(campaign_run, suffix)
    sent = wire.received(talk.customer_port, talk.leg_port)
    last = [r for r in wire.rtcp if r.source == talk.leg_port + 1][-1]
    assert not [p for p in sent if p.at_ns > last.at_ns]
    bye = next(m for m in wire.sip if m.call_id == talk.attempt.call_id and m.start == "BYE")
    assert not [p for p in sent if p.at_ns > bye.at_ns + 100_000_000]


@pytest.mark.parametrize("suffix", PEOPLE)
def test_the_legs_statistics_are_what_was_on_the_wire(campaign_run: CampaignRun, suffix: int) -> None:
    """Packets sent, received, lost and refused as stored are those that dumpcap counted."""
    wire, talk = _wire(campaign_run), conversation(campaign_run, suffix)
    leg = next(leg for leg in campaign_run.dialer.legs("customer") if leg.attempt_id == talk.attempt.id)
    received = wire.received(talk.leg_port, talk.customer_port)
    counts = leg.statistics
    assert counts["tx_packets"] == len(wire.received(talk.customer_port, talk.leg_port))
    # SIPp goes on for a moment after its BYE, when the leg is closed already; what came in the same tick may not have been read
    assert (
        len([p for p in received if p.at_ns < talk.ended_ns - TICK_NS])
        <= counts["rx_packets"]
        <= len(received)
    )
    assert (counts.get("rx_lost", 0), counts.get("rx_duplicate", 0), counts.get("rx_refused", 0)) == (0, 0, 0)
    (told,) = campaign_run.dialer.events("leg.measured", attempt=talk.attempt.id)
    assert (told.data["rx_packets"], told.data["tx_packets"]) == (counts["rx_packets"], counts["tx_packets"])
    assert told.data["one_way"] is False


def test_what_a_softphone_says_of_our_sound_is_told(campaign_run: CampaignRun) -> None:
    """Baresip reports by RTCP: how much of us it lost, how unevenly it came, and by answering our reports how far away it is."""
    told = [event.data for event in campaign_run.dialer.events("leg.measured")]
    reported = [leg for leg in told if leg["kind"] == "agent" and leg["round_trip_ms"] is not None]
    assert reported
    for leg in reported:
        assert leg["far_reports"] >= 1
        assert leg["far_lost"] <= leg["tx_packets"] // 100
        assert 0.0 <= leg["round_trip_ms"] < 1000.0
        assert 0.0 < leg["rx_jitter_ms"] < 20.0
        assert 0.0 <= leg["far_jitter_ms"] < 100.0
