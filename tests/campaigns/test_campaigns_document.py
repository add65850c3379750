"""`docs/campaigns.md` says what the code does: its table of fields is made from the code's own, and its TOML is read and checked.

`python -m tests.campaigns.test_campaigns_document` writes the table anew.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from dialer_core.list_settings import CallerIdPool, SegmentSettings
from dialer_core.segment_language import FIELDS
from tests.campaigns.lists import settings_of
from tests.campaigns.test_leads_document import table

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "campaigns.md"


def with_fields(text: str) -> str:
    """Return the document with its table as the code has it."""
    rows = [(f"`{name}`", kind.value, meaning) for name, (kind, meaning) in FIELDS.items()]
    rows.append(("`attribute.NAME`", "a text in quotes", "a free attribute of the account"))
    made = table(("field", "compared with", "meaning"), rows)
    return re.sub(
        r"<!-- fields -->\n(\n\|[^\n]*(\n\|[^\n]*)*\n)?", lambda _: f"<!-- fields -->\n\n{made}\n", text
    )


def test_the_fields_are_the_codes() -> None:
    """The table of fields is that of the code."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_fields(text) == text, "run: python -m tests.campaigns.test_campaigns_document"


def test_what_is_written_there_is_valid() -> None:
    """Every block of TOML is what a configuration may hold."""
    blocks = re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 3
    for block in blocks:
        read: dict[str, Any] = tomllib.loads(block)
        for its in read.pop("segments", {}).values():
            SegmentSettings.model_validate(its)
        for its in read.pop("pools", {}).values():
            CallerIdPool.model_validate(its)
        settings_of(**read)


if __name__ == "__main__":
    DOCUMENT.write_text(with_fields(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
