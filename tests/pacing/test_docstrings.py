"""The examples in the docstrings of `pacing` are true."""

import doctest
import importlib
import pkgutil

import pytest

import pacing

pytestmark = pytest.mark.unit

MODULES = sorted(module.name for module in pkgutil.iter_modules(pacing.__path__, "pacing."))


def test_examples_give_what_they_show() -> None:
    """Every example in every module of the package runs and prints what its docstring says."""
    results = {name: doctest.testmod(importlib.import_module(name)) for name in MODULES}
    assert {name: result.failed for name, result in results.items() if result.failed} == {}
    assert sum(result.attempted for result in results.values()) > 5
