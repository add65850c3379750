"""Contact strategies: rules in a file say which steps an account gets and when, and the step `message` queues a message of a template.

It owns the hooks and the step. Whose strategy begins is `beginning.py`'s, when its steps are `planning.py`'s. That a step is tried again, and when
a strategy stops, is the core's; whether a message may be sent, its gate's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from dialer_core.plugin_api import (
    CampaignId,
    CommandRefusedError,
    ConfigError,
    EngineHandle,
    MessageRequest,
    StepSkippedError,
    StrategyAction,
    StrategyStep,
    hookimpl,
)
from plugins.contact_strategy.beginning import Beginner
from plugins.contact_strategy.planning import steps_of
from plugins.contact_strategy.settings import settings_of

_running: list[asyncio.Task[None]] = []


@hookimpl
async def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at the rules, and whether the campaigns and templates that they name are there."""
    its = settings_of(engine)
    named = [("reminders", "templates", one.template) for one in its.reminders]
    for name, rule in its.strategies.items():
        named.append((f"strategies.{name}.campaign", "campaigns", rule.campaign))
        steps = [step for arm in (rule.arms or [""]) for step in steps_of(rule, arm)]
        named += [(f"strategies.{name}.steps", "templates", step.template) for step in steps if step.template]
    for where, folder, file in named:
        if not (engine.config_directory / folder / f"{file}.toml").exists():
            raise ConfigError(f"plugins/contact_strategy.toml: {where}: there is no {folder}/{file}.toml")


@hookimpl
async def dialer_startup(engine: EngineHandle) -> None:
    """Read the rules, and begin to look for whom they are; without a file of rules, only the step is offered."""
    its = settings_of(engine)
    for rule in its.strategies.values():
        for where in (
            rule.where,
            *(step.only_if for arm in (rule.arms or [""]) for step in steps_of(rule, arm)),
        ):
            if where:  # a mistake in it is told now, and not at each look
                await engine.leads.matching(CampaignId(rule.campaign), where, limit=1)
    if its.strategies or its.reminders:
        _running[:] = [asyncio.create_task(Beginner(engine, its).run(), name="contact-strategy")]


@hookimpl
async def dialer_shutdown() -> None:
    """Stop looking. What has begun goes on when the host is back."""
    for task in _running:
        task.cancel()
    await asyncio.gather(*_running, return_exceptions=True)
    _running.clear()


@hookimpl
def dialer_register_strategy_actions(engine: EngineHandle) -> Mapping[str, StrategyAction]:
    """Offer the step `message`: `data` has `template`, and what the template's `[given]` names under `given`."""

    async def message(step: StrategyStep) -> None:
        """Queue a message, once for the step, however often it is done."""
        given: dict[str, Any] = step.data.get("given", {})
        if step.campaign_id is None:
            raise StepSkippedError(
                "the strategy was begun for no campaign, and a message goes by a campaign's rules"
            )
        only_if = str(step.data.get("only_if", ""))
        if only_if and not await engine.leads.holds(step.campaign_id, step.account_id, only_if):
            raise StepSkippedError("its condition names this account no more")
        try:
            await engine.messages.queue(
                MessageRequest(
                    campaign_id=step.campaign_id,
                    account_id=step.account_id,
                    template=str(step.data.get("template", "")),
                    given={name: str(value) for name, value in given.items()},
                    request_key=step.key,
                )
            )
        except CommandRefusedError as error:
            if error.kind == "unknown":  # no such template or campaign: somebody will mend it
                raise
            raise StepSkippedError(str(error)) from error  # this person has no such number, or has not agreed

    return {"message": message}
