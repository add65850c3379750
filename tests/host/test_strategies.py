"""Strategies in a real host: the bundled step `message`, and the steps of a plugin of somebody else's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dialer_core import host
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.plugin_api import (
    EngineHandle,
    Step,
    StrategyAction,
    StrategyRequest,
    StrategyStep,
    StrategyStepDone,
)
from dialer_core.plugin_host import installed
from dialer_core.store.database import Database
from dialer_core.vocabulary import CampaignId
from tests.campaigns.lists import CAMPAIGN, put_lead, put_list_campaign, rows
from tests.host.running import running_host
from tests.host.test_messages import NUMBER, configure
from tests.plugins.plugin_sets import entry_points
from tests.plugins.provider import http_provider
from tests.polling import wait_until_async

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


def done(database: Database) -> list[tuple[str, str]]:
    """Return each step done, by the log, and why it was passed over."""
    with database.read() as tx:
        return [
            (row["data"]["what"], row["data"]["skipped"]) for row in rows(tx, "event") if row["name"] == StrategyStepDone.name
        ]  # fmt: skip


async def test_steps_of_plugins_are_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's plugin begins a strategy through its handle: its own step is done, then a message goes out by the bundled plugins."""
    handles: list[EngineHandle] = []
    letters: list[StrategyStep] = []

    def begin(engine: EngineHandle) -> None:
        handles.append(engine)

    def actions() -> Mapping[str, StrategyAction]:
        async def letter(step: StrategyStep) -> None:
            letters.append(step)

        return {"letter": letter}

    made = entry_points(post={"dialer_startup": begin, "dialer_register_strategy_actions": actions})
    monkeypatch.setattr(host, "installed", lambda: {**installed(), **made})
    monkeypatch.setattr("dialer_core.portfolio.strategy_clock.INTERVAL_S", 0.1)
    async with http_provider() as provider:
        provider.answer = lambda _: (201, {"sid": "SM1"}, {})
        configure(tmp_path, provider.url)
        campaigns = {CampaignId(CAMPAIGN): CampaignSettings(rule_pack="demo", trunks=("t",))}
        names = ("sms", "contact_strategy", "post")
        async with running_host(tmp_path, plugins=names, campaigns=campaigns) as running:
            with running.database.write() as tx:
                put_list_campaign(tx)
                debtor = put_lead(tx, [NUMBER])
            [engine] = handles
            assert engine.strategies.actions == {
                "call": "the core", "letter": "the plugin post", "message": "the plugin contact_strategy", "wait": "the core",
            }  # fmt: skip
            steps = (
                Step(0, "letter"),
                Step(0, "message", {"template": "aviso"}),
                Step(0, "message", {"template": "x"}),
            )
            asked = StrategyRequest(
                account_id=debtor.account, strategy="soft", steps=steps, campaign_id=CampaignId(CAMPAIGN)
            )
            run_id = await engine.strategies.start(asked)
            await wait_until_async(lambda: len(done(running.database)) == 2, 15, "two steps")
            assert done(running.database) == [("letter", ""), ("message", "")]
            assert [(step.key, step.person_id) for step in letters] == [(f"{run_id}:0", debtor.person)]
            await wait_until_async(lambda: len(provider.requests) == 1, 15, "the message")
            with running.database.read() as tx:
                [message] = rows(tx, "message")
            assert (message["request_key"], message["source"]) == (f"{run_id}:1", "plugin:contact_strategy")

            shown: dict[str, Any] = (await running.client.get(f"/api/v1/accounts/{debtor.account}")).json()
            [strategy] = shown["strategies"]
            assert (strategy["strategy"], strategy["state"], strategy["position"]) == ("soft", "running", 2)
            assert await engine.strategies.stop(debtor.account, reason="enough") == 1
