"""A small floor that several tests share: one dialer, patient people on the line, agents who are logged in by the test that needs them.

Owns that floor and putting it back in order between two tests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.carrier import Carrier
from tests.e2e.floor import Floor
from tests.e2e.live import Dialer, number
from tests.e2e.scenario import Answer, Behaviour, Ring, Stay
from tests.e2e.softphone import Softphone
from tests.e2e.sounds import CUSTOMER_HZ, Sounds

PATIENT_MS = 20000
PERSON_HZ = CUSTOMER_HZ[0]


@dataclass(slots=True)
class Desk:
    """The floor; `call` takes a fresh number each time."""

    floor: Floor
    dialer: Dialer
    carrier: Carrier
    phones: Mapping[str, Softphone]
    _index: int = field(default=0)

    def call(self, suffix: int = 1, count: int = 1) -> list[str]:
        """Put people on the list; return their numbers."""
        fresh = [number(suffix, self._index + i) for i in range(count)]
        self._index += count
        self.dialer.import_numbers(fresh)
        return fresh

    def talking(self, *, but: str = "") -> str:
        """Wait until an agent talks, and return who."""

        def who() -> str:
            agents = self.dialer.get("/agents")
            return next((a["id"] for a in agents if a["state"] == "talking" and a["id"] != but), "")

        return self.dialer.until(who, 15.0, "an agent to talk")

    def tidy(self) -> None:
        """End every call, log everybody out, and see that nothing is left; softphones that were killed run again."""
        for agent in self.dialer.get("/agents"):
            if agent["state"] not in ("logged_out", "talking", "reserved"):
                self.dialer.post(f"/agents/{agent['id']}/pause", reason="end of test")
        for call in self.dialer.get("/calls"):
            self.dialer.post(f"/calls/{call['attempt_id']}/hangup")
        self.dialer.until(lambda: self.dialer.get("/calls") == [], 15.0, "every call to end")
        for agent in self.dialer.get("/agents"):
            if agent["state"] != "logged_out":
                self.dialer.post(f"/agents/{agent['id']}/logout")
        for phone in self.phones.values():
            if phone.process.poll() is not None:
                phone.start_again()
        self.dialer.until(
            lambda: all(a["state"] == "logged_out" and not a["leg_up"] for a in self.dialer.get("/agents")),
            10.0, "everybody to be logged out",
        )  # fmt: skip


@contextmanager
def open_desk(
    folder: Path,
    sounds: Sounds,
    *,
    agents: int,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    others: Mapping[int, Behaviour] | None = None,
    **campaign: Any,
) -> Iterator[Desk]:
    """Run the floor: people answer at once (suffix 1) and stay; `others` by suffix. The campaign does not listen."""
    with Floor(folder, sounds) as floor:
        person = (Ring(100), Answer(sounds.speaking(PERSON_HZ)), Stay(PATIENT_MS))
        carrier = floor.carrier({1: person, **(others or {})})
        phones = [floor.softphone() for _ in range(agents)]
        dialer = floor.dialer(agents=settings, campaign={"detection": "off", "wrap_up_s": 0.2, **campaign})
        dialer.start()
        yield Desk(floor, dialer, carrier, {phone.name: phone for phone in phones})
