"""Importing earlier contacts, by whatever channel, made before this system or beside it: the caps count them.

It owns the columns of such a file. What a cap counts is `compliance/caps.py`'s.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import zoneinfo
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dialer_core.campaigns import cell_values
from dialer_core.campaigns.lead_columns import HEADERS
from dialer_core.campaigns.leads_import import Progress
from dialer_core.campaigns.mapping_file import MappingFile
from dialer_core.campaigns.payments_import import accounts_of
from dialer_core.campaigns.table_import import Field, Reject, Row, TableReport, import_table, local_time
from dialer_core.compliance.phone_numbers import normalise
from dialer_core.store import contacts
from dialer_core.store.contacts import PriorContact
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Channel

_CHANNELS = {
    Channel.VOICE: ("voice", "voz", "llamada", "call", "telefono", "phone"),
    Channel.SMS: ("sms", "mensaje", "text"),
    Channel.WHATSAPP: ("whatsapp", "wa"),
    Channel.EMAIL: ("email", "correo", "mail", "e_mail"),
    Channel.VISIT: ("visit", "visita"),
}
_YES = frozenset({"1", "si", "s", "yes", "y", "true", "x", "verdadero"})
_NO = frozenset({"0", "no", "n", "false", "falso"})


def _channel(text: str) -> Channel:
    folded = cell_values.fold(text)
    for channel, names in _CHANNELS.items():
        if folded in names:
            return channel
    raise ValueError(f"not a channel; write {', '.join(Channel)}")


def _yes(text: str) -> bool:
    folded = cell_values.fold(text)
    if folded in _YES:
        return True
    if folded in _NO:
        return False
    raise ValueError("neither yes nor no")


def fields(zone: dt.tzinfo) -> dict[str, Field]:
    """Return the columns of a file whose times are in this zone, unless they carry an offset."""
    return {
        "account": Field(HEADERS["external_id"], needed=True),
        "portfolio": Field(HEADERS["portfolio"]),
        "at": Field(("fecha", "fecha_hora", "fecha_contacto", "date", "at", "time", "datetime"), local_time(zone), needed=True),
        "channel": Field(("canal", "medio", "channel"), _channel),
        "phone": Field(HEADERS["phone"], normalise, spared=True),
        "conversation": Field(("conversacion", "contacto", "contacto_directo", "conversation", "talked"), _yes),
        "outcome": Field(("resultado", "outcome", "result")),
        "contact": Field(("id_contacto", "id_gestion", "gestion", "contact_id", "id_llamada", "call_id")),
    }  # fmt: skip


def import_contacts(
    database: Database,
    file: Path,
    *,
    reject_dir: Path,
    zone: str = "America/Mexico_City",
    mapping: MappingFile | None = None,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> TableReport:
    """Import a file of earlier contacts; `zone` is that of times without an offset, the rest and the errors are `import_table`'s."""
    now = database.clock.utc()

    def write(tx: Tx, rows: Sequence[Row], reject: Reject) -> int:
        accounts = accounts_of(tx, rows)
        found: dict[str, PriorContact] = {}
        for row in rows:
            values = row.values
            account = accounts.get((values.get("portfolio", "default"), values["account"]))
            if account is None:
                reject(row, "account", "no such account")
            elif values["at"] > now:
                reject(row, "at", "lies in the future")
            else:
                number = _number(values, account["id"])
                found[number] = PriorContact(
                    external_id=number,
                    person_id=account["person_id"],
                    account_id=account["id"],
                    channel=values.get("channel", Channel.VOICE),
                    address=values.get("phone", ""),
                    at_utc=values["at"],
                    outcome=(values.get("outcome") or None) and cell_values.fold(values["outcome"])[:24],
                    conversation=values.get("conversation", False),
                )
        return contacts.add_prior(tx, list(found.values()))

    return import_table(
        database, file, "contacts", fields(zoneinfo.ZoneInfo(zone)), write,
        reject_dir=reject_dir, mapping=mapping, dry_run=dry_run, progress=progress,
    )  # fmt: skip


def _number(values: dict[str, Any], account_id: str) -> str:
    """Return what a contact is known by: the customer's own number of it, or account, time, channel and phone."""
    if "contact" in values:
        return f"{account_id}/{values['contact']}"[:128]
    told = (
        account_id,
        values["at"].isoformat(),
        values.get("channel", Channel.VOICE),
        values.get("phone", ""),
    )
    return hashlib.sha256("|".join(told).encode()).hexdigest()
