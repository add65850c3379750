"""The contract of a channel: what a plugin that speaks to a provider gives the core, and what it is given.

It owns the shapes. Outbox, templates, opt-outs, retries and the conversation log are the core's; a plugin only speaks to its provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec

from dialer_core.vocabulary import Channel


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that goes with a message."""

    name: str
    """`convenio.pdf`."""
    media_type: str
    content: bytes


class OutboundMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to be sent now. The gate has allowed it, and it is committed as `submitting`."""

    idempotency_key: str
    """The message's id. A provider that takes such a key never sends one twice."""
    to: str
    """Address: E.164 with its plus sign, or an e-mail address."""
    text: str
    subject: str = ""
    language: str = ""
    attachments: tuple[Attachment, ...] = ()
    buttons: tuple[tuple[str, str], ...] = ()
    """Keys that may be answered and the words on them, for a channel that has buttons; the text says the same."""
    template: Mapping[str, Any] | None = None
    """`name`, `language` and `parameters` of a template that the provider approved."""


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has it, under an id of its own."""

    provider_id: str
    part_ids: tuple[str, ...] = ()
    """Where it went out in several parts, each with a receipt of its own: their ids, `provider_id` among them."""
    cost_micro: int | None = None
    """In millionths of `cost_currency`, where the provider says so."""
    cost_currency: str | None = None


class NotAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The provider did not take it, and nothing was sent."""

    code: str
    """The provider's own: `21610`, `429`. At most 64 characters, nothing of the text."""
    permanent: bool
    """Trying again is of no use."""
    retry_after_s: float | None = None
    """Where it says when to come again."""


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """Nobody can say: the connection broke, or no answer came. It may have been sent."""

    code: str


Answer = Accepted | NotAccepted | Unknown


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message after the provider had it."""

    provider_id: str
    delivered: bool
    code: str = ""
    cost_micro: int | None = None
    cost_currency: str | None = None


class Inbound(msgspec.Struct, frozen=True, kw_only=True):
    """A person wrote."""

    provider_id: str
    """The provider's id of it: told twice, it is stored once."""
    sender: str
    text: str
    subject: str = ""
    in_reply_to: tuple[str, ...] = ()
    """Ids of ours that it says it answers, where the channel knows."""


class ForgedError(Exception):
    """A webhook that is not the provider's: wrong signature, or none."""


@runtime_checkable
class MessageChannel(Protocol):
    """What `dialer_register_channel` returns.

    Beside these, a channel may have what `HasWindow`, `LooksUp`, `TakesWebhooks`, `ProvesItself` and `Receives` say.
    """

    channel: Channel
    """Whose messages it sends: one plugin for each."""
    per_second: float
    """Messages a second that the provider takes."""
    at_once: int
    """Messages under way to the provider at a time."""

    async def send(self, message: OutboundMessage) -> Answer:
        """Hand one message to the provider. What it raises counts as `Unknown`."""
        ...


class HasWindow(Protocol):
    """A channel by which free text may be sent only for a while after the person wrote; templates that the provider approved, always."""

    session_hours: float


class LooksUp(Protocol):
    """A channel whose provider can be asked about a message."""

    async def lookup(self, idempotency_key: str) -> Answer:
        """Say what became of a message that was handed over under this key; `Unknown`: nobody can say yet."""
        ...


class TakesWebhooks(Protocol):
    """A channel whose provider calls us, on `/hooks/PLUGIN`."""

    def parse_webhook(self, headers: Mapping[str, str], raw: bytes) -> Sequence[Receipt | Inbound]:
        """Return what a request tells.

        Raises
        ------
        ForgedError
            It is not from the provider.
        ValueError
            It cannot be read.
        """
        ...


class ProvesItself(Protocol):
    """A channel whose provider asks first, by a `GET`, whether `/hooks/PLUGIN` is ours. With others, a `GET`'s query is told to `parse_webhook`."""

    def verify_webhook(self, query: Mapping[str, str]) -> str | None:
        """Return the answer to the question; None: it is not the provider."""
        ...


class Receives(Protocol):
    """A channel with a connection of its own, by which receipts and answers come."""

    def receive(self) -> AsyncIterator[Sequence[Receipt | Inbound]]:
        """Yield what has come, in batches, without end. When the next is asked for, the one before is stored: it may be acknowledged then."""
        ...
