"""How amounts are written for people: in a currency's own units, with cents only where it has any.

It owns that. Every currency is kept in hundredths; how files write amounts is `campaigns/amounts.py`'s, how they are spoken `flows/spoken.py`'s.
"""

from __future__ import annotations

from typing import Final

WITHOUT_CENTS: Final = frozenset({"CLP", "PYG", "JPY"})
"""Currencies that are written without hundredths; like all others they are kept in them."""
USUAL: Final = "MXN"
"""The currency of amounts that come without one."""


def written(minor: int, currency: str | None) -> str:
    """Return an amount: `1,234.50` of a peso of Mexico, `12,500` of one of Chile. What has hundredths all the same keeps them."""
    decimals = 0 if currency in WITHOUT_CENTS and minor % 100 == 0 else 2
    return f"{minor / 100:,.{decimals}f}"
