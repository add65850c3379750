"""A process of the dialer is killed in the middle of its work: what ends, what goes on, and what comes back."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.desk import PERSON_HZ, Desk, open_desk
from tests.e2e.scenario import Answer, Ring, RingOut, Stay
from tests.e2e.sounds import Sounds
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]

RINGS = 2
"""Suffix of people who never answer."""
BRIEF = 3
"""Suffix of people who hang up after two and a half seconds."""


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Iterator[Desk]:
    """Yield the floor of this module."""
    brief = (Ring(100), Answer(sounds.speaking(PERSON_HZ)), Stay(2500))
    with open_desk(
        tmp_path_factory.mktemp("deaths"), sounds, agents=2, others={RINGS: (RingOut(),), BRIEF: brief}
    ) as desk:
        yield desk


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    """Yield it in order."""
    shared_desk.tidy()
    yield shared_desk
    shared_desk.tidy()


def _kill(desk: Desk, name: str) -> int:
    """Kill the dialer's media plane, engine or host; return its id."""
    pid = desk.dialer.pid(name)
    os.kill(pid, signal.SIGKILL)
    return pid


def _dials_again(desk: Desk) -> None:
    """One more person is called and talks to an agent."""
    desk.dialer.login(*desk.phones)
    (to,) = desk.call()
    desk.talking()
    desk.dialer.in_state(to, "bridged")


def _two_talks(desk: Desk, *suffixes: int) -> list[str]:
    desk.dialer.login("a0", "a1")
    numbers = [desk.call(suffix)[0] for suffix in suffixes or (1, 1)]
    desk.dialer.until(
        lambda: [a["state"] for a in desk.dialer.get("/agents")] == ["talking"] * 2,
        15.0,
        "both agents to talk",
    )
    for to in numbers:
        desk.dialer.in_state(to, "bridged")
    return numbers


def _worker_pids(desk: Desk) -> dict[str, int]:
    return {line["worker"]: line["pid"] for line in desk.dialer.logged("worker_attached")}


def test_a_dead_worker_takes_its_own_calls_and_no_others(desk: Desk) -> None:
    """Its talk is over and SIPp gets a BYE; the other conversation goes on; the worker is replaced and used."""
    numbers = _two_talks(desk)
    first, second = (desk.dialer.attempts(to)[0] for to in numbers)
    assert first.worker != second.worker
    pids = _worker_pids(desk)
    os.kill(pids[first.worker], signal.SIGKILL)
    (first,) = desk.dialer.ended(numbers[0])
    assert (first.outcome, first.ended_by) == ("interrupted", "worker")
    assert desk.dialer.attempts(numbers[1])[0].state == "bridged"
    desk.dialer.until(
        lambda: desk.carrier.story(numbers[0])[-2:] == ["> BYE", "< 200"],
        5.0,
        "the BYE of a dead worker's call",
    )

    def replaced() -> bool:
        attached = {worker["id"]: worker["attached"] for worker in desk.dialer.status()["workers"]}
        return bool(attached.get(first.worker)) and _worker_pids(desk)[first.worker] != pids[first.worker]

    desk.dialer.until(replaced, 15.0, "the worker to be replaced")
    (more,) = desk.call()
    desk.dialer.wait_agent(first.agent_id, "talking")
    desk.dialer.in_state(more, "bridged")
    assert desk.dialer.attempts(numbers[1])[0].state == "bridged"


def test_a_call_that_rang_in_a_dead_worker_is_interrupted(desk: Desk) -> None:
    """Not answered yet: the INVITE is cancelled from the journal, the attempt ends as `interrupted` and its agent is offered the next."""
    desk.dialer.login("a0")
    (to,) = desk.call(RINGS)
    desk.dialer.until(lambda: desk.carrier.calls_to(to), 10.0, "the INVITE")
    ringing = desk.dialer.in_state(to, "ringing")
    os.kill(_worker_pids(desk)[ringing.worker], signal.SIGKILL)
    (attempt,) = desk.dialer.ended(to)
    assert (attempt.outcome, attempt.ended_by) == ("interrupted", "worker")
    desk.dialer.until(
        lambda: "> CANCEL" in desk.carrier.story(to), 5.0, "the CANCEL of a dead worker's INVITE"
    )
    (next_one,) = desk.call()
    desk.talking()
    assert desk.dialer.in_state(next_one, "bridged").agent_id == "a0"


def test_the_death_of_the_agents_worker_parts_and_restores(desk: Desk) -> None:
    """Agents' legs are in a worker of their own: its death ends no customer's call, and the softphones are called again."""
    desk.dialer.login("a0")
    (to,) = desk.call()
    desk.talking()
    calls = desk.phones["a0"].calls
    os.kill(_worker_pids(desk)["agents-0"], signal.SIGKILL)
    assert desk.dialer.wait_agent("a0", "paused")["reason"] == "leg_lost"
    assert desk.dialer.attempts(to)[0].outcome is None
    desk.dialer.until(lambda: desk.phones["a0"].calls > calls, 20.0, "the softphone to be called again")


def test_a_dead_engine_is_followed_by_one_that_goes_on(desk: Desk) -> None:
    """Both talks go on with their agents' legs, whoever hangs up meanwhile has had a talk, and the new engine dials."""
    numbers = _two_talks(desk, BRIEF, 1)
    rows = {to: desk.dialer.attempts(to)[0] for to in numbers}
    calls = {name: phone.calls for name, phone in desk.phones.items()}
    _kill(desk, "engine")
    (ended,) = desk.dialer.ended(numbers[0], timeout_s=20.0)
    assert (ended.outcome, ended.ended_by) == ("connected", "far")
    (restarted,) = desk.dialer.events("engine.restarted")
    assert (restarted.data["adopted"] + restarted.data["ended"], restarted.data["interrupted"]) == (2, 0)
    desk.dialer.until(desk.dialer.is_up, 20.0, "the API to answer again")
    desk.dialer.wait_agent(rows[numbers[0]].agent_id, "wrap_up", "ready")
    assert desk.dialer.agent(rows[numbers[1]].agent_id)["state"] == "talking"
    assert "> BYE" not in desk.carrier.story(numbers[1])
    assert calls == {name: phone.calls for name, phone in desk.phones.items()}, "a softphone was called anew"
    desk.dialer.post(f"/calls/{rows[numbers[1]].id}/hangup")
    (ended,) = desk.dialer.ended(numbers[1])
    assert (ended.outcome, ended.ended_by, ended.agent_id) == ("connected", "us", rows[numbers[1]].agent_id)
    _dials_again(desk)


def test_a_dead_host_disturbs_no_call(desk: Desk) -> None:
    """The conversation goes on while the API is away; it comes back and knows of it."""
    desk.dialer.login("a0")
    (to,) = desk.call()
    desk.talking()
    _kill(desk, "host")
    desk.dialer.until(desk.dialer.is_up, 20.0, "the API to answer again")
    assert desk.dialer.agent("a0")["state"] == "talking"
    assert desk.dialer.attempts(to)[0].state == "bridged"


def test_a_dead_media_plane_is_replaced_under_the_talks(desk: Desk) -> None:
    """The legs are opened again on their ports and bridged: nobody is hung up on, no softphone is called anew, and dialing goes on."""
    numbers = _two_talks(desk)
    calls = {name: phone.calls for name, phone in desk.phones.items()}
    _kill(desk, "media")
    (restored,) = desk.dialer.until(
        lambda: desk.dialer.events("media.restored"), 15.0, "the sound to come back"
    )
    assert restored.data["reopened"] == 4
    for to in numbers:
        assert desk.dialer.attempts(to)[0].state == "bridged"
        assert "> BYE" not in desk.carrier.story(to)
    assert calls == {name: phone.calls for name, phone in desk.phones.items()}
    for to in numbers:
        desk.dialer.post(f"/calls/{desk.dialer.attempts(to)[0].id}/hangup")
        assert desk.dialer.ended(to)[0].outcome == "connected"
    _dials_again(desk)


def test_a_killed_supervisor_takes_its_processes_along(tmp_path: Path, sounds: Sounds) -> None:
    """Nothing is left running that nobody watches, and nothing stands in the way of the next `dialer run`."""
    with open_desk(tmp_path, sounds, agents=1) as desk:
        desk.dialer.login("a0")
        (supervisor,) = (pid for pid, line in desk.dialer.processes().items() if " run " in f"{line} ")
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not desk.dialer.processes(), 20.0, "every process of the dialer to end")
        assert desk.dialer.process is not None
        assert desk.dialer.process.wait() == -signal.SIGKILL
        desk.dialer.process = None  # it did not end in good order, so `close` has nothing to hold it to
