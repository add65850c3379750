"""Segments again, slow and obvious: an expression asked of one lead's row in Python, with no SQL in it."""

import datetime as dt
from decimal import Decimal
from typing import Any

from dialer_core.segment_language import All, Compare, Kind, Node, Not, OneOf, Unknown, kind_of
from dialer_core.segment_language import Any as AnyOf


def holds(node: Node, row: dict[str, Any], now: dt.datetime) -> bool:
    """Say whether a lead is named; `row` has a value, or None, for every field."""
    if isinstance(node, Not):
        return not holds(node.part, row, now)
    if isinstance(node, Unknown):
        return row.get(node.field) is None
    if isinstance(node, All):
        return all(holds(part, row, now) for part in node.parts)
    if isinstance(node, AnyOf):
        return any(holds(part, row, now) for part in node.parts)
    if isinstance(node, OneOf):
        return any(holds(Compare(node.field, "==", value), row, now) for value in node.values)  # type: ignore[arg-type]
    known = row.get(node.field)
    if known is None:
        return False
    kind = kind_of(node.field)
    if kind is Kind.DAYS_SINCE_DAY:
        known = (now.date() - known).days
    elif kind is Kind.DAYS_SINCE_TIME:
        known = (now - known) // dt.timedelta(days=1)
    value: Any = node.value
    if kind not in {Kind.TEXT, Kind.DATE}:
        known, value = Decimal(str(known)), Decimal(value)
    return {
        "==": known == value,
        "!=": known != value,
        "<": known < value,
        "<=": known <= value,
        ">": known > value,
        ">=": known >= value,
    }[str(node.op)]
