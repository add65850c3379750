"""What a CRM's record is of ours: a row of fields, as `accounts.upsert_many` takes them, or why it is none.

It owns the mapping of one record. Which of two values counts is `conflicts.py`'s.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from plugins.crm.records import as_text, at, later, moment
from plugins.crm.settings import AccountsSettings, FieldSettings

_DAYS = frozenset({"due_date"})


def row_of(its: AccountsSettings, record: Mapping[str, Any]) -> dict[str, str]:
    """Return a record as a row of ours; what it lacks is empty."""
    wanted = [*its.fields.items(), *its.attributes.items()]
    return {name: _value(name, made_of, record) for name, made_of in wanted}


def key_of(its: AccountsSettings, record: Mapping[str, Any]) -> str:
    """Return which record it is in the CRM; one without a key is known by what stands in it."""
    if key := as_text(at(record, its.key)):
        return key[:128]
    return (
        "unnamed-" + hashlib.sha256(json.dumps(record, default=str, sort_keys=True).encode()).hexdigest()[:16]
    )


def changed_at(its: AccountsSettings, record: Mapping[str, Any]) -> Any:
    """Return when a record was last changed, as far as it says."""
    found = None
    for name in filter(None, (its.modified, *its.also_modified)):
        found = later(found, moment(at(record, name)))
    return found


def paths_of(its: AccountsSettings) -> dict[tuple[str, ...], str]:
    """Return each field of theirs that the mapping reads, by where in the file it is named."""
    found: dict[tuple[str, ...], str] = {("key",): its.key}
    if its.modified:
        found["modified",] = its.modified
    for part, table in (("fields", its.fields), ("attributes", its.attributes)):
        for name, made_of in table.items():
            path = made_of.path if isinstance(made_of, FieldSettings) else made_of
            if path:
                found[part, name] = path
    return found


def _value(name: str, made_of: str | FieldSettings, record: Mapping[str, Any]) -> str:
    if isinstance(made_of, str):
        text = as_text(at(record, made_of))
    elif made_of.value:
        text = made_of.value
    else:
        text = as_text(at(record, made_of.path))
        text = made_of.values.get(text, text)
    return text[:10] if name in _DAYS and len(text) > 10 and text[10] in "T " else text
