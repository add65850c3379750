"""The reject file, which people open in spreadsheets."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from dialer_core.campaigns.rejects import RejectFile

pytestmark = pytest.mark.unit


def test_no_rejected_row_is_a_formula(tmp_path: Path) -> None:
    """What a spreadsheet would calculate stands behind an apostrophe; numbers and everything else stay as they were."""
    rows = ['=HYPERLINK("http://evil.example";"ver"),55', "@SUM(1),2", "-1+cmd,3", "+525512345678", "ana,12"]
    with RejectFile(tmp_path, Path("lista.csv"), "0" * 64) as rejects:
        for line, row in enumerate(rows, 2):
            rejects.add(line, "telefono", "no number", row, imported=False)
        assert rejects.path is not None
    with rejects.path.open(encoding="utf-8", newline="") as stream:
        kept = [one["row"] for one in csv.DictReader(stream)]
    assert kept == [f"'{rows[0]}", f"'{rows[1]}", f"'{rows[2]}", rows[3], rows[4]]
