"""Silence: who is overdue, who is excused, and that a heartbeat stops with its loop."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress

import pytest

from dialer_core.liveness import LOOK_INTERVAL_S, SILENT_LIMIT_S, START_LIMIT_S, Heart, Silence, beat

pytestmark = pytest.mark.unit


def looks(
    silence: Silence, counts: list[dict[str, int]], *, gap_s: float = LOOK_INTERVAL_S
) -> list[tuple[int, str]]:
    """Look once per entry; return (look, peer) of everyone overdue."""
    return [
        (index, peer)
        for index, heard in enumerate(counts)
        for peer in silence.look(1000.0 + index * gap_s, heard)
    ]


def test_who_says_nothing_for_the_limit_is_overdue_once() -> None:
    """One that goes on talking never is; one that stops is named at the first look after the limit, and again only after another."""
    stops_at, beats = 4, [{"talks": n + 1, "stops": min(n + 1, 4)} for n in range(40)]
    overdue = looks(Silence(), beats)
    first = stops_at + int(SILENT_LIMIT_S / LOOK_INTERVAL_S)
    assert overdue[0] == (first, "stops")
    assert {peer for _, peer in overdue} == {"stops"}
    assert overdue[1] == (2 * first - stops_at + 1, "stops")


def test_who_has_never_been_heard_has_the_time_of_a_start() -> None:
    """A process that is still starting is not taken for hung."""
    count = int(START_LIMIT_S / LOOK_INTERVAL_S) + 3
    ((look, _),) = looks(Silence(), [{"new": 0}] * count)
    assert look * LOOK_INTERVAL_S > START_LIMIT_S


def test_a_first_limit_of_its_own() -> None:
    """One that needs no time to start is not given it; once heard it is held to the common limit."""
    silence, begun = Silence(), {"begun": 1.0}
    overdue = [
        (index, peer)
        for index in range(8)
        for peer in silence.look(1000.0 + index * LOOK_INTERVAL_S, {"begun": 0, "new": 0}, begun)
    ]
    assert overdue[0] == (3, "begun")
    assert {peer for _, peer in overdue} == {"begun"}


def test_a_limit_of_its_own() -> None:
    """A peer named with a limit has that one."""
    overdue = looks(Silence({"slow": 10.0}), [{"slow": 1, "other": 1}] * 16)
    assert {peer for _, peer in overdue} == {"other"}


def test_whoever_was_held_up_itself_accuses_nobody() -> None:
    """After ten minutes in which we did not run ourselves, everybody is late, and nobody is to blame."""
    silence = Silence()
    assert not looks(silence, [{"peer": 7}] * 2)
    assert silence.look(1600.0, {"peer": 7}) == []


def test_a_peer_that_went_and_came_starts_anew() -> None:
    """What is no longer named is forgotten."""
    silent = [{"peer": 1}] * 9
    assert looks(Silence(), [*silent, {}, *silent]) == []


async def test_a_heart_beats_while_its_loop_runs_and_says_what_is_wanted() -> None:
    """The byte is the number of workers wanted, within what a byte holds; a full pipe stops nothing; the end closes it."""
    reading, writing = os.pipe()
    wanted = iter([3, 700, -1])
    task = asyncio.create_task(beat(Heart(writing), lambda: next(wanted)))
    for expected in (3, 255, 0):
        assert await asyncio.to_thread(os.read, reading, 1) == bytes([expected])
    task.cancel()
    with suppress(asyncio.CancelledError, RuntimeError):
        await task
    assert await asyncio.to_thread(os.read, reading, 1) == b""
    os.close(reading)


async def test_a_heart_without_a_supervisor_ends_quietly() -> None:
    """The supervisor's end is closed: the beat ends, and nothing else does."""
    reading, writing = os.pipe()
    os.close(reading)
    await asyncio.wait_for(beat(Heart(writing)), 5)
