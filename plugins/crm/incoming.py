"""Accounts in: pages of a CRM's records become rows of a campaign's list; where reading stands is kept with each page.

It owns the cursor, what is rejected, and the bound at which a mapping must be wrong. When it is read, and what is done while a CRM is away, is
`syncing.py`'s.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from dialer_core.plugin_api import CampaignId, EngineHandle
from plugins.crm.conflicts import Conflicts, Offered
from plugins.crm.connector import Connector, MappingError, Page, StaleError
from plugins.crm.mapping import changed_at, key_of, row_of
from plugins.crm.records import as_text, by_now, earlier, kept, later, moment
from plugins.crm.settings import AccountsSettings

log = structlog.get_logger(__name__)

_ALL_WRONG: Final = 20
"""So many in the first page, all of them refused: that is the mapping's fault, and they are not listed one by one."""
_LONGEST_CELL: Final = 1_000


@dataclass(slots=True)
class Pulled:
    """What has come of one reading."""

    read: int = 0
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    rejected: int = 0
    """Rows that were not taken."""
    left_out: int = 0
    """Cells that were left out of rows that were."""
    whole: bool = False
    """Everything was read, and not only what has changed."""


class Incoming:
    """One `[accounts]` table.

    Parameters
    ----------
    engine
        The plugin's handle.
    name, its
        The table.
    connector
        Its connection.
    """

    def __init__(self, engine: EngineHandle, name: str, its: AccountsSettings, connector: Connector) -> None:
        self._engine = engine
        self._name = name
        self._its = its
        self._connector = connector
        self._conflicts = Conflicts(engine, name, its)

    async def pull(self, *, whole: bool = False, dry_run: bool = False) -> Pulled:
        """Read what has changed, from where the last reading stopped; return what came of it.

        Parameters
        ----------
        whole
            Read everything.
        dry_run
            Write nothing: what would come of it is counted.

        Raises
        ------
        CrmError
            It stopped; what was read until then is kept, and the next call goes on behind it.
        """
        state = dict(await self._engine.store.get(f"in/{self._name}", {}))
        if whole or dry_run or not state.get("resume"):
            state = await self._begin(state, whole=whole)
        found = Pulled(whole=state["since"] is None)
        try:
            await self._through(state, found, dry_run=dry_run)
        except StaleError as error:
            log.warning("crm_reading_begins_anew", accounts=self._name, reason=str(error))
            state |= {"resume": None, "high": state["since"]}
            await self._through(state, found, dry_run=dry_run)
        return found

    async def retry(self) -> Pulled:
        """Map and write again what was rejected; what is taken now is on the list of rejects no more."""
        found, after = Pulled(), ""
        while rows := await self._engine.store.items(f"reject/{self._name}/", after=after, limit=200):
            after = rows[-1][0]
            await self._take([one["record"] for _, one in rows], found, {}, dry_run=False)
        return found

    async def _begin(self, state: dict[str, Any], *, whole: bool) -> dict[str, Any]:
        now = self._engine.now()
        hours = dt.timedelta(hours=self._its.full_every_hours)
        last = state.get("whole_at")
        whole = (
            whole
            or not self._its.modified
            or last is None
            or bool(hours and dt.datetime.fromisoformat(last) + hours <= now)
        )
        since = None if whole else state.get("cursor")
        began = {"whole_at": now.isoformat()} if since is None else {}
        return {
            "cursor": state.get("cursor"),
            "whole_at": last,
            "since": since,
            "high": state.get("cursor"),
            "resume": None,
            "began": began,
        }

    async def _through(self, state: dict[str, Any], found: Pulled, *, dry_run: bool) -> None:
        since = earlier(moment(state["since"]), self._its.overlap_s)
        pages = self._connector.read(self._its, since, state["resume"])
        try:
            async for page in pages:
                high = moment(state["high"])
                for record in page.records:
                    high = later(high, changed_at(self._its, record))
                state |= {"high": kept(by_now(high, self._engine.now())), "resume": page.resume}
                if (
                    page.resume is None
                ):  # the whole of it is read: the next reading begins at the latest change
                    state |= {"cursor": state["high"], **state.pop("began", {})}
                await self._take_page(page, found, state, dry_run=dry_run)
                if page.once_kept is not None and not dry_run:
                    await page.once_kept()
        finally:
            await pages.aclose()

    async def _take_page(self, page: Page, found: Pulled, state: dict[str, Any], *, dry_run: bool) -> None:
        first = found.read == 0
        await self._take(page.records, found, {f"in/{self._name}": dict(state)}, dry_run=dry_run, first=first)

    async def _take(
        self,
        records: Sequence[dict[str, Any]],
        found: Pulled,
        progress: dict[str, Any],
        *,
        dry_run: bool,
        first: bool = False,
    ) -> None:
        offered = [
            Offered(key_of(self._its, one), row_of(self._its, one), changed_at(self._its, one), one)
            for one in records
        ]
        named = [one for one in offered if one.row["external_id"]]
        rows, keep = await self._conflicts.settle(named)
        done = await self._engine.accounts.upsert_many(CampaignId(self._its.campaign), rows, dry_run=dry_run)
        reasons = {
            one.key: ("external_id", "it has no account number", False)
            for one in offered
            if not one.row["external_id"]
        }
        reasons |= {named[one.index].key: (one.field, one.reason, one.taken) for one in done.refused}
        refused = sum(not taken for _, _, taken in reasons.values())
        if first and refused == len(records) >= _ALL_WRONG:
            field, reason, _ = next(iter(reasons.values()))
            why = f"{field or 'the row'}: {reason}"
            raise MappingError(
                f"accounts.{self._name}: every one of the first {refused} records is refused ({why})"
            )
        found.read += len(records)
        found.new, found.updated = found.new + done.accepted, found.updated + done.updated
        found.unchanged += done.unchanged
        found.rejected += refused
        found.left_out += len(reasons) - refused
        if dry_run:
            return
        keep = {key: value for key, value in keep.items() if not _refused(key, reasons)}
        await self._list_rejects(offered, reasons, keep | progress)

    async def _list_rejects(
        self, offered: Sequence[Offered], reasons: dict[str, tuple[str, str, bool]], also: dict[str, Any]
    ) -> None:
        """Keep what was refused with why, and where reading stands, in one; take from the list what is right now."""
        prefix = f"reject/{self._name}/"
        listed = {key for key, _ in await self._engine.store.items(prefix, limit=1)}
        now = self._engine.now().isoformat()
        news = {
            prefix + one.key: {
                "field": reasons[one.key][0], "reason": reasons[one.key][1], "taken": reasons[one.key][2], "at": now,
                "record": _cells(one.record),
            }
            for one in offered
            if one.key in reasons
        }  # fmt: skip
        await self._engine.store.put_many(news | also)
        if listed:
            await self._engine.store.remove(*(prefix + one.key for one in offered if one.key not in reasons))


def _refused(key: str, reasons: dict[str, tuple[str, str, bool]]) -> bool:
    told = reasons.get(key.split("/", 2)[2])
    return told is not None and not told[2]


def _cells(record: Any) -> Any:
    """Return a record as JSON keeps it, no cell longer than it needs to be."""
    if isinstance(record, dict):
        return {as_text(name): _cells(one) for name, one in record.items()}
    if isinstance(record, list | tuple):
        return [_cells(one) for one in record]
    if record is None or isinstance(record, bool | int):
        return record
    return as_text(record)[:_LONGEST_CELL]
