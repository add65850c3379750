"""A floor for one test or one module of tests: ports, carriers, softphones and a dialer, ended in the right order.

Owns which of them belong together and their end. Each is its own module's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.carrier import Carrier
from tests.e2e.live import Dialer
from tests.e2e.ports import free_block
from tests.e2e.scenario import Behaviour
from tests.e2e.softphone import Softphone
from tests.e2e.sounds import AGENT_HZ, Sounds


class Floor:
    """Everything of one run. Far ends outlive the dialer, so that its last BYEs are heard."""

    def __init__(self, folder: Path, sounds: Sounds) -> None:
        self.folder = folder
        self.sounds = sounds
        self.ports = free_block()
        self.carriers: list[Carrier] = []
        self.softphones: list[Softphone] = []
        self._far_ends = ExitStack()
        self._dialers: list[Dialer] = []

    def carrier(
        self, behaviours: Mapping[int, Behaviour], *, challenge: bool = False, tcp: bool = False
    ) -> Carrier:
        """Start the next carrier."""
        carrier = Carrier(
            self.folder, self.ports, behaviours, index=len(self.carriers), challenge=challenge, tcp=tcp
        )
        self._far_ends.callback(carrier.close)
        self.carriers.append(carrier)
        return carrier

    def softphone(self, name: str = "", *, encryption: str = "") -> Softphone:
        """Start the next softphone: of agent `a0`, `a1` …, or of a name given, each with a tone of their own."""
        index = len(self.softphones)
        speaks = self.sounds.agent(AGENT_HZ[index])
        softphone = Softphone(
            self.folder, self.ports, index, name=name or f"a{index}", speaks=speaks, encryption=encryption
        )
        self._far_ends.callback(softphone.stop)
        self.softphones.append(softphone)
        return softphone

    def dialer(
        self,
        *,
        trunks: Mapping[str, Mapping[str, Any]] | None = None,
        agents: Mapping[str, Mapping[str, Any]] | None = None,
        **rest: Any,
    ) -> Dialer:
        """Make the dialer (started by its `start`); its trunks are the carriers, its agents the softphones of this floor."""
        given = trunks or {f"carrier{index}": {} for index in range(len(self.carriers))}
        whole = {
            name: {"port": self.ports.carrier(index), **its}
            for index, (name, its) in enumerate(given.items())
        }
        phones = {
            phone.name: {"sip": f"sip:{phone.name}@127.0.0.1:{phone.port}"} for phone in self.softphones
        }
        others = {name: its for name, its in (agents or {}).items() if name not in phones}
        staff = {name: {**its, **(agents or {}).get(name, {})} for name, its in phones.items()} | others
        dialer = Dialer(self.folder, self.ports, trunks=whole, agents=staff, **rest)
        self._dialers.append(dialer)
        return dialer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._far_ends:
            for dialer in self._dialers:
                dialer.close()
