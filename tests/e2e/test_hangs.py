"""A process of the dialer hangs (it is stopped, and holds its sockets): it is noticed, killed and replaced, and calls that do not need it go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from dialer_core.liveness import HOST_SILENT_LIMIT_S, SILENT_LIMIT_S
from tests.e2e.desk import Desk, open_desk
from tests.e2e.sounds import Sounds
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, pytest.mark.soak, requires_program("sipp"), requires_program("baresip")]


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Iterator[Desk]:
    """Yield the floor of this module."""
    with open_desk(tmp_path_factory.mktemp("hangs"), sounds, agents=2) as desk:
        yield desk


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    """Yield it in order."""
    shared_desk.tidy()
    yield shared_desk
    shared_desk.tidy()


def _stop(desk: Desk, pid: int, limit_s: float) -> None:
    """Stop a process, and wait until it is gone."""
    os.kill(pid, signal.SIGSTOP)
    desk.dialer.until(
        lambda: pid not in desk.dialer.processes(), limit_s + 10.0, "the stopped process to be killed"
    )


def _dials(desk: Desk) -> None:
    desk.dialer.until(desk.dialer.is_up, 30.0, "everything to be up again")
    desk.dialer.login(*desk.phones)
    (to,) = desk.call()
    desk.talking()
    desk.dialer.in_state(to, "bridged")


def test_a_worker_that_hangs_is_replaced(desk: Desk) -> None:
    """Its call is ended from outside, the other one goes on."""
    desk.dialer.login("a0", "a1")
    numbers = desk.call(count=2)
    first, second = (desk.dialer.in_state(to, "bridged") for to in numbers)
    assert first.worker != second.worker
    pids = {line["worker"]: line["pid"] for line in desk.dialer.logged("worker_attached")}
    _stop(desk, pids[first.worker], SILENT_LIMIT_S)
    assert [line["peer"] for line in desk.dialer.logged("peer_hangs")][-1] == first.worker
    (ended,) = desk.dialer.ended(numbers[0])
    assert (ended.outcome, ended.ended_by) == ("interrupted", "worker")
    assert "> BYE" in desk.carrier.story(numbers[0])
    assert desk.dialer.attempts(numbers[1])[0].state == "bridged"
    desk.dialer.until(
        lambda: {w["id"] for w in desk.dialer.status()["workers"] if w["attached"]} >= {first.worker},
        15.0,
        "the worker to be replaced",
    )


def test_a_media_plane_that_hangs_is_replaced(desk: Desk) -> None:
    """Nobody hears anything of a stopped media plane: it is killed, a new one comes, and dialing goes on."""
    desk.dialer.login("a0")
    _stop(desk, desk.dialer.pid("media"), SILENT_LIMIT_S)
    _dials(desk)


def test_an_engine_that_hangs_is_replaced(desk: Desk) -> None:
    """A stopped engine holds its socket, and answers nothing: the supervisor hears no heart, kills it, and the next one dials."""
    _stop(desk, desk.dialer.pid("engine"), SILENT_LIMIT_S)
    _dials(desk)


def test_a_host_that_hangs_is_replaced_and_no_call_notices(desk: Desk) -> None:
    """The conversation goes on while the API is away."""
    desk.dialer.login("a0")
    (to,) = desk.call()
    desk.talking()
    _stop(desk, desk.dialer.pid("host"), HOST_SILENT_LIMIT_S)
    desk.dialer.until(desk.dialer.is_up, 30.0, "the API to answer again")
    (attempt,) = desk.dialer.attempts(to)  # they talk on, or their twenty seconds are over by now
    assert attempt.state == "bridged" or (attempt.outcome, attempt.ended_by) == ("connected", "far")
