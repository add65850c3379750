"""Routes of what is written about accounts: promises, restrictions, consents, call-backs, documents, notes.

Each is one transaction of the host's, with its audit entry under the name of whoever asked; the rules are the core's.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Header, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from dialer_core.campaigns import callbacks_asked, restricting
from dialer_core.errors import CommandRefusedError
from dialer_core.http.answers import ApiParts, Engine, Parts, answer, shape
from dialer_core.list_settings import PromiseSettings
from dialer_core.plugin_api import AgentId, AttemptId, CampaignId
from dialer_core.portfolio import account_view, promise_policy, promises, proof
from dialer_core.store import account_notes, claims, consents, leads, people
from dialer_core.store import promises as promise_rows
from dialer_core.store.account_notes import AccountNoteRow
from dialer_core.store.documents import DocumentRow
from dialer_core.store.promises import PromiseRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    Channel,
    PersonId,
    PhoneId,
    PromiseKind,
    RestrictionKind,
    RestrictionScope,
)
from dialer_core.web.needs import at_a_desk, needs, needs_account_writer, principal_of
from dialer_core.web.principals import Role, Scope
from dialer_core.web.problems import Problem

IfMatch = Annotated[
    str,
    Header(
        max_length=64,
        description="The ETag of the account as you saw it: refused with 412 where it has changed",
    ),
]
router = APIRouter(tags=["accounts"])
_WRITES = [needs_account_writer(Scope.CONTROL, Scope.RECORDS)]
_SUPERVISES = [needs(Scope.CONTROL), needs(Scope.RECORDS)]


class NewInstalment(BaseModel):
    """One payment of a promise."""

    model_config = ConfigDict(extra="forbid")
    due_date: dt.date
    amount_minor: Annotated[int, Field(gt=0, lt=10**15)]
    """In the currency's minor unit: cents of a peso."""


class NewPromise(BaseModel):
    """A promise to pay."""

    model_config = ConfigDict(extra="forbid")
    kind: PromiseKind = PromiseKind.AGREEMENT
    instalments: Annotated[list[NewInstalment], Field(min_length=1, max_length=promises.MOST_INSTALMENTS)]
    grace_days: Annotated[int, Field(ge=0, le=promise_rows.MOST_GRACE_DAYS)] = 1
    settles_minor: Annotated[int, Field(gt=0, lt=10**15)] | None = None
    """Of a settlement: how much of the balance it settles; by default all of it."""
    agent: Annotated[str, Field(max_length=64)] | None = None
    attempt: UUID | None = None
    """The conversation it was made in."""
    key: UUID | None = None
    """Your own id of it: sent again because no answer came, it is written once."""


class NewRestriction(BaseModel):
    """Why somebody may not be contacted, and on what."""

    model_config = ConfigDict(extra="forbid")
    kind: RestrictionKind
    scope: RestrictionScope = RestrictionScope.PERSON
    phone: UUID | None = None
    """Which phone, for the scopes `phone` and `number`."""
    channel: Channel | None = None
    hours: Annotated[str, Field(max_length=200)] | None = None
    """Of the callee, for `inconvenient_hours`: `mon-fri 09:00-17:00`."""
    until: AwareDatetime | None = None
    source: Annotated[str, Field(max_length=128)] = ""


class NewConsent(BaseModel):
    """What a person said about being contacted."""

    model_config = ConfigDict(extra="forbid")
    channel: Channel
    granted: bool
    phone: UUID | None = None
    """Only this number; by default every one."""
    source: Annotated[str, Field(min_length=1, max_length=128)]


class NewCallback(BaseModel):
    """When somebody asked to be called."""

    model_config = ConfigDict(extra="forbid")
    campaign: Annotated[str, Field(max_length=64)]
    at: AwareDatetime
    agent: Annotated[str, Field(max_length=64)] | None = None
    """Whose it is; by default any agent's."""
    open_from: AwareDatetime | None = None
    """From then on any agent's; by default from its time on."""
    phone: UUID | None = None


class NewNote(BaseModel):
    """A note about an account."""

    model_config = ConfigDict(extra="forbid")
    note: Annotated[str, Field(min_length=1, max_length=account_notes.MOST_CHARACTERS)]
    attempt: UUID | None = None
    key: UUID | None = None
    """Your own id of it: sent again because no answer came, it is written once."""


class NewDocument(BaseModel):
    """A document that lies in an archive of the customer's."""

    model_config = ConfigDict(extra="forbid")
    kind: Annotated[str, Field(max_length=32)]
    title: Annotated[str, Field(max_length=200)]
    location: Annotated[str, Field(max_length=1000)]
    sha256: Annotated[str, Field(max_length=64)] | None = None


@router.post(
    "/accounts/{account}/promises", dependencies=_WRITES, responses=shape(PromiseRow, "As it was written")
)
async def make_promise(
    account: UUID, request: Request, engine: Engine, parts: Parts, what: Annotated[NewPromise, Body()], if_match: IfMatch = "",
) -> Response:  # fmt: skip
    """Write a promise in place of the open one; the account is not called until it is kept or broken."""
    agent = _agent(parts, _said_by(request, what.agent))
    now, actor = engine.now(), engine.actor

    instalments = [(one.due_date, one.amount_minor) for one in what.instalments]
    who = principal_of(request)
    bound = at_a_desk(who)
    if bound and what.attempt and not await parts.rights.had(who.agent, str(what.attempt)):
        raise Problem(403, "forbidden", "this was no conversation of this agent's, or it is long over")

    def write(tx: Tx) -> PromiseRow:
        if not (what.key and promise_rows.get(tx, str(what.key))):  # one sent again is answered as it was
            _unchanged(tx, account, if_match, now)
        if bound:
            _check_policy(tx, parts, account, what, instalments, now.date())
        return promises.make(
            tx,
            account_id=AccountId(str(account)),
            instalments=instalments,
            kind=what.kind,
            now=now,
            grace_days=what.grace_days,
            settles_minor=what.settles_minor,
            agent_id=agent,
            attempt_id=AttemptId(str(what.attempt)) if what.attempt else None,
            actor=actor,
            promise_id=str(what.key) if what.key else None,
        )

    return answer(await parts.write(write))


@router.post("/promises/{promise}/cancel", dependencies=_SUPERVISES, responses=shape(dict, "Done"))
async def cancel_promise(promise: UUID, engine: Engine, parts: Parts) -> Response:
    """Take an open promise back; the account may be called again."""
    now, actor = engine.now(), engine.actor

    def write(tx: Tx) -> None:
        found = promise_rows.get(tx, str(promise))
        if found is None:
            raise CommandRefusedError("there is no such promise", "unknown")
        promises.cancel(tx, found, now, actor=actor)

    return answer(await parts.write(write))


@router.post(
    "/accounts/{account}/restrictions", dependencies=_WRITES, responses=shape(dict[str, str], "Its id")
)
async def restrict(account: UUID, engine: Engine, parts: Parts, what: Annotated[NewRestriction, Body()]) -> Response:  # fmt: skip
    """Restrict the account, its person or one of their phones: in force for the next claim, and for what rings now."""
    now, actor = engine.now(), engine.actor

    def write(tx: Tx) -> dict[str, str]:
        made = restricting.restrict(
            tx,
            account_id=AccountId(str(account)),
            kind=what.kind,
            scope=what.scope,
            source=what.source or actor,
            actor=actor,
            now=now,
            phone_id=PhoneId(str(what.phone)) if what.phone else None,
            channel=what.channel,
            hours=what.hours,
            until_utc=what.until,
        )
        return {"id": made}

    return answer(await parts.write(write))


@router.post("/restrictions/{restriction}/lift", dependencies=_SUPERVISES, responses=shape(dict, "Done"))
async def lift_restriction(restriction: UUID, engine: Engine, parts: Parts) -> Response:
    """End a restriction now; leads that it had finished may be dialed again."""
    now, actor = engine.now(), engine.actor
    await parts.write(lambda tx: restricting.lift(tx, str(restriction), now, actor=actor))
    return answer(None)


@router.post("/accounts/{account}/consents", dependencies=_WRITES, responses=shape(dict[str, str], "Its id"))
async def record_consent(account: UUID, engine: Engine, parts: Parts, what: Annotated[NewConsent, Body()]) -> Response:  # fmt: skip
    """Write what the account's person said about a channel; the latest word counts."""
    now, actor = engine.now(), engine.actor

    def write(tx: Tx) -> dict[str, str]:
        person_id = _person(tx, account)
        phone_id = PhoneId(str(what.phone)) if what.phone else None
        if phone_id is not None and all(one.id != phone_id for one in people.phones_of(tx, [person_id])[person_id]):  # fmt: skip
            raise CommandRefusedError("this phone is not one of the person's", "unknown")
        made = consents.record(
            tx, person_id, what.channel, granted=what.granted, source=what.source, at_utc=now, phone_id=phone_id, actor=actor
        )  # fmt: skip
        return {"id": made}

    return answer(await parts.write(write))


@router.post("/accounts/{account}/callbacks", dependencies=_WRITES, responses=shape(dict[str, str], "Its id"))
async def ask_callback(
    account: UUID, request: Request, engine: Engine, parts: Parts, what: Annotated[NewCallback, Body()], if_match: IfMatch = "",
) -> Response:  # fmt: skip
    """Write that they asked to be called at a time, in place of the campaign's open call-back of this account; the gate still decides."""
    agent, now, actor = _agent(parts, _said_by(request, what.agent)), engine.now(), engine.actor

    def write(tx: Tx) -> dict[str, str]:
        _unchanged(tx, account, if_match, now)
        made = callbacks_asked.ask(
            tx,
            account_id=AccountId(str(account)),
            campaign_id=CampaignId(what.campaign),
            at_utc=what.at.astimezone(dt.UTC),
            agent_id=agent,
            open_from_utc=what.open_from.astimezone(dt.UTC) if what.open_from else None,
            phone_id=PhoneId(str(what.phone)) if what.phone else None,
            now=now,
            actor=actor,
        )
        return {"id": made}

    return answer(await parts.write(write))


@router.post(
    "/accounts/{account}/notes", dependencies=_WRITES, responses=shape(AccountNoteRow, "As it was written")
)
async def write_note(account: UUID, engine: Engine, parts: Parts, what: Annotated[NewNote, Body()]) -> Response:  # fmt: skip
    """Write a note about the account. Notes are kept as written."""
    now, actor = engine.now(), engine.actor

    def write(tx: Tx) -> AccountNoteRow:
        _person(tx, account)
        attempt_id = AttemptId(str(what.attempt)) if what.attempt else None
        tried = claims.tried(tx, attempt_id) if attempt_id else None
        if attempt_id and (tried is None or tried.account_id != str(account)):
            raise CommandRefusedError("this attempt is not one of this account's", "unknown")
        return account_notes.add(
            tx,
            AccountId(str(account)),
            author=actor,
            note=what.note,
            at_utc=now,
            attempt_id=attempt_id,
            note_id=str(what.key) if what.key else None,
        )

    return answer(await parts.write(write))


@router.post(
    "/accounts/{account}/documents", dependencies=_WRITES, responses=shape(DocumentRow, "As it was written")
)
async def link_document(account: UUID, engine: Engine, parts: Parts, what: Annotated[NewDocument, Body()]) -> Response:  # fmt: skip
    """Link a document of the customer's archive to the account; files are brought in by `dialer accounts document`."""
    now, actor = engine.now(), engine.actor

    def write(tx: Tx) -> DocumentRow:
        if what.location.startswith(f"{proof.FOLDER}/"):
            raise CommandRefusedError("location: this is where files brought in here lie", "invalid")
        return proof.add(
            tx, account_id=AccountId(str(account)), kind=what.kind, title=what.title, location=what.location,
            sha256=what.sha256.lower() if what.sha256 else None, actor=actor, now=now,
        )  # fmt: skip

    return answer(await parts.write(write))


def _check_policy(
    tx: Tx, parts: ApiParts, account: UUID, what: NewPromise, instalments: list[tuple[dt.date, int]], today: dt.date
) -> None:  # fmt: skip
    """Hold what an agent agreed to against the policy of the campaign in which they talked; where none is named, of each that lists the account."""
    tried = claims.tried(tx, AttemptId(str(what.attempt))) if what.attempt else None
    listed = [one.campaign_id for one in leads.of_account(tx, AccountId(str(account)))]
    known = [
        parts.settings.campaigns.get(CampaignId(name)) for name in ([tried.campaign_id] if tried else listed)
    ]
    row = people.account(tx, AccountId(str(account)))
    if row is not None and not (what.key and promise_rows.get(tx, str(what.key))):
        for policy in [one.promises for one in known if one is not None] or [PromiseSettings()]:
            promise_policy.check(policy, instalments, what.kind, row["balance_minor"], row["currency"], today)


def _unchanged(tx: Tx, account: UUID, seen: str, now: dt.datetime) -> None:
    """Refuse an edit by somebody who saw the account before another changed it; who names no version edits whatever it is."""
    if seen and seen.strip().strip('"') != account_view.version(
        account_view.view(tx, AccountId(str(account)), now)
    ):
        raise Problem(
            412,
            "changed",
            "somebody has changed this account since you saw it: read it again, and decide anew",
        )


def _person(tx: Tx, account: UUID) -> PersonId:
    found = people.account(tx, AccountId(str(account)))
    if found is None:
        raise CommandRefusedError("there is no such account", "unknown")
    return PersonId(found["person_id"])


def _said_by(request: Request, agent: str | None) -> str | None:
    """Return whose it is: an agent at their desk writes nothing in another's name."""
    own = principal_of(request).agent if principal_of(request).role is Role.AGENT else ""
    if own and agent not in (None, own):
        raise Problem(403, "forbidden", "an agent writes in their own name only")
    return agent


def _agent(parts: ApiParts, name: str | None) -> AgentId | None:
    if name is not None and AgentId(name) not in parts.settings.agents:
        raise CommandRefusedError("there is no such agent; GET /api/v1/agents lists them", "unknown")
    return AgentId(name) if name is not None else None
