"""Numbers that name one line: a mobile of Argentina has two.

It owns which E.164 numbers are the same telephone. How a number is read from what people write is `compliance/phone_numbers.py`'s.
"""

from __future__ import annotations

_NATIONAL_DIGITS = 10
_LONG_FORM = len("+549") + _NATIONAL_DIGITS


def same_line(e164: str) -> tuple[str, ...]:
    """Return every E.164 form by which a line is known, the number's own first.

    A mobile of Argentina is written with a 9 behind the country's code, and by many without; messengers name it with.
    """
    if not e164.startswith("+54"):
        return (e164,)
    other = f"+54{e164[4:]}" if e164.startswith("+549") else f"+549{e164[3:]}"
    national = e164.removeprefix("+549").removeprefix("+54")
    return (e164, other) if len(national) == _NATIONAL_DIGITS else (e164,)


def line_of(address: str) -> str:
    """Return one name for a line, whichever of its forms is given; any other address as it is."""
    if len(address) == _LONG_FORM and address.startswith("+549"):
        return f"+54{address[4:]}"
    return address
