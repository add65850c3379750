"""What agents at their desks may see and write: the account they are shown or talk about, and, for a time, those they talked about before.

It owns that question. What an agent typed while the network was away belongs to its own conversation: it arrives after the next one has begun,
and is not refused for that. What is seen of a debt waits until the conversation's person is known (I19); an agent who is shown an account
before it is dialed sees all of it, for nobody is on the line.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from dialer_core.plugin_api import AgentId, AgentView, AttemptId, EngineHandle
from dialer_core.store import agents, claims, events, leads, off_loop
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId
from dialer_core.voice_events import IdentityVerified

WRITES_FOR: Final = dt.timedelta(hours=12)
"""So long after a conversation began its agent may still write about its account: a shift."""
MOST_KEPT: Final = 5000

T = TypeVar("T")


class DeskRights:
    """The rights of every desk of this host.

    Parameters
    ----------
    engine
        Asked who does what now.
    database
        Asked who talked about what, and who was known.
    """

    def __init__(self, engine: EngineHandle, database: Database) -> None:
        self._engine = engine
        self._database = database
        self._accounts: OrderedDict[str, str] = OrderedDict()
        """By attempt."""
        self._known: OrderedDict[str, bool] = OrderedDict()
        """Attempts whose person is known."""

    async def view(self, agent: str) -> AgentView | None:
        """Return an agent as they are now."""
        return next((one for one in (await self._engine.status()).agents if one.id == agent), None)

    async def account_of(self, agent: str) -> str | None:
        """Return the account of whom an agent talks to, is shown, or last talked to."""
        view = await self.view(agent)
        if view is None:
            return None
        if view.shown is not None and view.attempt_id is None:
            return view.shown.account
        attempt = view.attempt_id or view.last_attempt_id
        return await self.account_of_attempt(attempt) if attempt else None

    async def may_see(self, view: AgentView | None, account: str) -> bool:
        """Say whether an account is the one that an agent talks about, is shown, or last talked about."""
        if view is None:
            return False
        if view.shown is not None and view.shown.account == account:
            return True
        attempt = view.attempt_id or view.last_attempt_id
        return attempt is not None and await self.account_of_attempt(attempt) == account

    async def may_write(self, agent: str, account: str) -> bool:
        """Say whether an agent may write about an account: they see it, or have talked about it lately."""
        return await self.may_see(await self.view(agent), account) or await self.talked(
            agent, account=account
        )

    async def talked(self, agent: str, *, attempt: str | None = None, account: str | None = None) -> bool:
        """Say whether an agent has had this conversation, or one about this account, lately."""
        since = self._engine.now() - WRITES_FOR
        return await self._read(
            lambda tx: agents.talked(tx, AgentId(agent), since, attempt_id=attempt, account_id=account)
        )

    async def had(self, agent: str, attempt: str) -> bool:
        """Say whether a conversation is an agent's present one, their last one, or one of theirs lately."""
        view = await self.view(agent)
        own = view is not None and attempt in (view.attempt_id, view.last_attempt_id)
        return own or await self.talked(agent, attempt=attempt)

    async def campaigns(self, agent: str, account: str) -> set[str]:
        """Return by whose rules an agent may write to an account's person: of the lists it is on, and of the conversation they have, or last had."""
        view = await self.view(agent)
        attempt = (view.attempt_id or view.last_attempt_id) if view else None

        def read(tx: Tx) -> set[str]:
            tried = claims.tried(tx, AttemptId(attempt)) if attempt else None
            found = {str(one.campaign_id) for one in leads.of_account(tx, AccountId(account))}
            return found | ({str(tried.campaign_id)} if tried and tried.account_id == account else set())

        return await self._read(read)

    async def knows_person(self, view: AgentView | None, account: str) -> bool:
        """Say whether what is owed may be on an agent's screen: nobody is on the line, or it is known that it is the person (I19)."""
        if view is None:
            return False
        if view.shown is not None and view.shown.account == account and view.attempt_id is None:
            return view.shown.attempt is None
        attempt = view.attempt_id or view.last_attempt_id
        if attempt is None or await self.account_of_attempt(attempt) != account:
            return False
        if attempt not in self._known:
            if not await self._read(lambda tx: events.happened_in(tx, IdentityVerified.name, attempt)):
                return False
            self.known(attempt)
        return True

    def known(self, attempt: str) -> None:
        """Note that the person of a conversation is known."""
        _kept(self._known, attempt, value=True)

    async def account_of_attempt(self, attempt: str) -> str | None:
        """Return the account that a conversation is about; None: there is no such attempt."""
        if attempt not in self._accounts:
            tried = await self._read(lambda tx: claims.tried(tx, AttemptId(attempt)))
            if tried is None:
                return None
            _kept(self._accounts, attempt, value=str(tried.account_id))
        return self._accounts[attempt]

    async def _read(self, work: Callable[[Tx], T]) -> T:
        return await off_loop.read(self._database, work)


def _kept(kept: OrderedDict[str, T], key: str, *, value: T) -> None:
    kept[key] = value
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
