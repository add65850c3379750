"""The audit chain and what is in it; what people consented to."""

import pytest

from dialer_core.store import audit, consents, restrictions
from dialer_core.store.database import Database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import Channel, RestrictionKind, RestrictionScope
from tests.store.rows import NOON, TABLES, put_campaign, put_debtor

pytestmark = pytest.mark.db


def undone(tx: Tx) -> None:
    """Audit something and raise."""
    tx.audit("thing.undone", "thing x")
    raise ZeroDivisionError


def test_entries_are_chained(database: Database) -> None:
    """Entries of several transactions stand in one chain; those of a block that raised are not in it."""
    for number in range(2):
        with database.write() as tx:
            tx.audit("thing.done", f"thing {number}", count=number)
            with pytest.raises(ZeroDivisionError), tx.savepoint():
                undone(tx)
            tx.audit("thing.done", f"thing {number}b", actor="agent:ana")
    with database.read() as tx:
        found = tx.execute(TABLES["audit"].select().order_by(TABLES["audit"].c.seq)).mappings().all()
    assert [(row["seq"], row["subject"]) for row in found] == [
        (1, "thing 0"),
        (2, "thing 0b"),
        (3, "thing 1"),
        (4, "thing 1b"),
    ]
    before = audit.FIRST
    for row in found:
        columns = {key: value for key, value in row.items() if key != "digest"}
        assert row["digest"] == audit.digest(before, **columns)
        before = row["digest"]


def test_a_restriction_is_accounted_for_without_its_number(database: Database) -> None:
    """Whoever restricts leaves an entry, which names the restriction and not the number (I17)."""
    with database.write() as tx:
        restrictions.add(
            tx,
            RestrictionKind.DO_NOT_CALL,
            RestrictionScope.NUMBER,
            "+525511110000",
            source="x",
            from_utc=NOON,
        )
    with database.read() as tx:
        [row] = tx.execute(TABLES["audit"].select()).mappings().all()
    assert row["action"] == "restriction.added"
    assert "5511110000" not in str(row)


def test_the_latest_word_counts(database: Database) -> None:
    """Consent given and taken back is not given; a word about one number by voice is on the phone, where the claim reads it."""
    with database.write() as tx:
        put_campaign(tx)
        debtor = put_debtor(tx, "+525511110000")
        for granted in (True, False):
            consents.record(
                tx,
                debtor.person,
                Channel.VOICE,
                granted=granted,
                source="call",
                at_utc=NOON,
                phone_id=debtor.phone,
            )
        consents.record(tx, debtor.person, Channel.SMS, granted=True, source="form", at_utc=NOON)
        assert consents.current(tx, [debtor.person], Channel.VOICE) == {(debtor.person, debtor.phone): False}
        assert consents.current(tx, [debtor.person], Channel.SMS) == {(debtor.person, None): True}
        assert tx.scalar(TABLES["phone"].select().with_only_columns(TABLES["phone"].c.consent)) is False
