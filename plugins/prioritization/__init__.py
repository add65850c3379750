"""Prioritization: every morning and during the day an ordered list: who first, by which channel, at what hour, and why.

It owns the hooks and when something is done. What is learned is `scoring.py`'s; the work is done by `dialer score` in processes of their own, at
the lowest priority, so that no call waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import sys
from zoneinfo import ZoneInfo

from dialer_core.plugin_api import (
    CampaignId,
    DialerError,
    EngineHandle,
    NextStep,
    NotRunningError,
    StepFacts,
    hookimpl,
)
from plugins.prioritization.next_step import Runs
from plugins.prioritization.settings import PrioritizationSettings, settings_of

_LOOK_S = 30.0
_NICE = 19
_TRAINED = "trained"
_ORDERED = "ordered"

_running: list[asyncio.Task[None]] = []
_runs: list[Runs] = []


@hookimpl
async def dialer_check_settings(engine: EngineHandle) -> None:
    """Look at the settings."""
    settings_of(engine)


@hookimpl
async def dialer_startup(engine: EngineHandle) -> None:
    """Begin to look at the clock."""
    its = settings_of(engine)
    _runs[:] = [Runs(engine.folder())]
    _running[:] = [asyncio.create_task(_watch(engine, its), name="prioritization")]


@hookimpl
async def dialer_choose_next_step(facts: StepFacts) -> NextStep | None:
    """Name the best hour and channel of an account that the last run has scored."""
    for runs in _runs:
        return await runs.step(facts)
    return None


@hookimpl
async def dialer_shutdown() -> None:
    """Stop; a run under way is ended."""
    for task in _running:
        task.cancel()
    await asyncio.gather(*_running, return_exceptions=True)
    _running.clear()
    _runs.clear()


def due(
    now: dt.datetime, trained: str | None, ordered: str | None, its: PrioritizationSettings
) -> tuple[bool, bool]:
    """Return whether models are to be trained and lists put in order now, by when that was last done (ISO, UTC)."""
    local = now.astimezone(ZoneInfo(its.zone))
    morning = dt.datetime.combine(local.date(), its.train_at, ZoneInfo(its.zone))
    if local < morning:
        morning -= dt.timedelta(days=1)
    train = trained is None or dt.datetime.fromisoformat(trained) < morning
    since = dt.timedelta(minutes=its.order_every_minutes)
    return train, train or ordered is None or dt.datetime.fromisoformat(ordered) + since <= now


async def _watch(engine: EngineHandle, its: PrioritizationSettings) -> None:
    while True:
        with contextlib.suppress(DialerError):  # the store is away, say: looked at again in a moment
            await _look(engine, its)
        await asyncio.sleep(_LOOK_S)


async def _look(engine: EngineHandle, its: PrioritizationSettings) -> None:
    now = engine.now()
    kept = await engine.store.get_many([_TRAINED, _ORDERED])
    train, order = due(now, kept.get(_TRAINED), kept.get(_ORDERED), its)
    if not (train or order):
        return
    for campaign in await _campaigns(engine, its):
        if train:  # then the list is put in order as well, out of the same reading
            await _run(engine, "run", campaign, "--train")
        elif order:
            await _run(engine, "run", campaign)
    done = {_TRAINED: now.isoformat()} if train else {}
    await engine.store.put_many(done | {_ORDERED: now.isoformat()})


async def _campaigns(engine: EngineHandle, its: PrioritizationSettings) -> list[CampaignId]:
    if its.campaigns:
        return [CampaignId(name) for name in its.campaigns]
    try:
        return [CampaignId(one.id) for one in (await engine.status()).campaigns]
    except NotRunningError:
        return []


async def _run(engine: EngineHandle, what: str, campaign: CampaignId, *options: str) -> None:
    """Do one `dialer score` command; what it says of an error stands in the log by its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "dialer_core.commands.cli", "score", what, campaign, *options, "--config", str(engine.config_directory),
        "--json",
        stdout=asyncio.subprocess.DEVNULL,
        preexec_fn=lambda: os.nice(_NICE) and None,
    )  # fmt: skip
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
