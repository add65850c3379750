"""What the pacing kernels raise. Owns the one error type of this package; says nothing about what to do with it."""

from __future__ import annotations


class PacingInputError(ValueError):
    """An argument, setting or snapshot field that cannot be paced on.

    Parameters
    ----------
    field : str
        Name of the argument, setting or field at fault.
    problem : str
        What is wrong with it and what would be right.

    Attributes
    ----------
    field : str
        As given.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
