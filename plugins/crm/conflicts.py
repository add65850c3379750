"""Whose value counts, where the CRM and we both have one: `crm`, `ours`, or `newest`, by field.

`newest` goes by what the CRM said last: a value that it has not changed since does not overwrite what has become of ours. Where it has, it is
the later word, but for a balance after which a payment came to us. It owns no reading and no writing of accounts.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dialer_core.plugin_api import AccountId, EngineHandle
from plugins.crm.settings import AccountsSettings


@dataclass(frozen=True, slots=True)
class Offered:
    """A record as a row of ours."""

    key: str
    """Which it is in the CRM."""
    row: dict[str, str]
    changed_at: Any
    record: Mapping[str, Any]


class Conflicts:
    """Whose value counts, for one `[accounts]` table.

    Parameters
    ----------
    engine
        The plugin's handle.
    name, its
        The table.
    """

    def __init__(self, engine: EngineHandle, name: str, its: AccountsSettings) -> None:
        self._engine = engine
        self._name = name
        self._ours = [field for field, winner in its.wins.items() if winner == "ours"]
        self._newest = [field for field, winner in its.wins.items() if winner == "newest"]

    async def settle(self, page: Sequence[Offered]) -> tuple[list[dict[str, str]], dict[str, Any]]:
        """Return the rows without what does not count, and what is to be kept once they are written."""
        rows = [dict(one.row) for one in page]
        if not (self._ours or self._newest):
            return rows, {}
        known = await self._known(page)
        said = (
            await self._engine.store.get_many([self._kept_under(one.key) for one in page])
            if self._newest
            else {}
        )
        keep: dict[str, Any] = {}
        for one, row in zip(page, rows, strict=True):
            before = said.get(self._kept_under(one.key)) or {}
            now = {field: _print(one.row.get(field, "")) for field in self._newest}
            if now != before and self._newest:
                keep[self._kept_under(one.key)] = now
            account = known.get((row.get("portfolio") or "default", row["external_id"]))
            if account is None:
                continue
            for field in self._ours:
                row[field] = ""
            for field in self._newest:
                if before.get(field) == now[field] or (
                    field == "balance" and await self._paid_since(account, one.changed_at)
                ):
                    row[field] = ""
        return rows, keep

    async def _known(self, page: Sequence[Offered]) -> dict[tuple[str, str], AccountId]:
        asked: dict[str, list[str]] = {}
        for one in page:
            asked.setdefault(one.row.get("portfolio") or "default", []).append(one.row["external_id"])
        return {
            (portfolio, external_id): account
            for portfolio, ids in asked.items()
            for external_id, account in (await self._engine.accounts.find(ids, portfolio)).items()
        }

    async def _paid_since(self, account: AccountId, changed_at: Any) -> bool:
        if not isinstance(changed_at, dt.datetime):
            return False
        at = changed_at if changed_at.tzinfo else changed_at.replace(tzinfo=dt.UTC)
        payments = (await self._engine.accounts.get(account)).payments
        return any(one.received_at_utc > at for one in payments)

    def _kept_under(self, key: str) -> str:
        return f"said/{self._name}/{key}"


def _print(text: str) -> str:
    """Return what stands for a value: it is compared, never read."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
