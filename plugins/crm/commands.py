"""`dialer crm`: is the mapping right, sync now, how far behind is what, and what was not taken again."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any

import click

from dialer_core.plugin_api import ConfigError, EngineHandle
from dialer_core.plugin_cli import Invocation, campaign_settings, example, invocation, open_handle
from plugins.crm.checking import Finding, findings
from plugins.crm.connector import AwayError, CrmError
from plugins.crm.incoming import Incoming, Pulled
from plugins.crm.outgoing import Pushed, Teller
from plugins.crm.records import as_text
from plugins.crm.settings import PLUGIN, CrmSettings, settings_of
from plugins.crm.syncing import Syncing

_PATIENCE = 4
"""Tries of a command; the plugin itself tries for ever."""
_SHOWN = 5
_TURN_S = 60.0


@click.group(
    epilog=example("dialer crm check", "dialer crm sync --dry-run", "dialer crm status", "dialer crm replay")
)
def crm() -> None:
    """The customer's systems: accounts in, what happens to them out."""


@crm.command("check", epilog=example("dialer crm check"))
@invocation
def check(call: Invocation) -> None:
    """Log in everywhere, and hold the mapping against what is there: each mistake with its line. Nothing is written."""

    async def work(engine: EngineHandle, its: CrmSettings, syncing: Syncing) -> list[Finding]:
        found: list[Finding] = []
        async for one in findings(engine, its, syncing):
            call.say(f"{'ok' if one.ok else 'WRONG'}  {one.text}")
            found.append(one)
        return found

    found = _do(call, work)
    call.give({"ok": all(one.ok for one in found), "findings": [asdict(one) for one in found]})
    wrong = sum(not one.ok for one in found)
    if wrong:
        raise ConfigError(f"{wrong} of {len(found)} are wrong; see above")


@crm.command(
    "sync", epilog=example("dialer crm sync", "dialer crm sync --dry-run", "dialer crm sync --in --whole")
)
@click.option("--in", "only_in", is_flag=True, help="Only accounts in.")
@click.option("--out", "only_out", is_flag=True, help="Only what has happened out.")
@click.option("--whole", is_flag=True, help="Read every account, not only what has changed.")
@click.option("--dry-run", is_flag=True, help="Write nothing, here or there: say what would be.")
@invocation
def sync(call: Invocation, *, only_in: bool, only_out: bool, whole: bool, dry_run: bool) -> None:
    """Do now what a running dialer does by itself: read what has changed, and write out what has happened."""
    told: dict[str, Any] = {"dry_run": dry_run, "in": {}, "out": {}}

    async def work(engine: EngineHandle, its: CrmSettings, syncing: Syncing) -> None:
        for name, accounts in its.accounts.items() if not only_out or only_in else ():
            async with (
                syncing.connection(accounts.connection) as connector,
                _turn(syncing, f"in-{name}", free=dry_run),
            ):
                reader = Incoming(engine, name, accounts, connector)
                with _about(name):
                    found = await _patiently(lambda r=reader: r.pull(whole=whole, dry_run=dry_run))  # type: ignore[misc]
                told["in"][name] = asdict(found)
                call.say(f"{name}: {_came(found)}{' (dry run, nothing written)' if dry_run else ''}")
        for name in _tellers(its) if not only_in or only_out else ():
            async with syncing.connection(name) as connector, _turn(syncing, f"out-{name}", free=dry_run):
                teller = Teller(engine, name, its, connector)
                with _about(name):
                    told["out"][name] = await (_would if dry_run else _went)(call, name, teller)

    _do(call, work)
    call.give(told)


@crm.command("status", epilog=example("dialer crm status"))
@invocation
def status(call: Invocation) -> None:
    """Say how far the CRM is behind, what was rejected and why, and which dead letters wait."""
    told: dict[str, Any] = {"in": {}, "out": {}}

    async def work(engine: EngineHandle, its: CrmSettings, syncing: Syncing) -> None:
        for name in its.accounts:
            state = await engine.store.get(f"in/{name}", {})
            rejects = await engine.store.items(f"reject/{name}/", limit=100_000)
            refused = sum(not one["taken"] for _, one in rejects)
            told["in"][name] = {
                "cursor": state.get("cursor"), "within_a_reading": bool(state.get("resume")), "rejected": refused,
                "left_out": len(rejects) - refused, "rejects": [_reject(key, one) for key, one in rejects],
            }  # fmt: skip
            call.say(
                f"{name}: read up to {state.get('cursor') or 'nothing yet'}; {refused} rejected, {len(rejects) - refused} with a cell left out"
            )
            for key, one in rejects[:_SHOWN]:
                call.say("  {key}: {field}: {reason}".format(**_reject(key, one)))
        for name in _tellers(its):
            async with syncing.connection(name) as connector:
                teller = Teller(engine, name, its, connector)
                lag, letters = await teller.lag(), await teller.letters()
            told["out"][name] = asdict(lag) | {"letters": [_letter(one) for one in letters]}
            behind = f"{lag.seconds:,.0f} s behind" if lag.events else "up to date"
            call.say(f"{name}: {behind}; {lag.dead} dead letters")
            for one in letters[:_SHOWN]:
                call.say("  {what} {id}: {reason}".format(**_letter(one)))

    _do(call, work)
    call.give(told)


@crm.command("replay", epilog=example("dialer crm replay", "dialer crm replay --rejects"))
@click.option(
    "--rejects", is_flag=True, help="Rejected accounts, by the mapping as it is now, instead of dead letters."
)
@invocation
def replay(call: Invocation, *, rejects: bool) -> None:
    """Tell the CRM the dead letters again, as what they are about stands now. What is taken is a dead letter no more."""
    told: dict[str, Any] = {}

    async def work(engine: EngineHandle, its: CrmSettings, syncing: Syncing) -> None:
        for name, accounts in its.accounts.items() if rejects else ():
            async with syncing.connection(accounts.connection) as connector, _turn(syncing, f"in-{name}"):
                found = await Incoming(engine, name, accounts, connector).retry()
            told[name] = asdict(found)
            call.say(f"{name}: {_came(found)}")
        for name in _tellers(its) if not rejects else ():
            async with syncing.connection(name) as connector, _turn(syncing, f"out-{name}"):
                done = await Teller(engine, name, its, connector).replay(patience=_PATIENCE)
            told[name] = asdict(done)
            call.say(f"{name}: {done.replayed} written, {done.dead} are dead letters still")

    _do(call, work)
    call.give(told)


def _do(call: Invocation, work: Callable[[EngineHandle, CrmSettings, Syncing], Awaitable[Any]]) -> Any:
    with open_handle(call, PLUGIN) as engine:
        its = settings_of(engine)
        if not its.accounts and not its.out:
            raise ConfigError(
                f"plugins/{PLUGIN}.toml of {engine.config_directory} has no [accounts] and no [out]: docs/crm.md shows one"
            )
        for accounts in its.accounts.values():
            campaign_settings(call, accounts.campaign)
        return asyncio.run(_as_coroutine(work(engine, its, Syncing(engine, its))))


async def _as_coroutine(work: Awaitable[Any]) -> Any:
    return await work


def _tellers(its: CrmSettings) -> list[str]:
    return [name for name in its.connections if any(one.connection == name for one in its.out.values())]


@contextlib.asynccontextmanager
async def _turn(syncing: Syncing, what: str, *, free: bool = False) -> AsyncIterator[None]:
    """Wait for one's turn: a running dialer does the same thing."""
    if free:
        yield
        return
    async with asyncio.timeout(_TURN_S) as limit:
        while True:
            async with syncing.turn(what) as mine:
                if mine:
                    limit.reschedule(None)
                    yield
                    return
            await asyncio.sleep(0.25)


@contextlib.contextmanager
def _about(name: str) -> Iterator[None]:
    """Have an error say which table or connection it is about."""
    try:
        yield
    except CrmError as error:
        raise CrmError(str(error) if name in str(error) else f"{name}: {error}") from None


async def _patiently(work: Callable[[], Awaitable[Pulled]]) -> Pulled:
    """Try a few times: each goes on where the one before stopped."""
    for waited_s in (0.5, 1.0, 2.0):
        try:
            return await work()
        except AwayError as error:
            await asyncio.sleep(min(error.retry_after_s or waited_s, 10.0))
    return await work()


async def _went(call: Invocation, name: str, teller: Teller) -> dict[str, Any]:
    done: Pushed = await teller.push(patience=_PATIENCE)
    call.say(f"{name}: {done.events} events, {done.written} records written, {done.dead} dead letters")
    return asdict(done)


async def _would(call: Invocation, name: str, teller: Teller) -> dict[str, Any]:
    events, items, lost = await teller.would()
    call.say(
        f"{name}: {events} events wait; {len(items)} records would be written, {len(lost)} cannot be (dry run, nothing written)"
    )
    shown = [
        {"out": one.name, "target": one.target, "id": one.id, "fields": _plain(one.fields)} for one in items
    ]
    for one in shown[:_SHOWN]:
        call.say(f"  {one['out']} → {one['target']}: {json.dumps(one['fields'], ensure_ascii=False)}")
    return {"events": events, "lost": len(lost), "items": shown}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return value if value is None or isinstance(value, bool | int) else as_text(value)


def _came(found: Pulled) -> str:
    left = f", {found.left_out} with a cell left out" if found.left_out else ""
    return f"{found.read} read: {found.new} new, {found.updated} updated, {found.unchanged} unchanged, {found.rejected} rejected{left}"


def _reject(key: str, one: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": key.split("/", 2)[2],
        "field": one["field"] or "the record",
        "reason": one["reason"],
        "taken": one["taken"],
        "at": one["at"],
    }


def _letter(one: dict[str, Any]) -> dict[str, Any]:
    its = one["told"]
    return {"what": its["name"], "id": its["id"], "out": one["out"], "reason": one["reason"], "at": one["at"]}
