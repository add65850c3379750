"""The store's benchmark runs to its end on both databases and prints each of its lines; its times are no test's business."""

import json
import sys

import pytest

from benchmarks import own_postgresql, store

pytestmark = [pytest.mark.bench, pytest.mark.db]

KEYS = {
    "import": {"per_second", "rss_mb", "seconds", "p99_ms", "duplicates"},
    "claim_met": {"per_second", "p99_ms", "p50_ms", "duplicates", "rss_mb", "seconds"},
    "screen": {"per_second", "refused", "rss_mb", "seconds"},
    "next_lead": {"per_second", "p99_ms", "p50_ms", "duplicates", "rss_mb", "seconds"},
    "claim": {"per_second", "p99_ms", "p50_ms", "duplicates", "rss_mb", "seconds"},
    "rollup": {"hours", "seconds"},
    "report": {"seconds", "slowest", "rss_mb", "attempts", "each"},
    "report_raw": {"seconds", "equal"},
}


@pytest.mark.timeout(120)
def test_every_line_is_printed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """A tiny run, of a list that its claimers dial through: every line with its keys, nothing claimed twice, rollups equal to the attempts."""
    argv = ["store", "--accounts", "300", "--attempts", "300", "--seconds", "0.4", "--json"]
    monkeypatch.setattr(sys, "argv", argv)
    store.main()
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    databases = ["sqlite", "postgresql"] if own_postgresql.binaries() else ["sqlite"]
    assert [(one["database"], one["what"]) for one in lines] == [
        (name, what) for name in databases for what in KEYS
    ]
    for one in lines:
        assert one.keys() - {"what", "database", "claimers"} == KEYS[one["what"]]
        assert one.get("duplicates", 0) == 0
        assert one.get("equal", True)
        assert one.get("attempts", 300) >= 300
        assert (
            one["what"] in {"claim", "next_lead", "screen"} or one.get("per_second", 1) > 0
        )  # all may be gone by then
