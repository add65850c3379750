"""The clock of strategies: it does each step of what runs for an account when it is due, once at least, over restarts and on several nodes.

It owns the pace, the leases' length, what is tried again, and the steps of the core (`call`, `wait`). Which strategy an account gets, and the
steps that send messages, come with plugins, which give their own actions (`strategies.py`). The rows are `store/strategy_runs.py`'s. A strategy
stops, within the transaction that tells of it, when the account is paid something, a promise is made, the person is restricted for good or
spoken with.

An action is done before its step is marked: whoever dies between the two leaves it to be done again, so an action must bear that (a message
has a key of its own, `Run.key`; making a lead dialable twice changes nothing). One action that fails, hangs or raises what nobody expected
costs its own step a further try, and no other account anything.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from dialer_core.errors import CommandRefusedError, DialerError, StoreError
from dialer_core.log_setup import place_of
from dialer_core.store import account_leads, account_standing, people, strategy_runs
from dialer_core.store.database import Database
from dialer_core.store.strategy_runs import Run, Step
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, PersonId, new_id

log = structlog.get_logger(__name__)

Action = Callable[[Database, Run], Awaitable[None]]
"""Does one step. Whatever it raises has it tried again later, but for `StepSkippedError`; done twice, it must do no harm."""

INTERVAL_S: Final = 5.0
LEASE: Final = dt.timedelta(minutes=2)
AT_ONCE: Final = 64
SIDE_BY_SIDE: Final = 8
ACTION_LIMIT_S: Final = 10.0
"""Longest an action may take: all that is taken at once must be over within its lease, were every one of them to hang."""
_CANCEL_GRACE_S: Final = 1.0
MOST_TRIES: Final = 8
MOST_STEPS: Final = 200
CALL: Final = "call"
"""The step that has somebody called: until then a lead waits for its strategy."""
_PAUSE: Final = dt.timedelta(minutes=1)
_LONGEST_PAUSE: Final = dt.timedelta(hours=1)


class StepSkippedError(DialerError):
    """A step cannot be done for this account, however often it is tried: the strategy goes on to the next. The message says why."""


def start(
    tx: Tx,
    *,
    account_id: AccountId,
    strategy: str,
    steps: Sequence[Step],
    now: dt.datetime,
    campaign_id: CampaignId | None = None,
) -> str:
    """Let a strategy run for an account, in place of the one of its name that runs; return the run's id.

    Raises
    ------
    CommandRefusedError
        There is no such account, it is not to be collected now, or the steps make no sense.
    """
    account = people.account(tx, account_id)
    if account is None:
        raise CommandRefusedError(f"there is no account {account_id}", "unknown")
    if not 0 < len(steps) <= MOST_STEPS or any(step.after_s < 0 for step in steps):
        raise CommandRefusedError(
            f"a strategy has 1 to {MOST_STEPS} steps, none of them before the last", "invalid"
        )
    if not 0 < len(strategy) <= strategy_runs.LONGEST_NAME:
        raise CommandRefusedError(
            f"a strategy's name has 1 to {strategy_runs.LONGEST_NAME} characters", "invalid"
        )
    if standing := account_standing.standing(tx, [account_id]).get(account_id):
        raise CommandRefusedError(f"no strategy begins for this account: {standing}")
    before = [run.id for run in strategy_runs.running(tx, [account_id]) if run.strategy == strategy]
    strategy_runs.stop(tx, "replaced", runs=before)
    run = Run(
        id=new_id(),
        account_id=account_id,
        person_id=PersonId(account["person_id"]),
        campaign_id=campaign_id,
        strategy=strategy,
        steps=tuple(steps),
        position=0,
        due_at_utc=now + dt.timedelta(seconds=steps[0].after_s),
        tries=0,
    )
    strategy_runs.insert_run(tx, run)
    if any(step.what == CALL for step in steps):
        account_leads.hold_for_strategy(tx, account_id, campaign_id)
    return run.id


async def call(database: Database, run: Run) -> None:
    """Make the account's lead on its campaign's list dialable, where it waits for its strategy; the gate still decides."""

    def write() -> None:
        with database.write() as tx:
            account_leads.let_go_of_strategies(tx, [run.account_id])

    await asyncio.to_thread(write)


async def wait(_database: Database, _run: Run) -> None:
    """Do nothing: time has passed."""


ACTIONS: Final[dict[str, Action]] = {CALL: call, "wait": wait}
"""What the core itself can do in a step."""


def action_of(what: str, actions: Mapping[str, Action]) -> Action:
    """Return what does a step of this name; CommandRefusedError (`invalid`) names those there are."""
    if (action := actions.get(what)) is None:
        raise CommandRefusedError(
            f"nothing does the step {what!r}; known are: {', '.join(sorted(actions))}", "invalid"
        )
    return action


async def run_due(
    database: Database,
    actions: Mapping[str, Action],
    owner: str,
    *,
    limit_s: float = ACTION_LIMIT_S,
) -> int:
    """Do the steps that are due now, some side by side; return how many were taken."""

    def take() -> list[Run]:
        with database.write() as tx:
            found = strategy_runs.take_due(tx, database.clock.utc(), owner, LEASE, AT_ONCE)
            closed = account_standing.standing(tx, {run.account_id for run in found})
            for account_id, standing in closed.items():  # told elsewhere, or withdrawn since
                strategy_runs.stop(tx, standing, accounts=[account_id])
            return [run for run in found if run.account_id not in closed]

    taken = await asyncio.to_thread(take)
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(run: Run) -> None:
        async with turn:
            await _do(database, actions, run, limit_s)

    async with asyncio.TaskGroup() as group:
        for run in taken:
            group.create_task(one(run))
    return len(taken)


async def _do(database: Database, actions: Mapping[str, Action], run: Run, limit_s: float) -> None:
    skipped = ""
    try:
        action = action_of(run.step.what, actions)
        await _within_limit(action(database, run), limit_s)
    except StepSkippedError as error:
        log.info("strategy_step_skipped", run_id=run.id, position=run.position, reason=str(error))
        skipped = str(error) or "skipped"
    except Exception as error:  # noqa: BLE001 - foreign code: whatever it raises is this step's alone
        text = str(error) if isinstance(error, DialerError) else place_of(error)
        log.warning("strategy_step_failed", run_id=run.id, position=run.position, tries=run.tries, error=text)
        await asyncio.to_thread(_put_off, database, run)
        return

    def write() -> bool:
        with database.write() as tx:
            return strategy_runs.done(tx, run, database.clock.utc(), skipped=skipped)

    if not await asyncio.to_thread(write):
        log.info("strategy_step_overtaken", run_id=run.id, position=run.position)


async def _within_limit(doing: Awaitable[None], limit_s: float) -> None:
    """Wait for an action; one that outlives its limit is cancelled, and left behind if it will not end even so."""
    task = asyncio.ensure_future(doing)
    try:
        await asyncio.wait({task}, timeout=limit_s)
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=_CANCEL_GRACE_S)
            raise DialerError(f"took longer than {limit_s:g} s")
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.cancelled():  # by itself: nobody has asked this clock to end
        raise DialerError("cancelled itself")
    task.result()


def _put_off(database: Database, run: Run) -> None:
    with database.write() as tx:
        if run.tries >= MOST_TRIES:
            strategy_runs.stop(tx, strategy_runs.FAILED, runs=[run.id])
        else:
            pause = min(_PAUSE * 2 ** (run.tries - 1), _LONGEST_PAUSE)
            strategy_runs.try_again(tx, run, database.clock.utc() + pause)


async def watch(database: Database, actions: Mapping[str, Action], owner: str) -> None:
    """Do what is due, again and again, until cancelled. An action may be added while it goes."""
    while True:
        try:
            while await run_due(database, actions, owner) == AT_ONCE:
                pass
        except* StoreError as several:  # tried again in a moment
            log.warning("strategies_not_kept_up", error=str(several.exceptions[0]))
        await asyncio.sleep(INTERVAL_S)
