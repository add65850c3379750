"""`dialer demo` keeps its promises, as anyone would run it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.polling import wait_until

pytestmark = [pytest.mark.sip, pytest.mark.timeout(400)]


def test_the_demonstration_keeps_its_promises() -> None:
    """Exit status 0, one JSON object last: 180 attempts, 25 bridged, every outcome true, sound right, keys, transfer and recordings shown."""
    done = subprocess.run(
        [sys.executable, "-m", "dialer_core.commands.cli", "demo", "--json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=390,
    )
    last = json.loads(done.stdout.splitlines()[-1])
    broken = [promise for promise in last["promises"] if not promise["kept"]]
    assert not broken, [*broken, *last["mismatches"], *last["audio"]["failures"], *last["violations"]]
    assert done.returncode == 0
    assert last["attempts"] >= 180
    assert last["bridged"] >= 25
    assert last["outcome_mismatches"] == 0
    assert last["audio_ok"] is True
    shown = {promise["text"].partition(":")[0] for promise in last["promises"]}
    assert {"digit", "transfer", "recording"} <= shown
    for measured in ("verdict_to_bridge_ms", "hello_to_agent_ms"):
        assert last[measured]["p50"] <= last[measured]["p95"]
    for key in ("live_answers", "abandoned", "machine", "verdict_errors", "seconds"):
        assert last[key] >= 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demonstration_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM in mid-campaign ends every process and removes the folder."""
    said = tmp_path / "said"
    places = {name: str(tmp_path / name) for name in ("TMPDIR", "XDG_RUNTIME_DIR")}
    for place in places.values():
        Path(place).mkdir()
    with said.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "dialer_core.commands.cli", "demo"],
            stdout=stream,
            stderr=stream,
            env=os.environ | places,
        )
    try:
        wait_until(lambda: "attempts" in said.read_text() or process.poll() is not None, 60, "the campaign")
        process.send_signal(number)
        assert process.wait(60) == 1
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    assert "Traceback" not in said.read_text()
    wait_until(lambda: not _processes_about(tmp_path), 10, "every process to end")
    assert [path for place in places.values() for path in Path(place).iterdir()] == []


def _processes_about(folder: Path) -> list[str]:
    """Processes whose command line names something in the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found
