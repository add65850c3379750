"""The benchmark of channels runs and reports every figure that it promises; its times are no test's business."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import channels

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("what", ["smpp_gate_outbox", "score", "crm_in", "crm_out"])
def test_report(what: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A short run prints a line for what it was asked, nothing of it lost or twice."""
    monkeypatch.setattr(sys, "argv", ["channels", "--json", "--number", "50", "--what", what])
    channels.main()
    line = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert set(line) == {"what", "per_second", "receipts", "lost", "twice", "seconds"}
    assert (line["what"], line["receipts"], line["lost"], line["twice"]) == (what, 50, 0, 0)
