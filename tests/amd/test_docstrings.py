"""The examples in the docstrings of `amd` are true."""

import doctest
import importlib
import pkgutil

import pytest

import amd

pytestmark = pytest.mark.unit

MODULES = sorted(module.name for module in pkgutil.iter_modules(amd.__path__, "amd."))


def test_examples_give_what_they_show() -> None:
    """Every example in every module of the package runs and prints what its docstring says."""
    results = {name: doctest.testmod(importlib.import_module(name)) for name in MODULES}
    assert {name: result.failed for name, result in results.items() if result.failed} == {}
    assert sum(result.attempted for result in results.values()) > 5
