"""The agent and agent_interval tables: who the agents are, and what each did from when to when.

It owns the tiling of a log-in by intervals without gap or overlap (I8): one interval ends at the very instant
at which the next begins. It does not own the agents' states (`agents/state.py`) nor their events: the caller
emits `agent.state_changed`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import msgspec
from sqlalchemy import Row, Table, bindparam, false, func, insert, null, or_, select, true, update

from dialer_core.agent_settings import AgentSettings
from dialer_core.events import AgentStateChanged, StoredEvent
from dialer_core.store.models import Agent, AgentInterval, Attempt
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AgentId, AgentState, AttemptId, new_id

_AGENT: Table = Agent.__table__  # type: ignore[assignment]
_TABLE: Table = AgentInterval.__table__  # type: ignore[assignment]
_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]
_INSERT = insert(_TABLE)
_OPEN = select(_TABLE).where(_TABLE.c.to_utc.is_(null()))
_OPEN_OF_AGENT = _OPEN.where(_TABLE.c.agent_id == bindparam("agent_id"))
_CLOSE = (
    update(_TABLE)
    .where(_TABLE.c.id == bindparam("key"))
    .values(to_utc=bindparam("to_utc"), to_mono_ns=bindparam("to_mono_ns"))
)
_REMEMBER = (
    update(_TABLE)
    .where(_TABLE.c.agent_id == bindparam("key"), _TABLE.c.to_utc.is_(null()))
    .values(
        wants_ready=bindparam("wants_ready"),
        after_call=bindparam("after_call"),
        after_reason=bindparam("after_reason"),
    )
)


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent asked for and has not got yet: a new engine must know it too."""

    wants_ready: bool = False
    after_call: str | None = None
    after_reason: str | None = None


def sync(tx: Tx, agents: Mapping[AgentId, AgentSettings]) -> None:
    """Make the table say what `agents.toml` says; an agent no longer named stays, inactive."""
    known = {row.id: row for row in tx.execute(select(_AGENT))}
    for agent_id, settings in agents.items():
        values = {"name": settings.name, "sip_uri": settings.sip or settings.queue, "active": True}
        row = known.get(agent_id)
        if row is None:
            tx.execute(insert(_AGENT), values | {"id": agent_id})
        elif (row.name, row.sip_uri, row.active) != (settings.name, settings.sip or settings.queue, True):
            tx.execute(update(_AGENT).where(_AGENT.c.id == agent_id).values(values))
    if gone := known.keys() - agents.keys():
        tx.execute(update(_AGENT).where(_AGENT.c.id.in_(gone)).values(active=false()))


def active(tx: Tx) -> list[Agent]:
    """Return the agents of the configuration, by id."""
    query = select(_AGENT).where(_AGENT.c.active == true()).order_by(_AGENT.c.id)
    return [Agent(**row._asdict()) for row in tx.execute(query)]


def change_state(
    tx: Tx,
    agent_id: AgentId,
    session_id: str,
    state: AgentState,
    reason: str,
    attempt_id: AttemptId | None,
    at_utc: dt.datetime,
    at_mono_ns: int,
    boot_id: str,
    intent: Intent,
) -> None:
    """Close the agent's open interval, if there is one, and open the next at the very same instant.

    A clock that was set back, or a time stamped elsewhere, does not make an interval end before its
    beginning: it then ends, and the next one begins, where it began. `logged_out` is not an interval: use
    `close_session`.
    """
    at_utc, at_mono_ns = _close_open(tx, agent_id, at_utc, at_mono_ns, boot_id)
    tx.execute(
        _INSERT,
        {
            "id": new_id(),
            "agent_id": agent_id,
            "session_id": session_id,
            "state": state.value,
            "reason": reason,
            "attempt_id": attempt_id,
            "boot_id": boot_id,
            "from_utc": at_utc,
            "from_mono_ns": at_mono_ns,
            "node": tx.stamp.node if tx.stamp is not None else "",
            **msgspec.structs.asdict(intent),
        },
    )


def remember(tx: Tx, agent_id: AgentId, intent: Intent) -> None:
    """Keep what an agent asked for, without a change of state. Harmless when they are logged out."""
    tx.execute(_REMEMBER, {"key": agent_id, **msgspec.structs.asdict(intent)})


def close_session(tx: Tx, agent_id: AgentId, *, at_utc: dt.datetime, at_mono_ns: int, boot_id: str) -> None:
    """Close the agent's open interval and open none: logged out. Harmless when there is none."""
    _close_open(tx, agent_id, at_utc, at_mono_ns, boot_id)


def close_left_open(tx: Tx, agent_ids: Collection[AgentId], last: StoredEvent | None) -> None:
    """Close what a crashed engine left open for these agents, at the last time known: its last event, or the later beginning.

    Emits `agent.state_changed` to `logged_out` for each.
    """
    for row in tx.execute(_OPEN.order_by(_TABLE.c.agent_id)).all():
        if row.agent_id not in agent_ids:
            continue
        to_utc, to_mono_ns = row.from_utc, row.from_mono_ns
        if last is not None:
            to_utc = max(to_utc, dt.datetime.fromisoformat(last.at_utc))
            to_mono_ns = max(to_mono_ns, last.at_mono_ns) if last.boot_id == row.boot_id else None
        tx.execute(_CLOSE, {"key": row.id, "to_utc": to_utc, "to_mono_ns": to_mono_ns})
        tx.emit(
            AgentStateChanged(
                agent_id=AgentId(row.agent_id), state=AgentState.LOGGED_OUT.value, reason="engine_restarted"
            )
        )


def open_intervals(tx: Tx, node: str) -> list[AgentInterval]:
    """Return what every agent logged in at a node is doing, by agent."""
    query = _OPEN.where(_TABLE.c.node.in_((node, ""))).order_by(_TABLE.c.agent_id)
    return [_record(row) for row in tx.execute(query)]


def intervals(tx: Tx, agent_id: AgentId, since_utc: dt.datetime) -> list[AgentInterval]:
    """Return an agent's intervals that began since then, in order."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.agent_id == agent_id, _TABLE.c.from_utc >= since_utc)
        .order_by(_TABLE.c.from_utc, _TABLE.c.id)
    )
    return [_record(row) for row in tx.execute(query)]


def talked(
    tx: Tx,
    agent_id: AgentId,
    since_utc: dt.datetime,
    *,
    attempt_id: str | None = None,
    account_id: str | None = None,
) -> bool:
    """Say whether an agent has had a conversation since then: this one, or one about this account."""
    query = (
        select(_TABLE.c.id)
        .join(_ATTEMPT, _ATTEMPT.c.id == _TABLE.c.attempt_id)
        .where(
            _TABLE.c.agent_id == agent_id,
            _TABLE.c.from_utc >= since_utc,
            _TABLE.c.state == AgentState.TALKING.value,
        )
        .limit(1)
    )
    if attempt_id is not None:
        query = query.where(_TABLE.c.attempt_id == attempt_id)
    if account_id is not None:
        query = query.where(_ATTEMPT.c.account_id == account_id)
    return tx.execute(query).first() is not None


def spent(
    tx: Tx, since_utc: dt.datetime | None, until_utc: dt.datetime | None, now: dt.datetime
) -> Iterator[tuple[AgentId, dt.datetime, dt.datetime]]:
    """Yield who was logged in from when to when, within a time; what goes on ends now."""
    last = now if until_utc is None else min(until_utc, now)
    query = select(_TABLE.c.agent_id, _TABLE.c.from_utc, _TABLE.c.to_utc).where(
        _TABLE.c.state != AgentState.LOGGED_OUT.value, _TABLE.c.from_utc < last
    )
    if since_utc is not None:
        query = query.where(or_(_TABLE.c.to_utc.is_(None), _TABLE.c.to_utc > since_utc))
    for row in tx.execute(query):
        begun = row.from_utc if since_utc is None else max(row.from_utc, since_utc)
        over = last if row.to_utc is None else min(row.to_utc, last)
        if begun < over:
            yield AgentId(row.agent_id), begun, over


def spent_in_states(tx: Tx, since_utc: dt.datetime, now: dt.datetime) -> dict[AgentId, dict[str, float]]:
    """Return how many seconds each agent has been in each state in intervals that began since then; what goes on counts until now."""
    length = func.sum(_TABLE.c.to_mono_ns - _TABLE.c.from_mono_ns).label("length_ns")
    began = _TABLE.c.from_utc >= since_utc
    over = (
        select(_TABLE.c.agent_id, _TABLE.c.state, length)
        .where(began, _TABLE.c.to_mono_ns.is_not(None))
        .group_by(_TABLE.c.agent_id, _TABLE.c.state)
    )
    found: dict[AgentId, dict[str, float]] = {}
    for row in tx.execute(over):
        found.setdefault(AgentId(row.agent_id), {})[row.state] = float(row.length_ns) / 1e9
    # what goes on, and what a later engine ended, whose clock says nothing of when it began
    by_the_wall = select(_TABLE.c.agent_id, _TABLE.c.state, _TABLE.c.from_utc, _TABLE.c.to_utc).where(
        began, _TABLE.c.to_mono_ns.is_(null())
    )
    for row in tx.execute(by_the_wall):
        states = found.setdefault(AgentId(row.agent_id), {})
        states[row.state] = states.get(row.state, 0.0) + max(0.0, ((row.to_utc or now) - row.from_utc).total_seconds())  # fmt: skip
    return found


def _close_open(
    tx: Tx, agent_id: AgentId, at_utc: dt.datetime, at_mono_ns: int, boot_id: str
) -> tuple[dt.datetime, int]:
    """Close the open interval, if any, and return the instant at which it ended."""
    row = tx.execute(_OPEN_OF_AGENT, {"agent_id": agent_id}).first()
    if row is None:
        return at_utc, at_mono_ns
    at_utc = max(at_utc, row.from_utc)
    if row.boot_id == boot_id:
        at_mono_ns = max(at_mono_ns, row.from_mono_ns)
    tx.execute(
        _CLOSE,
        {"key": row.id, "to_utc": at_utc, "to_mono_ns": at_mono_ns if row.boot_id == boot_id else None},
    )
    return at_utc, at_mono_ns


def _record(row: Row[Any]) -> AgentInterval:
    """Return a row as a detached record: changing it changes nothing in the store."""
    return AgentInterval(**row._asdict())
