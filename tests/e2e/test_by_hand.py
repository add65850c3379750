"""A campaign from the command line alone, as the README has it: files made by `dialer init` and edited, SIPp for the carrier."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dialer_core.settings import load_settings
from tests.e2e.floor import Floor
from tests.e2e.live import DIALER, MARK, ROOT, marked_processes, number
from tests.e2e.scenario import Answer, AwaitBye, Refuse, Ring, Stay
from tests.e2e.sounds import CUSTOMER_HZ
from tests.polling import wait_until
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp"), requires_program("baresip")]


class Shell:
    """Somebody at a terminal, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), MARK: self.mark}
        self._running: subprocess.Popen[bytes] | None = None

    def dialer(self, *arguments: str, status: int = 0) -> str:
        """Type a command that ends; return what it printed."""
        ran = subprocess.run(
            [*DIALER, *arguments], cwd=self.folder, env=self._environment, capture_output=True, text=True, timeout=30, check=False
        )  # fmt: skip
        assert ran.returncode == status, f"{arguments}: {ran.returncode}: {ran.stdout}{ran.stderr}"
        assert "Traceback" not in ran.stderr
        return ran.stdout if status == 0 else ran.stderr

    def read(self, *arguments: str) -> Any:
        """Type a command with `--json`."""
        return json.loads(self.dialer(*arguments, "--json"))

    def edit(self, file: str, *changes: tuple[str, str]) -> None:
        """Change a configuration file; each pattern must be there once."""
        path = self.folder / "config" / file
        text = path.read_text(encoding="utf-8")
        for pattern, new in changes:
            text, count = re.subn(pattern, new, text, flags=re.MULTILINE)
            assert count == 1, (file, pattern, count)
        path.write_text(text, encoding="utf-8")

    def run(self) -> None:
        """Type `dialer run >dialer.log 2>&1 &`."""
        with (self.folder / "dialer.log").open("wb") as log:
            self._running = subprocess.Popen(
                [*DIALER, "run"], cwd=self.folder, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )  # fmt: skip

    def stop(self) -> int:
        """Type `kill %1; wait %1`."""
        assert self._running is not None
        self._running.send_signal(signal.SIGTERM)
        return self._running.wait(20.0)

    def leave(self) -> None:
        """Whatever is left of it goes."""
        for pid in marked_processes(self.mark):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self._running is not None:
            self._running.wait()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Yield the terminal."""
    (tmp_path / "work").mkdir()
    one = Shell(tmp_path / "work")
    try:
        yield one
    finally:
        one.leave()


def test_the_first_campaign_by_hand(floor: Floor, shell: Shell) -> None:
    """init, edit, doctor, import, run, login, ready, status, dispose, pause, events, SIGTERM, verify: each does and says what it should."""
    person = (Ring(100), Answer(floor.sounds.person(CUSTOMER_HZ[0])), Stay(4000))
    machine = (Ring(100), Answer(floor.sounds.voicemail()), AwaitBye(15000))
    carrier = floor.carrier({1: person, 42: machine, 70: (Refuse(486, "Busy Here", 17),)})
    phones = {name: floor.softphone(name) for name in ("ana", "luis")}
    ports, people = floor.ports, {suffix: number(suffix) for suffix in (1, 42, 70)}

    assert "config/trunks.toml" in shell.dialer("init")
    assert "exists" in shell.dialer("init", status=2)
    first, last = ports.rtp
    shell.edit(
        "dialer.toml",
        (r"^# first_port = .*", f"first_port = {ports.workers}"),
        (r"^# rtp_ports = .*", f'rtp_ports = "{first}-{last}"'),
        (r"^# port = 8088", f"port = {ports.http}"),
    )
    shell.edit("trunks.toml", (r"^port = .*", f"port = {carrier.port}"))
    shell.edit(
        "agents.toml",
        (r"ana@127.0.0.1:\d+", f"ana@127.0.0.1:{phones['ana'].port}"),
        (r"luis@127.0.0.1:\d+", f"luis@127.0.0.1:{phones['luis'].port}"),
    )
    shell.edit(
        "campaigns/cobranza.toml",
        (r'^rule_pack = "mx"', 'rule_pack = "demo"'),
        (r'^detection = "monitor"', 'detection = "fast"'),
    )
    rows = [
        "cuenta,nombre,telefono,saldo",
        f"A-1,Persona Uno,{people[1]},1200.50",
        f"A-2,Persona Dos,{people[42].removeprefix('+52')},980.00",
        f"A-3,Persona Tres,044 {people[70].removeprefix('+52')},450.00",
        "A-4,Persona Cuatro,no tiene,10.00",
    ]
    (shell.folder / "leads.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")

    assert "dialer run" in shell.dialer("status", status=1)
    shell.dialer("doctor")
    told = shell.read("leads", "import", "leads.csv", "--campaign", "cobranza")
    assert (told["accepted"], told["rejected"]) == (3, 1)
    rejects = Path(told["reject_file"])
    assert "A-4" in (rejects if rejects.is_absolute() else shell.folder / rejects).read_text(encoding="utf-8")

    shell.run()
    wait_until(lambda: _says_yes(shell, "agent", "login", "ana"), 30.0, "the dialer to take a log-in")
    shell.dialer("agent", "ready", "ana")

    def connected() -> bool:
        (campaign,) = shell.read("status")["campaigns"]
        return bool(campaign["outcomes"].get("connected") == 1)

    wait_until(connected, 30.0, "the person to have talked")
    assert "ana" in shell.dialer("status")
    states = {agent["id"]: agent["state"] for agent in shell.read("agent", "list")}
    assert states == {"ana": "wrap_up", "luis": "logged_out"}
    shell.dialer("agent", "dispose", "ana", "promise")
    wait_until(
        lambda: _outcomes(shell) == {"connected": 1, "machine": 1, "busy": 1}, 40.0, "every lead to be dialed"
    )

    shell.dialer("campaign", "pause", "cobranza")
    assert [campaign["state"] for campaign in shell.read("campaign", "list")] == ["paused"]
    assert "cannot" in shell.dialer("campaign", "pause", "cobranza", status=1)
    shell.dialer("agent", "pause", "ana", "--reason", "lunch")
    assert "bridged" in shell.dialer("events", "--name", "attempt.bridged")
    report = shell.read("verify")  # a running dialer may be verified
    assert report["violations"] == []

    assert shell.stop() == 0
    assert marked_processes(shell.mark) == {}
    assert "all hold" in shell.dialer("verify", "--log", "dialer.log")
    assert carrier.story(people[70]) == ["> INVITE", "< 100", "< 486", "> ACK"]
    log = (shell.folder / "dialer.log").read_text(encoding="utf-8")
    assert not [text for text in people.values() if text.removeprefix("+52") in log]
    assert "Traceback" not in log
    shutil.rmtree(load_settings(shell.folder / "config").run_dir, ignore_errors=True)


def _says_yes(shell: Shell, *arguments: str) -> bool:
    with suppress(AssertionError):
        shell.dialer(*arguments)
        return True
    return False


def _outcomes(shell: Shell) -> dict[str, int]:
    (campaign,) = shell.read("status")["campaigns"]
    return dict(campaign["outcomes"])
