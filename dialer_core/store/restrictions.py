"""The restriction table: who may not be contacted, and until when.

It owns the rows and the questions asked of them: by the gate, by imports, and by the engine for calls already under way (I12). It does
not own what follows from a restriction.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping

import msgspec
from sqlalchemy import RowMapping, Table, and_, bindparam, insert, or_, select, text, update

from dialer_core.events import RestrictionAdded
from dialer_core.line_names import same_line
from dialer_core.store import strategy_runs
from dialer_core.store.models import LIVE, Attempt, Lead, Restriction
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AttemptId, Channel, LeadState, RestrictionKind, RestrictionScope, new_id

_TABLE: Table = Restriction.__table__  # type: ignore[assignment]
_ATTEMPT: Table = Attempt.__table__  # type: ignore[assignment]
_LEAD: Table = Lead.__table__  # type: ignore[assignment]

_ACTIVE = Prepared(
    select(_TABLE).where(
        or_(
            *(
                and_(
                    _TABLE.c.scope == scope.value,
                    _TABLE.c.scope_value.in_(bindparam(scope.value, expanding=True)),
                )
                for scope in RestrictionScope
            )
        ),
        _TABLE.c.from_utc <= bindparam("at"),
        or_(_TABLE.c.until_utc.is_(None), _TABLE.c.until_utc > bindparam("at")),
    )
)

Scoped = Mapping[RestrictionScope, Collection[str]]
"""Values to look up, by scope."""


class Active(msgspec.Struct, frozen=True):
    """A restriction in force."""

    kind: RestrictionKind
    scope: RestrictionScope
    scope_value: str
    channel: Channel | None
    until_utc: dt.datetime | None
    hours: str | None = None
    """Only at these hours of the callee."""


def active(tx: Tx, scoped: Scoped, at_utc: dt.datetime) -> list[Active]:
    """Return the restrictions in force at an instant on any of these values."""
    wanted = {scope.value: list(scoped.get(scope, ())) for scope in RestrictionScope}
    if not any(wanted.values()):
        return []
    return [
        Active(
            RestrictionKind(row.kind),
            RestrictionScope(row.scope),
            row.scope_value,
            Channel(row.channel) if row.channel else None,
            row.until_utc,
            row.hours,
        )
        for row in tx.execute(_ACTIVE, {**wanted, "at": at_utc})
    ]


class RestrictionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A restriction as it is stored."""

    id: str
    kind: RestrictionKind
    scope: RestrictionScope
    scope_value: str
    channel: Channel | None
    source: str
    from_utc: dt.datetime
    until_utc: dt.datetime | None
    hours: str | None


def of(tx: Tx, scoped: Scoped) -> list[RestrictionRow]:
    """Return every restriction on any of these values, those that are over too, the latest first."""
    on = [
        and_(_TABLE.c.scope == scope.value, _TABLE.c.scope_value.in_(list(values)))
        for scope, values in scoped.items()
    ]
    query = select(_TABLE).where(or_(*on)).order_by(_TABLE.c.from_utc.desc(), _TABLE.c.id.desc())
    return [_stored(row) for row in tx.execute(query).mappings()]


def get(tx: Tx, restriction_id: str) -> RestrictionRow | None:
    """Return one restriction, or None."""
    row = tx.execute(select(_TABLE).where(_TABLE.c.id == restriction_id)).mappings().first()
    return _stored(row) if row is not None else None


def end(tx: Tx, restriction_id: str, at_utc: dt.datetime, *, actor: str) -> None:
    """End a restriction before its time: its row stays, and says until when it held."""
    tx.execute(update(_TABLE).where(_TABLE.c.id == restriction_id).values(until_utc=at_utc))
    tx.audit("restriction.lifted", f"restriction {restriction_id}", actor=actor)


def add(
    tx: Tx,
    kind: RestrictionKind,
    scope: RestrictionScope,
    scope_value: str,
    *,
    source: str,
    from_utc: dt.datetime,
    until_utc: dt.datetime | None = None,
    channel: Channel | None = None,
    hours: str | None = None,
    actor: str = "",
) -> str:
    """Restrict one person, account, number or phone, in force with this transaction; return the restriction's id."""
    row = _row(kind, scope, scope_value, source, from_utc, until_utc, channel, hours)
    tx.execute(insert(_TABLE), row)
    if until_utc is None and hours is None and scope in {RestrictionScope.PERSON, RestrictionScope.ACCOUNT}:
        which = "persons" if scope is RestrictionScope.PERSON else "accounts"
        strategy_runs.stop(tx, kind.value, **{which: [scope_value]})
    tx.emit(RestrictionAdded(kind=kind.value, scope=scope.value))
    tx.audit("restriction.added", f"restriction {row['id']}", actor=actor, kind=kind.value, scope=scope.value)
    return str(row["id"])


def add_missing(
    tx: Tx,
    kind: RestrictionKind,
    scope: RestrictionScope,
    values: Iterable[str],
    *,
    source: str,
    from_utc: dt.datetime,
) -> int:
    """Restrict, for good and on every channel, those values that are not yet so; return how many were new."""
    wanted = dict.fromkeys(values)
    known = set(
        tx.scalars(
            select(_TABLE.c.scope_value).where(
                _TABLE.c.scope == scope.value,
                _TABLE.c.scope_value.in_(list(wanted)),
                _TABLE.c.kind == kind.value,
                _TABLE.c.until_utc.is_(None),
                _TABLE.c.channel.is_(None),
                _TABLE.c.hours.is_(None),
                _TABLE.c.from_utc <= from_utc,
            )
        )
    )
    rows = [_row(kind, scope, value, source, from_utc, None, None) for value in wanted if value not in known]
    if rows:
        tx.execute(insert(_TABLE), rows)
        tx.emit(RestrictionAdded(kind=kind.value, scope=scope.value, count=len(rows)))
        first = f"restriction {rows[0]['id']}"
        tx.audit("restriction.added", first, kind=kind.value, scope=scope.value, count=len(rows))
    return len(rows)


def forbidden_live_attempts(tx: Tx, at_utc: dt.datetime, node: str | None = None) -> list[AttemptId]:
    """Return live, unanswered attempts that a restriction in force now forbids, or whose lead was taken away: to be cancelled (I12).

    A payment takes a lead away from its attempt: it is finished, or waits.
    """
    columns = (
        _ATTEMPT.c.id,
        _ATTEMPT.c.number,
        _ATTEMPT.c.person_id,
        _ATTEMPT.c.account_id,
        _ATTEMPT.c.phone_id,
        _LEAD.c.state,
    )
    query = select(*columns).join(_LEAD, _LEAD.c.id == _ATTEMPT.c.lead_id)
    query = query.where(text(f"attempt.{LIVE}"), _ATTEMPT.c.answered_mono_ns.is_(None))
    if node is not None:
        query = query.where(_ATTEMPT.c.node == node)
    attempts = tx.execute(query).all()
    scoped = {
        RestrictionScope.NUMBER: {form for row in attempts for form in same_line(row.number)},
        RestrictionScope.PERSON: {row.person_id for row in attempts},
        RestrictionScope.ACCOUNT: {row.account_id for row in attempts},
        RestrictionScope.PHONE: {row.phone_id for row in attempts},
    }
    found = {
        (one.scope, one.scope_value)
        for one in active(tx, scoped, at_utc)
        if one.channel in {None, Channel.VOICE}
        and one.hours is None  # hours are the gate's: what rings began outside them
    }
    return [
        AttemptId(row.id)
        for row in attempts
        if row.state != LeadState.IN_ATTEMPT
        or found
        & {
            *((RestrictionScope.NUMBER, form) for form in same_line(row.number)),
            (RestrictionScope.PERSON, row.person_id),
            (RestrictionScope.ACCOUNT, row.account_id),
            (RestrictionScope.PHONE, row.phone_id),
        }
    ]


def _stored(row: RowMapping) -> RestrictionRow:
    kept = dict(row) | {"kind": RestrictionKind(row["kind"]), "scope": RestrictionScope(row["scope"])}
    return RestrictionRow(**kept | {"channel": Channel(row["channel"]) if row["channel"] else None})


def _row(
    kind: RestrictionKind,
    scope: RestrictionScope,
    scope_value: str,
    source: str,
    from_utc: dt.datetime,
    until_utc: dt.datetime | None,
    channel: Channel | None,
    hours: str | None = None,
) -> dict[str, object]:
    return {
        "id": new_id(),
        "kind": kind.value,
        "scope": scope.value,
        "scope_value": scope_value,
        "channel": channel.value if channel else None,
        "source": source[:128],
        "from_utc": from_utc,
        "until_utc": until_utc,
        "hours": hours,
    }
