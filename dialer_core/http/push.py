"""Routes of the systems that are told what happens: how far each has been told, what it did not take, and to send that again."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from dialer_core.errors import CommandRefusedError
from dialer_core.http.answers import Engine, Parts, answer, shape
from dialer_core.store import pushes
from dialer_core.store.pushes import DeadLetter, PushView
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope

router = APIRouter(prefix="/push", tags=["push"])

Name = Annotated[str, Path(max_length=64, description="`[push.NAME]` of dialer.toml")]


class Which(BaseModel):
    """Which dead letters."""

    model_config = ConfigDict(extra="forbid")
    letter: UUID | None = None
    """One of them; left out: all of the target's."""


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent once more."""

    letters: int


@router.get(
    "", dependencies=[needs(Scope.ADMIN)], responses=shape(tuple[PushView, ...], "Every target, by node")
)
async def list_targets(parts: Parts) -> Response:
    """Every system that is told what happens, and how far."""
    return answer(await parts.read(pushes.views))


@router.get(
    "/{target}/dead",
    dependencies=[needs(Scope.ADMIN)],
    responses=shape(tuple[DeadLetter, ...], "The oldest first"),
)
async def list_dead(target: Name, parts: Parts) -> Response:
    """What a target did not take: stretches of the log, which `/events` shows."""
    return answer(await parts.read(lambda tx: pushes.letters(tx, target)))


@router.post("/{target}/replay", dependencies=[needs(Scope.ADMIN)], responses=shape(Replayed, "How many"))
async def replay(target: Name, engine: Engine, parts: Parts, which: Annotated[Which, Body()]) -> Response:
    """Send dead letters of a target once more, within a second or so."""
    actor, letter = engine.actor, str(which.letter) if which.letter else None
    if not (count := await parts.write(lambda tx: pushes.again(tx, target, letter=letter, actor=actor))):
        raise CommandRefusedError("there is no such dead letter", "unknown")
    return answer(Replayed(letters=count))
