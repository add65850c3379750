"""How one file writes amounts: which sign stands before the cents, and what that makes of a cell.

It owns that question, which no single cell can answer: `450.000` is 450 in one file and 450,000 in another. The user's mapping says it, or the
file's other amounts do; where neither does, the guess is told before it is used. Other values are `cell_values.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

import msgspec

_PLAIN = re.compile(r"[0-9]{1,12}\.[0-9]{2}").fullmatch
_MARKS = re.compile(r"(?i)mxn|usd|eur|cop|clp|ars|pen|brl|mn|m\.n\.|r\$|s/|[$€\s\u00a0]")
_EITHER = re.compile(r"-?[1-9]\d{0,2}([.,])\d{3}").fullmatch
"""One sign with three digits behind it: thousands or decimals."""
_THOUSANDS = ("", ",", ".", "'", " ")
_SAMPLE_CELLS = 2_000


class AmountStyle(msgspec.Struct, frozen=True):
    """How a file's amounts are written."""

    decimal: str = "."
    """What stands before the cents."""
    thousands: str | None = None
    """What the user says divides thousands; None: whatever is not the decimal sign."""
    declared: bool = False
    """The user says so: a cell written otherwise is wrong. Else a cell that speaks for itself is read as it stands."""
    unsure: str = ""
    """A cell that may be either, where nothing in the file says which."""

    def words(self) -> str:
        """Return what a user is told of a guess that nothing in the file proves; empty where there is none."""
        if not self.unsure:
            return ""
        read, other = cents(self.unsure, self), "." if self.decimal == "," else ","
        return (
            f"Amounts such as {self.unsure} are taken for {read // 100:,}; if that sign stands before decimals, say"
            f' decimal = "{other}" under [numbers] of a mapping file'
        )


PLAIN = AmountStyle()


def declared(decimal: str, thousands: str | None) -> AmountStyle:
    """Return the style that a mapping file states; ValueError where it states none."""
    if decimal not in {".", ","}:
        raise ValueError('numbers.decimal: write "." or ","')
    if thousands not in {None, *_THOUSANDS} or thousands == decimal:
        raise ValueError('numbers.thousands: write one of "," "." "\'" " " or "", and not the decimal sign')
    return AmountStyle(decimal=decimal, thousands=thousands, declared=True)


def guess(cells: Iterable[str]) -> AmountStyle:
    """Return the style that a file's first amounts speak for.

    Three digits behind a lone point are thousands where no cell of the file says otherwise: nobody keeps tenths of a cent.
    """
    votes = {".": 0, ",": 0}
    either = ""
    for nth, cell in enumerate(cells):
        plain = _MARKS.sub("", cell).replace("'", "")
        if found := _EITHER(plain):
            if not either or (found[1] == "." and "." not in either):
                either = cell.strip()
        elif (sign := _decimal_sign(plain)) is not None:
            votes[sign] += 1
        if nth == _SAMPLE_CELLS:
            break
    if any(votes.values()):
        return AmountStyle(decimal="," if votes[","] > votes["."] else ".")
    if "." in either:
        return AmountStyle(decimal=",", unsure=either)
    return PLAIN


def cents(text: str, style: AmountStyle = PLAIN) -> int:
    """Return an amount in minor units; ValueError where it is none."""
    if _PLAIN(text) and style.decimal == ".":
        return int(text[:-3] + text[-2:])
    return int((decimal(text, style) * 100).to_integral_value())


def decimal(text: str, style: AmountStyle = PLAIN) -> Decimal:
    """Read an amount written in any of the usual ways: `$1,234.50`, `1.234,50`, `1 234`, `MXN 12`; ValueError where it is none."""
    plain = _MARKS.sub("", text).replace("'", "")
    if style.declared:
        plain = _declared(plain, style)
    else:
        sign = style.decimal if _EITHER(plain) else _decimal_sign(plain)
        plain = plain.replace("," if sign == "." else ".", "").replace(",", ".")
    try:
        value = Decimal(plain)
    except InvalidOperation:
        raise ValueError("not a number") from None
    if not value.is_finite() or (value and value.adjusted() >= 15):
        raise ValueError("not a number of a sensible size")
    return value


def _declared(plain: str, style: AmountStyle) -> str:
    thousands = style.thousands
    if thousands is None:
        thousands = "." if style.decimal == "," else ","
    groups = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|" if thousands in {",", "."} else ""
    if not re.fullmatch(rf"-?(?:{groups}\d+)(?:{re.escape(style.decimal)}\d+)?", plain):
        raise ValueError(f"not an amount with {style.decimal!r} before decimals")
    return plain.replace("," if style.decimal == "." else ".", "").replace(style.decimal, ".")


def _decimal_sign(plain: str) -> str | None:
    """Return the decimal sign of a cell that speaks for itself; None where it has neither sign."""
    point, comma = plain.count("."), plain.count(",")
    if point and comma:
        return "." if plain.rfind(".") > plain.rfind(",") else ","
    if point > 1:
        return ","
    if comma > 1:
        return "."
    return "." if point else "," if comma else None
