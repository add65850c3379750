"""`dialer strategy`: the rules, what they would do to an account and to the whole list, and how the arms compare."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from typing import Any
from zoneinfo import ZoneInfo

import click

from dialer_core.plugin_api import (
    AccountId,
    Begun,
    CampaignId,
    CommandRefusedError,
    ConfigError,
    EngineHandle,
)
from dialer_core.plugin_cli import Invocation, campaign_settings, example, invocation, open_handle
from plugins.contact_strategy.beginning import where_of
from plugins.contact_strategy.planning import Planned, arm_of, name_of, plan, steps_of, volume
from plugins.contact_strategy.settings import PLUGIN, ContactStrategySettings, StrategySettings, settings_of


@click.group(epilog=example("dialer strategy list", "dialer strategy try preventiva 4401-1"))
def strategy() -> None:
    """Contact strategies: which steps for whom, and what would come of them."""


def _rule(its: ContactStrategySettings, name: str) -> StrategySettings:
    if name not in its.strategies:
        known = ", ".join(its.strategies) or "none"
        raise ConfigError(f"there is no strategy {name!r} in plugins/{PLUGIN}.toml; there are: {known}")
    return its.strategies[name]


@strategy.command("list", epilog=example("dialer strategy list"))
@invocation
def list_strategies(call: Invocation) -> None:
    """Show the rules, and for how many accounts each would begin now, were it alone."""
    with open_handle(call, PLUGIN) as engine:
        its = settings_of(engine)
        found: list[dict[str, Any]] = []
        for name, rule in its.strategies.items():
            campaign_settings(call, rule.campaign)
            accounts = len(asyncio.run(_matching(engine, rule))) if rule.when == "listed" else None
            steps = {arm: len(steps_of(rule, arm)) for arm in (rule.arms or [""])}
            rules = {"campaign": rule.campaign, "when": rule.when, "where": rule.where}
            found.append({"strategy": name, **rules, "steps": steps, "accounts": accounts})
    call.give(found)
    call.table(
        ("strategy", "campaign", "when", "where", "steps", "accounts"),
        [
            (one["strategy"], one["campaign"], one["when"], one["where"] or "all",
             ", ".join(f"{arm}: {number}" if arm else str(number) for arm, number in one["steps"].items()),
             "" if one["accounts"] is None else str(one["accounts"]))
            for one in found
        ],
    )  # fmt: skip


async def _matching(engine: EngineHandle, rule: StrategySettings) -> list[tuple[AccountId, str]]:
    found: list[tuple[AccountId, str]] = []
    after = ""
    while page := await engine.leads.matching(CampaignId(rule.campaign), where_of(rule), after=after):
        found += [(one.account_id, one.zone) for one in page]
        after = page[-1].lead_id
    return found


@strategy.command("try", epilog=example("dialer strategy try preventiva 4401-1"))
@click.argument("name")
@click.argument("account")
@click.option("--portfolio", default="default", show_default=True, help="The account's.")
@invocation
def try_one(call: Invocation, name: str, account: str, portfolio: str) -> None:
    """Print what strategy NAME would do to ACCOUNT (the customer's own number of it) if it began now. Nothing is done."""
    with open_handle(call, PLUGIN) as engine:
        its = settings_of(engine)
        rule = _rule(its, name)
        known = asyncio.run(engine.accounts.find([account], portfolio))
        if account not in known:
            raise CommandRefusedError(f"there is no account {account!r} in the portfolio {portfolio!r}", "unknown")  # fmt: skip
        view = asyncio.run(engine.accounts.get(known[account]))
        named = asyncio.run(engine.leads.holds(CampaignId(rule.campaign), known[account], where_of(rule)))
        zone = next((phone.zones[0] for phone in view.phones if phone.zones), its.zone)
        arm = arm_of(name, rule, known[account])
        planned = plan(steps_of(rule, arm), engine.now(), zone)
    told = {
        "strategy": name_of(name, arm),
        "named": named,
        "zone": zone,
        "steps": [_told(one, zone) for one in planned],
    }
    call.give(told)
    if not named:
        call.say(
            f"{account} is not among those that {name} is for: {rule.where or 'the list of ' + rule.campaign}; were it:"
        )
    call.say(
        f"{name_of(name, arm)}, by the clock of {zone}; it ends with a payment, a promise, an opt-out or a conversation:"
    )
    call.table(("when", "what", "template", "only if"), [tuple(_told(one, zone).values()) for one in planned])


def _told(one: Planned, zone: str) -> dict[str, str]:
    return {
        "when": one.at.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M"), "what": one.settings.do, "template": one.settings.template,
        "only_if": one.settings.only_if,
    }  # fmt: skip


@strategy.command("volume", epilog=example("dialer strategy volume"))
@invocation
def show_volume(call: Invocation) -> None:
    """Print how many steps would come on each day, were every strategy begun now for all it names. Nothing is done.

    Conditions of steps are taken as met, and nobody as having paid: it is the most that can come.
    """
    with open_handle(call, PLUGIN) as engine:
        its = settings_of(engine)
        taken: set[AccountId] = set()
        plans: dict[str, list[Planned]] = {}
        for name, rule in its.strategies.items():
            if rule.when != "listed":
                continue
            for account, zone in asyncio.run(_matching(engine, rule)):
                if account not in taken:  # the first strategy that names an account has it
                    taken.add(account)
                    steps = steps_of(rule, arm_of(name, rule, account))
                    plans[account] = plan(steps, engine.now(), zone or its.zone)
        days = volume(plans, its.zone)
    call.give([{"day": day, "what": what, "number": number} for (day, what), number in days.items()])
    call.table(("day", "what", "number"), [(day, what, str(number)) for (day, what), number in days.items()])
    call.say(f"{len(taken):,} accounts")


@strategy.command("results", epilog=example("dialer strategy results --days 30"))
@click.option(
    "--days", type=click.IntRange(1, 365), default=30, show_default=True, help="Begun within so many."
)
@invocation
def results(call: Invocation, days: int) -> None:
    """Compare strategies and their arms: how many were begun, and by what they ended."""
    with open_handle(call, PLUGIN) as engine:
        its = settings_of(engine)
        since = engine.now() - dt.timedelta(days=days)
        begun = asyncio.run(engine.strategies.begun(since))
    found = _compare(
        [
            one
            for one in begun
            if one.strategy.partition(".")[0] in its.strategies and one.started_at_utc >= since
        ]
    )
    call.give(found)
    call.table(
        ("strategy", "begun", "running", "paid", "promised", "spoken", "share paid or promised", "±"),
        [
            (one["strategy"], str(one["begun"]), str(one["running"]), str(one["payment"]), str(one["promise"]), str(one["conversation"]),
             f"{one['share']:.1%}", f"{one['half_width']:.1%}")
            for one in found
        ],
    )  # fmt: skip


def _compare(begun: list[Begun]) -> list[dict[str, Any]]:
    """Return a line for each name, with the share that ended by payment or promise and half of its 95 % interval (Wilson)."""
    found = []
    for name in sorted({one.strategy for one in begun}):
        mine = [one for one in begun if one.strategy == name]
        ends = Counter(one.stopped_because or one.state for one in mine)
        good, n = ends["payment"] + ends["promise"], len(mine)
        share, z = good / n, 1.96
        half = z / (1 + z * z / n) * ((share * (1 - share) / n + z * z / (4 * n * n)) ** 0.5)
        found.append({
            "strategy": name, "begun": n, "running": ends["running"], "payment": ends["payment"], "promise": ends["promise"],
            "conversation": ends["contact"], "share": share, "half_width": half, "ends": dict(ends),
        })  # fmt: skip
    return found
