"""`docs/leads.md` says what the code does: its tables are made from the code's own.

`python -m tests.campaigns.test_leads_document` writes them anew.
"""

import re
from pathlib import Path

import pytest

from dialer_core.campaign_settings import RecycleRule
from dialer_core.campaigns import dispositions, lead_columns, recycle
from dialer_core.vocabulary import Outcome

pytestmark = pytest.mark.unit

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "leads.md"


def table(head: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    """Return a table."""
    rows = [head, tuple("---" for _ in head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _pause(rule: RecycleRule) -> str:
    minutes = rule.after_minutes
    return f"{minutes / 60:g} h" if minutes >= 60 else f"{minutes:g} min"


def _recycle_row(outcome: Outcome) -> tuple[str, ...]:
    rule = recycle.RULES[outcome]
    if rule.finish:
        return (f"`{outcome}`", "finished", "", "")
    never = outcome in recycle._UNBOUNDED
    most = (
        "never finishes"
        if never
        else "by its numbers"
        if outcome in recycle.number_health.FAULTS
        else str(rule.max_attempts)
    )
    return (f"`{outcome}`", _pause(rule), "yes" if rule.next_number else "", most)


def _effect_row(name: str) -> tuple[str, ...]:
    effect = dispositions.EFFECTS[name]
    minutes = effect.again_after.total_seconds() / 60 if effect.again_after else 0
    lead = f"again after {_pause(RecycleRule(after_minutes=minutes))}" if minutes else "finished"
    restriction = ""
    if effect.restriction is not None:
        channel = f", {effect.channel} only" if effect.channel else ""
        restriction = f"`{effect.restriction}` on the {effect.scope}{channel}"
    return (f"`{name}`", lead, restriction)


TABLES = {
    "headers": table(
        ("field", "headers"),
        [(f"`{name}`", ", ".join(headers)) for name, headers in lead_columns.HEADERS.items()],
    ),
    "recycle": table(
        ("outcome", "again after", "at the next number", "attempts with it"),
        [_recycle_row(outcome) for outcome in recycle.RULES],
    ),
    "dispositions": table(
        ("disposition", "the lead", "restriction"), [_effect_row(name) for name in dispositions.EFFECTS]
    ),
}


def with_tables(text: str) -> str:
    """Return the document with its tables as the code has them."""
    for name, made in TABLES.items():
        text = re.sub(rf"<!-- {name} -->\n(\n\|[^\n]*(\n\|[^\n]*)*\n)?", f"<!-- {name} -->\n\n{made}\n", text)
    return text


def test_the_tables_are_the_codes() -> None:
    """Headers, recycle rules and dispositions in the document are those of the code."""
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run: python -m tests.campaigns.test_leads_document"


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
