"""The strategy_run table: which strategy runs for which account, and which of its steps is due when.

It owns the rows and their leases: whoever takes a due step has it until its lease ends, and may only say that it is done while nobody else has
taken it. What a step does, and when a strategy stops, is `portfolio/`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import structlog
from sqlalchemy import Table, and_, insert, or_, select, update

from dialer_core.list_events import StrategyStepDone, StrategyStopped
from dialer_core.store import account_leads
from dialer_core.store.dialing_models import StrategyRun
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, CampaignId, PersonId, StrategyState, new_id

log = structlog.get_logger(__name__)

_TABLE: Table = StrategyRun.__table__  # type: ignore[assignment]
_RUNNING = _TABLE.c.state == StrategyState.RUNNING.value

LONGEST_NAME = 64
"""Of a strategy and of an action."""
FAILED = "failed"
"""Why a strategy stopped whose step could not be done, however often it was tried."""


class Step(msgspec.Struct, frozen=True):
    """One step of a strategy."""

    after_s: float
    """After the step before it, or after the beginning."""
    what: str
    """The action's name."""
    data: dict[str, Any] = {}
    """What the action needs: a campaign, a template …"""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy that runs for an account, at one of its steps."""

    id: str
    account_id: AccountId
    person_id: PersonId
    campaign_id: CampaignId | None
    strategy: str
    steps: tuple[Step, ...]
    position: int
    due_at_utc: dt.datetime
    tries: int
    leased_by: str | None = None

    @property
    def step(self) -> Step:
        """The step that is due."""
        return self.steps[self.position]

    @property
    def key(self) -> str:
        """The step's own name, the same at every try: what is asked for under it is done once."""
        return f"{self.id}:{self.position}"


class StrategyView(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy of an account, as screens show it."""

    id: str
    strategy: str
    state: StrategyState
    position: int
    """Steps behind it."""
    steps: int
    next_step: str | None
    due_at_utc: dt.datetime | None
    """Of that step, while it runs."""
    tries: int
    """Of that step."""
    stopped_because: str | None
    started_at_utc: dt.datetime


def insert_run(tx: Tx, run: Run) -> None:
    """Write a run; an account has one running run of a strategy at most."""
    tx.execute(
        insert(_TABLE),
        {
            **{
                name: getattr(run, name)
                for name in ("id", "account_id", "person_id", "campaign_id", "strategy", "position", "due_at_utc", "tries")
            },
            "steps": msgspec.to_builtins(run.steps),
            "state": StrategyState.RUNNING.value,
            "leased_by": None,
            "leased_until_utc": None,
            "stopped_because": None,
            "started_at_utc": tx.utc(),
        },
    )  # fmt: skip


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy that was begun for an account, in short."""

    account_id: AccountId
    strategy: str
    state: StrategyState
    started_at_utc: dt.datetime
    stopped_because: str | None


def begun_since(tx: Tx, since: dt.datetime) -> list[Begun]:
    """Return the strategies that run, and those that were begun since then."""
    columns = (_TABLE.c.account_id, _TABLE.c.strategy, _TABLE.c.state, _TABLE.c.started_at_utc, _TABLE.c.stopped_because)  # fmt: skip
    query = select(*columns).where(or_(_RUNNING, _TABLE.c.started_at_utc >= since))
    return [
        Begun(
            account_id=row.account_id, strategy=row.strategy, state=StrategyState(row.state), started_at_utc=row.started_at_utc,
            stopped_because=row.stopped_because,
        )
        for row in tx.execute(query)
    ]  # fmt: skip


def had(
    tx: Tx, account_id: AccountId, strategy: str, *, since: dt.datetime | None, beside: Collection[str]
) -> bool:
    """Say whether an account was begun this strategy since a time, or one of others runs for it; names count up to their first dot."""
    if since is None and not beside:
        return False
    query = select(_TABLE.c.strategy, _TABLE.c.state, _TABLE.c.started_at_utc).where(
        _TABLE.c.account_id == account_id
    )
    stem = strategy.partition(".")[0]
    for row in tx.execute(query):
        its = row.strategy.partition(".")[0]
        if since is not None and its == stem and row.started_at_utc > since:
            return True
        if row.state == StrategyState.RUNNING.value and its in beside:
            return True
    return False


def take_due(tx: Tx, now: dt.datetime, owner: str, lease: dt.timedelta, limit: int) -> list[Run]:
    """Take due steps that nobody has, the longest due first, for the length of a lease; each is one try more."""
    free = or_(_TABLE.c.leased_until_utc.is_(None), _TABLE.c.leased_until_utc <= now)
    query = (
        select(_TABLE).where(_RUNNING, _TABLE.c.due_at_utc <= now, free).order_by(_TABLE.c.due_at_utc, _TABLE.c.id).limit(limit)
    )  # fmt: skip
    if tx.dialect == "postgresql":
        query = query.with_for_update(skip_locked=True)
    # one lease's name is its own, so that a lease that ran out is not taken for the next one of the same owner
    lease_id = f"{owner[:27]}:{new_id()}"
    found, spoiled = [], []
    for row in tx.execute(query).mappings():
        try:
            found.append(_run(row, leased_by=lease_id, tries=row["tries"] + 1))
        except (
            msgspec.ValidationError,
            IndexError,
        ):  # one account's row is no cause to do nothing for the others
            spoiled.append(row)
    if spoiled:
        ids = [row["id"] for row in spoiled]
        log.error("strategies_unreadable", run_ids=ids)
        changes = {"state": StrategyState.STOPPED.value, "stopped_because": FAILED, "leased_by": None}
        tx.execute(update(_TABLE).where(_TABLE.c.id.in_(ids)).values(**changes))
        account_leads.let_go_of_strategies(tx, {row["account_id"] for row in spoiled})
    if found:
        tx.execute(
            update(_TABLE)
            .where(_TABLE.c.id.in_([run.id for run in found]))
            .values(leased_by=lease_id, leased_until_utc=now + lease, tries=_TABLE.c.tries + 1)
        )
    return found


def done(tx: Tx, run: Run, now: dt.datetime, *, skipped: str = "") -> bool:
    """Go on to the step after this one; False where the run was stopped or its lease lost meanwhile: then nothing changes.

    `skipped` says why the step was passed over, where it was.
    """
    position = run.position + 1
    over = position >= len(run.steps)
    changes: dict[str, Any] = {"position": position, "leased_by": None, "leased_until_utc": None, "tries": 0}
    if over:
        changes["state"] = StrategyState.DONE.value
    else:
        changes["due_at_utc"] = now + dt.timedelta(seconds=run.steps[position].after_s)
    if tx.execute(update(_TABLE).where(*_mine(run)).values(**changes)).rowcount != 1:
        return False
    if over:
        account_leads.let_go_of_strategies(tx, [run.account_id])
    tx.emit(
        StrategyStepDone(
            campaign_id=run.campaign_id, account_id=run.account_id, run_id=run.id, strategy=run.strategy, position=run.position,
            what=run.step.what, last=over, skipped=skipped,
        )
    )  # fmt: skip
    return True


def try_again(tx: Tx, run: Run, at_utc: dt.datetime) -> None:
    """Give a step back until a time."""
    tx.execute(
        update(_TABLE).where(*_mine(run)).values(due_at_utc=at_utc, leased_by=None, leased_until_utc=None)
    )


def stop(
    tx: Tx,
    reason: str,
    *,
    accounts: Collection[str] = (),
    persons: Collection[str] = (),
    runs: Collection[str] = (),
) -> int:
    """Stop what runs for these accounts or people, or these runs; return how many. A step under way is not said to be done any more."""
    which = [
        column.in_(list(values))
        for column, values in (
            (_TABLE.c.account_id, accounts),
            (_TABLE.c.person_id, persons),
            (_TABLE.c.id, runs),
        )
        if values
    ]
    if not which:
        return 0
    columns = (_TABLE.c.id, _TABLE.c.campaign_id, _TABLE.c.account_id, _TABLE.c.strategy)
    found = list(tx.execute(select(*columns).where(_RUNNING, or_(*which))))
    if not found:
        return 0
    tx.execute(
        update(_TABLE)
        .where(and_(_RUNNING, _TABLE.c.id.in_([run.id for run in found])))
        .values(
            state=StrategyState.STOPPED.value,
            stopped_because=reason[:32],
            leased_by=None,
            leased_until_utc=None,
        )
    )
    account_leads.let_go_of_strategies(tx, {run.account_id for run in found})
    tx.emit(
        *(
            StrategyStopped(
                campaign_id=run.campaign_id, account_id=run.account_id, run_id=run.id, strategy=run.strategy, reason=reason
            )
            for run in found
        )
    )  # fmt: skip
    return len(found)


def running(tx: Tx, account_ids: Collection[str]) -> list[Run]:
    """Return what runs for these accounts."""
    query = select(_TABLE).where(_RUNNING, _TABLE.c.account_id.in_(list(account_ids))).order_by(_TABLE.c.id)
    return [_run(row) for row in tx.execute(query).mappings()]


def of_account(tx: Tx, account_id: AccountId, limit: int) -> list[StrategyView]:
    """Return the strategies of an account, those that run first, then the latest."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.account_id == account_id)
        .order_by(_TABLE.c.state != StrategyState.RUNNING.value, _TABLE.c.id.desc())
        .limit(limit)
    )
    return [
        StrategyView(
            id=row.id, strategy=row.strategy, state=StrategyState(row.state), position=row.position, steps=len(row.steps),
            next_step=row.steps[row.position]["what"] if row.position < len(row.steps) else None,
            due_at_utc=row.due_at_utc if row.state == StrategyState.RUNNING.value else None,
            tries=row.tries, stopped_because=row.stopped_because, started_at_utc=row.started_at_utc,
        )
        for row in tx.execute(query)
    ]  # fmt: skip


def _mine(run: Run) -> Sequence[Any]:
    return (
        _TABLE.c.id == run.id,
        _RUNNING,
        _TABLE.c.position == run.position,
        _TABLE.c.leased_by == run.leased_by,
    )


def _run(row: Any, **changes: Any) -> Run:
    fields = {name: row[name] for name in Run.__struct_fields__} | changes
    run = Run(**fields | {"steps": msgspec.convert(row["steps"], tuple[Step, ...])})
    if run.steps and run.position < len(run.steps):
        return run
    raise IndexError(run.position)
