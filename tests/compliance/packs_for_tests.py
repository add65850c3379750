"""Rule packs for tests: the packaged ones, and small ones written for a case. Not named after the law, so nobody takes them for it."""

from functools import lru_cache
from pathlib import Path
from typing import Any

from dialer_core.compliance.calendar import WEEKDAYS
from dialer_core.compliance.packs import load_packs
from dialer_core.compliance.rules import RulePack
from tests.skips import ROOT

PACKAGED = ROOT / "dialer_core" / "config_defaults" / "compliance"


def packaged(name: str) -> RulePack:
    """Return a packaged rule pack."""
    return _packaged()[name]


@lru_cache(maxsize=1)
def _packaged() -> dict[str, RulePack]:
    return load_packs(PACKAGED)


def pack_of(**changes: Any) -> RulePack:
    """Return a pack that is open at all hours and has no caps, with these parts instead."""
    raw: dict[str, Any] = {
        "name": "case",
        "title": "A case of a test",
        "version": "1",
        "jurisdiction": "none",
        "verified": False,
        "sources": {"test": {"text": "this test", "read": True}},
        "windows": weekly({day: ["00:00-24:00"] for day in WEEKDAYS}),
        "caps": [],
        "void_outcomes": ["trunk_failed", "congestion", "invalid_number"],
        "abandonment": {"cite": ["test"], "ceiling": 0.03, "windows": [{"name": "campaign"}]},
    }
    return RulePack.model_validate(raw | changes)


def weekly(spans: dict[str, list[str]]) -> dict[str, Any]:
    """Return windows with these spans; a day that is not named is closed."""
    return {day: spans.get(day, []) for day in WEEKDAYS} | {"cite": ["test"]}


def cap(name: str, per: str, limit: int, **window: Any) -> dict[str, Any]:
    """Return a cap."""
    return {"id": name, "per": per, "limit": limit, "cite": ["test"], **window}


def write_pack(folder: Path, text: str, name: str = "case") -> Path:
    """Write a pack's file and return its path."""
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path
