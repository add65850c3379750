"""Routes of accounts: one with all that a desk needs, found by the customer's own number or a phone."""

from __future__ import annotations

import asyncio
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from dialer_core.compliance.phone_numbers import NumberError, normalise
from dialer_core.errors import CommandRefusedError
from dialer_core.http.answers import Engine, Parts, answer, shape
from dialer_core.portfolio import account_view
from dialer_core.portfolio.account_view import AccountSummary, AccountView
from dialer_core.store import claims, people
from dialer_core.vocabulary import AccountId, AttemptId
from dialer_core.voice_events import IdentityVerified
from dialer_core.web.needs import at_a_desk, needs, needs_account, principal_of
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(prefix="/accounts", tags=["accounts"])

MOST_FOUND = 100


@router.get(
    "", dependencies=[needs(Scope.RECORDS)], responses=shape(tuple[AccountSummary, ...], "What was found")
)
async def find_accounts(
    parts: Parts,
    external_id: Annotated[str, Query(max_length=128)] = "",
    portfolio: Annotated[str, Query(max_length=64)] = "default",
    phone: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    """Accounts by the customer's own number of them, or of everybody who has a phone number."""
    if bool(external_id) == bool(phone):
        raise Problem(422, "invalid", "give one of external_id and phone")

    def find() -> tuple[AccountSummary, ...]:
        with parts.database.read() as tx:
            if external_id:
                rows = list(people.accounts_by_external_id(tx, portfolio, [external_id]).values())
            else:
                rows = people.accounts_by_number(tx, normalise(phone), MOST_FOUND)
            return tuple(map(account_view.summary, rows))

    try:
        return answer(await asyncio.to_thread(find))
    except NumberError as error:
        raise Problem(422, "invalid", f"phone: {error}") from error


@router.get(
    "/{account}",
    dependencies=[needs_account(Scope.RECORDS)],
    responses=shape(AccountView, "The account, and everything that hangs on it"),
)
async def get_account(account: UUID, request: Request, engine: Engine, parts: Parts) -> Response:
    """One account: person, phones, leads, calls, contacts on every channel in one time line, promises, payments, restrictions, notes."""
    now = engine.now()

    def ask() -> AccountView:
        with parts.database.read() as tx:
            return account_view.view(tx, AccountId(str(account)), now)

    found, who = await asyncio.to_thread(ask), principal_of(request)
    version = account_view.version(found)
    if at_a_desk(who) and not await parts.rights.knows_person(request.state.agent, str(account)):
        found = account_view.before_identity(found)
    told = answer(found)
    told.headers["ETag"] = f'"{version}"'
    return told


class Identified(BaseModel):
    """To whom an agent talks."""

    model_config = ConfigDict(extra="forbid")
    attempt: UUID | None = None


@router.post(
    "/{account}/identity",
    dependencies=[needs_account(Scope.CONTROL, Scope.RECORDS)],
    responses=shape(dict, "Noted"),
)
async def verify_identity(
    account: UUID, request: Request, engine: Engine, parts: Parts, what: Annotated[Identified, Body()]
) -> Response:
    """The agent has made sure that they talk to the account's person: from now on the debt may be shown and spoken of."""
    who, actor = principal_of(request), engine.actor
    attempt = AttemptId(str(what.attempt)) if what.attempt else None
    if at_a_desk(who):  # the conversation they have, whatever the page says
        view = request.state.agent
        own = (view.attempt_id or view.last_attempt_id) if view else None
        if own is None or (view and view.shown and not view.attempt_id):
            raise Problem(409, "refused", "nobody is on the line")
        if await parts.rights.account_of_attempt(own) != str(account):
            raise Problem(409, "refused", "the conversation is about another account")
        attempt = AttemptId(own)

    def write() -> None:
        with parts.database.write() as tx:
            if people.account(tx, AccountId(str(account))) is None:
                raise CommandRefusedError("there is no such account", "unknown")
            tried = claims.tried(tx, attempt) if attempt and not at_a_desk(who) else None
            if tried is not None and tried.account_id != str(account):
                raise CommandRefusedError("this attempt is not one of this account's")
            tx.audit("identity.verified", f"account {account}", actor=actor)
            tx.emit(
                IdentityVerified(
                    account_id=AccountId(str(account)), attempt_id=attempt, by="agent", step=who.agent
                )
            )

    await asyncio.to_thread(write)
    if attempt:
        parts.rights.known(attempt)
    return answer(None)
