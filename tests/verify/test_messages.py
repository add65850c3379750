"""`verify` passes messages that went their way, and names those that did not (I11, I12, I15)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import update

from dialer_core.compliance.rules import RulePack
from dialer_core.messaging import inbound, outbox
from dialer_core.messaging.channel import Accepted, Inbound, NotAccepted, Receipt, Unknown
from dialer_core.messaging.templates import Template
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.verify import verify_store
from dialer_core.vocabulary import Channel, MessageId
from tests.campaigns.lists import NOON, TABLES, Listed, put_lead, put_restriction
from tests.messaging.conftest import NUMBER, debtor, mexico  # noqa: F401 - fixtures
from tests.messaging.test_outbox import claim, plain, queue  # noqa: F401 - a fixture among them

pytestmark = pytest.mark.db


@pytest.fixture
def sent(database: Database, debtor: Listed, plain: Template, mexico: RulePack) -> dict[str, MessageId]:  # noqa: F811
    """Return messages by what became of them: every state there is."""
    fates = ("delivered", "undelivered", "accepted", "refused", "busy", "uncertain", "submitting", "queued")
    ids: dict[str, MessageId] = {}
    with database.write() as tx:
        for nth, fate in enumerate(fates):
            one = debtor if nth == 0 else put_lead(tx, [f"+52550000000{nth}"])
            ids[fate] = queue(tx, one, plain, NOON if fate != "queued" else NOON + dt.timedelta(days=1))
        rows = {row.id: row for row in claim(tx, mexico)}
        answers = {
            "delivered": Accepted(provider_id="P1"), "undelivered": Accepted(provider_id="P2"), "accepted": Accepted(provider_id="P3"),
            "refused": NotAccepted(code="1", permanent=True), "busy": NotAccepted(code="2", permanent=False), "uncertain": Unknown(code="3"),
        }  # fmt: skip
        outbox.settle(tx, [(rows[ids[fate]], answer) for fate, answer in answers.items()], NOON)
        receipts = [Receipt(provider_id="P1", delivered=True), Receipt(provider_id="P2", delivered=False)]
        outbox.receive(tx, Channel.SMS, receipts, NOON)
        inbound.receive(tx, Channel.SMS, Inbound(provider_id="I1", sender=NUMBER, text="BAJA"), NOON)
    return ids


def found(database: Database) -> list[tuple[str, str, str]]:
    """Return what `verify` says of the store at noon: invariant, row, text."""
    report = verify_store(database, now=NOON + dt.timedelta(minutes=1))
    return [(one.invariant.value, one.row_id, one.text) for one in report.violations]


def test_every_way_of_a_message_is_clean(database: Database, sent: dict[str, MessageId]) -> None:
    """Messages in every state, and an opt-out after one was delivered: nothing is wrong."""
    assert len(sent) == 8
    assert found(database) == []


def change(table: str, row_id: str, **columns: Any) -> Callable[[Tx], None]:
    """Return what changes one row."""
    its = TABLES[table]
    return lambda tx: tx.execute(update(its).where(its.c.id == row_id).values(**columns)) and None


@pytest.mark.parametrize(
    ("fate", "columns", "invariant", "words"),
    [
        ("delivered", {"evidence": {"rule_pack": "mx"}}, "I11", "its evidence does not say version"),
        ("accepted", {"contact_id": None}, "I11", "has no contact of its own"),
        (
            "accepted",
            {"address": "+525599999999"},
            "I11",
            "is of another person, account, channel or address",
        ),
        (
            "submitting",
            {"submitted_at_utc": NOON - dt.timedelta(hours=1)},
            "I15",
            "has been submitting longer",
        ),
        ("accepted", {"provider_id": None}, "I15", "without the provider's id"),
        ("queued", {"state": "delivered"}, "I11", "its evidence does not say rule_pack"),
    ],
)
def test_planted_in_a_message(
    database: Database,
    sent: dict[str, MessageId],
    fate: str,
    columns: dict[str, Any],
    invariant: str,
    words: str,
) -> None:
    """The fault is named with its invariant and its message."""
    with database.write() as tx:
        change("message", sent[fate], **columns)(tx)
    assert [
        one for one in found(database) if one[0] == invariant and one[1] == sent[fate] and words in one[2]
    ]


def test_a_void_contact_of_a_message_that_went(database: Database, sent: dict[str, MessageId]) -> None:
    """What may have been read counts."""
    with database.write() as tx:
        tx.execute(update(TABLES["contact"]).values(settlement="void"))
    named = {row for invariant, row, text in found(database) if invariant == "I11" and "is void" in text}
    assert named == {sent[fate] for fate in ("delivered", "accepted", "uncertain", "submitting")}


def test_a_message_under_a_restriction(
    database: Database,
    sent: dict[str, MessageId],
    debtor: Listed,  # noqa: F811
) -> None:
    """One that left after the person asked for peace is named."""
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    with database.write() as tx:
        put_restriction(tx, "cease_contact", "person", debtor.person)
        change("message", sent["delivered"], submitted_at_utc=later)(tx)
    named = [(invariant, row) for invariant, row, _ in found(database) if invariant == "I12"]
    assert named == [("I12", sent["delivered"])]
