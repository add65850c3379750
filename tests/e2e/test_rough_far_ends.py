"""Far ends that behave badly in mid-call, SIPp's all of them: what becomes of the talk, and who hears what meanwhile.

They are all called once, five at a time, and judged afterwards; every one is to end as `connected`, by their own BYE. What a line worker alone has to
stand is in `tests/sip/`; the whole list, with the outcomes, is in docs/how-it-fails.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from amd import g711
from dialer_core.sim.audio_check import tone_levels_dbfs
from tests.e2e.elsewhere import Elsewhere, Elsewheres, Stranger
from tests.e2e.floor import Floor
from tests.e2e.live import Dialer, number
from tests.e2e.scenario import Answer, Behaviour, Change, PressByInfo, Ring, Stay
from tests.e2e.sounds import AGENT_HZ, CUSTOMER_HZ, Sounds
from tests.e2e.wire import Rtp, Wire, capture, requires_capture
from tests.skips import requires_program

pytestmark = [
    *(pytest.mark.sip, requires_program("sipp"), requires_program("baresip"), requires_program("tshark")),
    requires_capture,
]
BEFORE_HZ, AFTER_HZ, STRANGER_HZ = CUSTOMER_HZ[0], CUSTOMER_HZ[6], CUSTOMER_HZ[5]
REINVITE, UPDATE, ADDRESS, LATE, HOLD, REFUSED, SILENT, FLOOD, STORM, INFO_STORM, STAYS = range(51, 62)
MOVES = {"re-INVITE": REINVITE, "UPDATE": UPDATE, "another address": ADDRESS, "late offer": LATE}
KEYS = "1234"
SIPPS_SSRC = 0xCA110000
"""SIPp numbers its streams from here."""
SETTLE_NS, JUDGED_NS = 500_000_000, 800_000_000


@dataclass(frozen=True, slots=True)
class Rough:
    """What is left of the run."""

    dialer: Dialer
    places: dict[int, Elsewhere]
    wire: Wire
    stories: dict[int, list[str]]
    stranger: Stranger

    def attempt(self, suffix: int) -> Any:
        """Return the one attempt at a number."""
        (attempt,) = self.dialer.attempts(number(suffix))
        return attempt

    def legs(self, suffix: int) -> tuple[Any, Any]:
        """Return their leg and their agent's."""
        return _legs(self.dialer, self.attempt(suffix))

    def to_agent(self, suffix: int) -> list[Rtp]:
        """Return what went to their agent during the talk."""
        attempt, (_, leg) = self.attempt(suffix), self.legs(suffix)
        return [
            p
            for p in self.wire.rtp
            if p.source == leg.media_port and attempt.bridged_mono_ns <= p.at_ns <= attempt.ended_mono_ns
        ]

    def to_customer(self, suffix: int) -> list[Rtp]:
        """Return what went to them."""
        leg, _ = self.legs(suffix)
        return [p for p in self.wire.rtp if p.source == leg.media_port]

    def agent_hz(self, suffix: int) -> int:
        """Return what their agent sounds like."""
        return AGENT_HZ[int(self.attempt(suffix).agent_id[1:])]


def _legs(dialer: Dialer, attempt: Any) -> tuple[Any, Any]:
    (customer,) = (leg for leg in dialer.legs("customer") if leg.attempt_id == attempt.id)
    (agent,) = (leg for leg in dialer.legs("agent") if leg.agent_id == attempt.agent_id)
    return customer, agent


def _behaviours(sounds: Sounds, places: dict[int, Elsewhere]) -> dict[int, Behaviour]:
    ring, answer = Ring(50), Answer(sounds.speaking(BEFORE_HZ))
    at = {suffix: place.at for suffix, place in places.items()}
    return {
        STAYS: (ring, answer, Stay(2500)),
        HOLD: (
            ring, answer, Change(600, direction="sendonly"), Change(600, direction="inactive"),
            Change(100, at=("0.0.0.0", 6000)), Change(100), Stay(1600),
        ),
        INFO_STORM: (ring, answer, PressByInfo(500, KEYS), Stay(2000)),
        SILENT: (ring, Answer(sounds.speaking(BEFORE_HZ, talk_s=0.5)), Stay(3200)),
        REINVITE: (ring, answer, Change(600, law="PCMA", at=at[REINVITE]), Stay(1700)),
        UPDATE: (ring, answer, Change(600, "UPDATE", law="PCMA", at=at[UPDATE]), Stay(1700)),
        ADDRESS: (ring, answer, Change(600, at=at[ADDRESS]), Stay(1700)),
        LATE: (ring, answer, Change(600, law="PCMA", at=at[LATE], late=True), Stay(1700)),
        REFUSED: (ring, answer, Change(600, law="G729", refused=500), Stay(1700)),
        FLOOD: (ring, Answer(at=at[FLOOD]), Stay(2500)),
        STORM: (ring, Answer(at=at[STORM]), Stay(3000)),
    }  # fmt: skip


@pytest.fixture(scope="module")
def rough(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Iterator[Rough]:
    """Call them all."""
    with Floor(tmp_path_factory.mktemp("rough"), sounds) as floor:
        first = floor.ports.carrier_rtp(1)
        made = {
            REINVITE: ("127.0.0.1", "PCMA", "talk"), UPDATE: ("127.0.0.1", "PCMA", "talk"), ADDRESS: ("127.0.0.2", "PCMU", "talk"),
            LATE: ("127.0.0.1", "PCMA", "talk"), FLOOD: ("127.0.0.1", "PCMU", "flood"), STORM: ("127.0.0.1", "PCMU", "storm"),
        }  # fmt: skip
        places = {
            suffix: Elsewhere(host, first + 2 * index, AFTER_HZ, law, speaks)
            for index, (suffix, (host, law, speaks)) in enumerate(made.items())
        }
        behaviours = _behaviours(sounds, places)
        carrier = floor.carrier(behaviours)
        for _ in range(5):
            floor.softphone()
        dialer = floor.dialer(campaign={"detection": "off", "wrap_up_s": 0.1})
        numbers = {suffix: number(suffix) for suffix in behaviours}
        dialer.import_numbers(list(numbers.values()))
        stranger = Stranger(sounds.speaking(STRANGER_HZ, talk_s=1.0).read_bytes())
        with (
            capture(floor.folder, floor.ports) as watching,
            Elsewheres(list(places.values())),
            closing(stranger),
        ):
            dialer.start()
            for leg in _legs(dialer, dialer.in_state(numbers[STAYS], "bridged")):
                for ssrc in (0x1234, SIPPS_SSRC):
                    stranger.send(leg.media_port, 60, ssrc=ssrc, sequence=100)
            dialer.wait_outcomes(len(numbers))
            dialer.close()
            wire = watching.read()
        stories = {suffix: carrier.story(to) for suffix, to in numbers.items()}
        yield Rough(dialer, places, wire, stories, stranger)


def _sound(packets: list[Rtp], from_ns: int = 0, to_ns: int = 1 << 62) -> NDArray[np.float32]:
    decode = {0: g711.decode_pcmu, 8: g711.decode_pcma}
    pcm = [
        decode[p.payload_type](np.frombuffer(p.payload, np.uint8))
        for p in packets
        if from_ns <= p.at_ns <= to_ns and p.payload_type in decode
    ]
    return np.concatenate(pcm).astype(np.float32) / 32768 if pcm else np.zeros(0, np.float32)


def _level(sound: NDArray[np.float32], hz: int) -> float:
    """Return how loud a tone is, by the median over the sound."""
    assert len(sound) > 800, "no sound"
    return float(np.median(tone_levels_dbfs(sound, [hz])))


def test_every_talk_stands_and_ends_by_their_own_bye(rough: Rough) -> None:
    """Whatever they do, they talked, and hung up; nobody's agent was lost, and no other far end was called twice."""
    for suffix in rough.stories:
        attempt = rough.attempt(suffix)
        assert (attempt.outcome, attempt.ended_by) == ("connected", "far"), suffix
        assert rough.stories[suffix][-2:] == ["< BYE", "> 200"], suffix
    assert not rough.dialer.events("attempt.unbridged")


@pytest.mark.parametrize("how", MOVES)
def test_who_moves_is_heard_from_where_they_are_and_from_nowhere_else(rough: Rough, how: str) -> None:
    """Another port, codec or address: their agent's voice goes there in that codec, theirs is heard from there, and from the old place no more."""
    suffix = MOVES[how]
    place = rough.places[suffix]
    span = place.first_ns + SETTLE_NS, place.first_ns + SETTLE_NS + JUDGED_NS
    kinds, heard = place.heard(*span)
    assert kinds == {8 if place.law == "PCMA" else 0}
    assert _level(heard, rough.agent_hz(suffix)) > -25
    to_agent = rough.to_agent(suffix)
    before, after = _sound(to_agent, 0, place.first_ns - 200_000_000), _sound(to_agent, *span)
    assert _level(before, BEFORE_HZ) > -25
    assert _level(after, AFTER_HZ) > -25
    assert _level(after, BEFORE_HZ) < -45
    assert len({p.ssrc for p in to_agent}) == 1


def test_on_hold_nothing_is_sent_and_after_it_both_hear_again(rough: Rough) -> None:
    """Sendonly, inactive and 0.0.0.0: no packet of ours goes out meanwhile; taken back, their agent's voice comes again."""
    call_id = rough.attempt(HOLD).call_id
    told = [
        m.at_ns for m in rough.wire.sip if m.call_id == call_id and m.method == "INVITE" and m.start == "200"
    ]
    assert len(told) == 5, "the answer, and four changes"
    packets = rough.to_customer(HOLD)
    held = [p for p in packets if told[1] + 100_000_000 < p.at_ns < told[4] - 20_000_000]
    assert held == []
    again = _sound(packets, told[4] + SETTLE_NS, told[4] + SETTLE_NS + JUDGED_NS)
    assert _level(again, rough.agent_hz(HOLD)) > -25
    assert _level(_sound(rough.to_agent(HOLD), told[4] + SETTLE_NS), BEFORE_HZ) > -25


def test_a_change_to_a_codec_we_have_not_is_refused_and_changes_nothing(rough: Rough) -> None:
    """G.729 alone: refused, and both go on as they were."""
    assert "> 500" in rough.stories[REFUSED]
    call_id = rough.attempt(REFUSED).call_id
    at_ns = next(m.at_ns for m in rough.wire.sip if m.call_id == call_id and m.start == "500")
    assert _level(_sound(rough.to_customer(REFUSED), at_ns + SETTLE_NS), rough.agent_hz(REFUSED)) > -25
    assert _level(_sound(rough.to_agent(REFUSED), at_ns + SETTLE_NS), BEFORE_HZ) > -25


def test_who_falls_silent_is_told_of_and_kept(rough: Rough) -> None:
    """No packet for two seconds: `leg.rtp_lost` says whose leg and which agent hears nothing; nobody is hung up on for it."""
    attempt = rough.attempt(SILENT)
    (told,) = rough.dialer.events("leg.rtp_lost", attempt=attempt.id)
    assert (told.data["agent_id"], told.data["silent_s"] >= 2.0) == (attempt.agent_id, True)
    assert {event.attempt_id for event in rough.dialer.events("leg.rtp_lost")} == {attempt.id}


def test_a_flood_of_their_own_sound_reaches_their_agent_as_one_voice(rough: Rough) -> None:
    """Forty times too much: the agent gets no more than can be played and a fifth of a second, and the others' talks lose nothing."""
    packets = rough.to_agent(FLOOD)
    seconds = (packets[-1].at_ns - packets[0].at_ns) / 1e9
    assert rough.places[FLOOD].sent > 20 * 50 * seconds
    assert len(packets) < 50 * (seconds + 0.5)
    assert _level(_sound(packets), AFTER_HZ) > -25
    others = rough.to_agent(STAYS)
    assert len(others) > 0.9 * 50 * (others[-1].at_ns - others[0].at_ns) / 1e9


def test_a_storm_of_keys_by_rtp_passes(rough: Rough) -> None:
    """A hundred presses a second: they go on to the agent's phone each as one press at most, and after them the voice is heard as ever."""
    packets = rough.to_agent(STORM)
    presses = {p.timestamp for p in packets if p.payload_type >= 96}
    pressed = rough.places[STORM].presses
    assert 100 < 0.9 * pressed < len(presses) <= pressed
    last_ns = max(p.at_ns for p in packets if p.payload_type >= 96)
    assert _level(_sound(packets, last_ns + 200_000_000), AFTER_HZ) > -25


def test_keys_by_info_as_fast_as_they_come_reach_the_agents_phone(rough: Rough) -> None:
    """Each as one press by RFC 4733, in order, and with its whole length."""
    packets = rough.to_agent(INFO_STORM)
    presses = {p.timestamp: p.payload[0] for p in packets if p.payload_type >= 96}
    assert "".join(str(key) for _, key in sorted(presses.items())) == KEYS


def test_a_strangers_sound_reaches_nobody(rough: Rough) -> None:
    """Packets to both legs' ports from a third party, with a foreign or the real SSRC: counted as refused, heard by nobody, no number missing."""
    for leg, packets in zip(
        rough.legs(STAYS), (rough.to_customer(STAYS), rough.to_agent(STAYS)), strict=True
    ):
        assert tone_levels_dbfs(_sound(packets), [STRANGER_HZ]).max() < -45.0
        assert {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(packets)} == {1}
        assert rough.stranger.sent[leg.media_port] == 120
    customer, _ = rough.legs(STAYS)
    assert customer.statistics["rx_refused"] == 120
