"""PostgreSQL is killed under a running campaign and comes back: calls go on, nobody new is dialed meanwhile, nothing is lost or repeated."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.e2e.floor import Floor
from tests.e2e.live import number
from tests.e2e.scenario import Answer, Ring, Stay
from tests.e2e.sounds import CUSTOMER_HZ
from tests.kill.server import PostgresServer
from tests.polling import wait_until
from tests.postgresql import find_binaries
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, pytest.mark.db, requires_program("sipp"), requires_program("baresip")]
LEADS = 8
TALK_MS = 2500
AGENTS = ("a0", "a1")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """Yield a server of this test's own."""
    if find_binaries() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    made = PostgresServer()
    yield made
    made.close()


@pytest.mark.parametrize("away_s", [6.0, pytest.param(30.0, marks=pytest.mark.soak)])
def test_a_database_that_is_away_costs_no_call(server: PostgresServer, floor: Floor, away_s: float) -> None:
    """Those who talk talk on to their end; status says what is wrong; the first INVITE follows the return; every lead is called once."""
    person = (Ring(100), Answer(floor.sounds.speaking(CUSTOMER_HZ[0])), Stay(TALK_MS))
    carrier = floor.carrier({1: person})
    for _ in AGENTS:
        floor.softphone()
    dialer = floor.dialer(store_url=server.url, campaign={"detection": "off", "wrap_up_s": 0.2})
    numbers = [number(1, index) for index in range(LEADS)]
    dialer.import_numbers(numbers)
    dialer.start()

    def dialed() -> int:
        return sum(bool(carrier.calls_to(to)) for to in numbers)

    dialer.until(lambda: dialed() >= 3, 30.0, "the third call")
    dialer.until(lambda: any(dialer.agent(a)["state"] == "talking" for a in AGENTS), 10.0, "an agent to talk")
    server.kill()
    gone_s = time.monotonic()
    status = dialer.until(lambda: (s := dialer.status())["held"] and s, 10.0, "the loss to be told")
    assert "database" in status["held"]
    assert not status["draining"]
    dialer.until(
        lambda: dialer.get("/calls") == [], 15.0, "the talks to end"
    )  # by the far end, in their time
    at_rest = dialed()
    assert at_rest < LEADS
    assert dialer.status()["store_backlog"] > 0
    wait_until(lambda: time.monotonic() - gone_s >= away_s, away_s + 5.0, "the outage to last")
    assert dialed() == at_rest, "somebody was dialed of whom nothing is stored"
    server.start()
    dialer.until(lambda: dialed() > at_rest, 5.0, "dialing to go on")
    dialer.until(lambda: dialed() == LEADS, 60.0, "every lead to be called")
    dialer.until(lambda: dialer.get("/calls") == [] and not dialer.status()["store_backlog"], 30.0, "the end")
    for to in numbers:
        assert len(carrier.calls_to(to)) == 1
        (attempt,) = dialer.attempts(to)
        assert attempt.outcome == "connected"
    seqs = sorted(event.seq for event in dialer.events() if event.source == "engine")
    assert seqs == list(range(1, len(seqs) + 1)), "an event is missing, or there twice"
    assert len(dialer.logged("journal_database_away")) == len(dialer.logged("journal_database_back")) == 1
