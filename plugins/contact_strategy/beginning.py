"""Whose strategy begins: by lists looked through again and again, by events, and the reminders before promised days.

It owns who gets what and when it is looked for. What a step does is `__init__.py`'s; pace, retries and the end of a strategy are the core's.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

import structlog

from dialer_core.plugin_api import (
    AccountId,
    CampaignId,
    CommandRefusedError,
    DialerError,
    EngineHandle,
    Matching,
    MessageRequest,
    StrategyRequest,
)
from plugins.contact_strategy.planning import arm_of, as_steps, name_of, plan, steps_of
from plugins.contact_strategy.settings import ContactStrategySettings, StrategySettings

log = structlog.get_logger(__name__)

_EVENTS = {"promise.broken": "promise_broken", "payment.received": "paid"}
"""Event: which strategies it begins."""
_CURSOR = "cursor"
_PAGE = 500
_REMINDED_AHEAD = dt.timedelta(hours=18)
"""A reminder is queued so long before its hour at the earliest, and sent at it."""


class Beginner:
    """Begins strategies.

    Parameters
    ----------
    engine
        The plugin's handle.
    its
        The rules.
    """

    def __init__(self, engine: EngineHandle, its: ContactStrategySettings) -> None:
        self._engine = engine
        self._its = its

    async def run(self) -> None:
        """Look through lists and follow events, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._look_again_and_again(), name="contact-strategy-lists")
            group.create_task(self._follow(), name="contact-strategy-events")

    async def look(self) -> int:
        """Begin what is to begin by the lists now; return how many strategies that were."""
        known = await self._recent()
        left = self._its.most_a_look
        begun = 0
        for name, rule in self._its.strategies.items():
            if rule.when != "listed":
                continue
            after = ""
            while left > 0:
                page = await self._engine.leads.matching(
                    CampaignId(rule.campaign), where_of(rule), after=after, limit=_PAGE
                )
                if not page:
                    break
                after = page[-1].lead_id
                those = [one for one in page if known.free(one.account_id, name, rule)][:left]
                done = await self._begin(name, rule, those)
                known.add(name, done)
                begun += len(done)
                left -= len(done)
        if left <= 0:
            log.warning("contact_strategies_held_back", begun=begun, most=self._its.most_a_look)
        return begun

    async def remind(self) -> int:
        """Queue the reminders whose hour comes next; return how many were asked for. Asked for again, each is queued once."""
        now = self._engine.now()
        clock = ZoneInfo(self._its.zone)
        today = now.astimezone(clock).date()
        asked = 0
        for rule in self._its.reminders:
            for day in (today, today + dt.timedelta(days=1)):
                at = dt.datetime.combine(day, rule.at, clock)
                if not now - dt.timedelta(hours=6) <= at <= now + _REMINDED_AHEAD:
                    continue
                about = day + dt.timedelta(days=rule.days_before)
                for one in await self._engine.promises.due(about, about):
                    if one.campaign_id is None:
                        continue
                    # what was paid of it since makes another reminder of it, and takes the one before back
                    key = f"reminder/{one.promise_id}/{one.position}/{one.open_minor}/{rule.days_before}/{rule.template}"
                    request = MessageRequest(
                        campaign_id=one.campaign_id, account_id=one.account_id, template=rule.template, not_before=max(at, now),
                        request_key=key[:128], reminds=one,
                    )  # fmt: skip
                    asked += await self._queue(request)
        return asked

    async def happened(self, name: str, account: AccountId) -> int:
        """Begin what an event begins for an account; return how many strategies that were."""
        known = _Known(self._its, self._engine.now())
        for one in await self._engine.strategies.of(account):
            known.note(account, one.strategy, one.state, one.started_at_utc)
        for strategy, rule in self._its.strategies.items():
            if rule.when != _EVENTS[name] or not known.free(account, strategy, rule):
                continue
            campaign = CampaignId(rule.campaign)
            if not await self._engine.leads.holds(campaign, account, where_of(rule)):
                continue
            zone = await self._zone(account)
            done = await self._begin(strategy, rule, [Matching("", account, zone)])  # type: ignore[arg-type]
            known.add(strategy, done)
            if done:
                return len(done)
        return 0

    async def _zone(self, account: AccountId) -> str:
        phones = (await self._engine.accounts.get(account)).phones
        return next((phone.zones[0] for phone in phones if phone.zones), "")

    async def _begin(self, name: str, rule: StrategySettings, those: Sequence[Matching]) -> list[AccountId]:
        now = self._engine.now()
        requests = []
        for one in those:
            arm = arm_of(name, rule, one.account_id)
            steps = plan(steps_of(rule, arm), now, one.zone or self._its.zone)
            requests.append(
                StrategyRequest(
                    account_id=one.account_id, strategy=name_of(name, arm), steps=as_steps(steps, now), campaign_id=CampaignId(rule.campaign),
                    # what was known when the look began is old by now, and other nodes look too
                    not_since=now - dt.timedelta(days=rule.again_after_days), not_beside=tuple(self._its.strategies),
                )
            )  # fmt: skip
        answers = await self._engine.strategies.start_many(requests)
        for request, answer in zip(requests, answers, strict=True):
            if isinstance(answer, CommandRefusedError) and answer.kind != "refused":
                log.warning("contact_strategy_refused", strategy=request.strategy, error=str(answer))
        return [
            one.account_id
            for one, answer in zip(those, answers, strict=True)
            if not isinstance(answer, CommandRefusedError)
        ]

    async def _queue(self, request: MessageRequest) -> int:
        try:
            await self._engine.messages.queue(request)
        except CommandRefusedError as error:  # no such address, or no consent: that person is not reminded
            log.info("reminder_refused", account_id=request.account_id, reason=error.kind)
            return 0
        return 1

    async def _recent(self) -> _Known:
        longest = max((rule.again_after_days for rule in self._its.strategies.values()), default=1)
        since = self._engine.now() - dt.timedelta(days=longest)
        known = _Known(self._its, self._engine.now())
        for one in await self._engine.strategies.begun(since):
            known.note(one.account_id, one.strategy, one.state, one.started_at_utc)
        return known

    async def _look_again_and_again(self) -> None:
        while True:
            try:
                if begun := await self.look():
                    log.info("contact_strategies_begun", strategies=begun)
                await self.remind()
            except DialerError as error:  # the store is away, say
                log.warning("contact_strategies_not_begun", error=str(error))
            await asyncio.sleep(self._its.look_every_minutes * 60)

    async def _follow(self) -> None:
        """Begin what events begin; the cursor is kept, so that nothing is missed while the host is down."""
        cursor = str(await self._engine.store.get(_CURSOR, "") or await self._engine.last_cursor())
        async for stored, behind in self._engine.events(cursor, list(_EVENTS)):
            if stored.account_id is not None:
                try:
                    await self.happened(stored.name, AccountId(stored.account_id))
                except DialerError as error:
                    log.warning("contact_strategy_not_begun", account_id=stored.account_id, error=str(error))
            await self._engine.store.put(_CURSOR, behind)


class _Known:
    """Which strategies accounts have and had."""

    def __init__(self, its: ContactStrategySettings, now: dt.datetime) -> None:
        self._names = frozenset(its.strategies)
        self._now = now
        self._running: set[AccountId] = set()
        self._last: dict[tuple[AccountId, str], dt.datetime] = {}

    def note(self, account: AccountId, strategy: str, state: str, started: dt.datetime) -> None:
        """Note one that was begun, under the name it runs by; those that are not of these rules do not count."""
        name = strategy.partition(".")[0]
        if name not in self._names:
            return
        if state == "running":
            self._running.add(account)
        self._last[account, name] = max(started, self._last.get((account, name), started))

    def free(self, account: AccountId, strategy: str, rule: StrategySettings) -> bool:
        """Say whether a strategy may begin for an account: none runs, and this one is long ago."""
        last = self._last.get((account, strategy))
        again = dt.timedelta(days=rule.again_after_days)
        return account not in self._running and (last is None or self._now - last >= again)

    def add(self, strategy: str, accounts: Iterable[AccountId]) -> None:
        """Note what has begun."""
        for account in accounts:
            self._running.add(account)
            self._last[account, strategy] = self._now


def where_of(rule: StrategySettings) -> str:
    """Return the expression of a rule; one that names every lead where it has none."""
    return rule.where or "attempts >= 0"
