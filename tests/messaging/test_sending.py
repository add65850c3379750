"""The sending loop hands each message over once, whatever the provider, the store or the process does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from dialer_core.clock import VirtualClock
from dialer_core.compliance.rules import RulePack
from dialer_core.messaging import composing
from dialer_core.messaging.channel import (
    Accepted,
    Answer,
    Inbound,
    NotAccepted,
    OutboundMessage,
    Receipt,
    Unknown,
)
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.sending import Sender
from dialer_core.messaging.templates import load_template
from dialer_core.store import messages
from dialer_core.store.database import Database
from dialer_core.store.messages import Early
from dialer_core.vocabulary import Channel, MessageState
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, put_lead

pytestmark = pytest.mark.db


class Provider:
    """A provider under the test's control, which remembers what it was given."""

    channel = Channel.SMS
    per_second = 10_000.0
    at_once = 20

    def __init__(self, answer: Callable[[OutboundMessage], Answer] | None = None) -> None:
        self.got: list[OutboundMessage] = []
        self._answer = answer or (lambda one: Accepted(provider_id=f"P-{one.idempotency_key}"))

    async def send(self, message: OutboundMessage) -> Answer:
        """Take a message."""
        self.got.append(message)
        return self._answer(message)


class Talking(Provider):
    """A provider with a connection of its own, and a memory that can be asked."""

    def __init__(self, tells: list[Receipt | Inbound]) -> None:
        super().__init__()
        self.tells = tells

    async def lookup(self, idempotency_key: str) -> Answer:
        """Say that it has it."""
        return Accepted(provider_id=f"P-{idempotency_key}")

    async def receive(self) -> AsyncIterator[list[Receipt | Inbound]]:
        """Tell what there is, and then nothing more."""
        for one in self.tells:
            yield [one]
        await asyncio.Event().wait()


@pytest.fixture
def queued(database: Database, debtor: Listed, tmp_path: Path) -> list[str]:
    """Return the ids of three queued messages to three people."""
    file = tmp_path / "aviso.toml"
    file.write_text(
        'channel = "sms"\n[text]\nes = "Hola {{ first_name }}. Responda BAJA."\n', encoding="utf-8"
    )
    one = load_template(file)
    with database.write() as tx:
        accounts = [debtor.account, *(put_lead(tx, [f"+52550000000{nth}"]).account for nth in (1, 2))]
        requests = [
            MessageRequest(campaign_id=CAMPAIGN, account_id=account, template="aviso") for account in accounts
        ]
        return [composing.queue(tx, request, one, NOON, source="test") for request in requests]


def sender(database: Database, provider: Provider, pack: RulePack) -> Sender:
    """Return a sender at noon."""
    return Sender(database, provider, pack_of=lambda _: pack, clock=VirtualClock(NOON))


def states(database: Database) -> dict[str, int]:
    """Return how many messages there are in each state."""
    with database.read() as tx:
        return {state.value: number for (_, state), number in messages.counts(tx).items()}


async def until(database: Database, wanted: dict[str, int], running: asyncio.Task[None]) -> None:
    """Wait for the states of messages."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(states, database) != wanted:
            assert not running.done(), running
            await asyncio.sleep(0.02)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def test_each_is_sent_once(database: Database, queued: list[str], mexico: RulePack) -> None:
    """What is due goes out, and the answers are stored."""
    provider = Provider()
    one = sender(database, provider, mexico)
    assert await one.send_due() == 3
    assert await one.send_due() == 0
    assert sorted(m.idempotency_key for m in provider.got) == sorted(queued)
    assert states(database) == {"accepted": 3}


async def test_a_provider_that_breaks(database: Database, queued: list[str], mexico: RulePack) -> None:
    """What it raised on is uncertain, then held; what it refused is failed; what it took is accepted."""
    fates = dict(zip(queued, ("raise", "refuse", "take"), strict=True))

    def answer(message: OutboundMessage) -> Answer:
        match fates[message.idempotency_key]:
            case "raise":
                raise ConnectionResetError
            case "refuse":
                return NotAccepted(code="21614", permanent=True)
            case _:
                return Accepted(provider_id="P1")

    one = sender(database, Provider(answer), mexico)
    await one.send_due()
    assert states(database) == {"uncertain": 1, "failed": 1, "accepted": 1}
    assert await one.ask_uncertain() == 1
    assert states(database) == {"held": 1, "failed": 1, "accepted": 1}


@pytest.mark.parametrize(
    "answer", [None, "sent", Accepted(provider_id=7), NotAccepted(code=None, permanent=1)]
)  # type: ignore[arg-type]
async def test_nonsense_for_an_answer_is_uncertain(
    database: Database, queued: list[str], mexico: RulePack, answer: Answer
) -> None:
    """A channel that returns no answer, or one with a number for a text, may have sent the message."""
    one = sender(database, Provider(lambda _: answer), mexico)
    assert await one.send_due() == len(queued)
    assert states(database) == {"uncertain": 3}


async def test_it_runs_receives_and_asks(database: Database, queued: list[str], mexico: RulePack) -> None:
    """After a restart in mid-submission the provider is asked; receipts and answers come by its own connection."""
    broken = sender(database, Provider(lambda _: Unknown(code="timeout")), mexico)
    await broken.send_due()
    came = Inbound(provider_id="I1", sender="+525500000001", text="hola")
    provider = Talking([Receipt(provider_id=f"P-{one}", delivered=True) for one in queued] + [came])
    running = asyncio.create_task(sender(database, provider, mexico).run())
    await until(database, {MessageState.DELIVERED.value: 3, MessageState.RECEIVED.value: 1}, running)
    assert provider.got == []


async def test_the_pace_is_the_providers(database: Database, queued: list[str], mexico: RulePack) -> None:
    """Messages leave no faster than it takes them."""
    provider = Provider()
    provider.per_second = 20.0
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    sent_s: list[float] = []

    def answer(message: OutboundMessage) -> Answer:
        sent_s.append(loop.time() - began_s)
        return Accepted(provider_id=message.idempotency_key)

    provider._answer = answer
    await sender(database, provider, mexico).send_due()
    assert len(sent_s) == len(queued)
    assert all(at_s >= nth / provider.per_second for nth, at_s in enumerate(sorted(sent_s)))


async def test_a_receipt_stored_beside_its_answer(
    database: Database, queued: list[str], mexico: RulePack
) -> None:
    """Where answer and receipt are stored at the same moment, neither seeing the other, the receipt is heeded soon after."""
    one = sender(database, Provider(), mexico)
    await one.send_due()
    with database.write() as tx:
        messages.keep_early(tx, [Early(Channel.SMS, f"P-{queued[0]}", delivered=True, reason="")], NOON)
    await one.ask_uncertain()
    assert states(database) == {"accepted": 2, "delivered": 1}


async def test_a_slow_provider_leaves_the_rest_where_it_can_be_taken_back(
    database: Database, queued: list[str], mexico: RulePack
) -> None:
    """No more is claimed than goes out within a few seconds: who opts out meanwhile, or whose hours end, gets no message of the same batch."""
    provider = Provider()
    provider.per_second = 0.2
    assert await sender(database, provider, mexico).send_due() == 1
    assert states(database) == {"accepted": 1, "queued": 2}
