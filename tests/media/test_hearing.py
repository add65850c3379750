"""Hold, three-way and supervision on the real media plane: who receives whose tone, and that streams stay whole."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import pairwise

import numpy as np
import pytest

from amd import g711
from dialer_core.ipc.messages import Hear, LegDigit, SendDigits, Unbridge
from dialer_core.sim.audio_check import tone_levels_dbfs
from dialer_core.vocabulary import LegId, LegKind
from tests.media.harness import PCMA, PCMU, Leg, Plane, assert_one_stream
from tests.polling import wait_until

pytestmark = pytest.mark.sip

HZ = {"customer": 500, "agent": 800, "supervisor": 1250, "third": 1700}
HOLD_HZ = 262
"""One of its notes; asked for as sound at all."""
_WINDOW_FRAMES = 25


def speech(hz: int, codec: int = PCMU) -> Callable[[int], bytes]:
    """Return what `FarEnd.speak` takes: a tone at -20 dBFS."""

    def frame(n: int) -> bytes:
        t = np.arange(n * 160, n * 160 + 160) / 8000
        pcm = (3276 * np.sin(2 * np.pi * hz * t)).astype(np.int16)
        return (g711.encode_pcma(pcm) if codec == PCMA else g711.encode_pcmu(pcm)).tobytes()

    return frame


def heard_by(leg: Leg) -> frozenset[str]:
    """Return whose tones a far end has received during the last half second; empty where it got too little to say."""
    packets = [p for p in leg.far.packets[-_WINDOW_FRAMES:] if p.payload_type in (PCMU, PCMA)]
    if len(packets) < _WINDOW_FRAMES:
        return frozenset({"too little"})
    octets = np.frombuffer(b"".join(p.payload for p in packets), np.uint8)
    pcm = g711.decode_pcma(octets) if leg.far.codec == PCMA else g711.decode_pcmu(octets)
    levels = np.median(tone_levels_dbfs(pcm.astype(np.float32) / 32768, list(HZ.values())), axis=0)
    return frozenset(name for name, level in zip(HZ, levels, strict=True) if level > -30)


def until_heard(leg: Leg, *who: str) -> None:
    """Wait until a far end receives exactly these."""
    wait_until(lambda: heard_by(leg) == frozenset(who), 5, f"{who} to be heard (now {set(heard_by(leg))})")


class Room:
    """Four legs, each with its tone."""

    def __init__(self, plane: Plane, *, codec: int = PCMU) -> None:
        self.plane = plane
        self.legs = {
            name: plane.leg(
                LegKind.CUSTOMER if name == "customer" else LegKind.AGENT,
                codec=codec if name == "customer" else PCMU,
                whose=place + 1,
                dtmf_pt=101,
            )
            for place, name in enumerate(HZ)
        }
        for name, leg in self.legs.items():
            leg.far.speak(speech(HZ[name], leg.far.codec))
        plane.bridge(self.legs["customer"], self.legs["agent"])

    def __getitem__(self, name: str) -> Leg:
        return self.legs[name]

    def hear(self, hears: dict[str, Collection[str]], *, music: Collection[str] = ()) -> None:
        """Order who hears whom."""
        ids: dict[LegId, tuple[LegId, ...]] = {
            self[name].leg_id: tuple(self[source].leg_id for source in sources)
            for name, sources in hears.items()
        }
        self.plane.engine.send(Hear(hears=ids, music={self[name].leg_id: "hold" for name in music}))


@pytest.mark.parametrize("codec", [PCMU, PCMA])
def test_listen_whisper_and_barge_reach_whom_they_should(plane: Plane, codec: int) -> None:
    """Listen: only the supervisor gets more. Whisper: the agent too. Barge: all. And back; every stream stays one stream."""
    room = Room(plane, codec=codec)
    until_heard(room["customer"], "agent")
    room.hear({"supervisor": ("customer", "agent")})
    until_heard(room["supervisor"], "customer", "agent")
    assert heard_by(room["customer"]) == {"agent"}
    room.hear({"agent": ("customer", "supervisor")})
    until_heard(room["agent"], "customer", "supervisor")
    assert heard_by(room["customer"]) == {"agent"}
    room.hear({"customer": ("agent", "supervisor")})
    until_heard(room["customer"], "agent", "supervisor")
    room.hear({"customer": ("agent",), "agent": ("customer",), "supervisor": ()})
    until_heard(room["customer"], "agent")
    until_heard(room["agent"], "customer")
    until_heard(room["supervisor"])
    assert all(leg.hears is None for leg in plane.engine.dump().values() if leg.bridged_to)
    for name in ("customer", "agent", "supervisor"):
        assert_one_stream(room[name].far.packets)


def test_on_hold_there_is_music_and_the_agent_hears_nothing(plane: Plane) -> None:
    """Hold: music to the customer over and over, the agent free to consult a third; resumed, they hear each other as before."""
    room = Room(plane)
    until_heard(room["agent"], "customer")
    room.hear({"agent": ("third",), "third": ("agent",)}, music=["customer"])
    until_heard(room["agent"], "third")
    until_heard(room["third"], "agent")
    until_heard(room["customer"])
    music = np.frombuffer(b"".join(p.payload for p in room["customer"].far.packets[-25:]), np.uint8)
    assert np.sqrt(np.mean(g711.decode_pcmu(music).astype(np.float64) ** 2)) > 300
    room.hear({"agent": ("customer",), "customer": ("agent",), "third": ()})
    until_heard(room["customer"], "agent")
    until_heard(room["agent"], "customer")
    assert_one_stream(room["customer"].far.packets)


def test_three_hear_each_other(plane: Plane) -> None:
    """Three-way: each receives both others, nobody themselves."""
    room = Room(plane)
    three = ("customer", "agent", "third")
    room.hear({name: tuple(other for other in three if other != name) for name in three})
    for name in three:
        until_heard(room[name], *(other for other in three if other != name))


def test_the_end_of_a_bridge_ends_all_listening_to_it(plane: Plane) -> None:
    """When the conversation ends, its supervisor and its third hear nobody of it (I13)."""
    room = Room(plane)
    room.hear({"supervisor": ("customer", "agent"), "agent": ("customer", "third"), "third": ("agent",)})
    until_heard(room["supervisor"], "customer", "agent")
    plane.engine.send(Unbridge(leg_id=room["customer"].leg_id))
    for name in HZ:
        until_heard(room[name])
    plane.close(room["agent"])
    until_heard(room["supervisor"])


def test_digits_go_out_as_presses_between_the_partners_sound(plane: Plane) -> None:
    """Each digit once, by the far end's payload type, its stream one stream; the partner's sound goes on afterwards."""
    room = Room(plane)
    until_heard(room["customer"], "agent")
    far, other = room["customer"].far, plane.leg(LegKind.CUSTOMER, whose=9, dtmf_pt=101)
    plane.engine.send(SendDigits(leg_id=room["customer"].leg_id, digits="10#"))
    presses = lambda: [p for p in far.packets if p.payload_type == 101]  # noqa: E731 - asked often
    wait_until(lambda: len(presses()) == 27, 5, "three presses of nine packets")
    far.wait_for(20)
    told = presses()
    assert [p.marker for p in told] == [n % 9 == 0 for n in range(27)]
    assert len({p.timestamp for p in told}) == 3
    sequences = [p.sequence for p in far.packets]
    assert all((b - a) & 0xFFFF == 1 for a, b in pairwise(sequences))
    until_heard(room["customer"], "agent")
    # what went out is read again by the receiver that reads everybody's
    for packet in told:
        other.far.send_raw(packet.data)
    wait_until(
        lambda: [e.digit for e in plane.engine.all(LegDigit) if e.leg_id == other.leg_id] == ["1", "0", "#"],
        5, "the digits to be read",
    )  # fmt: skip
