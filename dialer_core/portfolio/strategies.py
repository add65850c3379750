"""Strategies as plugins and people meet them: begun, stopped and shown, and what plugins can do in a step.

It owns which action is whose, and the way of a command into the store with its audit entry. Pace, leases and retries are
`strategy_clock.py`'s; which account gets which strategy is decided by whoever calls `start`.
"""

from __future__ import annotations

import datetime as dt
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec

from dialer_core.clock import Clock
from dialer_core.errors import CommandRefusedError
from dialer_core.portfolio import strategy_clock
from dialer_core.portfolio.strategy_clock import Action
from dialer_core.store import off_loop, people, strategy_runs
from dialer_core.store.database import Database
from dialer_core.store.strategy_runs import Begun, Run, Step, StrategyView
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, PersonId

AT_ONCE: Final = 200
"""Strategies begun in one transaction."""
MOST_SHOWN: Final = 50

T = TypeVar("T")


class StrategyStep(msgspec.Struct, frozen=True, kw_only=True):
    """The step that an action is to do."""

    key: str
    """The same at every try of this step: what is asked for under it (`MessageRequest.request_key`) is done once."""
    run_id: str
    account_id: AccountId
    person_id: PersonId
    campaign_id: CampaignId | None
    strategy: str
    position: int
    what: str
    data: dict[str, Any]
    tries: int
    """This one included."""


StrategyAction = Callable[[StrategyStep], Awaitable[None]]
"""Does one step, on the host's loop. Whatever it raises has the step tried again, but for `StepSkippedError`, which passes it over."""


class StrategyRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy that somebody wants to begin for an account."""

    account_id: AccountId
    strategy: str
    steps: tuple[Step, ...]
    campaign_id: CampaignId | None = None
    """Whose rules its steps go by, where they need one."""
    not_since: dt.datetime | None = None
    """Refused where the same (its name up to the first dot) was begun for the account since then, whoever did: several nodes may ask at once."""
    not_beside: tuple[str, ...] = ()
    """Refused while one of these (names up to the first dot) runs for the account."""


class Strategies:
    """Strategies of one host.

    Parameters
    ----------
    database
        The store.
    clock
        Of every decision.
    node
        Whose leases of steps these are.
    on_written
        Called after each commit.
    """

    def __init__(
        self, database: Database, *, clock: Clock, node: str, on_written: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._clock = clock
        self._node = node
        self._on_written = on_written
        self._actions: dict[str, Action] = dict(strategy_clock.ACTIONS)
        self._plugin_of = dict.fromkeys(self._actions, "the core")
        self._complete = False

    def add_actions(self, plugin: str, actions: object) -> None:
        """Let a plugin do the steps of these names.

        Raises
        ------
        ValueError
            An action is another's, or what the plugin gave are none.
        """
        if not isinstance(actions, Mapping):
            raise ValueError(  # noqa: TRY004 - one kind of error for whatever does not fit
                f"dialer_register_strategy_actions returned a {type(actions).__name__}, which is no mapping of names to actions"
            )
        for name, action in actions.items():
            if not isinstance(name, str) or not 0 < len(name) <= strategy_runs.LONGEST_NAME:
                raise ValueError(f"an action's name has 1 to {strategy_runs.LONGEST_NAME} characters")
            if not inspect.iscoroutinefunction(action):
                raise ValueError(f"the action {name!r} is no `async def`: it would block the host")
            if (other := self._plugin_of.get(name)) is not None:
                raise ValueError(f"the action {name!r} is {other}'s")
        for name, action in actions.items():
            self._actions[name] = _of_plugin(action)
            self._plugin_of[name] = f"the plugin {plugin}"

    def all_added(self) -> None:
        """Say that every plugin's actions are known now. What was begun before, at start-up, is asked for its actions when a step is due."""
        self._complete = True

    @property
    def actions(self) -> dict[str, str]:
        """What a step can be, and whose it is."""
        return dict(sorted(self._plugin_of.items()))

    async def run(self) -> None:
        """Do the steps that are due, again and again, until cancelled."""
        await strategy_clock.watch(self._database, self._actions, self._node)

    async def start(self, request: StrategyRequest, *, actor: str) -> str:
        """Begin a strategy, in place of the one of its name that runs for the account; return the run's id.

        Raises
        ------
        CommandRefusedError
            There is no such account, it is not to be collected now, a step is nobody's, or the steps make no sense.
        """
        [begun] = await self.start_many([request], actor=actor)
        if isinstance(begun, CommandRefusedError):
            raise begun
        return begun

    async def start_many(
        self, requests: Sequence[StrategyRequest], *, actor: str
    ) -> list[str | CommandRefusedError]:
        """Begin many, some hundred in a transaction; return each one's run or refusal, in order."""
        begun: list[str | CommandRefusedError] = []
        for first in range(0, len(requests), AT_ONCE):
            some = requests[first : first + AT_ONCE]
            begun += await self._write(lambda tx, some=some: self._start_some(tx, some, actor))  # type: ignore[misc]
        return begun

    def _start_some(
        self, tx: Tx, some: Sequence[StrategyRequest], actor: str
    ) -> list[str | CommandRefusedError]:
        people.keep_accounts(
            tx, {one.account_id for one in some}
        )  # what has begun is read and begun by one at a time
        return [self._start(tx, one, actor) for one in some]

    def _start(self, tx: Tx, request: StrategyRequest, actor: str) -> str | CommandRefusedError:
        if strategy_runs.had(
            tx, request.account_id, request.strategy, since=request.not_since, beside=request.not_beside
        ):
            return CommandRefusedError("this account has such a strategy, or had it lately")
        try:
            for step in request.steps if self._complete else ():
                strategy_clock.action_of(step.what, self._actions)
            run_id = strategy_clock.start(
                tx,
                account_id=request.account_id,
                strategy=request.strategy,
                steps=request.steps,
                now=self._clock.utc(),
                campaign_id=request.campaign_id,
            )
        except CommandRefusedError as error:
            return error
        tx.audit("strategy.started", f"account {request.account_id}", actor=actor, run_id=run_id)
        return run_id

    async def stop(self, account_id: AccountId, *, strategy: str = "", actor: str, reason: str) -> int:
        """Stop what runs for an account, or only the strategy of this name; return how many stopped.

        Raises
        ------
        CommandRefusedError
            There is no such account.
        """

        def write(tx: Tx) -> int:
            if people.account(tx, account_id) is None:
                raise CommandRefusedError(f"there is no account {account_id}", "unknown")
            runs = [
                one.id for one in strategy_runs.running(tx, [account_id]) if strategy in {"", one.strategy}
            ]
            stopped = strategy_runs.stop(tx, reason or "command", runs=runs)
            if stopped:
                tx.audit("strategy.stopped", f"account {account_id}", actor=actor, runs=runs)
            return stopped

        return await self._write(write)

    async def of(self, account_id: AccountId) -> list[StrategyView]:
        """Return the strategies of an account, those that run first, then the latest."""
        return await off_loop.read(
            self._database, lambda tx: strategy_runs.of_account(tx, account_id, MOST_SHOWN)
        )

    async def begun(self, since: dt.datetime) -> list[Begun]:
        """Return, of every account, the strategies that run and those that were begun since then."""
        return await off_loop.read(self._database, lambda tx: strategy_runs.begun_since(tx, since))

    async def _write(self, work: Callable[[Tx], T]) -> T:
        return await off_loop.write(self._database, work, self._on_written)


def _of_plugin(action: StrategyAction) -> Action:
    async def do(_database: Database, run: Run) -> None:
        await action(
            StrategyStep(
                key=run.key, run_id=run.id, account_id=run.account_id, person_id=run.person_id, campaign_id=run.campaign_id,
                strategy=run.strategy, position=run.position, what=run.step.what, data=dict(run.step.data), tries=run.tries,
            )
        )  # fmt: skip

    return do
