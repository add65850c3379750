"""Presses by RFC 4733 become digits, once each."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from dialer_core.media import dtmf, rtp

pytestmark = pytest.mark.unit


def event(code: int, duration: int, *, end: bool = False) -> bytes:
    """A telephone-event payload."""
    return struct.pack("!BBH", code, 0x80 if end else 0, duration)


def test_a_press_is_told_at_its_first_packet_and_never_again() -> None:
    """Updates and the threefold end say nothing more; the next press does, also of the same digit."""
    receiver = dtmf.DigitReceiver()
    press = [event(5, 160), event(5, 320), *[event(5, 480, end=True)] * 3]
    assert [receiver.receive(1000, payload) for payload in press] == ["5", None, None, None, None]
    assert [receiver.receive(3000, payload) for payload in press] == ["5", None, None, None, None]


@pytest.mark.parametrize("kept", [[0], [3], [4], [1, 4]])
def test_a_press_is_told_whatever_of_it_is_lost(kept: list[int]) -> None:
    """Any one packet of a press is enough."""
    press = [event(11, 160), event(11, 320), *[event(11, 480, end=True)] * 3]
    receiver = dtmf.DigitReceiver()
    said = [receiver.receive(77, press[i]) for i in kept]
    assert said == ["#", *[None] * (len(kept) - 1)]


def test_an_overtaken_packet_of_an_older_press_says_nothing() -> None:
    """After a newer press has begun, a late end of the former one is not a press."""
    receiver = dtmf.DigitReceiver()
    said = [
        receiver.receive(*one)
        for one in [(0, event(1, 160)), (800, event(2, 160)), (0, event(1, 480, end=True))]
    ]
    assert said == ["1", "2", None]


def test_a_long_press_in_segments_is_one() -> None:
    """A press longer than its duration field goes on under the next timestamp; after an end the same step is a new press."""
    receiver = dtmf.DigitReceiver()
    assert receiver.receive(0, event(9, 0xFFFF)) == "9"
    assert receiver.receive(0xFFFF, event(9, 160)) is None
    assert receiver.receive(0xFFFF, event(9, 320, end=True)) is None
    assert receiver.receive(2 * 0xFFFF, event(9, 160)) == "9"


def test_timestamps_wrap() -> None:
    """A press after the timestamp's wrap is a new press."""
    receiver = dtmf.DigitReceiver()
    assert receiver.receive(2**32 - 100, event(3, 160)) == "3"
    assert receiver.receive(700, event(3, 160)) == "3"


def test_other_events_and_cut_payloads_are_no_digits() -> None:
    """Flash and the fax events of the same payload type say nothing, and neither do three octets."""
    receiver = dtmf.DigitReceiver()
    assert receiver.receive(0, event(16, 160)) is None
    assert receiver.receive(900, event(32, 160)) is None
    assert receiver.receive(1800, b"\x05\x00\x00") is None
    assert receiver.receive(1800, event(15, 160)) == "D"


@pytest.mark.needs_shared
def test_sipps_captured_presses_are_read(shared_data: Path) -> None:
    """Each of SIPp's twelve captures holds one press of its digit."""
    names = {**{str(n): str(n) for n in range(10)}, "star": "*", "pound": "#"}
    for name, digit in names.items():
        data = (shared_data / "sip_rtp_pcaps" / "sipp" / f"dtmf_2833_{name}.pcap").read_bytes()
        receiver, at, said = dtmf.DigitReceiver(), 24, []
        while at + 16 <= len(data):
            length = int.from_bytes(data[at + 8 : at + 12], "little")
            frame = data[at + 16 : at + 16 + length]
            at += 16 + length
            packet = rtp.parse(frame[frame.index(b"\x45\x00") + 28 :])
            assert packet is not None
            said.append(receiver.receive(packet[2], packet[4]))
        assert [one for one in said if one] == [digit], name
