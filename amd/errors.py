"""What the detection kernels raise. Owns the one error type of this package."""

from __future__ import annotations


class AmdInputError(ValueError):
    """An argument, setting or array the detector cannot work on.

    Parameters
    ----------
    field : str
        Name of the argument or setting at fault.
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
