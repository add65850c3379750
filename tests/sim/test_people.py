"""People who do more than their number's row says: read as written, and their keys on the wire as RFC 4733 wants them."""

from __future__ import annotations

import struct
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from dialer_core.sim.behaviours import Press, behaviour_for
from dialer_core.sim.log_reader import load_log
from dialer_core.sim.people import read_people
from tests.sim.callers import (
    ACK,
    AWAIT_BYE,
    INVITE,
    PROVISIONAL,
    SoundEnd,
    ended,
    response,
    simulator,
    sipp_call,
)
from tests.skips import requires_program

CARRIER, RTP = 21060, 21064
OFFERED = 120
"""The payload type that SIPp's offer has for telephone-events."""


@pytest.mark.unit
def test_what_a_person_does_is_read_beside_their_row() -> None:
    """Keys in order, the length of the talk; all else is as the suffix says, and the number may be written with its plus."""
    people = read_people(["+525500000301=press:1@3s,press:#@0.5s,talk:8s"])
    row = people["525500000301"]
    assert (row.presses, row.talk_s) == ((Press("1", 3.0), Press("#", 0.5)), (8.0, 8.0))
    assert (row.name, row.plays) == (behaviour_for("01").name, behaviour_for("01").plays)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("525500000301", "what its person does"),
        ("525500000301=press:x@3s", "neither a key"),
        ("525500000301=press:1", "neither a key"),
        ("525500000301=talk:long", "length of talk"),
        ("525500000370=press:1@3s", "nobody answers in person (busy)"),
    ],
)
def test_what_cannot_be_read_is_refused(line: str, said: str) -> None:
    """A key that is none, a time that is none, a number where no person is: told with what would be right."""
    with pytest.raises(ValueError, match="525500000") as refused:
        read_people([line])
    assert said in str(refused.value)


@pytest.mark.sip
@requires_program("sipp")
def test_keys_go_out_as_telephone_events(tmp_path: Path) -> None:
    """Each key: one timestamp, marked once, growing, its end three times, in the stream's own numbering, as was offered."""
    end = SoundEnd(RTP)
    with simulator(
        tmp_path, "--carrier-port", str(CARRIER), "--patience-s", "0.3", "--person", "5250000000=press:1@0.2s,press:#@0.1s"
    ):  # fmt: skip
        steps = INVITE + PROVISIONAL + response(200) + ACK + AWAIT_BYE
        call = sipp_call(tmp_path, steps, to_port=CARRIER, number="5250000000", rtp_port=RTP)
        with ended({"call": call}, {"end": end}):
            assert call.result() == 0, call.complaint()
    stream = end.packets
    steps_of_sequence = {(b.sequence - a.sequence) & 0xFFFF for a, b in pairwise(stream)}
    assert steps_of_sequence == {1}
    events = [packet for packet in stream if packet.payload_type == OFFERED]
    presses = [list(press) for _, press in groupby(events, lambda packet: packet.timestamp)]
    assert [struct.unpack(">BBH", press[0].payload)[0] for press in presses] == [1, 11]
    for press in presses:
        seen = [struct.unpack(">BBH", packet.payload) for packet in press]
        assert [packet.marker for packet in press] == [True] + [False] * (len(press) - 1)
        assert [duration for _, _, duration in seen] == [160 * n for n in range(1, 9)] + [1280] * 2
        assert [bool(octet & 0x80) for _, octet, _ in seen] == [False] * 7 + [True] * 3
        after = next(p for p in stream[stream.index(press[-1]) :] if p.payload_type != OFFERED)
        assert (after.timestamp - press[0].timestamp) % 2**32 == 1280, "sound goes on where the key ends"
    (customer,) = load_log(tmp_path / "sim.jsonl").customers
    pressed = [line["key"] for line in customer.events if line["kind"] == "key.pressed"]
    assert pressed == ["1", "#"]
