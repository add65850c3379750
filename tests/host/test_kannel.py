"""SMS through a gateway of others: a real host, Kannel by the mapping of its HTTP interface, and behind it a message centre by SMPP."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.store import messages
from dialer_core.verify import verify_store
from dialer_core.vocabulary import CampaignId, MessageState
from plugins.sms.alphabet import decode
from tests.campaigns.lists import CAMPAIGN, put_lead, put_list_campaign, rows
from tests.host.running import free_port, running_host
from tests.host.test_messages import NUMBER, SHIPPED, state_of
from tests.plugins.message_centre import MessageCentre, message_centre, receipt_text
from tests.polling import wait_until_async
from tests.skips import requires_program

pytestmark = [pytest.mark.db, pytest.mark.timeout(90)]

SMS = """
provider = "http"
[request]
method = "GET"
url = "http://127.0.0.1:{sendsms}/cgi-bin/sendsms"
[request.query]
username = "dialer"
password = "{{secret}}"
from = "55000"
to = "{{digits}}"
text = "{{text}}"
coding = "2"
charset = "UTF-8"
dlr-mask = "19"
dlr-url = "http://127.0.0.1:{hooks}/hooks/sms?key=word&status=%d&id={{id}}"
[receipts]
id = "id"
status = "status"
delivered = ["1"]
failed = ["2", "16"]
[inbound]
id = "id"
sender = "from"
text = "text"
[signature]
scheme = "token"
field = "key"
secret_file = "../word"
"""
KANNEL = """
group = core
admin-port = {admin}
admin-password = bar
smsbox-port = {smsbox}
box-allow-ip = "127.0.0.1"
dlr-storage = internal

group = smsc
smsc = smpp
smsc-id = centre
host = 127.0.0.1
port = {centre}
transceiver-mode = true
smsc-username = kannel
smsc-password = secret
system-type = ""
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}

group = sendsms-user
username = dialer
password = pass

group = sms-service
keyword = default
catch-all = yes
max-messages = 0
get-url = "http://127.0.0.1:{hooks}/hooks/sms?key=word&id=%I&from=%p&text=%a"
"""


@contextlib.asynccontextmanager
async def kannel(folder: Path, **ports: int) -> AsyncIterator[None]:
    """Run Kannel's two programs until the block ends."""
    file = folder / "kannel.conf"
    file.write_text(KANNEL.format(**ports))
    running = []
    try:
        for program, port in (("bearerbox", ports["smsbox"]), ("smsbox", ports["sendsms"])):
            log = (folder / f"{program}.log").open("wb")
            running.append(await asyncio.create_subprocess_exec(program, "-v", "1", str(file), stdout=log, stderr=log, cwd=folder))  # fmt: skip
            log.close()
            await wait_until_async(lambda port=port: _listens(port), 20, f"{program} to listen")  # type: ignore[misc]
        yield
    finally:
        for one in reversed(running):
            with contextlib.suppress(ProcessLookupError):
                one.kill()
            await one.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@requires_program("bearerbox")
async def test_the_whole_chain(tmp_path: Path) -> None:
    """A message goes through Kannel to the centre; its receipt and an opt-out come back through Kannel to our webhook, and count."""
    ports = {name: free_port() for name in ("admin", "smsbox", "sendsms", "hooks")}
    config = tmp_path / "config"
    (config / "plugins").mkdir(parents=True)
    (config / "templates").mkdir()
    shutil.copytree(SHIPPED / "compliance", config / "compliance")
    (config / "word").write_text("word")
    (config / "pass").write_text("pass")
    text = (
        SMS.format(**ports)
        .replace("../word", "word")
        .replace("[request.query]", 'secret_file = "pass"\n[request.query]')
    )
    (config / "plugins" / "sms.toml").write_text(text)
    (config / "templates" / "aviso.toml").write_text(
        'channel = "sms"\n[text]\nes = "Hola {{ first_name }} ñ 😀. Responda BAJA."\n'
    )

    async def take(centre: MessageCentre, event: Any) -> None:
        await centre.accept(event)
        await centre.deliver(receipt_text("m1"), esm_class=4, source=event.destination_addr)

    campaigns = {CampaignId(CAMPAIGN): CampaignSettings(rule_pack="demo", trunks=("t",))}
    hooks = {"enabled": True, "port": ports["hooks"]}
    async with message_centre() as centre:
        centre.on_submit = take
        async with (
            running_host(tmp_path, plugins=("sms",), campaigns=campaigns, webhooks=hooks) as running,
            kannel(tmp_path, centre=centre.port, **ports),
        ):
            await wait_until_async(lambda: bool(centre.sessions), 20, "Kannel's bind")
            with running.database.write() as tx:
                put_list_campaign(tx)
                debtor = put_lead(tx, [NUMBER])
            body = {"campaign": CAMPAIGN, "account": debtor.account, "template": "aviso"}
            answer = await running.client.post("/api/v1/messages", json=body)
            assert answer.status_code == 200, answer.text
            sent = answer.json()["id"]
            await wait_until_async(
                lambda: state_of(running.database, sent) is MessageState.DELIVERED, 20, "the receipt"
            )
            [got] = centre.submits
            assert decode(got.data_coding, got.short_message) == "Hola Debtor ñ 😀. Responda BAJA."
            assert (await centre.deliver(b"Baja, por favor")).is_success

            def restricted() -> bool:
                with running.database.read() as tx:
                    return bool(rows(tx, "restriction"))

            await wait_until_async(restricted, 20, "the opt-out")
            with running.database.read() as tx:
                assert len(messages.conversation(tx, debtor.person)) == 2
            assert [str(one) for one in verify_store(running.database).violations] == []
