"""Filling a mapping's texts with what is told: `{place}`. What a value holds is never read as a place. It owns no value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from plugins.crm.fact_names import PLACE
from plugins.crm.records import as_text


def fill(text: Any, places: Mapping[str, Any]) -> Any:
    """Return a text filled; one that is a single place keeps its value's type."""
    if not isinstance(text, str):
        return text
    alone = PLACE.fullmatch(text)
    return places.get(alone[1]) if alone else fill_text(text, places)


def fill_text(
    text: str, places: Mapping[str, Any], quoted: Callable[[str], str] = lambda value: value
) -> str:
    """Return a text filled with texts, each `quoted` first."""
    return PLACE.sub(lambda place: quoted(as_text(places.get(place[1]))), text)


def fill_all(what: Any, places: Mapping[str, Any]) -> Any:
    """Return JSON with every text in it filled."""
    if isinstance(what, dict):
        return {name: fill_all(one, places) for name, one in what.items()}
    if isinstance(what, list):
        return [fill_all(one, places) for one in what]
    return fill(what, places)
