"""What plugins read and write of the portfolio: accounts, lists, payments, promises, tables to learn from, and what they keep themselves.

It owns the ways in, each a short transaction of this process under the plugin's own name. The rules are those of the modules that people's
commands and files go through too: an account from a CRM is read like a row of a file, a priority changes no state.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dialer_core.campaigns import restricting
from dialer_core.campaigns.amounts import PLAIN
from dialer_core.campaigns.lead_columns import HEADERS, PHONE, Columns, LeadRow
from dialer_core.campaigns.lead_writing import plan, write_batch
from dialer_core.clock import Clock
from dialer_core.errors import CommandRefusedError
from dialer_core.events import LeadsImported
from dialer_core.list_settings import PromiseSettings
from dialer_core.plugin_store import Group, PluginStore
from dialer_core.portfolio import account_view, payments, promise_policy, promises
from dialer_core.portfolio.account_view import AccountSummary, AccountView
from dialer_core.portfolio.payments import NewPayment
from dialer_core.segment_language import Node, SegmentError, parse
from dialer_core.store import campaigns, lead_ranks, off_loop, people, plugin_tables, segments
from dialer_core.store import promises as promise_rows
from dialer_core.store.database import Database
from dialer_core.store.promises import DueInstalment, PromiseRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    CampaignId,
    CampaignState,
    Channel,
    LeadId,
    PromiseKind,
    RestrictionKind,
    RestrictionScope,
)

T = TypeVar("T")
_IN_ONE = 250
"""Rows of one transaction: claims wait for its end on SQLite."""
_RANKED_IN_ONE = 1_000


class RefusedRow(msgspec.Struct, frozen=True):
    """A row that was not taken, or a cell that was left out of one that was."""

    index: int
    """Its place among those given, from 0."""
    field: str
    reason: str
    taken: bool
    """The row itself was, without this field."""


class Upserted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the accounts that a plugin brought."""

    accepted: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: tuple[RefusedRow, ...] = ()


class Matching(msgspec.Struct, frozen=True):
    """A lead that an expression names."""

    lead_id: LeadId
    account_id: AccountId
    zone: str
    """IANA zone of the person's first number that has one; empty: none is known."""


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A payment as the customer's systems tell it."""

    account_id: AccountId
    external_id: str
    """Their own number of it: told twice, it counts once."""
    amount_minor: int
    """In hundredths of the currency; negative: taken back."""
    currency: str
    paid_on: dt.date


class AccountRecords(Group):
    """Accounts, with whose they are and what hangs on them."""

    fields: Final = tuple(HEADERS)
    """What `upsert_many` knows by name; any other name is an attribute."""

    async def get(self, account: AccountId) -> AccountView:
        """Return an account with everything that hangs on it; most of it is personal data.

        Raises
        ------
        CommandRefusedError
            There is none (`unknown`).
        """
        now = self._its.clock.utc()
        return await self._its.read(lambda tx: account_view.view(tx, account, now))

    async def find(self, external_ids: Collection[str], portfolio: str = "default") -> dict[str, AccountId]:
        """Return the accounts of these ids of the customer's own, of those that there are."""

        def ask(tx: Tx) -> dict[str, AccountId]:
            found = people.accounts_by_external_id(tx, portfolio, external_ids)
            return {external_id: AccountId(row["id"]) for external_id, row in found.items()}

        return await self._its.read(ask)

    async def summaries(self, accounts: Collection[AccountId]) -> dict[AccountId, AccountSummary]:
        """Return what stands in the first line of those of these accounts that there are: the customer's id of it, what is owed, since when."""

        def ask(tx: Tx) -> dict[AccountId, AccountSummary]:
            return {
                AccountId(key): account_view.summary(row)
                for key, row in people.accounts(tx, accounts).items()
            }

        return await self._its.read(ask)

    async def upsert_many(
        self, campaign: CampaignId, rows: Sequence[Mapping[str, str]], *, dry_run: bool = False
    ) -> Upserted:
        """Put accounts on a campaign's list: new ones in, changed ones changed, the same left alone.

        Parameters
        ----------
        campaign
            Whose list.
        rows
            One account each, fields by name as text, as a file of leads has them (`docs/leads.md`): `external_id phone person_id name balance
            …`; several numbers are `phone`, `phone_2`, …, and so are `email` addresses; a name that means nothing is an attribute. Amounts have a
            point, days are `YYYY-MM-DD`. A field that is empty or absent changes nothing; an account that is known needs no number.
        dry_run
            Write nothing, and say what would become of them.

        Raises
        ------
        CommandRefusedError
            The store does not know the campaign.
        """
        refused: list[RefusedRow] = []
        read: list[LeadRow] = []
        columns: dict[tuple[str, ...], Columns] = {}
        places: dict[tuple[str, str], int] = {}
        known = await self._known(
            [row for row in rows if not any(_meaning(name) == PHONE and row[name] for name in row)]
        )
        for index, row in enumerate(rows):
            names = tuple(row)
            if names not in columns:
                columns[names] = Columns(names, [_meaning(name) for name in names], PLAIN)
            meant, problems = columns[names].read(index, [str(value) for value in row.values()])
            if not meant.phones and (meant.portfolio, meant.external_id) in known:
                problems = [one for one in problems if one.column]  # all but that it has no number
            fatal = any(problem.fatal for problem in problems)
            refused += [RefusedRow(index, one.column, one.reason, not fatal) for one in problems]
            if fatal:
                continue
            key = (meant.portfolio, meant.external_id)
            if key in places:  # the later word of two counts
                read[places[key]] = meant
            else:
                places[key] = len(read)
                read.append(meant)
        done = [0, 0, 0]
        for batch in _batches(read, _IN_ONE):
            for place, number in enumerate(await self._take(campaign, batch, dry_run=dry_run)):
                done[place] += number
        return Upserted(accepted=done[0], updated=done[1], unchanged=done[2], refused=tuple(refused))

    async def _known(self, rows: Iterable[Mapping[str, str]]) -> set[tuple[str, str]]:
        """Return portfolio and id of those of these rows whose account there is."""
        asked: dict[str, set[str]] = {}
        for row in rows:
            asked.setdefault(row.get("portfolio", "").strip() or "default", set()).add(
                row.get("external_id", "").strip()
            )
        return {(name, one) for name, ids in asked.items() for one in await self.find(ids, name)}

    async def _take(
        self, campaign: CampaignId, batch: Sequence[LeadRow], *, dry_run: bool
    ) -> tuple[int, int, int]:
        def take(tx: Tx) -> tuple[int, int, int]:
            if campaigns.settings_of(tx, campaign) is None:
                known = ", ".join(sorted(campaigns.states(tx))) or "none"
                raise CommandRefusedError(f"there is no campaign {campaign!r}; known are: {known}", "unknown")
            if campaigns.states(tx)[campaign] is CampaignState.ARCHIVED:
                raise CommandRefusedError(f"{campaign} is archived: 'dialer campaign reopen' takes it out")
            now = self._its.clock.utc()
            result = (
                plan(tx, batch, campaign, now).result if dry_run else write_batch(tx, batch, campaign, now)
            )
            if (result.accepted or result.updated) and not dry_run:
                tx.emit(
                    LeadsImported(
                        campaign_id=campaign, file_sha256="", accepted=result.accepted, updated=result.updated, rejected=0
                    )
                )  # fmt: skip
            return result.accepted, result.updated, result.unchanged

        return await (self._its.read(take) if dry_run else self._its.write(take))

    async def receive_payments(self, rows: Sequence[PaymentRow]) -> int:
        """Write payments that are not known yet, with what follows from them; return how many were new."""
        new = 0
        for batch in _batches(rows, _IN_ONE):
            told = [
                NewPayment(one.account_id, one.external_id[:128], one.amount_minor, one.currency, one.paid_on.isoformat())
                for one in batch
            ]  # fmt: skip

            def write(tx: Tx, told: Sequence[NewPayment] = told) -> int:
                known = people.accounts(tx, {one.account_id for one in told})
                mine = [one for one in told if one.account_id in known]
                return payments.receive(tx, mine, source=self._its.actor, now=self._its.clock.utc())

            new += await self._its.write(write)
        return new


class LeadRecords(Group):
    """Campaigns' lists: in which order."""

    async def rank_many(
        self,
        campaign: CampaignId,
        accounts: Sequence[AccountId],
        priorities: ArrayLike,
        propensities: ArrayLike | None = None,
    ) -> int:
        """Give accounts on a campaign's list their priorities; return how many changed. Accounts not on it are passed over.

        Parameters
        ----------
        campaign
            Whose list.
        accounts
            Which.
        priorities
            Of each, of shape (n,), higher first.
        propensities
            Probabilities that a call to each is answered by a person, by the hour where they live, of shape (n, 24); NaN: not known. The pacer
            goes by them for three days. None leaves what was told before.

        Raises
        ------
        CommandRefusedError
            A priority is no number, a propensity no probability, or there are not as many as accounts.
        """
        order = np.asarray(priorities, np.float64)
        chances = None if propensities is None else np.asarray(propensities)
        if order.shape != (len(accounts),) or not np.isfinite(order).all():
            raise CommandRefusedError("a priority is a finite number, one for each account", "invalid")
        if chances is not None and len(chances) != len(accounts):
            raise CommandRefusedError(f"{len(chances)} propensities for {len(accounts)} accounts", "invalid")
        changed, now = 0, self._its.clock.utc()
        for begin in range(0, len(accounts), _RANKED_IN_ONE):
            these = slice(begin, begin + _RANKED_IN_ONE)
            try:
                hours = None if chances is None else lead_ranks.encoded(chances[these])
            except ValueError as error:
                raise CommandRefusedError(str(error), "invalid") from None
            batch, order_of = list(accounts[these]), order[these].tolist()
            changed += await self._its.write(
                lambda tx, b=batch, o=order_of, h=hours: lead_ranks.rank(tx, campaign, b, o, h, now)  # type: ignore[misc]
            )
        return changed

    async def matching(
        self, campaign: CampaignId, where: str, *, after: str = "", limit: int = 5_000
    ) -> list[Matching]:
        """Return the next unfinished leads of a campaign that an expression in the language of segments names, behind the lead `after`.

        Raises
        ------
        CommandRefusedError
            The expression is none; says where and why.
        """
        node, now = _parsed(where), self._its.clock.utc()

        def ask(tx: Tx) -> list[Matching]:
            found = segments.accounts(tx, campaign, node, now, after, limit)
            phones = people.phones_of(tx, {person for _, _, person in found}) if found else {}
            return [
                Matching(lead, account, next((phone.zones[0] for phone in phones[person] if phone.zones), ""))
                for lead, account, person in found
            ]

        return await self._its.read(ask)

    async def holds(self, campaign: CampaignId, account: AccountId, where: str) -> bool:
        """Say whether an expression names an account on a campaign's list now. Raises `CommandRefusedError` where it is none."""
        node, now = _parsed(where), self._its.clock.utc()
        held = await self._its.read(
            lambda tx: segments.holding(tx, account, campaign, [(where[:60] or "it", node)], now)
        )
        return held is not None


class PromiseRecords(Group):
    """Promises to pay."""

    async def make(
        self,
        account: AccountId,
        instalments: Sequence[tuple[dt.date, int]],
        *,
        kind: PromiseKind = PromiseKind.AGREEMENT,
        campaign: CampaignId | None = None,
        agent: AgentId | None = None,
        key: str | None = None,
        policy: PromiseSettings | None = None,
    ) -> str:
        """Write a promise down, days and amounts in hundredths; return its id. `key`, a UUID: asked for twice, it is written once.

        `policy`: what whoever agreed to it may agree to (`engine.contacts.promise_policy`).

        Raises
        ------
        CommandRefusedError
            There is no such account, or what is promised makes no sense, or goes beyond the policy.
        """

        def write(tx: Tx) -> str:
            row = people.account(tx, account)
            if policy is not None and row is not None and not (key and promise_rows.get(tx, key)):
                today = self._its.clock.utc().date()
                promise_policy.check(
                    policy, list(instalments), kind, row["balance_minor"], row["currency"], today
                )
            made = promises.make(
                tx, account_id=account, instalments=instalments, kind=kind, now=self._its.clock.utc(), agent_id=agent, campaign_id=campaign,
                actor=self._its.actor, promise_id=key,
            )  # fmt: skip
            return made.id

        return await self._its.write(write)

    async def get_many(self, promise_ids: Collection[str]) -> dict[str, PromiseRow]:
        """Return those of these promises that there are, as they stand now, with their instalments."""
        return await self._its.read(lambda tx: promise_rows.get_many(tx, promise_ids))

    async def due(self, first: dt.date, last: dt.date) -> list[DueInstalment]:
        """Return what is still to come of open promises between two days, both included."""
        return await self._its.read(lambda tx: promise_rows.due_between(tx, first, last))


class RestrictionRecords(Group):
    """Why somebody may not be contacted."""

    async def add(
        self,
        account: AccountId,
        kind: RestrictionKind,
        *,
        scope: RestrictionScope = RestrictionScope.PERSON,
        channel: Channel | None = None,
        until: dt.datetime | None = None,
        source: str = "",
    ) -> str:
        """Restrict an account or its person; return the restriction's id. It is in force at once, for what rings now too.

        Raises
        ------
        CommandRefusedError
            There is no such account, or the restriction makes no sense.
        """

        def write(tx: Tx) -> str:
            return restricting.restrict(
                tx, account_id=account, kind=kind, scope=scope, source=source or self._its.actor, actor=self._its.actor,
                now=self._its.clock.utc(), channel=channel, until_utc=until,
            )  # fmt: skip

        return await self._its.write(write)


class Records:
    """The store as one plugin may use it.

    Parameters
    ----------
    database
        Migrated.
    clock
        Of every decision.
    actor
        In whose name: `plugin:crm`.
    on_written
        Called after each commit.
    """

    def __init__(
        self, database: Database, *, clock: Clock, actor: str, on_written: Callable[[], None] = lambda: None
    ) -> None:
        self._database = database
        self._on_written = on_written
        self.clock = clock
        self.actor = actor
        self.plugin = actor.removeprefix("plugin:")
        self.accounts = AccountRecords(self)
        self.leads = LeadRecords(self)
        self.promises = PromiseRecords(self)
        self.restrictions = RestrictionRecords(self)
        self.store = PluginStore(self)

    def acting_as(self, actor: str) -> Records:
        """Return the same store in somebody else's name."""
        return Records(self._database, clock=self.clock, actor=actor, on_written=self._on_written)

    async def table(
        self,
        name: str,
        columns: Sequence[str],
        *,
        after: str = "",
        campaign: CampaignId | None = None,
        ids: Collection[str] | None = None,
    ) -> AsyncGenerator[tuple[dict[str, NDArray[Any]], str], None]:
        """Yield a table's rows (of these ids) by column, some thousands at a time, each time with the id to go on `after` later.

        Raises
        ------
        CommandRefusedError
            There is no such table or column for plugins.
        """
        while True:
            found, last = await self.read(
                lambda tx, at=after: plugin_tables.page(
                    tx, name, columns, at, plugin_tables.MOST_ROWS, campaign, ids
                )  # type: ignore[misc]
            )
            if not found:
                return
            yield found, last
            after = last

    async def read(self, work: Callable[[Tx], T]) -> T:
        """Ask something in a transaction of its own, off the loop."""
        return await off_loop.read(self._database, work)

    async def write(self, work: Callable[[Tx], T]) -> T:
        """Do something in a transaction of its own, off the loop."""
        return await off_loop.write(self._database, work, self._on_written)


def _meaning(name: str) -> str:
    """Return the field that a row's key names: `phone_2` is a phone, `email_2` an e-mail address."""
    stem = name.rstrip("0123456789").rstrip("_")
    return stem if stem in {"phone", "email"} or (stem == name and stem in HEADERS) else name


def _parsed(where: str) -> Node:
    try:
        return parse(where)
    except SegmentError as error:
        raise CommandRefusedError(f"{where!r}: {error}", "invalid") from None


def _batches(rows: Iterable[T], at_once: int) -> Iterable[list[T]]:
    iterator = iter(rows)
    while batch := list(itertools.islice(iterator, at_once)):
        yield batch
