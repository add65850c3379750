"""One campaign that meets every behaviour of a carrier, placed once for all tests that look at it.

Owns the table of what each called number does, and the run. What came of it is the tests' to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.carrier import Carrier
from tests.e2e.floor import Floor
from tests.e2e.live import Dialer, number
from tests.e2e.scenario import (
    Answer,
    AnswerGarbled,
    AwaitBye,
    Behaviour,
    Change,
    EarlyMedia,
    Refuse,
    Ring,
    RingOut,
    Stay,
)
from tests.e2e.softphone import Softphone
from tests.e2e.sounds import CUSTOMER_HZ, Sounds
from tests.e2e.wire import Wire, capture, may_capture

USER, PASSWORD, PASSWORD_ENV = "account-7", "s3cret of a test", "E2E_TRUNK_PASSWORD"
PEOPLE = {1: CUSTOMER_HZ[0], 2: CUSTOMER_HZ[4], 5: CUSTOMER_HZ[6], 35: CUSTOMER_HZ[8]}
"""Who speaks, and their tones; 5's session is refreshed in mid-talk, 35 is reached over the second trunk."""
RING_LIMIT_S = 5


def behaviours(sounds: Sounds) -> dict[int, Behaviour]:
    """What each number does on the first trunk."""
    ring = Ring()
    return {
        36: (RingOut(),),  # first, because it takes longest
        1: (ring, Answer(sounds.person(PEOPLE[1])), Stay(7000)),
        11: (ring, Answer(sounds.voicemail()), AwaitBye(15000)),
        2: (ring, Answer(sounds.person(PEOPLE[2], law="PCMA"), law="PCMA"), Stay(7000)),
        5: (ring, Answer(sounds.person(PEOPLE[5])), Change(4000), Stay(3000)),
        3: (ring, Answer(sounds.quiet()), Stay(8000)),
        35: (Refuse(503, "Service Unavailable"),),
        4: (ring, Answer(), Stay(8000)),
        12: (ring, Answer(sounds.fax()), AwaitBye(15000)),
        13: (ring, Answer(sounds.intercept()), AwaitBye(15000)),
        14: (ring, Answer(sounds.busy_tone()), AwaitBye(15000)),
        21: (EarlyMedia(sounds.intercept(), 3000), Refuse(404, "Not Found", 1)),
        22: (EarlyMedia(sounds.intercept(), 3000), Refuse(480, "Temporarily Unavailable")),
        31: (ring, Refuse(486, "Busy Here", 17)),
        32: (ring, Refuse(480, "Temporarily Unavailable", 18)),
        33: (Refuse(480, "Temporarily Unavailable", 20),),
        34: (ring, Refuse(603, "Decline", 21)),
        37: (ring, Answer(sounds.quiet()), Stay(0)),
        38: (Refuse(488, "Not Acceptable Here"),),
        39: (ring, AnswerGarbled()),
        40: (Refuse(404, "Not Found"),),
        41: (Refuse(302, "Moved Temporarily"),),
    }


@dataclass(frozen=True, slots=True, eq=False)
class CampaignRun:
    """What is left when all is over."""

    dialer: Dialer
    trunk: Carrier
    second_trunk: Carrier
    softphones: Mapping[str, Softphone]
    sounds: Sounds
    wire: Wire | None
    numbers: Mapping[int, str] = field(default_factory=dict)


def place_campaign(folder: Path, sounds: Sounds) -> CampaignRun:
    """Dial every number once, four agents at work, and stop the dialer."""
    with Floor(folder, sounds) as floor, ExitStack() as capturing:
        table = behaviours(sounds)
        numbers = {suffix: number(suffix) for suffix in table}
        trunk = floor.carrier(table, challenge=True)
        second = floor.carrier({35: (Ring(), Answer(sounds.person(PEOPLE[35])), Stay(7000))})
        for _ in range(4):
            floor.softphone()
        dialer = floor.dialer(
            trunks={
                "first": {"user": USER, "password_env": PASSWORD_ENV},
                "second": {},
            },
            environment={PASSWORD_ENV: PASSWORD},
            # whatever fails is not tried again in this run, failover apart
            campaign={"ring_limit_s": RING_LIMIT_S, "wrap_up_s": 0.2},
        )
        dialer.import_numbers(list(numbers.values()))
        wire_capture = capturing.enter_context(capture(folder, floor.ports)) if may_capture() else None
        dialer.start()
        dialer.wait_outcomes(len(numbers) + 1, timeout_s=80.0)
        dialer.close()
        wire = wire_capture.read() if wire_capture is not None else None
        for softphone in floor.softphones:
            softphone.stop()
        phones = {phone.name: phone for phone in floor.softphones}
        return CampaignRun(dialer, trunk, second, phones, sounds, wire, numbers)
