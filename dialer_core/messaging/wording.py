"""Texts with fields, written in the configuration: which fields there are, which of them reveal a debt, and rendering without leave to do else.

It owns `FIELDS` and the sandbox, for the templates of messages (`templates.py`) and what agents say (`scripts.py`). What is known of an account is
`fields.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import jinja2
from jinja2 import meta, nodes
from jinja2.filters import FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dialer_core.errors import ConfigError

FIELDS: Final[Mapping[str, bool]] = MappingProxyType(
    {
        "name": False,
        "first_name": False,
        "reference": False,
        "campaign": False,
        "callback_number": False,
        "creditor": True,
        "product": True,
        "account": True,
        "balance": True,
        "due_date": True,
        "days_past_due": True,
        "promise_amount": True,
        "promise_date": True,
    }
)
"""What a text may say of an account, and whether it reveals a debt (invariant I19). `reference` is the end of the account's number."""
LONGEST = 4096
"""Characters of a rendered text."""
_ENVIRONMENT = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, autoescape=False)
"""Texts, not pages: nothing is escaped. Sandboxed: an expression reaches no attribute that Python keeps to itself."""
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.filters = {
    name: FILTERS[name] for name in ("capitalize", "default", "lower", "title", "trim", "upper")
}
_NO_PLACE_IN_A_TEXT = (
    nodes.For, nodes.Call, nodes.Macro, nodes.Getattr, nodes.Getitem, nodes.BinExpr, nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends,
)  # fmt: skip


def compiled(file: Path, key: str, source: str) -> jinja2.Template:
    """Return a text to be rendered; ConfigError where it is none."""
    try:
        return _ENVIRONMENT.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{file}: {key}: line {error.lineno} of the text: {error.message}") from None


def fields_of(file: Path, key: str, source: str, given: Mapping[str, str]) -> set[str]:
    """Return the fields that a text uses, all of them `FIELDS` or `given`; ConfigError where it uses another, or more than a text may."""
    tree = _ENVIRONMENT.parse(source)
    for forbidden in _NO_PLACE_IN_A_TEXT:
        if found := next(tree.find_all(forbidden), None):
            raise ConfigError(
                f"{file}: {key}: line {found.lineno} of the text: only fields, filters and if are used in a text: {{{{ first_name }}}}"
            )
    names = meta.find_undeclared_variables(tree)
    if unknown := sorted(names - FIELDS.keys() - given.keys()):
        raise ConfigError(
            f"{file}: {key}: {unknown[0]!r} is no field; there are {', '.join(FIELDS)}, and what [given] names"
        )
    return names
