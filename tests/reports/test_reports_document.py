"""`docs/reports.md` defines every figure and column as the code does: its tables are made from the code's own.

`python -m tests.reports.test_reports_document` writes them anew.
"""

import re
from pathlib import Path

import pytest

from dialer_core.commands.report import report
from dialer_core.reports.asked import BY
from dialer_core.reports.cdr import COLUMNS
from dialer_core.reports.figures import FIGURES
from dialer_core.reports.sheet import Column
from dialer_core.reports.targets import METRICS

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "reports.md"


def table(columns: tuple[Column, ...]) -> str:
    """Return a table of columns, their units and words."""
    rows = [f"| `{one.name}` | {one.unit} | {one.words} |" for one in columns]
    return "\n".join(["| name | unit | what it says |", "| --- | --- | --- |", *rows])


TABLES = {"figures": table(FIGURES), "cdr": table(COLUMNS)}


def with_tables(text: str) -> str:
    """Return the document with its tables as the code has them."""
    for name, made in TABLES.items():
        text = re.sub(rf"<!-- {name} -->\n(\n\|[^\n]*(\n\|[^\n]*)*\n)?", f"<!-- {name} -->\n\n{made}\n", text)
    return text


def test_the_tables_are_the_codes() -> None:
    """Every figure of the summary and every column of a record stands there with the words of the code."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run: python -m tests.reports.test_reports_document"


def test_the_document_names_every_report_key_and_target() -> None:
    """No report, key or target is left out."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert [name for name in (*report.commands, *BY, *METRICS) if f"`{name}`" not in text] == []


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
