"""A call loop on virtual time for each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.leads import add_leads
from tests.engine.virtual import Floor

MakeFloor = Callable[..., Floor]


@pytest.fixture
def make_floor(tmp_path: Path) -> Iterator[MakeFloor]:
    """Return a maker of floors: `make_floor(leads=["01", …], agents=2, …)`; a lead per dialed number's last two digits.

    Floors of one test share their folder, and so the store, unless `folder` names one of their own.
    """
    made: list[Floor] = []

    def make(*, leads: list[str] | int = 1, folder: str = "", **options: Any) -> Floor:
        (tmp_path / folder).mkdir(exist_ok=True)
        floor = Floor(tmp_path / folder, **options)
        made.append(floor)
        suffixes = [f"{index % 100:02}" for index in range(leads)] if isinstance(leads, int) else leads
        add_leads(floor, suffixes)
        return floor

    yield make
    for floor in made:
        floor.close()
