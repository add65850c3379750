"""The journal's benchmark runs and reports every figure that it promises; its times are no test's business."""

import re
import sys

import pytest

from benchmarks import journal


@pytest.mark.bench
def test_report(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A short run prints the database without its password and a line for each way of writing."""
    monkeypatch.setattr(sys, "argv", ["journal", "--url", database_url, "--short"])
    journal.main()
    told = capsys.readouterr().out
    for line in (
        r"journal, saturated +\d+/s +\d+ us CPU",
        r"journal, 100/s +100/s.*latency p50 [\d.]+ p99",
        "one transaction each",
    ):
        assert re.search(line, told), told
