"""The bundled plugin `sms` in a real host: a message out through a provider on loopback, its receipt and an opt-out back in."""

from __future__ import annotations

import contextlib
import shutil
import socket
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import httpx2
import pytest

from dialer_core import host
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.store import messages
from dialer_core.store.database import Database
from dialer_core.verify import verify_store
from dialer_core.vocabulary import CampaignId, MessageId, MessageState
from plugins.sms.twilio import signature
from tests.campaigns.lists import CAMPAIGN, put_lead, put_list_campaign, rows
from tests.host.running import free_port, running_host
from tests.plugins.provider import http_provider
from tests.polling import wait_until_async
from tests.skips import ROOT

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

NUMBER = "+525512345678"
URL = "https://dialer.example/hooks/sms"
SHIPPED = ROOT / "dialer_core" / "config_defaults"


def configure(folder: Path, provider_url: str) -> None:
    """Write the files that the plugin and the messages need."""
    config = folder / "config"
    (config / "plugins").mkdir(parents=True)
    (config / "templates").mkdir()
    shutil.copytree(SHIPPED / "compliance", config / "compliance")
    (config / "token").write_text("secret")
    (config / "plugins" / "sms.toml").write_text(
        f'provider = "twilio"\n'
        f'base_url = "{provider_url}"\naccount_sid = "AC1"\nauth_token_file = "token"\nsender = "+525500000000"\npublic_url = "{URL}"\n'
    )
    (config / "templates" / "aviso.toml").write_text(
        'channel = "sms"\n[text]\nes = "Hola {{ first_name }}. Responda BAJA para salir."\n'
    )


def state_of(database: Database, message_id: str) -> MessageState:
    """Return what the store says of a message."""
    with database.read() as tx:
        return messages.get(tx, [message_id])[MessageId(message_id)].state


async def test_a_message_and_what_comes_back(tmp_path: Path) -> None:
    """Queued over the API, sent through the gate, delivered by its signed receipt; BAJA restricts the channel; `verify` is clean."""
    async with http_provider() as provider:
        provider.answer = lambda _: (201, {"sid": "SM1"}, {})
        configure(tmp_path, provider.url)
        campaigns = {CampaignId(CAMPAIGN): CampaignSettings(rule_pack="demo", trunks=("t",))}
        hooks = {"enabled": True, "port": free_port()}
        async with running_host(tmp_path, plugins=("sms",), campaigns=campaigns, webhooks=hooks) as running:
            with running.database.write() as tx:
                put_list_campaign(tx)
                debtor = put_lead(tx, [NUMBER])
            body = {"campaign": CAMPAIGN, "account": debtor.account, "template": "aviso"}
            answer = await running.client.post("/api/v1/messages", json=body)
            assert answer.status_code == 200, answer.text
            sent = answer.json()["id"]
            await wait_until_async(
                lambda: state_of(running.database, sent) is MessageState.ACCEPTED, 15, "the provider's answer"
            )
            [(_, _, raw)] = provider.requests
            assert dict(parse_qsl(raw.decode()))["Body"] == "Hola Debtor. Responda BAJA para salir."

            async with httpx2.AsyncClient(
                base_url=f"http://127.0.0.1:{hooks['port']}", trust_env=False
            ) as outside:

                async def tell(**fields: str) -> int:
                    signed = {"x-twilio-signature": signature("secret", URL, list(fields.items()))}
                    answer = await outside.post(
                        "/hooks/sms", content=urlencode(fields).encode(), headers=signed
                    )
                    return answer.status_code

                assert (await outside.post("/hooks/sms", content=b"MessageSid=SM1")).status_code == 403
                assert await tell(MessageSid="SM1", MessageStatus="delivered") == 200
                assert state_of(running.database, sent) is MessageState.DELIVERED
                assert await tell(MessageSid="SM2", From=NUMBER, Body="Baja, por favor") == 200
            with running.database.read() as tx:
                assert {(one["kind"], one["channel"]) for one in rows(tx, "restriction")} == {
                    ("refused_channel", "sms")
                }
            assert [str(one) for one in verify_store(running.database).violations] == []


async def test_what_is_wrong_with_messages_stops_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A template broken since, and a port for webhooks that somebody has: the host runs, says so, and listens as soon as it can."""
    monkeypatch.setattr(host, "WEBHOOKS_AGAIN_S", 0.1)
    async with http_provider() as provider:
        configure(tmp_path, provider.url)
        (tmp_path / "config" / "templates" / "broken.toml").write_text(
            'channel = "sms"\n[text]\nes = "{{ nonsense"\n'
        )
        campaigns = {CampaignId(CAMPAIGN): CampaignSettings(rule_pack="demo", trunks=("t",))}
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            hooks = {"enabled": True, "port": taken.getsockname()[1]}
            async with running_host(
                tmp_path, plugins=("sms",), campaigns=campaigns, webhooks=hooks
            ) as running:
                with running.database.write() as tx:
                    put_list_campaign(tx)
                    debtor = put_lead(tx, [NUMBER])
                body = {"campaign": CAMPAIGN, "account": debtor.account, "template": "broken"}
                assert (await running.client.post("/api/v1/messages", json=body)).status_code == 404
                answer = await running.client.post("/api/v1/messages", json=body | {"template": "aviso"})
                assert answer.status_code == 200
                taken.close()
                async with httpx2.AsyncClient(trust_env=False) as outside:

                    async def listens() -> bool:
                        with contextlib.suppress(httpx2.TransportError):
                            url = f"http://127.0.0.1:{hooks['port']}/hooks/sms"
                            return (await outside.post(url, content=b"x=1")).status_code == 403
                        return False

                    await wait_until_async(listens, 10, "the webhooks to listen")
