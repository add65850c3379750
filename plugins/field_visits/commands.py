"""`dialer visits`: hand accounts over, give them to visitors, put a day in order, see what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import click
import msgspec

from dialer_core.plugin_api import AccountId, CommandRefusedError, EngineHandle
from dialer_core.plugin_cli import Invocation, example, invocation, open_handle
from plugins.field_visits import route
from plugins.field_visits.settings import PLUGIN, settings_of
from plugins.field_visits.states import VisitState
from plugins.field_visits.turns import Turn
from plugins.field_visits.visits import Book, Visit, marks_in

T = TypeVar("T")
ACTOR = "cli"
_COLUMNS = ("id", "day", "visitor", "place", "account", "state", "outcome", "metres", "to look at")


@click.group(
    epilog=example("dialer visits list", "dialer visits assign 4401-1 --visitor vera --day 2026-12-01")
)
def visits() -> None:
    """Visits in person: who goes where, in which order, and what came of it."""


def _with_book(call: Invocation, work: Callable[[Book], Awaitable[T]]) -> T:
    with open_handle(call, PLUGIN) as engine:
        return asyncio.run(_run(engine, work))


async def _run(engine: EngineHandle, work: Callable[[Book], Awaitable[T]]) -> T:
    async with Turn(engine):
        return await work(Book(engine, settings_of(engine)))


async def _row(book: Book, one: Visit) -> tuple[object, ...]:
    its = (await book.engine.accounts.get(AccountId(one.account))).account
    metres = "" if one.distance_m is None else f"{one.distance_m:.0f}"
    look = " ".join([*one.marks, *(conflict.split(" ")[0] for conflict in one.conflicts)])
    return (one.id, one.day, one.visitor, one.place or "", its.external_id, one.state.value, one.outcome, metres, look)  # fmt: skip


def _show(call: Invocation, found: list[Visit], rows: list[tuple[object, ...]]) -> None:
    call.give([msgspec.to_builtins(one) for one in found])
    call.table(_COLUMNS, rows)


@visits.command("list", epilog=example("dialer visits list --state proposed"))
@click.option("--state", type=click.Choice([one.value for one in VisitState]), default=None, help="Only those in this state.")  # fmt: skip
@click.option("--visitor", default="", help="Only theirs.")
@click.option("--day", default="", metavar="YYYY-MM-DD", help="Only of this day.")
@invocation
def list_visits(call: Invocation, state: str | None, visitor: str, day: str) -> None:
    """List visits, the latest first."""

    async def ask(book: Book) -> tuple[list[Visit], list[tuple[object, ...]]]:
        found = [
            one
            for one in await book.every(VisitState(state) if state else None)
            if visitor in ("", one.visitor) and day in ("", one.day)
        ]
        return found, [await _row(book, one) for one in found]

    _show(call, *_with_book(call, ask))


@visits.command("assign", epilog=example("dialer visits assign 4401-1 --visitor vera --day 2026-12-01"))
@click.argument("account")
@click.option("--portfolio", default="default", show_default=True, help="The account's.")
@click.option(
    "--visitor", default="", help="Who goes, as in plugins/field_visits.toml; left out: nobody yet."
)
@click.option("--day", default="", metavar="YYYY-MM-DD", help="By default today.")
@click.option("--note", default="", help="What the visitor should know.")
@invocation
def assign(call: Invocation, account: str, portfolio: str, visitor: str, day: str, note: str) -> None:
    """Hand ACCOUNT (the customer's own number of it) over to be visited; its open visit is given to another, or for another day."""

    async def do(book: Book) -> Visit:
        known = (await book.engine.accounts.find([account], portfolio)).get(account)
        if known is None:
            raise CommandRefusedError(
                f"there is no account {account!r} in the portfolio {portfolio!r}", "unknown"
            )
        visit = await book.propose(known, by=ACTOR, note=note)
        return await book.assign(visit, visitor, day or book.today()) if visitor else visit

    made = _with_book(call, do)
    call.give(msgspec.to_builtins(made))
    where = f" to {made.visitor} for {made.day}, stop {made.place}" if made.visitor else ""
    call.say(f"{account}: {made.state.value}{where} ({made.id})")


@visits.command("cancel", epilog=example("dialer visits cancel 5f0c6c1e-6a0a-4c39-9f0e-0a6f6c3a7b11"))
@click.argument("visit")
@invocation
def cancel(call: Invocation, visit: str) -> None:
    """Cancel a visit that has not been begun."""

    async def do(book: Book) -> Visit:
        return await book.withdraw(await book.get(visit), cancel=True)

    call.give(msgspec.to_builtins(_with_book(call, do)))
    call.say(f"{visit}: cancelled")


@visits.command("route", epilog=example("dialer visits route vera --day 2026-12-01"))
@click.argument("visitor")
@click.option("--day", default="", metavar="YYYY-MM-DD", help="By default today.")
@invocation
def show_route(call: Invocation, visitor: str, day: str) -> None:
    """Put VISITOR's day in the order of the shortest way that is found, and print it."""

    async def do(book: Book) -> tuple[list[Visit], list[tuple[object, ...]], float]:
        found = await book.plan(visitor, day or book.today())
        points = [point for one in found if (point := (await book.place(one)).point) is not None]
        known = book.its.visitors.get(visitor)
        length = route.length_m(known.start, points) if known and points else 0.0
        return found, [await _row(book, one) for one in found], length

    found, rows, length = _with_book(call, do)
    _show(call, found, rows)
    call.say(f"{len(found)} stops, {length / 1000:.1f} km as the crow flies")


@visits.command("results", epilog=example("dialer visits results --day 2026-12-01"))
@click.option("--day", default="", metavar="YYYY-MM-DD", help="Only of this day.")
@invocation
def results(call: Invocation, day: str) -> None:
    """Show what came of visits, and which of them somebody should look at."""

    async def ask(book: Book) -> tuple[list[Visit], list[tuple[object, ...]]]:
        found = [one for one in await book.every() if one.outcome and day in ("", one.day)]
        return found, [await _row(book, one) for one in found]

    found, rows = _with_book(call, ask)
    _show(call, found, rows)
    call.say(f"{len(found)} visits, {marks_in(found)} to look at")
