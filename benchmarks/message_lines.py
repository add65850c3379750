"""The lines of `benchmarks.channels` about messages: how fast they go out by each channel, and what comes back.

The far ends run in processes of their own: for SMPP an implementation apart (smpp34's server), for HTTP a web server on loopback that calls our
webhook with each receipt, for e-mail aiosmtpd. Each message has a text of its own, by which what was lost or came twice is counted.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import uvicorn
from aiosmtpd.smtp import SMTP
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dialer_core.clock import VirtualClock
from dialer_core.compliance.packs import load_packs
from dialer_core.messaging import composing
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.sending import Sender
from dialer_core.messaging.templates import Template, load_template
from dialer_core.plugin_api import Accepted, MessageChannel, OutboundMessage, Receipt
from dialer_core.store import email_addresses, messages
from dialer_core.store.database import open_database
from dialer_core.vocabulary import CampaignId, Channel, MessageState
from plugins.email.channel import EmailChannel
from plugins.email.settings import EmailSettings
from plugins.sms.settings import SmppSettings
from plugins.sms.smpp import SmppChannel
from plugins.whatsapp.cloud_api import CloudChannel
from plugins.whatsapp.settings import WhatsAppSettings
from tests.campaigns.lists import CAMPAIGN, NOON, put_lead, put_list_campaign
from tests.plugins.message_centre import MessageCentre, free_port, message_centre, receipt_text

PACKS = Path(__file__).resolve().parents[1] / "dialer_core" / "config_defaults" / "compliance"
LIMIT_S = 300.0
"""What is not through by then is counted as lost."""


class Line(msgspec.Struct, frozen=True):
    """One line of the report."""

    what: str
    per_second: float
    receipts: int
    """Messages whose receipt was stored, or seen."""
    lost: int
    """Messages that never reached the far end, or whose receipt never came."""
    twice: int
    """Messages that reached the far end more than once."""
    seconds: float


def smpp_client(number: int) -> Line:
    """Say how fast the SMPP client alone sends, receipts acknowledged: 2 binds, a window of 50 each."""
    with far_end(centre) as (port, report):
        seconds, receipts = asyncio.run(_through_client(port, number))
        came = report()
    return line_of("smpp_client", number, receipts, seconds, came)


def smpp_gate_outbox(number: int) -> Line:
    """Say how fast messages go through gate, outbox and SMPP until their receipts are stored, on SQLite."""

    async def made(port: int) -> MessageChannel:
        channel = SmppChannel(_settings(port), "secret")
        channel.start()
        return channel

    with far_end(centre) as (port, report):
        seconds, delivered = asyncio.run(_through_outbox(lambda: made(port), "sms", number))
        came = report()
    return line_of("smpp_gate_outbox", number, delivered, seconds, came)


def whatsapp(number: int) -> Line:
    """Say how fast messages go through gate, outbox and the Cloud API's client until their signed receipts are stored, on SQLite."""

    async def made(port: int) -> MessageChannel:
        its = WhatsAppSettings(
            base_url=f"http://127.0.0.1:{port}", phone_number_id="1", per_second=1000, at_once=100
        )
        return CloudChannel(its, access_token="t", app_secret=SECRET)  # noqa: S106 - nobody's

    with far_end(_cloud) as (port, report):
        seconds, delivered = asyncio.run(
            _through_outbox(lambda: made(port), "whatsapp", number, receipts=lambda: _receipts(port))
        )
        came = report()
    return line_of("whatsapp", number, delivered, seconds, came)


def email(number: int) -> Line:
    """Say how fast messages go through gate, outbox and SMTP until the server's answers are stored, on SQLite; a mail has no receipt but that."""

    async def made(port: int) -> MessageChannel:
        its = {
            "sender": "c@example.org",
            "smtp": {"host": "127.0.0.1", "port": port, "security": "none"},
            "per_second": 1000,
            "at_once": 20,
        }
        return EmailChannel(EmailSettings.model_validate(its))

    with far_end(_mails) as (port, report):
        seconds, accepted = asyncio.run(_through_outbox(lambda: made(port), "email", number))
        came = report()
    return line_of("email", number, accepted, seconds, came)


def _settings(port: int) -> SmppSettings:
    return SmppSettings.model_validate(
        {"provider": "smpp", "system_id": "bench", "password_env": "P", "source": "55000", "window": 50, "per_second": 10_000,
         "binds": [{"host": "127.0.0.1", "port": port}] * 2}
    )  # fmt: skip


async def _through_client(port: int, number: int) -> tuple[float, int]:
    channel = SmppChannel(_settings(port), "secret")
    channel.start()
    await _until(lambda: channel.bound == 2, 10)
    told: set[str] = set()

    async def hear() -> None:
        async for batch in channel.receive():
            told.update(one.provider_id for one in batch if isinstance(one, Receipt))

    hearing = asyncio.create_task(hear())
    turns = asyncio.Semaphore(channel.at_once)

    async def send(nth: int) -> bool:
        async with turns:
            answer = await channel.send(OutboundMessage(idempotency_key=str(nth), to="+525512345678", text=f"Mensaje {nth}."))  # fmt: skip
            return isinstance(answer, Accepted)

    began_s = time.monotonic()
    await asyncio.gather(*(send(nth) for nth in range(number)))
    await _until(lambda: len(told) >= number, 30)
    seconds = time.monotonic() - began_s
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    await channel.close()
    return seconds, len(told)


async def _through_outbox(
    made: Callable[[], Any], kind: str, number: int, receipts: Callable[[], Any] | None = None
) -> tuple[float, int]:
    """Return in how many seconds messages were delivered (e-mails: accepted), and how many; `receipts` asks a provider for its webhooks."""
    last = MessageState.ACCEPTED if kind == "email" else MessageState.DELIVERED
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "aviso.toml"
        provider = '[provider]\nname = "aviso"\nparameters = ["nth"]\n' if kind == "whatsapp" else ""
        subject = '[subject]\nes = "Aviso"\n' if kind == "email" else ""
        file.write_text(
            f'channel = "{kind}"\n[given]\nnth = "plain"\n[text]\nes = "Mensaje {{{{ nth }}}}. Responda BAJA."\n{subject}{provider}'
        )
        template = load_template(file)
        database = open_database(f"sqlite:///{folder}/bench.db")
        database.migrate()
        clock = VirtualClock(NOON)
        with database.write() as tx:
            put_list_campaign(tx)
        for first in range(0, number, 1000):
            with database.write() as tx:
                for nth in range(first, min(first + 1000, number)):
                    _queue(tx, template, nth, clock.utc())
        pack = load_packs(PACKS)["mx"]
        channel = await made()
        sender = Sender(database, channel, pack_of=lambda _: pack, clock=clock)
        sending = asyncio.create_task(sender.run())

        def delivered() -> int:
            with database.read() as tx:
                return messages.counts(tx).get((channel.channel, last), 0)

        began_s = time.monotonic()
        done = 0
        while done < number and time.monotonic() - began_s < LIMIT_S:
            await asyncio.sleep(0.1)
            for headers, raw in await receipts() if receipts else ():
                await asyncio.to_thread(sender.webhook, headers, raw)
            done = await asyncio.to_thread(delivered)
        seconds = time.monotonic() - began_s
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        await channel.close()
        database.dispose()
    return seconds, done


def _queue(tx: Any, template: Template, nth: int, now: Any) -> None:
    debtor = put_lead(tx, [f"+5255{10_000_000 + nth}"])
    if template.channel is Channel.EMAIL:
        email_addresses.add(tx, debtor.person, f"p{nth}@example.mx", source="bench", at_utc=now)
    request = MessageRequest(
        campaign_id=CampaignId(CAMPAIGN), account_id=debtor.account, template=template.name, given={"nth": str(nth)}
    )  # fmt: skip
    composing.queue(tx, request, template, now, source="bench")


def line_of(what: str, number: int, receipts: int, seconds: float, came: Counter[str]) -> Line:
    """Return the line of so many messages, of which these came and so many receipts."""
    lost = number - min(len(came), receipts)
    twice = sum(times > 1 for times in came.values())
    return Line(what, round((number - lost) / seconds, 1), receipts, lost, twice, round(seconds, 2))


async def _until(done: Callable[[], bool], limit_s: float) -> None:
    until_s = time.monotonic() + limit_s
    while not done() and time.monotonic() < until_s:  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.01)


@contextmanager
def far_end(run: Callable[[int, Connection], None]) -> Iterator[tuple[int, Callable[[], Counter[str]]]]:
    """Run a far end in a process of its own; yield its port, and what returns each text that came with how often."""
    context = multiprocessing.get_context("spawn")
    port = free_port()
    ours, theirs = context.Pipe()
    process = context.Process(target=run, args=(port, theirs))
    process.start()
    ours.recv()

    def report() -> Counter[str]:
        ours.send("report")
        came: Counter[str] = ours.recv()
        return came

    try:
        yield port, report
    finally:
        process.kill()
        process.join()


def centre(port: int, pipe: Connection) -> None:
    """Serve SMPP: every submit is taken, and its receipt comes at once."""

    async def serve() -> None:
        came: Counter[str] = Counter()
        receipts: set[asyncio.Task[Any]] = set()

        async def take(centre: MessageCentre, event: Any) -> None:
            centre.submits.clear()
            came[event.short_message.decode("latin-1")] += 1
            centre.answered += 1
            event.accept(f"m{centre.answered}")
            session = centre.sessions[event.session_id]
            task = asyncio.ensure_future(
                session.deliver_sm("55000", receipt_text(f"m{centre.answered}"), source_addr="525512345678", esm_class=4)
            )  # fmt: skip
            receipts.add(task)
            task.add_done_callback(receipts.discard)

        async with message_centre(port) as centre:
            centre.on_submit = take
            await told_of(pipe, came)

    asyncio.run(serve())


SECRET = "app"  # noqa: S105 - of the far end here


async def _receipts(port: int) -> list[tuple[dict[str, str], bytes]]:
    """Ask the far end for the webhooks that it has for us: signed there."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        told = (await client.get(f"http://127.0.0.1:{port}/hooks")).json()
    return [({"x-hub-signature-256": signature}, raw.encode()) for signature, raw in told]


def _cloud(port: int, pipe: Connection) -> None:
    """Serve what the Cloud API's client asks for; a receipt of each message waits to be fetched, fifty in a signed webhook."""
    came: Counter[str] = Counter()
    delivered: list[str] = []

    async def take(request: Request) -> Response:
        body = json.loads(await request.body())
        came[body["template"]["components"][0]["parameters"][0]["text"]] += 1
        delivered.append(f"w{sum(came.values())}")
        return JSONResponse({"messages": [{"id": delivered[-1]}]})

    async def hooks(_: Request) -> Response:
        told = []
        while delivered:
            some = [delivered.pop() for _ in range(min(50, len(delivered)))]
            statuses = [{"id": one, "status": "delivered"} for one in some]
            value = {"metadata": {"phone_number_id": "1"}, "statuses": statuses}
            raw = json.dumps({"entry": [{"changes": [{"field": "messages", "value": value}]}]})
            told.append(
                ("sha256=" + hmac.new(SECRET.encode(), raw.encode(), hashlib.sha256).hexdigest(), raw)
            )
        return JSONResponse(told)

    async def serve() -> None:
        app = Starlette(routes=[Route("/hooks", hooks), Route("/{path:path}", take, methods=["POST"])])
        server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off", ws="none")
        )
        serving = asyncio.create_task(server.serve())
        await _until(lambda: server.started, 20)
        await told_of(pipe, came)
        await serving

    asyncio.run(serve())


def _mails(port: int, pipe: Connection) -> None:
    """Serve SMTP: every mail is taken."""
    came: Counter[str] = Counter()

    class Taker:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - as aiosmtpd calls it
            came[envelope.rcpt_tos[0]] += 1
            return "250 OK"

    async def serve() -> None:
        await asyncio.get_running_loop().create_server(
            lambda: SMTP(Taker(), enable_SMTPUTF8=True), "127.0.0.1", port
        )
        await told_of(pipe, came)

    asyncio.run(serve())


async def told_of(pipe: Connection, came: Counter[str]) -> None:
    """Say that it serves, then answer each question with what came."""
    pipe.send("ready")
    while True:
        await asyncio.sleep(0.02)
        if pipe.poll():
            pipe.recv()
            pipe.send(came)
