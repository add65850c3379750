"""Open files: what is needed is asked for before the start, and refused in one line where it cannot be had."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from dialer_core import open_files
from dialer_core.errors import StartError
from dialer_core.open_files import allow_files, files_needed
from dialer_core.settings import AgentSettings, DialerSettings, Settings, TrunkSettings
from dialer_core.vocabulary import AgentId, TrunkId

pytestmark = pytest.mark.unit


def settings(lines: int) -> Settings:
    """One trunk of so many lines, and ten agents."""
    return Settings(
        Path("config"),
        DialerSettings(),
        {TrunkId("carrier"): TrunkSettings(host="127.0.0.1", lines=lines)},
        {AgentId(f"a{n}"): AgentSettings(sip=f"sip:a{n}@127.0.0.1:5060") for n in range(10)},
        {},
    )


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stand in for the system's limit; holds what was set last."""
    now = [(1024, 4096)]
    monkeypatch.setattr(open_files.resource, "getrlimit", lambda _which: now[-1])
    monkeypatch.setattr(open_files.resource, "setrlimit", lambda _which, limits: now.append(limits))
    return now


def test_two_sockets_a_leg_and_what_stands_beside() -> None:
    """600 lines and ten agents are 1,220 sockets, and the API."""
    assert files_needed(settings(600)) == 1220 + open_files.BESIDE


def test_a_small_floor_changes_nothing(limit: list[tuple[int, int]]) -> None:
    """What is allowed suffices."""
    allow_files(settings(100))
    assert limit == [(1024, 4096)]


def test_what_is_missing_is_raised_as_far_as_we_may(limit: list[tuple[int, int]]) -> None:
    """The soft limit goes to what is needed; the hard one stays."""
    allow_files(settings(600))
    assert limit[-1] == (files_needed(settings(600)), 4096)


def test_what_the_system_refuses_is_told_in_one_line(limit: list[tuple[int, int]]) -> None:
    """How many, how many are allowed, and where to set it."""
    with pytest.raises(
        StartError, match=r"^4340 open files are needed .* allows 4096: .*LimitNOFILE=4340.*$"
    ):
        allow_files(settings(2000))
    assert limit == [(1024, 4096)]


def test_no_limit_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Infinity suffices for anything."""
    infinity = resource.RLIM_INFINITY
    monkeypatch.setattr(open_files.resource, "getrlimit", lambda _which: (infinity, infinity))
    allow_files(settings(10_000))
