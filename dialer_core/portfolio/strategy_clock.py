"""The clock of strategies: it does each step of what runs for an account when it is due, once at least, over restarts and on several nodes.

It owns the pace, the leases' length, what is tried again, and the steps of the core (`call`, `wait`). Which strategy an account gets, and the
steps that send messages, come with plugins: they give their own actions. The rows are `store/strategy_runs.py`'s. A strategy stops, within the
transaction that tells of it, when the account is paid something, a promise is made, the person is restricted for good or spoken with.

An action is done before its step is marked: whoever dies between the two leaves it to be done again, so an action must bear that (a message
has a key of its own, `Run.id` and the position; making a lead dialable twice changes nothing).
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog

from dialer_core.errors import CommandRefusedError, DialerError, StoreError
from dialer_core.store import account_leads, account_standing, people, strategy_runs
from dialer_core.store.database import Database
from dialer_core.store.strategy_runs import Run, Step
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, PersonId, new_id

log = structlog.get_logger(__name__)

Action = Callable[[Database, Run], Awaitable[None]]
"""Does one step. A `DialerError` has it tried again later; done twice, it must do no harm."""

INTERVAL_S: Final = 5.0
LEASE: Final = dt.timedelta(minutes=2)
AT_ONCE: Final = 100
MOST_TRIES: Final = 8
MOST_STEPS: Final = 200
STRATEGY = "strategy"
"""What a lead waits for that only its strategy's `call` makes dialable."""
_PAUSE: Final = dt.timedelta(minutes=1)
_LONGEST_PAUSE: Final = dt.timedelta(hours=1)


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
    return run.id


async def call(database: Database, run: Run) -> None:
    """Make the account's lead on its campaign's list dialable, where it waits for its strategy; the gate still decides."""

    def write() -> None:
        with database.write() as tx:
            account_leads.reopen(tx, run.account_id, waiting_for=STRATEGY)

    await asyncio.to_thread(write)


async def wait(_database: Database, _run: Run) -> None:
    """Do nothing: time has passed."""


ACTIONS: Final[dict[str, Action]] = {"call": call, "wait": wait}
"""What the core itself can do in a step."""


async def run_due(database: Database, actions: Mapping[str, Action], owner: str) -> int:
    """Do the steps that are due now; return how many were taken."""

    def take() -> list[Run]:
        with database.write() as tx:
            found = strategy_runs.take_due(tx, database.clock.utc(), owner, LEASE, AT_ONCE)
            closed = account_standing.standing(tx, {run.account_id for run in found})
            for account_id, standing in closed.items():  # told elsewhere, or withdrawn since
                strategy_runs.stop(tx, standing, accounts=[account_id])
            return [run for run in found if run.account_id not in closed]

    taken = await asyncio.to_thread(take)
    for run in taken:
        await _do(database, actions, run)
    return len(taken)


async def _do(database: Database, actions: Mapping[str, Action], run: Run) -> None:
    action = actions.get(run.step.what)
    try:
        if action is None:
            known = ", ".join(sorted(actions))
            raise CommandRefusedError(f"nothing does {run.step.what!r}; known are: {known}", "unknown")
        await action(database, run)
    except DialerError as error:
        log.warning(
            "strategy_step_failed", run_id=run.id, position=run.position, tries=run.tries, error=str(error)
        )
        await asyncio.to_thread(_put_off, database, run)
        return

    def write() -> bool:
        with database.write() as tx:
            return strategy_runs.done(tx, run, database.clock.utc())

    if not await asyncio.to_thread(write):
        log.info("strategy_step_overtaken", run_id=run.id, position=run.position)


def _put_off(database: Database, run: Run) -> None:
    with database.write() as tx:
        if run.tries >= MOST_TRIES:
            strategy_runs.stop(tx, strategy_runs.FAILED, runs=[run.id])
        else:
            pause = min(_PAUSE * 2 ** (run.tries - 1), _LONGEST_PAUSE)
            strategy_runs.try_again(tx, run, database.clock.utc() + pause)


async def watch(database: Database, actions: Mapping[str, Action], owner: str) -> None:
    """Do what is due, again and again, until cancelled."""
    while True:
        try:
            while await run_due(database, actions, owner) == AT_ONCE:
                pass
        except StoreError as error:  # tried again in a moment
            log.warning("strategies_not_kept_up", error=str(error))
        await asyncio.sleep(INTERVAL_S)
