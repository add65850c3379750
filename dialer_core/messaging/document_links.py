"""Links to documents: signed, for a time, for one account and one document, behind a question, dead once the person may not be reached there.

    [link]                                   # in a template, whose text says {{ document_link }}
    letter = "convenio"                      # one of its own [[letters]], or:
    # document = "statement"                 # the account's latest document of this kind
    days = 7
    field = "account.number"                 # what they are asked for before it opens, by its last digits; "" for nothing
    digits = 4

It owns the token, and whether a link opens. The token holds the id of a key, the id of the message that carried it, and a signature over these
and over account, document and time: nothing personal, and nothing that is of use elsewhere. The page is `http/document_links.py`'s, the row
`store/document_links.py`'s.
"""

from __future__ import annotations

import base64
import datetime as dt
import enum
import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from pydantic import Field, model_validator

from dialer_core.errors import CommandRefusedError
from dialer_core.messaging import letters
from dialer_core.portfolio import proof
from dialer_core.setting_types import Section
from dialer_core.store import document_links, documents, messages, people, restrictions
from dialer_core.store.document_links import LinkRow
from dialer_core.store.messages import MessageRow
from dialer_core.store.people import PersonRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import MessageId, RestrictionKind, RestrictionScope

FIELD: Final = "document_link"
"""What a template's text says where the link stands."""
PATH: Final = "/d/"
NUMBER: Final = "account.number"
ATTRIBUTE: Final = "x."
MOST_WRONG: Final = 10
"""Wrong answers after which a link is ended."""
_SIGNED_BYTES: Final = 16
_NOT_AGAINST_LINKS: Final = frozenset({RestrictionKind.INCONVENIENT_HOURS, RestrictionKind.ABANDONMENT_LOCK})
"""They say when, and not that the person is not to be reached."""


class LinkSpec(Section):
    """`[link]` of a template: what `{{ document_link }}` leads to."""

    document: str = Field(default="", pattern=r"^[a-z0-9_]{0,32}$")
    """The kind of the account's document, of which the latest is meant."""
    letter: str = Field(default="", pattern=r"^[A-Za-z0-9_-]{0,48}$")
    """Or one of the template's own `[[letters]]`, which then goes by the link alone."""
    days: Annotated[float, Field(gt=0, le=90)] = 7.0
    """It opens for so long after the message was queued."""
    field: str = Field(default=NUMBER, pattern=r"^(account\.number|x\.[^\s]{1,64}|)$")
    """What they are asked for first: the account's number, an attribute (`x.anio_nacimiento`), or nothing."""
    digits: Annotated[int, Field(ge=2, le=12)] = 4
    """Its last so many letters and digits."""
    question: dict[str, str] = Field(default_factory=dict)
    """How it is asked, by language; needed for an attribute."""

    @model_validator(mode="after")
    def _one(self) -> LinkSpec:
        if bool(self.document) == bool(self.letter):
            msg = "a link leads either to a document (its kind) or to a letter of this template"
            raise ValueError(msg)
        if self.field.startswith(ATTRIBUTE) and not self.question:
            msg = "question: say how the attribute is asked for, by language"
            raise ValueError(msg)
        return self


class LinkStanding(enum.Enum):
    """Whether a link opens."""

    OPENS = "opens"
    UNKNOWN = "unknown"
    """Forged, mangled, or of a message that is not there."""
    EXPIRED = "expired"
    ENDED = "ended"
    """By command, by wrong answers, or since the person is not to be reached there any more."""
    WRONG = "wrong"
    """The answer was."""


class Found(msgspec.Struct, frozen=True):
    """What stands behind a token."""

    standing: LinkStanding
    row: LinkRow | None = None
    content: bytes = b""
    """Of the document, where it was opened."""
    name: str = ""
    """What the file is called: its kind or letter, with its ending."""


_UNKNOWN: Final = Found(LinkStanding.UNKNOWN)


class DocumentLinks:
    """Signs links, and opens them.

    Parameters
    ----------
    base_url
        What stands before the path, as people see us: `https://docs.example.com`.
    keys
        By id; the first signs, the others open what they signed before.
    """

    def __init__(self, base_url: str, keys: Mapping[str, str]) -> None:
        self._base = base_url.rstrip("/")
        self._keys = {name: key.encode() for name, key in keys.items()}

    def made(
        self, tx: Tx, spec: LinkSpec, account: Mapping[str, Any], person: PersonRow, language: str, now: dt.datetime
    ) -> LinkRow:  # fmt: skip
        """Return a link for a message that is about to be written, and is none until the row is.

        Raises
        ------
        CommandRefusedError
            The account has no such document, or nothing is known of what would be asked.
        """
        document = None
        if spec.document:
            theirs = [one for one in documents.of(tx, [account["id"]]) if one.kind == spec.document]
            document = next((one for one in theirs if proof.is_kept(one.location)), None)
            if document is None:
                raise CommandRefusedError(
                    f"the account has no document of the kind {spec.document!r} that is kept here", "invalid"
                )
        if spec.field and len(_answer(account, spec.field, spec.digits)) < spec.digits:
            raise CommandRefusedError(
                f"the link asks for the last {spec.digits} of {spec.field}, and this account has fewer",
                "invalid",
            )
        spoken = language.partition("-")[0]
        return LinkRow(
            message_id=MessageId(""),
            account_id=account["id"],
            person_id=person.id,
            document_id=document.id if document else None,
            letter=spec.letter or None,
            field=spec.field,
            digits=spec.digits,
            question=spec.question.get(spoken) or next(iter(spec.question.values()), ""),
            until_utc=(now + dt.timedelta(days=spec.days)).replace(microsecond=0),
        )

    def url(self, row: LinkRow) -> str:
        """Return the address of a link, signed by the key that is first now."""
        name = next(iter(self._keys))
        told = base64.urlsafe_b64encode(uuid.UUID(row.message_id).bytes + self._sign(name, row))
        return f"{self._base}{PATH}{name}.{told.decode().rstrip('=')}"

    def look(self, tx: Tx, token: str, now: dt.datetime) -> Found:
        """Say whether a link opens now, before anything is asked."""
        return self._found(tx, token, now, keep=False)[0]

    def open(self, tx: Tx, token: str, said: str, now: dt.datetime, state_dir: Path) -> Found:
        """Open a link by what they answered, and account for it, whatever comes of it."""
        found, message = self._found(tx, token, now, keep=True)
        if found.row is None or message is None:
            return found
        row, subject = found.row, f"message {found.row.message_id}"
        if found.standing is not LinkStanding.OPENS:
            tx.audit("document_link.refused", subject, actor="link", why=found.standing.value)
            return found
        account = people.account(tx, row.account_id) or {}
        right = _answer(account, row.field, row.digits) if row.field else ""
        if row.field and len(right) < row.digits:  # what is asked for is gone: nothing is a right answer now
            tx.audit("document_link.refused", subject, actor="link", why="no_question")
            return Found(LinkStanding.ENDED, row)
        if row.field and not hmac.compare_digest(_plain(said)[-row.digits :].encode(), right.encode()):
            over = row.wrong + 1 >= MOST_WRONG
            document_links.put(
                tx,
                msgspec.structs.replace(
                    row, wrong=row.wrong + 1, ended_because="wrong_answers" if over else None
                ),
            )
            tx.audit("document_link.refused", subject, actor="link", why="wrong_answer", wrong=row.wrong + 1)
            return Found(LinkStanding.ENDED if over else LinkStanding.WRONG, row)
        try:
            content, name = _content(tx, row, message, state_dir)
        except CommandRefusedError:
            tx.audit("document_link.refused", subject, actor="link", why="no_document")
            return Found(LinkStanding.ENDED, row)
        document_links.put(tx, msgspec.structs.replace(row, opened=row.opened + 1))
        tx.audit(
            "document_link.opened", subject, actor="link", document=row.document_id, letter=row.letter or ""
        )
        return Found(LinkStanding.OPENS, row, content, name)

    def _found(self, tx: Tx, token: str, now: dt.datetime, *, keep: bool) -> tuple[Found, MessageRow | None]:
        name, _, told = token.partition(".")
        try:
            raw = base64.b64decode(told + "=" * (-len(told) % 4), altchars=b"-_", validate=True)
            message_id = str(uuid.UUID(bytes=raw[:16]))
        except ValueError:
            return _UNKNOWN, None
        if name not in self._keys or len(raw) != 16 + _SIGNED_BYTES:
            return _UNKNOWN, None
        row = document_links.get(tx, message_id, keep=keep)
        if row is None or not hmac.compare_digest(raw[16:], self._sign(name, row)):
            return _UNKNOWN, None
        message = messages.get(tx, [row.message_id]).get(row.message_id)
        if message is None:
            return _UNKNOWN, None
        if row.ended_because or not _reachable(tx, row, message, now):
            return Found(LinkStanding.ENDED, row), message
        return Found(LinkStanding.EXPIRED if now >= row.until_utc else LinkStanding.OPENS, row), message

    def _sign(self, name: str, row: LinkRow) -> bytes:
        signed = "\0".join(
            ("marcador document link", name, row.message_id, row.account_id, row.document_id or "", row.letter or "",
             row.until_utc.astimezone(dt.UTC).isoformat(timespec="seconds"))
        )  # fmt: skip
        return hmac.digest(self._keys[name], signed.encode(), hashlib.sha256)[:_SIGNED_BYTES]


def end(tx: Tx, message_id: MessageId, *, actor: str) -> None:
    """End the link of a message.

    Raises
    ------
    CommandRefusedError
        It carried none.
    """
    row = document_links.get(tx, message_id, keep=True)
    if row is None:
        raise CommandRefusedError("this message carried no link to a document", "unknown")
    document_links.put(tx, msgspec.structs.replace(row, ended_because=row.ended_because or "command"))
    tx.audit("document_link.ended", f"message {message_id}", actor=actor)


def sent_along(message: MessageRow) -> Sequence[Mapping[str, str]]:
    """Return the letters that go with a message itself, without the one that its link opens."""
    return [one for one in message.letters or () if not one.get(FIELD)]


def _reachable(tx: Tx, row: LinkRow, message: MessageRow, now: dt.datetime) -> bool:
    """Say whether the account is still theirs, and nothing says that they are not to be reached where the link went."""
    account = people.account(tx, row.account_id)
    if account is None or account["person_id"] != row.person_id:
        return False
    scoped: dict[RestrictionScope, list[str]] = {
        RestrictionScope.PERSON: [row.person_id],
        RestrictionScope.ACCOUNT: [row.account_id],
        RestrictionScope.PHONE: [message.phone_id] if message.phone_id else [],
        RestrictionScope.NUMBER: [message.address],
    }
    return not any(
        one.kind not in _NOT_AGAINST_LINKS and one.channel in {None, message.channel} and one.hours is None
        for one in restrictions.active(tx, scoped, now)
    )


def _content(tx: Tx, row: LinkRow, message: MessageRow, state_dir: Path) -> tuple[bytes, str]:
    if row.letter is not None:
        for one in message.letters or ():
            if one["name"] == row.letter:
                return letters.pdf(one["title"], one["text"]), f"{row.letter}.pdf"
        raise CommandRefusedError("the message has no such letter", "unknown")
    found = documents.get(tx, row.document_id or "")
    if found is None or found.account_id != row.account_id:
        raise CommandRefusedError("the account has no such document", "unknown")
    return proof.content(state_dir, found), f"{found.kind}{Path(found.location).suffix}"


def _answer(account: Mapping[str, Any], field: str, digits: int) -> str:
    value = (
        account.get("external_id")
        if field == NUMBER
        else (account.get("attributes") or {}).get(field.removeprefix(ATTRIBUTE))
    )
    return _plain(str(value or ""))[-digits:]


def _plain(text: str) -> str:
    return "".join(char for char in text.casefold() if char.isalnum())
