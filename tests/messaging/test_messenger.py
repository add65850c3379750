"""What is queued for a plugin's channel keeps that channel's rules, and names the number that this person knows."""

import datetime as dt
from pathlib import Path

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.errors import CommandRefusedError
from dialer_core.messaging import inbound
from dialer_core.messaging.channel import Inbound
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.messenger import Messenger
from dialer_core.messaging.templates import Template, load_template
from dialer_core.store import kept_caller_ids, messages
from dialer_core.store.database import Database
from dialer_core.vocabulary import Channel
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, rows, settings_of
from tests.messaging.conftest import NUMBER
from tests.messaging.test_sending import Provider

pytestmark = pytest.mark.db

KEPT = "+525511110002"


class Windowed(Provider):
    """A provider that takes free text for a day after the person wrote."""

    channel = Channel.WHATSAPP
    session_hours = 24.0


def messenger(database: Database, provider: Provider, template: Template | None = None) -> Messenger:
    """Return a messenger with one channel, for a campaign that shows numbers of a pool."""
    found = Messenger(
        database, templates={template.name: template} if template else {}, packs={}, clock=VirtualClock(NOON),
        campaigns={CAMPAIGN: settings_of(caller_ids="mx", caller_id="+525500000000")},
    )  # fmt: skip
    found.add_channel("plugin", provider)
    return found


async def test_free_text_goes_within_a_day_of_their_last_message(database: Database, debtor: Listed) -> None:
    """Before they wrote it is refused; then it is taken, and not sent once their day is over."""
    one = messenger(database, Windowed())
    by_hand = MessageRequest(
        campaign_id=CAMPAIGN, account_id=debtor.account, channel=Channel.WHATSAPP, body="Le llamo a las 5."
    )
    with pytest.raises(CommandRefusedError, match="within 24 hours of their last message"):
        await one.queue(by_hand, actor="test")
    wrote = NOON - dt.timedelta(hours=20)
    with database.write() as tx:
        inbound.receive(tx, Channel.WHATSAPP, Inbound(provider_id="1", sender=NUMBER, text="hola"), wrote)
    queued = await one.queue(by_hand, actor="test")
    with database.read() as tx:
        assert messages.get(tx, [queued])[queued].not_after_utc == wrote + dt.timedelta(hours=24)


@pytest.mark.parametrize(("kept", "told"), [(KEPT, KEPT), ("", "+525500000000")])
async def test_they_are_told_the_number_they_are_called_from(
    database: Database, debtor: Listed, tmp_path: Path, kept: str, told: str
) -> None:
    """The one of the pool that is theirs; the campaign's, while they have none."""
    file = tmp_path / "aviso.toml"
    file.write_text('channel = "sms"\n[text]\nes = "Llame al {{ callback_number }}. Responda BAJA."\n')
    if kept:
        with database.write() as tx:
            kept_caller_ids.keep(tx, "mx", debtor.person, kept, NOON, known=False)
    asked = MessageRequest(campaign_id=CAMPAIGN, account_id=debtor.account, template="aviso")
    await messenger(database, Provider(), load_template(file)).queue(asked, actor="test")
    with database.read() as tx:
        assert [row["body"] for row in rows(tx, "message")] == [f"Llame al {told}. Responda BAJA."]


@pytest.mark.parametrize(("name", "wrong"), [("channel", "sms"), ("per_second", "10"), ("at_once", 0)])
def test_a_channel_that_does_not_fit_is_refused_before_it_sends(
    database: Database, name: str, wrong: object
) -> None:
    """A plugin's channel with a word for a kind or a text for a number is told so: its plugin is disabled, and the host goes on."""
    odd = Provider()
    setattr(odd, name, wrong)
    with pytest.raises(ValueError, match="per_second and at_once"):
        messenger(database, odd)
