"""Fixtures of the media plane's tests."""

from collections.abc import Iterator

import pytest

from tests.media.harness import Plane, media_plane


@pytest.fixture
def plane() -> Iterator[Plane]:
    """A media plane process of its own for each test."""
    with media_plane() as running:
        yield running
