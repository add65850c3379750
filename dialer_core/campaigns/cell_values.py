"""What may stand in a cell: days, dates, languages, zones and currencies, written in any of the usual ways.

It owns reading one value; a ValueError says what would be right. Amounts are `amounts.py`'s, which column holds what is `lead_columns.py`'s.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from functools import lru_cache

from dialer_core.campaigns.amounts import decimal
from dialer_core.compliance import zones

_LANGUAGES = {
    "es": ("es", "espanol", "spanish", "castellano"),
    "en": ("en", "ingles", "english"),
    "pt": ("pt", "portugues", "portuguese"),
}


def fold(header: str) -> str:
    """Return a header in the form in which names are compared: lower case, without accents, `_` for anything else."""
    plain = unicodedata.normalize("NFKD", header).encode("ascii", "ignore").decode().casefold()
    return re.sub(r"[^a-z0-9]+", "_", plain).strip("_")


def whole(text: str) -> int:
    """Return a whole number of days."""
    if text.isdecimal() and text.isascii() and len(text) < 6:
        return int(text)
    value = decimal(text)
    if value != value.to_integral_value():
        raise ValueError("not a whole number")
    if abs(value) > 100_000:
        raise ValueError("not a number of days")
    return int(value)


@lru_cache(maxsize=20_000)
def date(text: str) -> str:
    """Return a day in ISO form."""
    for pattern in (
        "%Y-%m-%d",
        "%d/%m/%Y",
        "%d-%m-%Y",
        "%d.%m.%Y",
        "%Y/%m/%d",
        "%Y%m%d",
        "%Y-%m-%d %H:%M:%S",
    ):
        if pattern == "%Y%m%d" and len(text) != 8:
            continue  # 202611 would be the first of January
        try:
            return dt.datetime.strptime(text, pattern).date().isoformat()  # noqa: DTZ007 - a date has no zone
        except ValueError:
            continue
    raise ValueError("not a date; write YYYY-MM-DD or DD/MM/YYYY")


@lru_cache(maxsize=1_000)
def language(text: str) -> str:
    """Return the code of a language."""
    folded = fold(text)
    for code, names in _LANGUAGES.items():
        if folded in names or folded.startswith(f"{code}_"):
            return code
    raise ValueError("not a language that is spoken here; write es, en or pt")


@lru_cache(maxsize=1_000)
def zone(text: str) -> tuple[str | None, str | None]:
    """Return (IANA zone, region), one of them None."""
    if zones.is_zone(text):
        return text, None
    if code := zones.region_code(text):
        return None, code
    raise ValueError("neither an IANA zone such as America/Tijuana nor a Mexican state")


def currency(text: str) -> str:
    """Return the code of a currency."""
    if not re.fullmatch(r"[A-Za-z]{3}", text):
        raise ValueError("not a currency; write three letters such as MXN")
    return text.upper()
