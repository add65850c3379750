"""`kill -9` between a submit and its answer: nothing is sent twice outside its template's policy, and what nobody can say stands in the open."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from dialer_core.messaging import composing
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.templates import load_template
from dialer_core.store import messages
from dialer_core.store.database import open_database
from dialer_core.verify import verify_store
from dialer_core.vocabulary import Channel, MessageState
from tests.campaigns.lists import CAMPAIGN, NOON, put_lead, put_list_campaign, rows
from tests.plugins.message_centre import MessageCentre, message_centre
from tests.polling import wait_until_async

pytestmark = [pytest.mark.db, pytest.mark.timeout(90)]

SENDER = """
import asyncio, sys
from dialer_core.clock import VirtualClock
from dialer_core.compliance.packs import load_packs
from dialer_core.messaging.sending import Sender
from dialer_core.store.database import open_database
from plugins.sms.settings import SmppSettings
from plugins.sms.smpp import SmppChannel
from tests.campaigns.lists import NOON
from tests.skips import ROOT

async def main():
    its = {"provider": "smpp", "system_id": "a", "password_env": "P", "source": "55000", "binds": [{"host": "127.0.0.1", "port": int(sys.argv[2])}]}
    channel = SmppChannel(SmppSettings.model_validate(its), "secret")
    channel.start()
    pack = load_packs(ROOT / "dialer_core" / "config_defaults" / "compliance")["mx"]
    await Sender(open_database(sys.argv[1]), channel, pack_of=lambda _: pack, clock=VirtualClock(NOON)).run()

asyncio.run(main())
"""


async def test_nothing_is_sent_twice(tmp_path: Path) -> None:
    """Five are submitted and unanswered when the process is killed: the next one sends none of them again, but for the one that may be."""
    url = f"sqlite:///{tmp_path}/store.db"
    database = open_database(url)
    database.migrate()
    templates = []
    for name, policy in (("hold", ""), ("resend", 'when_uncertain = "resend"\n')):
        file = tmp_path / f"{name}.toml"
        file.write_text(
            f'channel = "sms"\n{policy}[text]\nes = "Hola {{{{ first_name }}}} {name}. Responda BAJA."\n'
        )
        templates.append(load_template(file))
    with database.write() as tx:
        put_list_campaign(tx)
        for number in range(5):
            one = templates[number == 4]
            debtor = put_lead(tx, [f"+52551234567{number}"])
            request = MessageRequest(campaign_id=CAMPAIGN, account_id=debtor.account, template=one.name)
            composing.queue(tx, request, one, NOON, source="test")

    async def silent(_: MessageCentre, event: Any) -> None:
        kept.append(event)  # neither taken nor refused: the answer is on its way

    kept: list[Any] = []

    async def start(port: int) -> asyncio.subprocess.Process:
        with (tmp_path / "log").open("ab") as log:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-c", SENDER, url, str(port), stdout=log, stderr=log, env=os.environ
            )

    def states() -> list[str]:
        with database.read() as tx:
            return sorted(one["state"] for one in rows(tx, "message"))

    async with message_centre() as centre:
        centre.on_submit = silent
        first = await start(centre.port)
        await wait_until_async(lambda: len(centre.submits) == 5, 30, "five submits")
        first.send_signal(signal.SIGKILL)
        await first.wait()
        assert states() == ["submitting"] * 5
        centre.on_submit = MessageCentre.accept
        second = await start(centre.port)
        await wait_until_async(
            lambda: states() == ["held"] * 4 + ["queued"],
            30,
            "four to be held, and one to wait for its pause",
        )
        assert len(centre.submits) == 5
        second.send_signal(signal.SIGKILL)
        await second.wait()
    with database.read() as tx:
        assert {one.reason for one in messages.in_state(tx, MessageState.HELD)} == {"restarted"}
        told = [one["name"] for one in rows(tx, "event")]
        assert told.count("message.held") == 4  # the alert
        assert messages.counts(tx)[Channel.SMS, MessageState.QUEUED] == 1
    assert [str(one) for one in verify_store(database, now=NOON).violations] == []
    database.dispose()
