"""The benchmarks of calls run and give every figure they promise; how good a figure is, is no test's business."""

import json
import sys
from dataclasses import fields

import pytest

from benchmarks import calls
from tests.e2e.wire import requires_capture
from tests.skips import requires_program

pytestmark = [pytest.mark.bench, requires_program("sipp"), requires_capture, pytest.mark.timeout(120)]


def test_pairs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Eight pairs are held by the whole dialer, SIPp at both ends of each, and nothing is lost; the line has exactly the agreed keys."""
    monkeypatch.setattr(sys, "argv", ["calls", "--json", "--mode", "pairs", "--calls", "8", "--seconds", "3"])
    calls.main()
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("{")]
    result = json.loads(line)
    assert list(result) == [field.name for field in fields(calls.Result)]
    assert list(result) == [
        "mode", "calls_held", "seconds", "rtp_lost", "kernel_drops", "tx_pps_per_call", "rx_pps_per_call", "verdicts",
        "cpu_s_per_call_minute", "cpu_ms_per_attempt", "command_to_wire_ms_p95", "loop_lag_ms_p99", "rss_mb",
    ]  # fmt: skip
    assert result["calls_held"] == 8
    assert (result["rtp_lost"], result["kernel_drops"]) == (0, 0)
    assert result["cpu_s_per_call_minute"] > 0
