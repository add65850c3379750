"""SIGTERM in the middle of the work."""

from __future__ import annotations

import signal
import socket

import pytest

from tests.e2e.floor import Floor
from tests.e2e.live import Dialer, number
from tests.e2e.scenario import Answer, Ring, RingOut, Stay
from tests.e2e.sounds import CUSTOMER_HZ
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]

TALKS, RINGS, WAITS = number(1), number(2), number(3)


def _at_work(floor: Floor, *, talk_ms: int) -> Dialer:
    """One person talks, one phone rings, one lead waits for an agent."""
    floor.carrier(
        {
            1: (Ring(100), Answer(floor.sounds.speaking(CUSTOMER_HZ[0])), Stay(talk_ms)),
            2: (RingOut(),),
            3: (RingOut(),),
        }
    )
    floor.softphone()
    floor.softphone()
    dialer = floor.dialer(campaign={"detection": "off", "ring_limit_s": 60})
    dialer.import_numbers([TALKS, RINGS, WAITS])
    dialer.start()
    dialer.in_state(TALKS, "bridged")
    dialer.in_state(RINGS, "ringing")
    return dialer


def _nothing_is_left(dialer: Dialer) -> None:
    assert dialer.processes() == {}
    assert list(dialer.run_dir.glob("*.sock")) == []
    first, last = dialer.ports.rtp
    for port in [*range(dialer.ports.workers, dialer.ports.workers + 20), *range(first, last + 1)]:
        with socket.socket(type=socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", port))


def test_a_drain_lets_people_finish_talking(floor: Floor) -> None:
    """What rings is cancelled at once, the talk ends by itself, nothing new is dialed, the exit status is 0 and nothing is left."""
    dialer = _at_work(floor, talk_ms=4000)
    dialer.terminate()
    (rang,) = dialer.ended(RINGS)
    assert rang.outcome == "cancelled"
    assert floor.carriers[0].story(RINGS)[-4:] == ["> CANCEL", "< 200", "< 487", "> ACK"]
    assert dialer.status()["draining"]
    assert dialer.attempts(TALKS)[0].state == "bridged"
    assert dialer.wait_end() == 0
    (talked,) = dialer.attempts(TALKS)
    assert (talked.outcome, talked.ended_by) == ("connected", "far")
    assert floor.carriers[0].story(TALKS)[-2:] == ["< BYE", "> 200"]
    assert dialer.attempts(WAITS) == []
    assert dialer.intervals("a0")[-1][0] in ("wrap_up", "ready")
    _nothing_is_left(dialer)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_talk_too(floor: Floor, second: signal.Signals) -> None:
    """Whoever asks twice does not want to wait: the talk gets its BYE now, and the exit status is still 0."""
    dialer = _at_work(floor, talk_ms=60000)
    dialer.terminate()
    dialer.ended(RINGS)
    assert dialer.process is not None
    dialer.process.send_signal(second)
    assert dialer.wait_end() == 0
    (talked,) = dialer.attempts(TALKS)
    assert (talked.outcome, talked.ended_by) == ("connected", "us")
    assert floor.carriers[0].story(TALKS)[-2:] == ["> BYE", "< 200"]
    _nothing_is_left(dialer)
