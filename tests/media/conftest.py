"""Fixtures of the media plane's tests."""

from collections.abc import Iterator

import pytest

from tests.media.harness import Plane, PlaneProcess


@pytest.fixture(scope="module")
def plane_process() -> Iterator[PlaneProcess]:
    """One media plane process for the tests of a module; it outlives the engine of each."""
    with PlaneProcess() as process:
        yield process


@pytest.fixture
def plane(plane_process: PlaneProcess) -> Iterator[Plane]:
    """A media plane without legs, with a new engine attached."""
    with Plane(plane_process) as running:
        yield running
