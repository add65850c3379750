"""The benchmark of channels runs and reports every figure that it promises; its times are no test's business."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import channels

pytestmark = pytest.mark.bench


def test_report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A short run prints a line for what it was asked, nothing of it lost or twice."""
    monkeypatch.setattr(sys, "argv", ["channels", "--json", "--number", "50", "--what", "smpp_gate_outbox"])
    channels.main()
    line = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(line) == {"what", "per_second", "receipts", "lost", "twice", "seconds"}
    assert (line["what"], line["receipts"], line["lost"], line["twice"]) == ("smpp_gate_outbox", 50, 0, 0)
