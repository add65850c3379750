"""What plugins contact people by themselves is asked of the gate, counted once, and kept in the history."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.errors import CommandRefusedError
from dialer_core.list_settings import PromiseSettings
from dialer_core.plugin_contacts import ContactRecords
from dialer_core.plugin_records import Records
from dialer_core.portfolio import proof
from dialer_core.store.database import Database
from dialer_core.vocabulary import AccountId, CampaignId, Channel
from tests.campaigns.lists import (
    CAMPAIGN,
    NOON,
    Listed,
    put_lead,
    put_list_campaign,
    put_restriction,
    rows,
    settings_of,
)
from tests.compliance.packs_for_tests import packaged
from tests.store.conftest import *  # noqa: F403 - fixtures: whichever that file needs among themselves

pytestmark = pytest.mark.db

NIGHT = NOON + dt.timedelta(hours=14)


@pytest.fixture
def debtor(database: Database) -> Listed:
    """Return a lead in Mexico City."""
    with database.write() as tx:
        put_list_campaign(tx)
        return put_lead(tx, ["+525512345678"])


def contacts_of(database: Database, at: dt.datetime, folder: Path) -> ContactRecords:
    """Return the contacts as the plugin `field_visits` may make them at an instant."""
    return ContactRecords(
        database, clock=VirtualClock(at), actor="user:vera", campaigns={CAMPAIGN: settings_of()}, packs={"mx": packaged("mx")}, state_dir=folder
    )  # fmt: skip


async def test_a_visit_is_asked_for_and_counted_once(
    database: Database, debtor: Listed, tmp_path: Path
) -> None:
    """What the gate allows is reserved under its key once, and settled by the first word that comes."""
    ours = contacts_of(database, NOON, tmp_path)
    [now, night] = await ours.words(CAMPAIGN, debtor.account, Channel.VISIT, [NOON, NIGHT])
    assert (now.allowed, night.allowed, night.rule) == (True, False, "window")
    for _ in range(2):
        assert (await ours.begin(CAMPAIGN, debtor.account, Channel.VISIT, "v1", address="home")).allowed
    await ours.settle("v1", outcome="spoke", conversation=True)
    await ours.settle("v1", outcome="nobody", conversation=False)
    with database.read() as tx:
        [one] = rows(tx, "contact")
    assert (one["channel"], one["settlement"], one["outcome"], one["conversation"], one["prior"]) == (
        "visit", "counted", "spoke", True, False,
    )  # fmt: skip


async def test_what_is_refused_is_not_begun_and_what_happened_is_counted(database: Database, debtor: Listed, tmp_path: Path) -> None:  # fmt: skip
    """At night nothing is reserved, and why is told; a visit that was made all the same is in the ledger, and in the audit."""
    ours = contacts_of(database, NIGHT, tmp_path)
    word = await ours.begin(CAMPAIGN, debtor.account, Channel.VISIT, "v1")
    assert (word.allowed, word.rule) == (False, "window")
    assert word.allowed_from is not None
    with database.read() as tx:
        assert rows(tx, "contact") == []
    late = await ours.begin(CAMPAIGN, debtor.account, Channel.VISIT, "v1", happened_at=NIGHT)
    assert not late.allowed
    await ours.settle("v1", outcome="spoke", conversation=True)
    with database.read() as tx:
        [one] = rows(tx, "contact")
        assert [row["action"] for row in rows(tx, "audit")] == ["contact.told_late"]
    assert (one["settlement"], one["outcome"], one["prior"]) == ("counted", "spoke", True)


async def test_a_restriction_refuses_a_visit(database: Database, debtor: Listed, tmp_path: Path) -> None:
    """Somebody who asked for no more contact is not visited either, and a visit that reached nobody is void."""
    ours = contacts_of(database, NOON, tmp_path)
    await ours.begin(CAMPAIGN, debtor.account, Channel.VISIT, "v1")
    await ours.settle("v1", outcome="wrong_address", conversation=False, reached=False)
    with database.write() as tx:
        assert [row["settlement"] for row in rows(tx, "contact")] == ["void"]
        put_restriction(tx, "cease_contact", "person", debtor.person)
    assert (await ours.begin(CAMPAIGN, debtor.account, Channel.VISIT, "v2")).rule == "cease_contact"
    with pytest.raises(CommandRefusedError, match="known are: spring"):
        await ours.begin(CampaignId("none"), debtor.account, Channel.VISIT, "v3")
    with pytest.raises(CommandRefusedError, match="no such account"):
        await ours.words(CAMPAIGN, AccountId(str(uuid.uuid4())), Channel.VISIT, [NOON])


async def test_notes_and_documents_are_there_once(database: Database, debtor: Listed, tmp_path: Path) -> None:
    """The same note and the same file again change nothing; a file is kept under its checksum and found again."""
    ours, key = contacts_of(database, NOON, tmp_path), str(uuid.uuid4())
    for _ in range(2):
        await ours.note(debtor.account, "Nobody at home.", key)
        made = await ours.keep_document(
            debtor.account, kind="visit_photo", title="Door", content=b"\xff\xd8\xff photo", suffix=".jpg"
        )
    assert proof.content(tmp_path, made) == b"\xff\xd8\xff photo"
    with database.read() as tx:
        assert len(rows(tx, "account_document")) == 1
        assert [(row["author"], row["note"]) for row in rows(tx, "account_note")] == [
            ("user:vera", "Nobody at home.")
        ]
    with pytest.raises(CommandRefusedError, match="1 byte"):
        await ours.keep_document(debtor.account, kind="visit_photo", title="Door", content=b"", suffix=".jpg")


async def test_a_promise_within_the_policy(database: Database, debtor: Listed) -> None:
    """What goes beyond what may be agreed to is refused; what was written under a key is answered as it was."""
    records = Records(database, clock=VirtualClock(NOON), actor="user:vera")
    policy, key, day = PromiseSettings(first_within_days=5), str(uuid.uuid4()), NOON.date()
    with pytest.raises(CommandRefusedError, match="within 5 days"):
        await records.promises.make(debtor.account, [(day + dt.timedelta(days=6), 100_00)], policy=policy)
    soon = [(day + dt.timedelta(days=4), 100_00)]
    made = await records.promises.make(debtor.account, soon, key=key, policy=policy)
    stricter = PromiseSettings(first_within_days=1)
    assert await records.promises.make(debtor.account, soon, key=key, policy=stricter) == made
