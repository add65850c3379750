"""What must not happen, seen from the carrier: too many lines, too many calls in a second, a number that asked to be left alone."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

import pytest

from dialer_core.campaigns.dnc_import import import_dnc
from dialer_core.clock import SystemClock
from tests.e2e.floor import Floor
from tests.e2e.live import number
from tests.e2e.scenario import Answer, Refuse, Ring, RingOut, Stay
from tests.e2e.sounds import CUSTOMER_HZ
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]


def test_lines_and_rate_of_a_trunk_are_kept(floor: Floor) -> None:
    """Never more than 3 calls up or ringing, never more than 3 INVITEs in any second, by the clock of SIPp's own log."""
    lines, rate = 3, 3
    ring = (Ring(700), Refuse(480, "Temporarily Unavailable", 18))
    person = (Ring(200), Answer(floor.sounds.speaking(CUSTOMER_HZ[0])), Stay(1200))
    carrier = floor.carrier({1: person, 2: ring, 3: (Refuse(486, "Busy Here", 17),)})
    for _ in range(3):
        floor.softphone()
    dialer = floor.dialer(
        trunks={"carrier": {"lines": lines, "calls_per_second": rate}},
        campaign={"detection": "off", "pacing": "ratio", "ratio": 3.0, "wrap_up_s": 0.1},
    )
    numbers = [number(suffix, index) for index in range(4) for suffix in (2, 1, 3)]
    dialer.import_numbers(numbers)
    dialer.start()
    dialer.wait_outcomes(len(numbers))
    dialer.close()

    calls = [messages for to in numbers for messages in carrier.calls_to(to).values()]
    assert len(calls) == len(numbers)
    sent = sorted(messages[0].at_s for messages in calls)
    assert max(bisect_left(sent, at + 1.0) - i for i, at in enumerate(sent)) == rate
    changes = sorted(
        change for messages in calls for change in ((messages[0].at_s, 1), (messages[-1].at_s, -1))
    )
    up = [0]
    for _, change in changes:
        up.append(up[-1] + change)
    assert max(up) == lines  # reached, and never passed


def test_whoever_asks_to_be_left_alone_rings_no_longer(floor: Floor) -> None:
    """A do-not-call list imported while two phones ring: the one on it is cancelled, the other rings on, neither is called again."""
    carrier = floor.carrier({1: (RingOut(),)})
    for _ in range(2):
        floor.softphone()
    dialer = floor.dialer(campaign={"detection": "off", "ring_limit_s": 5})
    listed, other = number(1, 1), number(1, 2)
    dialer.import_numbers([listed, other])
    dialer.start()
    for to in (listed, other):
        dialer.in_state(to, "ringing")
    file = dialer.folder / "reus.csv"
    file.write_text(f"telefono\n{listed}\n", encoding="utf-8")
    report: Any = import_dnc(
        dialer.database, file, source="a test", clock=SystemClock(), reject_dir=dialer.folder / "rejects"
    )
    assert report.accepted == 1
    (cancelled,) = dialer.ended(listed)
    assert (cancelled.outcome, cancelled.ended_by) == ("cancelled", "us")
    assert carrier.story(listed)[-4:] == ["> CANCEL", "< 200", "< 487", "> ACK"]
    (rang_out,) = dialer.ended(other)
    assert (rang_out.outcome, rang_out.ended_by) == ("no_answer", "limit")
