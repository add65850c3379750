"""Two sets of the same few functions: on plain numbers for one pool, on arrays for many.

Owns the choice only: a formula that is handed one of them is written once. A call into numpy on one number costs as much as on a hundred,
and ten times as much as the same on a plain float.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

Value = Any
"""A float, or an array of float64 with one entry a pool: a formula does not mind which."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The functions formulas use.

    Attributes
    ----------
    maximum, minimum, sqrt, exp, where : callable
        As numpy's of that name.
    ndtr : callable
        Normal cumulative distribution function.
    """

    maximum: Callable[[Value, Value], Value]
    minimum: Callable[[Value, Value], Value]
    sqrt: Callable[[Value], Value]
    exp: Callable[[Value], Value]
    where: Callable[[Value, Value, Value], Value]
    ndtr: Callable[[Value], Value]


def _choose(condition: bool, this: float, that: float) -> float:  # noqa: FBT001 (numpy.where's order)
    return this if condition else that


def _ndtr(z: float) -> float:
    return 0.5 * math.erfc(z * -0.7071067811865476)


ARRAYS = Arithmetic(np.maximum, np.minimum, np.sqrt, np.exp, np.where, special.ndtr)
NUMBERS = Arithmetic(max, min, math.sqrt, math.exp, _choose, _ndtr)
