"""Trunks that are not there: at the start, in the middle of the work, both at once; and what becomes of the leads."""

from __future__ import annotations

import pytest

from tests.e2e.floor import Floor
from tests.e2e.live import Dialer, number
from tests.e2e.scenario import Answer, Ring, Stay
from tests.e2e.sounds import CUSTOMER_HZ
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]


def test_a_trunk_is_waited_for_replaced_and_waited_for_again(floor: Floor) -> None:
    """Down at the start, leads wait; up, dialing begins; lost, the second trunk takes over; both lost, leads wait; back, all goes on."""
    person = (Ring(100), Answer(floor.sounds.speaking(CUSTOMER_HZ[0])), Stay(800))
    first = floor.carrier(dict.fromkeys(range(1, 6), person))
    second = floor.carrier(dict.fromkeys(range(1, 6), person))
    floor.softphone()
    first.stop()
    second.stop()
    probed = {"options_interval_s": 1}
    dialer = floor.dialer(
        trunks={"first": probed, "second": probed},
        campaign={"detection": "off", "wrap_up_s": 0.1, "ring_limit_s": 3},
    )
    dialer.import_numbers([number(1)])
    dialer.start()

    dialer.until(lambda: _states(dialer) == ("down", "down"), 15.0, "both trunks to be down")
    assert dialer.trunk("first")["reason"] == "does not answer OPTIONS"
    dialer.until(
        lambda: "trunk first is down" in dialer.campaign()["reason"], 5.0, "the campaign to say why it waits"
    )
    assert dialer.attempts() == []
    assert [lead.state for lead in dialer.leads()] == ["dialable"]

    first.start_again()
    second.start_again()
    (talked,) = dialer.ended(number(1))
    assert talked.outcome == "connected"

    dialer.until(lambda: _states(dialer) == ("up", "up"), 30.0, "both trunks to be up")
    first.stop()
    dialer.import_numbers([number(2)])  # the first trunk still counts as up: its INVITE finds nobody
    failed, retry = dialer.ended(number(2), 2, timeout_s=30.0)
    assert (failed.trunk, failed.outcome, failed.ended_by) == ("first", "trunk_failed", "limit")
    assert (retry.trunk, retry.outcome, retry.retry_of) == ("second", "connected", failed.id)
    assert dialer.trunk("first")["state"] == "down"

    dialer.import_numbers([number(3)])  # known to be down: it is not tried
    assert [(a.trunk, a.outcome) for a in dialer.ended(number(3))] == [("second", "connected")]

    second.stop()
    dialer.until(lambda: _states(dialer) == ("down", "down"), 15.0, "both trunks to be down")
    dialer.import_numbers([number(4)])
    dialer.until(lambda: "is down" in dialer.campaign()["reason"], 5.0, "the campaign to say why it waits")
    assert dialer.attempts(number(4)) == []

    first.start_again()
    assert [(a.trunk, a.outcome) for a in dialer.ended(number(4), timeout_s=30.0)] == [("first", "connected")]
    told = [(e.data["trunk"], e.data["state"]) for e in dialer.events("trunk.state_changed")]
    assert [state for trunk, state in told if trunk == "first"] == ["down", "up", "down", "up"]


def test_a_trunk_over_tcp_and_its_loss(floor: Floor) -> None:
    """A person is reached over TCP; when that trunk refuses the connection, the next call goes over the second, by UDP."""
    person = (Ring(100), Answer(floor.sounds.speaking(CUSTOMER_HZ[0])), Stay(800))
    first = floor.carrier(dict.fromkeys((1, 2), person), tcp=True)
    second = floor.carrier(dict.fromkeys((1, 2), person))
    floor.softphone()
    dialer = floor.dialer(
        trunks={"first": {"transport": "tcp"}, "second": {}}, campaign={"detection": "off", "wrap_up_s": 0.1}
    )
    dialer.import_numbers([number(1)])
    dialer.start()
    assert [(a.trunk, a.outcome) for a in dialer.ended(number(1))] == [("first", "connected")]
    assert first.story(number(1))[0] == "> INVITE"

    first.stop()
    dialer.import_numbers([number(2)])
    failed, retry = dialer.ended(number(2), 2)
    assert (failed.trunk, failed.outcome) == ("first", "trunk_failed")
    assert (retry.trunk, retry.outcome, retry.retry_of) == ("second", "connected", failed.id)
    assert second.story(number(2))[-2:] == ["< BYE", "> 200"]


def _states(dialer: Dialer) -> tuple[str, str]:
    return dialer.trunk("first")["state"], dialer.trunk("second")["state"]
