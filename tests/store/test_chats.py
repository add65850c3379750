"""Chats that two write at once."""

from __future__ import annotations

import datetime as dt

import pytest

from dialer_core.messaging import chats
from dialer_core.store import chats as rows
from dialer_core.store.chats import ChatRow
from dialer_core.store.database import Database
from dialer_core.vocabulary import Channel, ChatState, new_id

pytestmark = pytest.mark.db

NOW = dt.datetime(2026, 11, 20, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize("migrated_url", ["postgresql"], indirect=True)  # SQLite has one writer
def test_who_answers_in_the_last_moment_is_not_expired(database: Database) -> None:
    """A chat whose answer is being stored is passed over by the one that closes late chats, and what the answer wrote stays."""
    chat = ChatRow(
        id=new_id(), channel=Channel.SMS, address="+525500000001", person_id=None, account_id=None, campaign_id=None, phone_id=None,
        state=ChatState.BOT, flow="f", began_at_utc=NOW, waits_since_utc=NOW, expires_at_utc=NOW,
    )  # fmt: skip
    with database.write() as tx:
        rows.add(tx, chat)
    with database.write() as answering:
        kept = rows.get(answering, chat.id)
        assert kept is not None
        with database.write() as closing:
            assert chats.expire(closing, NOW + dt.timedelta(hours=1)) == 0
        chats.heard(answering, kept, NOW, place={"step": "menu"})
    with database.read() as tx:
        (found,) = rows.in_state(tx, ChatState.BOT)
    assert found.place == {"step": "menu"}
