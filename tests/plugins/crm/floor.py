"""A store with one campaign, the plugin over it, and things that happen: what the tests of `crm` share."""

from __future__ import annotations

import datetime as dt
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from dialer_core.clock import VirtualClock
from dialer_core.event_tail import EventTail
from dialer_core.events import AttemptDispositioned, AttemptEnded
from dialer_core.plugin_api import AccountId, EngineHandle
from dialer_core.plugin_records import Records
from dialer_core.portfolio import promises
from dialer_core.store.attempts import NewAttempt, insert
from dialer_core.store.database import Database
from dialer_core.store.models import Base
from dialer_core.vocabulary import AgentId, AttemptId, CampaignId, Disposition, PromiseKind, TrunkId, new_id
from plugins.crm.connector import Connector
from plugins.crm.incoming import Incoming, Pulled
from plugins.crm.outgoing import Pushed, Teller
from plugins.crm.settings import CrmSettings, settings_of
from plugins.crm.syncing import Syncing
from tests.store.rows import CAMPAIGN, put_campaign

NOW = dt.datetime(2026, 3, 6, 18, 0, tzinfo=dt.UTC)
_TABLES = Base.metadata.tables


class Floor:
    """The plugin over a store of its own.

    Parameters
    ----------
    database
        Migrated, without rows.
    folder
        Of the configuration.
    mapping
        `plugins/crm.toml`.
    now
        What time it is.
    new
        The store is empty.
    """

    def __init__(
        self, database: Database, folder: Path, mapping: str, *, now: dt.datetime = NOW, new: bool = True
    ) -> None:
        self.database, self.clock = database, VirtualClock(now)
        database.clock = self.clock
        self.waits: list[float] = []
        (folder / "plugins").mkdir(parents=True, exist_ok=True)
        self.file = folder / "plugins" / "crm.toml"
        self.file.write_text(mapping)
        self.engine = EngineHandle(
            port=None, tail=EventTail(database), clock=self.clock, actor="plugin:crm", directory=folder, state_dir=folder,  # type: ignore[arg-type]
            records=Records(database, clock=self.clock, actor="plugin:crm"),
        )  # fmt: skip
        if new:
            with database.write() as tx:
                put_campaign(tx)

    @property
    def its(self) -> CrmSettings:
        """The mapping as it is now."""
        return settings_of(self.engine)

    def connection(self, name: str = "crm") -> Any:
        """Return a connection, as an asynchronous context."""
        return Syncing(self.engine, self.its).connection(name)

    async def pull(self, name: str = "cartera", **how: Any) -> Pulled:
        """Read accounts once."""
        accounts = self.its.accounts[name]
        async with self.connection(accounts.connection) as connector:
            return await Incoming(self.engine, name, accounts, connector).pull(**how)

    async def push(self, name: str = "crm", *, patience: int | None = 0) -> Pushed:
        """Write out what has happened once."""
        async with self.teller(name) as teller:
            return await teller.push(patience=patience)

    @asynccontextmanager
    async def teller(self, name: str = "crm") -> Any:
        """Yield what writes to a connection; it waits for nothing, and `waits` has what it would have."""
        async with self.connection(name) as connector:
            yield self.teller_of(connector, name)

    def teller_of(self, connector: Connector, name: str = "crm") -> Teller:
        """Return what writes by a connector."""

        async def sleep(seconds: float) -> None:
            self.waits.append(seconds)

        return Teller(self.engine, name, self.its, connector, sleep=sleep)

    async def account(self, external_id: str) -> AccountId:
        """Return our account of their id."""
        return (await self.engine.accounts.find([external_id]))[external_id]

    async def kept(self, prefix: str) -> dict[str, Any]:
        """Return what the plugin keeps under keys that begin like this."""
        return dict(await self.engine.store.items(prefix))

    def promise(self, account: AccountId, amount_minor: int = 50_000, days: int = 5) -> str:
        """Have somebody promise to pay."""
        with self.database.write() as tx:
            due = [(self.clock.utc().date() + dt.timedelta(days=days), amount_minor)]
            made = promises.make(
                tx, account_id=account, instalments=due, kind=PromiseKind.AGREEMENT, now=self.clock.utc(), agent_id=AgentId("ana")
            )  # fmt: skip
        return made.id

    def dispose(self, account: AccountId, disposition: Disposition = Disposition.PROMISE) -> str:
        """Have a call end, and an agent say what it was; return the attempt's id."""
        attempt = AttemptId(new_id())
        with self.database.write() as tx:
            leads, phones = _TABLES["lead"], _TABLES["phone"]
            lead = tx.execute(select(leads).where(leads.c.account_id == account)).mappings().one()
            of_theirs = select(phones).where(phones.c.person_id == lead["person_id"]).limit(1)
            phone = tx.execute(of_theirs).mappings().one()
            new = NewAttempt(
                id=attempt, campaign_id=CAMPAIGN, lead_id=lead["id"], account_id=account, person_id=lead["person_id"],
                phone_id=phone["id"], number=phone["e164"], trunk=TrunkId("carrier"), node="node1",
                boot_id="boot-1", committed_at_utc=self.clock.utc(), evidence={},
            )  # fmt: skip
            insert(tx, new)
            table = _TABLES["attempt"]
            said = {"outcome": "connected", "agent_id": "ana", "disposition": disposition.value}
            its = said | {"live": False, "bridged_mono_ns": 10**9, "ended_mono_ns": 43 * 10**9}
            tx.execute(update(table).where(table.c.id == attempt).values(**its))
            common: dict[str, Any] = {
                "campaign_id": CampaignId(CAMPAIGN),
                "account_id": account,
                "attempt_id": attempt,
            }
            ended = {"outcome": "connected", "sip_code": 200, "q850": 16, "ended_by": "us", "talk_ms": 42_000}
            tx.emit(AttemptEnded(**common, **ended, agent_id="ana"))
            tx.emit(AttemptDispositioned(**common, agent_id=AgentId("ana"), disposition=disposition.value))
        return attempt


def toml(text: str, **values: Any) -> str:
    """Return a mapping with `<name>` in it replaced."""
    for name, value in values.items():
        text = text.replace(f"<{name}>", str(value))
    return text
