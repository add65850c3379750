"""Routes of recordings and of notes to agents: searched, played with an audit entry, written and read.

What is played is opened in the host, for whoever may read people's records; who did, and when, is in the audit log.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core import recording_place
from dialer_core.errors import ConfigError, SoundFileError
from dialer_core.http.agents import Name
from dialer_core.http.answers import ApiParts, Engine, Parts, answer, shape
from dialer_core.media.recording_files import open_recording
from dialer_core.media.sealing import parse_key
from dialer_core.store import agent_notes, recordings
from dialer_core.store.agent_notes import NoteView
from dialer_core.store.recordings import RecordingView
from dialer_core.vocabulary import AgentId
from dialer_core.voice_events import AgentNoted
from dialer_core.web.needs import needs, needs_own
from dialer_core.web.principals import Scope
from dialer_core.web.problems import Problem

router = APIRouter(tags=["recordings"])

_MEDIA_TYPES = {"opus": "audio/ogg", "flac": "audio/flac"}


class Note(BaseModel):
    """A note to an agent."""

    model_config = ConfigDict(extra="forbid")
    note: Annotated[str, Field(min_length=1, max_length=2000)]


@router.get(
    "/recordings",
    dependencies=[needs(Scope.RECORDS)],
    responses=shape(tuple[RecordingView, ...], "The latest first"),
)
async def find_recordings(
    parts: Parts,
    campaign: Annotated[str, Query(max_length=64)] = "",
    agent: Annotated[str, Query(max_length=64)] = "",
    attempt: UUID | None = None,
    since: dt.datetime | None = None,
    until: dt.datetime | None = None,
    limit: Annotated[int, Query(ge=1, le=recordings.MOST_FOUND)] = 100,
) -> Response:
    """Recordings by campaign, agent, attempt and time (with a zone; without one it is UTC)."""

    def find() -> tuple[RecordingView, ...]:
        with parts.database.read() as tx:
            return tuple(
                recordings.find(
                    tx, campaign=campaign, agent=agent, attempt=str(attempt or ""), since_utc=_utc(since),
                    until_utc=_utc(until), limit=limit,
                )
            )  # fmt: skip

    return answer(await asyncio.to_thread(find))


@router.get(
    "/recordings/{recording}/sound",
    dependencies=[needs(Scope.RECORDS)],
    response_class=Response,
    responses=shape(dict, "")
    | {200: {"description": "The sound", "content": {key: {} for key in _MEDIA_TYPES.values()}}},
)
async def play(recording: UUID, engine: Engine, parts: Parts) -> Response:
    """The sound: two channels, the customer left, what they heard of people right. Each playing is audited, before it begins."""
    return await asyncio.to_thread(_play, parts, str(recording), engine.actor)


@router.post("/agents/{agent}/notes", dependencies=[needs(Scope.CONTROL)], responses=shape(dict, "Written"))
async def write_note(agent: Name, engine: Engine, parts: Parts, what: Annotated[Note, Body()]) -> Response:
    """Write a note to an agent; their screen hears of it by `agent.noted`."""

    def write() -> str:
        with parts.database.write() as tx:
            note_id = agent_notes.add(tx, AgentId(agent), engine.actor, what.note, engine.now())
            tx.emit(AgentNoted(agent_id=AgentId(agent), note_id=note_id))
            return note_id

    if AgentId(agent) not in parts.settings.agents:
        raise Problem(404, "unknown", "there is no such agent; GET /api/v1/agents lists them")
    return answer({"id": await asyncio.to_thread(write)})


@router.get(
    "/agents/{agent}/notes",
    dependencies=[needs_own(Scope.RECORDS)],
    responses=shape(tuple[NoteView, ...], "The latest first"),
)
async def read_notes(agent: Name, parts: Parts) -> Response:
    """Notes to an agent."""

    def read() -> tuple[NoteView, ...]:
        with parts.database.read() as tx:
            return tuple(agent_notes.of(tx, AgentId(agent)))

    return answer(await asyncio.to_thread(read))


@router.post(
    "/agents/{agent}/notes/{note}/read",
    dependencies=[needs_own(Scope.CONTROL)],
    responses=shape(dict, "Noted"),
)
async def note_read(agent: Name, note: UUID, engine: Engine, parts: Parts) -> Response:
    """The agent has read a note."""

    def mark() -> None:
        with parts.database.write() as tx:
            agent_notes.mark_read(tx, AgentId(agent), str(note), engine.now())

    return answer(await asyncio.to_thread(mark))


def _utc(at: dt.datetime | None) -> dt.datetime | None:
    return at.replace(tzinfo=dt.UTC) if at is not None and at.tzinfo is None else at


def _play(parts: ApiParts, recording_id: str, actor: str) -> Response:
    settings = parts.settings
    with parts.database.read() as tx:
        found = recordings.get(tx, recording_id)
    if found is None:
        raise Problem(404, "unknown", "there is no such recording; GET /api/v1/recordings finds them")
    if found.state != recordings.STORED or found.sha256 is None or found.container is None:
        raise Problem(409, "refused", f"this recording is {found.state}: there is nothing to play")
    try:
        master = parse_key(recording_place.key(settings), "recordings")
        sound = open_recording(recording_place.folder(settings), recording_id, master, found.sha256)
    except (SoundFileError, ConfigError) as error:  # its file, or the key that was configured once
        raise Problem(409, "refused", f"this recording cannot be played: {error}") from error
    with parts.database.write() as tx:
        tx.audit("recording.played", f"recording {recording_id}", actor=actor)
    return Response(sound, media_type=_MEDIA_TYPES[found.container], headers={"Cache-Control": "no-store"})
