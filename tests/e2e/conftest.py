"""Fixtures of the end-to-end tests: sounds, a floor of dialer, carriers and softphones, all real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.campaign_run import CampaignRun, place_campaign
from tests.e2e.floor import Floor
from tests.e2e.sounds import Sounds


@pytest.fixture(scope="session")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Sounds:
    """Return the maker of sound files."""
    return Sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture
def floor(tmp_path: Path, sounds: Sounds) -> Iterator[Floor]:
    """Yield an empty floor of this test's own."""
    with Floor(tmp_path, sounds) as made:
        yield made


@pytest.fixture(scope="session")
def campaign_run(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> CampaignRun:
    """Return the campaign that met every behaviour; it is over."""
    return place_campaign(tmp_path_factory.mktemp("campaign"), sounds)
