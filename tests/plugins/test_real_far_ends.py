"""SMS and WhatsApp against far ends that others wrote: the npm package `smpp` as message centre, and Prism as the providers' contracts."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import httpx2
import msgspec
import pytest

from dialer_core.messaging.channel import Accepted, Attachment, Inbound, NotAccepted, OutboundMessage, Receipt
from plugins.sms.settings import SmppSettings, TwilioSettings
from plugins.sms.smpp import SmppChannel
from plugins.sms.twilio import TwilioChannel
from plugins.whatsapp.cloud_api import CloudChannel, body_of
from plugins.whatsapp.settings import WhatsAppSettings
from tests.plugins.node_programs import NodeCentre, mocks, node_centre
from tests.polling import wait_until_async
from tests.skips import SHARED_DATA, requires_program

pytestmark = [pytest.mark.unit, pytest.mark.timeout(400), requires_program("npm")]

CONTRACTS = SHARED_DATA.parent / "contracts"
MESSAGE = OutboundMessage(idempotency_key="m1", to="+525512345678", text="Hola Ñandú €. Responda BAJA.")
ACCOUNT = "AC" + "a" * 32


def smpp_channel(port: int) -> SmppChannel:
    """Return a channel with one bind to the centre."""
    raw = {
        "provider": "smpp", "system_id": "acme", "password_env": "P", "source": "55000", "receipts": True,
        "binds": [{"host": "127.0.0.1", "port": port}],
    }  # fmt: skip
    return SmppChannel(SmppSettings.model_validate(raw), "secret")


@asynccontextmanager
async def bound(centre: NodeCentre) -> AsyncIterator[tuple[SmppChannel, list[Receipt | Inbound]]]:
    """Return a bound channel and what it has been told so far."""
    channel = smpp_channel(centre.port)
    told: list[Receipt | Inbound] = []

    async def receive() -> None:
        async for batch in channel.receive():
            told.extend(batch)

    channel.start()
    receiving = asyncio.create_task(receive())
    try:
        await wait_until_async(lambda: channel.bound == 1, 20, "the bind")
        yield channel, told
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await channel.close()


async def test_a_centre_of_npm_is_spoken_with() -> None:
    """Bound, a message and a long one submitted as it reads them, receipts and an answer taken and acknowledged, a refusal understood, unbound."""
    async with node_centre() as centre:
        async with bound(centre) as (channel, told):
            assert await channel.send(MESSAGE) == Accepted(provider_id="n1")
            long = msgspec.structs.replace(MESSAGE, text="Emoji 😀 y árabe مرحبا " * 8)
            answer = await channel.send(long)
            assert isinstance(answer, Accepted)
            refused = await channel.send(msgspec.structs.replace(MESSAGE, to="+520000000000"))
            assert refused == NotAccepted(code="0x0000000B", permanent=True)
            first, *parts = centre.submits
            assert (first["to"], first["from"], first["text"]) == ("525512345678", "55000", MESSAGE.text)
            assert "".join(part["text"] for part in parts) == long.text
            assert answer.part_ids == tuple(part["id"] for part in parts)
            assert {len(part["parts"]) for part in parts} == {1}
            centre.deliver(
                source_addr="525512345678",
                source_addr_ton=1,
                destination_addr="55000",
                data_coding=0,
                short_message="¿BAJA?",
            )
            await wait_until_async(lambda: len(told) == 2 + len(parts), 10, "the receipts and the answer")
            await wait_until_async(
                lambda: sum("receipt" in one or "delivered" in one for one in centre.told) == 2 + len(parts), 10, "acknowledgements"
            )  # fmt: skip
        assert {one.get("status", one.get("delivered", 0)) for one in centre.told} == {0}
        await wait_until_async(lambda: {"closed": True} in centre.told, 10, "the end of the session")
    receipts = [one for one in told if isinstance(one, Receipt)]
    assert {one.provider_id for one in receipts} == {one["id"] for one in centre.submits}
    assert all(one.delivered for one in receipts)
    [answered] = [one for one in told if isinstance(one, Inbound)]
    assert (answered.sender, answered.text) == ("+525512345678", "¿BAJA?")


@pytest.fixture(scope="module")
def providers() -> Iterator[list[str]]:
    """Run mocks of both contracts, which refuse what the contracts do not allow; return their addresses: SMS, WhatsApp."""
    with mocks(CONTRACTS / "twilio_messages.json", CONTRACTS / "meta_whatsapp_business_v23.yaml") as found:
        yield found


@pytest.mark.needs_shared
@pytest.mark.parametrize("by_service", [False, True])
async def test_sms_as_its_contract_allows(providers: list[str], by_service: bool) -> None:  # noqa: FBT001 - as parametrised
    """What we send is taken; what the contract does not allow is not, so a taken one says something."""
    raw = {
        "provider": "twilio", "base_url": providers[0], "account_sid": ACCOUNT, "auth_token_env": "T",
        "public_url": "https://dialer.example/hooks/sms",
    } | ({"messaging_service_sid": "MG" + "a" * 32} if by_service else {"sender": "+525500000000"})  # fmt: skip
    channel = TwilioChannel(TwilioSettings.model_validate(raw), "token")
    answer = await channel.send(MESSAGE)
    await channel.close()
    assert isinstance(answer, Accepted)
    assert answer.provider_id.startswith(("SM", "MM"))
    known = {"Authorization": "Basic " + base64.b64encode(f"{ACCOUNT}:t".encode()).decode()}
    path = f"{providers[0]}/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    async with httpx2.AsyncClient(trust_env=False) as client:
        assert (await client.post(path, data={"Body": "to nobody"}, headers=known)).is_client_error
        assert (await client.post(path, data={"To": "+525512345678", "Body": "x"})).status_code == 401


@pytest.mark.needs_shared
async def test_whatsapp_as_its_contract_allows(providers: list[str]) -> None:
    """Texts, templates, letters with their upload, and buttons are taken; what the contract does not allow is refused."""
    channel = CloudChannel(
        WhatsAppSettings(base_url=providers[1], phone_number_id="1234"), access_token="token"
    )
    template = msgspec.structs.replace(
        MESSAGE, template={"name": "recordatorio", "language": "es_MX", "parameters": ["Ana", "$1.00 MXN"]}
    )
    letter = Attachment(name="convenio.pdf", media_type="application/pdf", content=b"%PDF-1.4 ")
    for message in (
        MESSAGE,
        template,
        msgspec.structs.replace(template, attachments=(letter,)),
        msgspec.structs.replace(MESSAGE, attachments=(letter,)),
        msgspec.structs.replace(MESSAGE, buttons=(("1", "Acordar fecha"), ("2", "Hablar con asesor"))),
    ):
        answer = await channel.send(message)
        assert isinstance(answer, Accepted), message
        assert answer.provider_id.startswith("wamid.")
    await channel.close()
    async with httpx2.AsyncClient(trust_env=False) as client:
        for wrong in (body_of(template) | {"to": 5}, body_of(MESSAGE) | {"text": {"words": "x"}}):
            refused = await client.post(
                f"{providers[1]}/v23.0/1234/messages", json=wrong, headers={"Authorization": "Bearer t"}
            )
            assert refused.is_client_error
