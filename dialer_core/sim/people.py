"""People of whom a run wants more than their number's row says: keys that they press, how long they talk.

It owns how that is written (`525500000301=press:1@3s,talk:8s`) and what it makes of the row. The table of rows is
`behaviours.py`'s; a number that is not named here does what its row says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from dialer_core.sim.behaviours import Behaviour, Ending, Press, behaviour_for
from dialer_core.sim.keypad import KEYS

_SECONDS: Final = r"(\d+(?:\.\d+)?)s"
_PRESS: Final = re.compile(rf"press:(.)@{_SECONDS}")
_TALK: Final = re.compile(rf"talk:{_SECONDS}")


def read_people(lines: Iterable[str]) -> Mapping[str, Behaviour]:
    """Return the rows of the numbers that do something of their own, by their digits.

    Parameters
    ----------
    lines
        `NUMBER=press:KEY@SECONDSs,talk:SECONDSs`, as many presses as wanted: each so long after the greeting, or after the
        key before it.

    Raises
    ------
    ValueError
        One cannot be read, or no person answers at that number.
    """
    return dict(_read(line) for line in lines)


def _read(line: str) -> tuple[str, Behaviour]:
    number, _, wanted = line.partition("=")
    digits = digits_of(number)
    row = behaviour_for(digits)
    if not digits or not wanted:
        raise ValueError(
            f"{line!r}: give a number and what its person does, as 525500000301=press:1@3s,talk:8s"
        )
    if row.ending is not Ending.PERSON:
        raise ValueError(f"{line!r}: at a number that ends like this nobody answers in person ({row.name})")
    presses: list[Press] = []
    talk_s = row.talk_s
    for part in wanted.split(","):
        if (found := _PRESS.fullmatch(part)) and found[1] in KEYS:
            presses.append(Press(found[1], float(found[2])))
        elif found := _TALK.fullmatch(part):
            talk_s = (float(found[1]), float(found[1]))
        else:
            raise ValueError(
                f"{line!r}: {part!r} is neither a key (press:1@3s) nor a length of talk (talk:8s)"
            )
    return digits, replace(row, presses=tuple(presses), talk_s=talk_s)


def digits_of(number: str) -> str:
    """Return the digits of a called number, however it is written."""
    return "".join(sign for sign in number if sign.isdigit())
