"""The consent table: what people said about being contacted, every word of it kept; the latest counts.

It owns the rows. What needs consent is the rule pack's (`compliance/`); a voice consent about one number is on its phone too, which the
claim reads.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection

import msgspec
from sqlalchemy import Table, bindparam, insert, select

from dialer_core.store import account_leads, people
from dialer_core.store.portfolio_models import Consent
from dialer_core.store.prepared import Prepared
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Channel, PersonId, PhoneId, new_id

WAITS = "consent"
"""What a lead waits for whose person must agree first."""

_TABLE: Table = Consent.__table__  # type: ignore[assignment]
_CURRENT = Prepared(
    select(_TABLE.c.person_id, _TABLE.c.phone_id, _TABLE.c.granted)
    .where(
        _TABLE.c.person_id.in_(bindparam("persons", expanding=True)),
        _TABLE.c.channel == bindparam("by"),
        _TABLE.c.purpose == bindparam("why"),
    )
    .order_by(_TABLE.c.at_utc, _TABLE.c.id)
)


def record(
    tx: Tx,
    person_id: PersonId,
    channel: Channel,
    *,
    granted: bool,
    source: str,
    at_utc: dt.datetime,
    phone_id: PhoneId | None = None,
    purpose: str = "collection",
    actor: str = "",
) -> str:
    """Write what a person said: about one of their numbers, or about a channel altogether; return its id."""
    row = {
        "id": new_id(),
        "person_id": person_id,
        "phone_id": phone_id,
        "channel": channel.value,
        "purpose": purpose,
        "granted": granted,
        "source": source[:128],
        "at_utc": at_utc,
    }
    tx.execute(insert(_TABLE), row)
    if channel is Channel.VOICE and phone_id is not None:
        people.update_phone(tx, phone_id, {"consent": granted})
    if granted:
        account_leads.reopen_person(tx, person_id, waiting_for=WAITS)
    tx.audit("consent.recorded", f"consent {row['id']}", actor=actor, channel=channel.value, granted=granted)
    return str(row["id"])


def current(
    tx: Tx, person_ids: Collection[str], channel: Channel, purpose: str = "collection"
) -> dict[tuple[PersonId, PhoneId | None], bool]:
    """Return the latest word of these people about a channel, by person and number (None: about all of them)."""
    asked = {"persons": list(person_ids), "by": channel.value, "why": purpose}
    return {(row.person_id, row.phone_id): row.granted for row in tx.execute(_CURRENT, asked)}


class ConsentRow(msgspec.Struct, frozen=True, kw_only=True):
    """One word of a person about being contacted."""

    id: str
    person_id: PersonId
    phone_id: PhoneId | None
    channel: Channel
    purpose: str
    granted: bool
    source: str
    at_utc: dt.datetime


def of(tx: Tx, person_id: PersonId) -> list[ConsentRow]:
    """Return every word of a person, the latest first."""
    query = (
        select(_TABLE)
        .where(_TABLE.c.person_id == person_id)
        .order_by(_TABLE.c.at_utc.desc(), _TABLE.c.id.desc())
    )
    return [ConsentRow(**row) for row in tx.execute(query).mappings()]
