"""What has happened, as records for a CRM: events of the log become what they speak of as it stands now, once for each thing.

It owns which event tells of what, and where each place of a mapping comes from. A thing is told as it is when it is told: told late or twice, it
is the same in the end. No names, numbers or texts of anybody's are read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import quote
from uuid import UUID

import msgspec
import numpy as np

from dialer_core.plugin_api import AccountId, AccountSummary, EngineHandle, PromiseRow, StoredEvent
from plugins.crm.connector import Outgoing
from plugins.crm.fact_names import FACTS, What
from plugins.crm.filling import fill, fill_text
from plugins.crm.records import as_text, put
from plugins.crm.settings import OutSettings

TELLING: Final[Mapping[str, tuple[What, ...]]] = {
    "attempt.ended": ("interaction",),
    "attempt.dispositioned": ("disposition", "interaction"),
    "call.dispositioned": ("disposition", "interaction"),
    "message.accepted": ("interaction",),
    "message.delivered": ("interaction",),
    "message.failed": ("interaction",),
    "message.received": ("interaction",),
    "promise.made": ("promise",),
    "promise.kept": ("promise",),
    "promise.broken": ("promise",),
    "promise.withdrawn": ("promise",),
}
"""Event: what it tells of."""
_ID: Final = {"attempt": "attempt_id", "call": "leg_id", "message": "message_id", "promise": "promise_id"}
_ATTEMPT: Final = (
    "id", "campaign_id", "agent_id", "outcome", "verdict", "disposition", "reason", "committed_at_utc", "bridged_mono_ns", "ended_mono_ns",
)  # fmt: skip
_MESSAGE: Final = ("id", "campaign_id", "channel", "state", "reason", "template", "created_at_utc")


class Told(msgspec.Struct, frozen=True):
    """As much of an event as is needed to tell of it again."""

    name: str
    key: str
    """The event's id."""
    id: str
    """Of the thing: attempt, leg, message, promise."""
    account_id: str | None
    campaign_id: str | None
    at: str
    data: dict[str, Any]

    @staticmethod
    def of(stored: StoredEvent) -> Told | None:
        """Return an event of the log, where it tells of something."""
        place = _ID[stored.name.partition(".")[0]]
        its = stored.attempt_id if place == "attempt_id" else stored.data.get(place)
        if not its:
            return None
        return Told(
            stored.name,
            stored.id,
            str(its),
            stored.account_id,
            stored.campaign_id,
            str(stored.at_utc),
            dict(stored.data),
        )


@dataclass(frozen=True, slots=True)
class Lost:
    """Something that happened and cannot be told: what it was about is gone."""

    told: Told
    reason: str


async def items(
    engine: EngineHandle, told: Iterable[Told], outs: Mapping[str, OutSettings]
) -> tuple[list[tuple[Outgoing, Told]], list[Lost]]:
    """Return what is to be written for some events: one record for each thing and target, by the latest event of it."""
    latest = {(what, one.id): one for one in told for what in TELLING[one.name]}
    facts, lost = await _places(engine, latest)
    found = []
    for (what, its_id), places in facts.items():
        for name, out in outs.items():
            if out.what != what or any(
                as_text(places.get(place)) not in words for place, words in out.only.items()
            ):
                continue
            found.append((_outgoing(name, out, its_id, places), latest[what, its_id]))
    return found, lost


def _outgoing(name: str, out: OutSettings, its_id: str, places: Mapping[str, Any]) -> Outgoing:
    meant = dict(places)
    for place, words in out.values.items():
        meant[place] = words.get(as_text(places.get(place)), places.get(place))
    fields: dict[str, Any] = {}
    for theirs, ours in out.fields.items():
        put(fields, theirs, fill(ours, meant))
    target = fill_text(out.target, places, _part_of_a_path)
    return Outgoing(name, out, its_id, str(places["key"]), target, fields, dict(places))


def _part_of_a_path(text: str) -> str:
    return quote(text, safe="")


async def _places(
    engine: EngineHandle, latest: Mapping[tuple[What, str], Told]
) -> tuple[dict[tuple[What, str], dict[str, Any]], list[Lost]]:
    """Return what is known of each thing now."""
    accounts = await engine.accounts.summaries(
        {AccountId(one.account_id) for one in latest.values() if one.account_id}
    )
    promises = await engine.promises.get_many(
        {one.id for (what, _), one in latest.items() if what == "promise"}
    )
    attempts = await _rows(
        engine, "attempt", _ATTEMPT, {one.id for one in latest.values() if one.name.startswith("attempt.")}
    )
    messages = await _rows(
        engine, "message", _MESSAGE, {one.id for one in latest.values() if one.name.startswith("message.")}
    )
    found: dict[tuple[What, str], dict[str, Any]] = {}
    lost: dict[str, Lost] = {}
    for (what, its_id), one in latest.items():
        account = accounts.get(AccountId(one.account_id or ""))
        if account is None:
            if one.account_id is not None:  # a stranger's message is about no account, and no loss
                lost[one.key] = Lost(one, "its account is gone")
            continue
        if what == "promise":
            promise = promises.get(its_id)
            its = _promise(promise) if promise is not None else None
        elif one.name.startswith("attempt."):
            its = _attempt(attempts.get(its_id), what)
        elif one.name.startswith("message."):
            its = _message(messages.get(its_id), one)
        else:
            its = {
                "direction": "in", "channel": "voice", "outcome": "connected", "disposition": one.data.get("disposition"),
                "reason": one.data.get("reason"), "agent": one.data.get("agent_id"),
            }  # fmt: skip
        if its is None:
            lost[one.key] = Lost(one, "what it tells of is gone")
            continue
        found[what, its_id] = dict.fromkeys(FACTS[what]) | _common(one, account) | its
    return found, list(lost.values())


def _common(one: Told, account: AccountSummary) -> dict[str, Any]:
    return {
        "id": one.id, "key": one.key, "at": _time(one.at), "account": account.external_id, "portfolio": account.portfolio,
        "campaign": one.campaign_id, "agent": one.data.get("agent_id"),
    }  # fmt: skip


def _promise(its: PromiseRow) -> dict[str, Any]:
    days = [one.due_date for one in its.instalments]
    return {
        "kind": its.kind.value, "state": its.state.value, "amount": _money(its.total_minor), "currency": its.currency,
        "paid": _money(sum(one.paid_minor for one in its.instalments)), "first_due": dt.date.fromisoformat(days[0]),
        "last_due": dt.date.fromisoformat(days[-1]), "instalments": len(days), "made_at": its.made_at_utc, "settled_at": its.settled_at_utc,
        "agent": its.agent_id, "campaign": its.campaign_id,
    }  # fmt: skip


def _attempt(its: Mapping[str, Any] | None, what: What) -> dict[str, Any] | None:
    if its is None:
        return None
    talked = its["ended_mono_ns"] - its["bridged_mono_ns"]
    found = {
        "direction": "out", "channel": "voice", "outcome": its["outcome"], "verdict": its["verdict"], "disposition": its["disposition"],
        "reason": its["reason"], "agent": its["agent_id"], "at": its["committed_at_utc"], "campaign": its["campaign_id"],
        "seconds": 0 if np.isnan(talked) else max(0, round(float(talked) / 1e9)),
    }  # fmt: skip
    return {name: value for name, value in found.items() if name in FACTS[what]}


def _message(its: Mapping[str, Any] | None, one: Told) -> dict[str, Any] | None:
    if its is None:
        return None
    return {
        "direction": "in" if one.name == "message.received" else "out", "channel": its["channel"], "outcome": its["state"],
        "reason": its["reason"], "template": its["template"], "at": its["created_at_utc"], "campaign": its["campaign_id"],
    }  # fmt: skip


async def _rows(
    engine: EngineHandle, table: str, columns: Sequence[str], ids: Collection[str]
) -> dict[str, dict[str, Any]]:
    """Return rows of a table by id, as Python's values."""
    found: dict[str, dict[str, Any]] = {}
    if not ids:
        return found
    async for page, _ in engine.read_table(table, columns, ids=ids):
        for place in range(page["id"].size):
            row = {name: _value(values[place]) for name, values in page.items()}
            found[str(UUID(row["id"]))] = row
    return found


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else value.astype("datetime64[us]").item().replace(tzinfo=dt.UTC)
    return value


def _money(minor: int) -> Decimal:
    return Decimal(minor).scaleb(-2)


def _time(text: str) -> dt.datetime:
    at = dt.datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
