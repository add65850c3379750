"""`dialer demo` keeps its promises, as anyone would run it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.sip, pytest.mark.timeout(400)]


def test_the_demonstration_keeps_its_promises() -> None:
    """Exit status 0, and one JSON object last: 180 attempts, 25 bridged, every outcome true, sound right, nothing broken."""
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
    for measured in ("verdict_to_bridge_ms", "hello_to_agent_ms"):
        assert last[measured]["p50"] <= last[measured]["p95"]
    for key in ("live_answers", "abandoned", "machine", "verdict_errors", "seconds"):
        assert last[key] >= 0
