"""Cells of files that people open in spreadsheets: none of them is taken for a formula.

It owns that rule, for every CSV that we write of what came out of files of others.
"""

from __future__ import annotations

import re
from typing import Any, Final

_BEGIN_FORMULAS: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"[+-]\d+(\.\d+)?").fullmatch
"""A telephone number, or one below zero, stays as it is."""


def cell(value: Any) -> Any:
    """Return a value as it is written: empty for None, and behind an apostrophe where a spreadsheet would calculate.

    Examples
    --------
    >>> cell("=1+1"), cell("-3.5"), cell(None)
    ("'=1+1", '-3.5', '')
    """
    if value is None:
        return ""
    if isinstance(value, str) and value.startswith(_BEGIN_FORMULAS) and not _NUMBER(value):
        return f"'{value}"
    return value
