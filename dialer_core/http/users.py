"""Routes of users and tokens: who may log in and as what, which programs may come in. For an admin alone; secrets are shown once.

It owns no check (`web/users.py`), no password's hashing (`web/passwords.py`) and no row (`store/access.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec
from fastapi import APIRouter, Body, Path, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.errors import CommandRefusedError
from dialer_core.http.access import digest_of, new_token
from dialer_core.http.answers import ApiParts, Engine, Parts, answer, shape
from dialer_core.store import access as rows
from dialer_core.store.access import TokenView, UserView
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Role, Scope
from dialer_core.web import passwords
from dialer_core.web.needs import needs, principal_of
from dialer_core.web.users import LONGEST_NAME, check_name, check_user

router = APIRouter(tags=["users"], dependencies=[needs(Scope.ADMIN)])

Name = Annotated[str, Path(max_length=LONGEST_NAME, description="The name by which they log in")]
TokenName = Annotated[str, Path(max_length=LONGEST_NAME, description="The token's name")]
Word = Annotated[str, Field(max_length=LONGEST_NAME)]
_HASHING = asyncio.Semaphore(1)
"""Each hash takes 64 MB and a core."""


class Place(BaseModel):
    """What somebody is here for."""

    model_config = ConfigDict(extra="forbid")
    role: Role
    agent: Word = ""
    """The agent of `agents.toml` they are; an agent needs it."""
    extension: Word = ""
    """Where a supervisor listens."""


class NewUser(Place):
    """Somebody who is to log in."""

    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    language: Annotated[str, Field(max_length=2)] = ""
    password: Annotated[str, Field(max_length=passwords.MAX_CHARS)] | None = None
    """Left out: one is made, and shown in the answer, once."""


class NewPassword(BaseModel):
    """A user's new password."""

    model_config = ConfigDict(extra="forbid")
    password: Annotated[str, Field(max_length=passwords.MAX_CHARS)] | None = None
    """Left out: one is made, and shown in the answer, once."""


class NewToken(BaseModel):
    """A program that is to come in."""

    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(Scope))]


class MadeUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user, and the password that was made for them."""

    user: UserView
    password: str | None = None


class MadeToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token: this is the one time that it is shown."""

    name: str
    token: str
    scopes: tuple[str, ...]


@router.get("/users", responses=shape(tuple[UserView, ...], "By name"))
async def list_users(parts: Parts) -> Response:
    """Everybody who may log in, or might once."""
    return answer(await parts.read(rows.users))


@router.post("/users", responses=shape(MadeUser, "The user"))
async def add_user(engine: Engine, parts: Parts, who: Annotated[NewUser, Body()]) -> Response:
    """Let somebody log in."""
    user = UserView(
        id=who.name, role=who.role, agent=who.agent, extension=who.extension, language=who.language
    )
    check_user(user, parts.settings)
    password, kept = await _password(who.password, who.name)
    actor = engine.actor

    def write(tx: Tx) -> UserView:
        if not rows.add_user(tx, user, kept, tx.utc(), actor=actor):
            raise CommandRefusedError("there is a user of this name already")
        return rows.find_user(tx, user.id) or user

    made = await parts.write(write)
    return answer(MadeUser(user=made, password=password if who.password is None else None))


@router.post("/users/{user}/role", responses=shape(UserView, "The user"))
async def change_role(
    user: Name, request: Request, engine: Engine, parts: Parts, what: Annotated[Place, Body()]
) -> Response:
    """Say anew what somebody is here for; they are logged out everywhere."""
    _not_oneself(request, user)
    wanted, actor = (
        UserView(id=user, role=what.role, agent=what.agent, extension=what.extension),
        engine.actor,
    )
    check_user(wanted, parts.settings)
    return answer(await _changed(parts, user, lambda tx: rows.set_role(tx, wanted, actor=actor)))


@router.post("/users/{user}/password", responses=shape(MadeUser, "The user"))
async def change_password(
    user: Name, engine: Engine, parts: Parts, what: Annotated[NewPassword, Body()]
) -> Response:
    """Give somebody another password; they are logged out everywhere."""
    password, kept = await _password(what.password, user)
    actor = engine.actor
    found = await _changed(parts, user, lambda tx: rows.set_password(tx, user, kept, tx.utc(), actor=actor))
    return answer(MadeUser(user=found, password=password if what.password is None else None))


@router.post("/users/{user}/disable", responses=shape(UserView, "The user"))
async def disable_user(user: Name, request: Request, engine: Engine, parts: Parts) -> Response:
    """Let somebody log in no more; their open screens end within half a minute."""
    _not_oneself(request, user)
    actor = engine.actor
    return answer(
        await _changed(parts, user, lambda tx: rows.set_active(tx, user, active=False, actor=actor))
    )


@router.post("/users/{user}/enable", responses=shape(UserView, "The user"))
async def enable_user(user: Name, engine: Engine, parts: Parts) -> Response:
    """Let somebody log in again."""
    actor = engine.actor
    return answer(await _changed(parts, user, lambda tx: rows.set_active(tx, user, active=True, actor=actor)))


@router.get("/tokens", responses=shape(tuple[TokenView, ...], "By name"))
async def list_tokens(parts: Parts) -> Response:
    """Every token by its name, in use or revoked; never the token."""
    return answer(await parts.read(rows.tokens))


@router.post("/tokens", responses=shape(MadeToken, "The token, this once"))
async def add_token(engine: Engine, parts: Parts, what: Annotated[NewToken, Body()]) -> Response:
    """Make a token: only its digest is kept."""
    check_name(what.name)
    token, scopes, actor = new_token(), sorted({scope.value for scope in what.scopes}), engine.actor

    def write(tx: Tx) -> None:
        if not rows.add_token(tx, what.name, digest_of(token), scopes, tx.utc(), actor=actor):
            raise CommandRefusedError("there is, or was, a token of this name; choose another")

    await parts.write(write)
    return answer(MadeToken(name=what.name, token=token, scopes=tuple(scopes)))


@router.post("/tokens/{token}/revoke", responses=shape(dict, "Done"))
async def revoke_token(token: TokenName, engine: Engine, parts: Parts) -> Response:
    """Let nobody in with a token any more."""
    actor = engine.actor

    def write(tx: Tx) -> None:
        if not rows.revoke_token(tx, token, actor=actor):
            raise CommandRefusedError(
                "there is no token of this name in use; GET /api/v1/tokens lists them", "unknown"
            )

    await parts.write(write)
    return answer(None)


async def _password(given: str | None, user: str) -> tuple[str, str]:
    password = given if given is not None else passwords.make()
    if given is not None:
        passwords.check_new(given, user)
    async with _HASHING:
        return password, await asyncio.to_thread(passwords.hashed, password)


def _not_oneself(request: Request, user: str) -> None:
    who = principal_of(request)
    if who.role is not None and who.name == user:
        raise CommandRefusedError("another admin does this to you: nobody locks themselves out")


async def _changed(parts: ApiParts, user: str, change: Callable[[Tx], bool]) -> UserView:
    def write(tx: Tx) -> UserView:
        found = rows.find_user(tx, user) if change(tx) else None
        if found is None:
            raise CommandRefusedError("there is no such user; GET /api/v1/users lists them", "unknown")
        return found

    return await parts.write(write)
