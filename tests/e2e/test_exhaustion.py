"""The machine has no descriptor or no room on its disk left for a running dialer: calls go on, and dialing comes back by itself."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.desk import Desk, open_desk
from tests.e2e.sounds import Sounds
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]
DISK_MB = 6


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory, sounds: Sounds) -> Iterator[Desk]:
    """Yield a floor whose state lies on a small disk of its own, where we may make one."""
    folder = tmp_path_factory.mktemp("exhaustion")
    state = folder / "state"
    state.mkdir()
    mounted = os.geteuid() == 0 and not subprocess.call(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=700", "tmpfs", str(state)]
    )
    try:
        with open_desk(folder, sounds, agents=2) as desk:
            yield desk
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(state)], check=True)


@pytest.fixture
def desk(shared_desk: Desk) -> Iterator[Desk]:
    """Yield it in order."""
    shared_desk.tidy()
    yield shared_desk
    shared_desk.tidy()


def test_a_full_disk_stops_new_calls_and_no_other(desk: Desk) -> None:
    """Nothing can be written: the talk goes on, nobody new is dialed, status says why; with room again, all is stored and dialing goes on."""
    state = desk.dialer.settings.state_dir
    if not os.path.ismount(state):
        pytest.skip("no small disk could be made: run as root, where mount(8) is allowed")
    desk.dialer.login("a0")
    (talking,) = desk.call()
    desk.dialer.in_state(talking, "bridged")
    (waiting,) = desk.call()  # nobody is free for them yet
    filler = state / "filler"
    _fill(filler)
    desk.dialer.get("/calls")
    desk.dialer.login("a1")  # its interval cannot be stored, and they would be free
    status = desk.dialer.until(
        lambda: (s := desk.dialer.status())["held"] and s, 10.0, "the full disk to be told"
    )
    assert status["store_healthy"] is False
    assert "database" in status["held"]
    (call,) = desk.dialer.get("/calls")
    assert call["state"] == "bridged"
    assert not desk.carrier.calls_to(waiting)
    desk.dialer.post(f"/calls/{call['attempt_id']}/hangup")
    desk.dialer.until(lambda: desk.dialer.get("/calls") == [], 10.0, "the talk to end")
    assert not desk.carrier.calls_to(waiting)
    filler.unlink()
    desk.dialer.in_state(waiting, "bridged")
    (ended,) = desk.dialer.ended(talking)
    assert ended.outcome == "connected"
    assert not desk.dialer.status()["held"]


def _fill(file: Path) -> None:
    """Write until the disk takes no more."""
    with file.open("wb", buffering=0) as out:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    out.write(b"\0" * size)
            except OSError:
                continue


def test_without_descriptors_nothing_new_begins_and_nothing_falls_over(desk: Desk) -> None:
    """Media plane, engine and host get no further socket: the talk goes on, a new call is given up before its INVITE; later dialing goes on."""
    desk.dialer.login("a0", "a1")
    (talking,) = desk.call()
    desk.dialer.in_state(talking, "bridged")
    before = dict(desk.dialer.processes())
    limits = {}
    for pid, line in before.items():
        if any(what in line for what in ("media.plane", "dialer_core.engine", "dialer_core.host")):
            limits[pid] = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = max(int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()) + 1
            resource.prlimit(
                pid, resource.RLIMIT_NOFILE, (used if "media" in line else used + 2, limits[pid][1])
            )
    assert len(limits) >= 3
    try:
        (to,) = desk.call()
        (given_up,) = desk.dialer.ended(to)
        assert given_up.sent_mono_ns is None
        assert given_up.outcome == "cancelled"
        assert "no socket" in desk.dialer.status()["held"]
        assert not desk.carrier.calls_to(to)
        assert desk.dialer.attempts(talking)[0].state == "bridged"
    finally:
        for pid, limit in limits.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    (again,) = desk.call()
    desk.dialer.in_state(again, "bridged")
    assert set(before) <= set(desk.dialer.processes()), "a process has died of it"
