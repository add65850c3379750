"""The same dialer over PostgreSQL: people, a machine, a busy line and a failed trunk, each on its row."""

from __future__ import annotations

import pytest

from tests.e2e.floor import Floor
from tests.e2e.live import number
from tests.e2e.scenario import Answer, AwaitBye, Refuse, Ring, RingOut, Stay
from tests.e2e.sounds import CUSTOMER_HZ
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, pytest.mark.db, requires_program("sipp"), requires_program("baresip")]


def test_a_campaign_over_postgresql(floor: Floor, postgresql_database: str) -> None:
    """Outcomes, failover, conversations, intervals and events are stored as over SQLite, and break no invariant."""
    person = (Ring(100), Answer(floor.sounds.person(CUSTOMER_HZ[0])), Stay(4000))
    carrier = floor.carrier(
        {
            5: (RingOut(),),
            1: person,
            2: (Ring(100), Answer(floor.sounds.voicemail()), AwaitBye(15000)),
            3: (Ring(100), Refuse(486, "Busy Here", 17)),
            4: (Refuse(503, "Service Unavailable"),),
        }
    )
    floor.carrier({4: person})
    floor.softphone()
    floor.softphone()
    dialer = floor.dialer(store_url=postgresql_database, campaign={"ring_limit_s": 3})
    dialer.import_numbers([number(suffix) for suffix in (5, 1, 2, 3, 4)])
    dialer.start()
    dialer.wait_outcomes(6)
    assert dialer.status()["store_healthy"]
    dialer.close()
    outcomes = {suffix: [a.outcome for a in dialer.attempts(number(suffix))] for suffix in range(1, 6)}
    assert outcomes == {
        1: ["connected"], 2: ["machine"], 3: ["busy"], 4: ["congestion", "connected"], 5: ["no_answer"],
    }  # fmt: skip
    assert carrier.story(number(5))[-4:] == ["> CANCEL", "< 200", "< 487", "> ACK"]
    failed, retry = dialer.attempts(number(4))
    assert retry.retry_of == failed.id
    for agent in ("a0", "a1"):
        assert [state for state, _ in dialer.intervals(agent)][:4] == [
            "paused",
            "ready",
            "reserved",
            "talking",
        ]
    counted = [event.seq for event in dialer.events() if event.source == "engine"]
    assert sorted(counted) == list(range(1, len(counted) + 1))
