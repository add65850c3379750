"""`dialer crm check`: is every connection there, does it let us in, and does it have the fields that the mapping names.

It owns the questions. Mistakes in the file's own shape are `settings.py`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from dialer_core.plugin_api import ConfigError, EngineHandle
from plugins.crm.connector import Connector, CrmError
from plugins.crm.mapping import paths_of
from plugins.crm.settings import AccountsSettings, CrmSettings, OutSettings, place_of
from plugins.crm.syncing import Syncing


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    ok: bool
    text: str


async def findings(engine: EngineHandle, its: CrmSettings, syncing: Syncing) -> AsyncIterator[Finding]:
    """Yield what was found, connection by connection."""
    for name, settings in its.connections.items():
        try:
            async with syncing.connection(name) as connector:
                await connector.check()
                yield Finding(ok=True, text=f"connections.{name}: {settings.kind} answers and lets us in")
                async for one in _mapped(engine, its, name, connector):
                    yield one
        except ConfigError as error:
            yield Finding(ok=False, text=f"{place_of(engine, 'connections', name)}: {error}")
        except CrmError as error:
            yield Finding(ok=False, text=f"{place_of(engine, 'connections', name)}: {error}")


async def _mapped(
    engine: EngineHandle, its: CrmSettings, connection: str, connector: Connector
) -> AsyncIterator[Finding]:
    for part, name, one in _tables(its, connection):
        what = one.source if isinstance(one, AccountsSettings) else one.target
        setting = "source" if isinstance(one, AccountsSettings) else "target"
        try:
            known = await connector.fields_of(what) if "{" not in what else None
        except CrmError as error:
            yield Finding(ok=False, text=f"{place_of(engine, part, name, setting)}: {error}")
            continue
        wrong = False
        for path, theirs in _named(one).items():
            if known is not None and not _there(theirs, known):
                near = ", ".join(sorted(known)[:12])
                yield Finding(
                    ok=False,
                    text=f"{place_of(engine, part, name, *path)}: {what} has no field {theirs!r}; it has: {near}",
                )
                wrong = True
        if not wrong:
            judged = "each field is there" if known is not None else "its fields are known when it is asked"
            yield Finding(ok=True, text=f"{part}.{name}: {what}, {judged}")


def _tables(its: CrmSettings, connection: str) -> Iterable[tuple[str, str, AccountsSettings | OutSettings]]:
    for name, accounts in its.accounts.items():
        if accounts.connection == connection:
            yield "accounts", name, accounts
    for name, out in its.out.items():
        if out.connection == connection:
            yield "out", name, out


def _named(one: AccountsSettings | OutSettings) -> dict[tuple[str, ...], str]:
    if isinstance(one, AccountsSettings):
        return paths_of(one)
    return {("fields", theirs): theirs for theirs in one.fields} | ({("key",): one.key} if one.key else {})


def _there(field: str, known: set[str]) -> bool:
    """Say whether a field, or what a path begins with, is known."""
    return field in known or field.split(".", maxsplit=1)[0] in known
