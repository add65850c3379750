"""Everything that the host does with messages, in one place: templates, channels, and the commands of people and plugins.

It owns which channel belongs to which plugin, and the way of a command into the store with its audit entry. The rules are those of
`composing.py`, `outbox.py` and `inbound.py`.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeVar

import msgspec

from dialer_core.agent_settings import AgentSettings
from dialer_core.campaign_settings import CampaignSettings
from dialer_core.clock import Clock
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import CommandRefusedError
from dialer_core.flows.language import Flow
from dialer_core.messaging import composing, document_links, outbox
from dialer_core.messaging.bots import Bots
from dialer_core.messaging.channel import MessageChannel
from dialer_core.messaging.composing import MessageRequest
from dialer_core.messaging.document_links import DocumentLinks
from dialer_core.messaging.inbox import Inbox
from dialer_core.messaging.sending import Sender
from dialer_core.messaging.templates import Template
from dialer_core.store import email_addresses, messages, off_loop, people
from dialer_core.store.database import Database
from dialer_core.store.email_addresses import EmailRow
from dialer_core.store.messages import MessageRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import AccountId, AgentId, CampaignId, Channel, MessageId, MessageState, PersonId

T = TypeVar("T")


class ChannelView(msgspec.Struct, frozen=True, kw_only=True):
    """One channel now, for screens."""

    channel: str
    plugin: str
    queued: int
    uncertain: int
    """With the provider, or perhaps there."""
    held: int
    """Waiting for a person's decision."""
    failed: int


class MessageOption(msgspec.Struct, frozen=True, kw_only=True):
    """A template as it would be sent about an account, for whoever chooses among them."""

    template: str
    channel: Channel
    language: str = ""
    text: str = ""
    """As they would read it."""
    letters: tuple[str, ...] = ()
    """Titles of what goes with it."""
    refused: str = ""
    """Why it cannot be sent, or not now; empty: it would be sent at once."""
    rule: str = ""
    """The rule that stands in the way, where it is the gate's; it would be queued, and sent from `allowed_from` on."""
    allowed_from: dt.datetime | None = None


class Messenger:
    """Messages of one host.

    Parameters
    ----------
    database
        The store.
    templates, campaigns, packs
        As configured, by name.
    clock
        Of every decision.
    on_written
        Called after each commit.
    flows
        Those that templates name.
    agents
        As configured, by id: who may take which chats.
    links
        Signs links to documents, where `[links]` is set.
    """

    def __init__(
        self,
        database: Database,
        *,
        templates: Mapping[str, Template],
        campaigns: Mapping[CampaignId, CampaignSettings],
        packs: Mapping[str, RulePack],
        clock: Clock,
        on_written: Callable[[], None] = lambda: None,
        flows: Mapping[str, Flow] = MappingProxyType({}),
        agents: Mapping[AgentId, AgentSettings] = MappingProxyType({}),
        links: DocumentLinks | None = None,
    ) -> None:
        self._links = links
        self._bots = Bots(flows, templates, campaigns)
        self.inbox = Inbox(
            database, self._bots, campaigns=campaigns, agents=agents, clock=clock, on_written=on_written
        )
        self._database = database
        self._templates = templates
        self._campaigns = campaigns
        self._packs = packs
        self._clock = clock
        self._on_written = on_written
        self._senders: dict[str, Sender] = {}
        self._plugin_of: dict[Channel, str] = {}

    def add_channel(self, plugin: str, channel: object) -> None:
        """Send a channel's messages through a plugin.

        Raises
        ------
        ValueError
            Another plugin has the channel, or what it gave is none.
        """
        if not isinstance(channel, MessageChannel):
            raise ValueError(  # noqa: TRY004 - one kind of error for whatever does not fit
                f"dialer_register_channel returned a {type(channel).__name__}, which is no MessageChannel"
            )
        kind: object = channel.channel  # foreign: whatever the protocol says of it
        numbers: tuple[object, ...] = (channel.per_second, channel.at_once)
        if not isinstance(kind, Channel) or not all(
            isinstance(one, int | float) and one > 0 for one in numbers
        ):
            # told now it disables the plugin; found out while sending, it would end the host each time
            raise ValueError("a channel's `channel` is a Channel, its per_second and at_once are above zero")
        if (other := self._plugin_of.get(channel.channel)) is not None:
            raise ValueError(f"the channel {channel.channel.value} is the plugin {other}'s")
        self._plugin_of[channel.channel] = plugin
        self._senders[plugin] = Sender(
            self._database,
            channel,
            pack_of=self._pack_of,
            clock=self._clock,
            on_written=self._on_written,
            bots=self._bots,
        )

    def sender(self, plugin: str) -> Sender | None:
        """Return the sender of a plugin's channel, or None."""
        return self._senders.get(plugin)

    async def run(self) -> None:
        """Send and receive by every channel until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait(), name="messages")  # also where there is no channel
            for plugin, sender in self._senders.items():
                group.create_task(sender.run(), name=f"messages-{plugin}")

    async def queue(self, request: MessageRequest, *, actor: str) -> MessageId:
        """Queue a message; return its id.

        Raises
        ------
        CommandRefusedError
            It cannot be sent: unknown campaign, template, account or address, a missing field, no consent to the channel.
        """
        campaign = self._campaigns.get(request.campaign_id)
        if campaign is None:
            raise CommandRefusedError(f"there is no campaign {request.campaign_id!r}", "unknown")
        template = self._templates.get(request.template)
        if template is None and request.template:
            known = ", ".join(sorted(self._templates)) or "none"
            raise CommandRefusedError(
                f"there is no template {request.template!r}; there are: {known}", "unknown"
            )
        channel = template.channel if template else request.channel
        if channel is not None and channel not in self._plugin_of:
            raise CommandRefusedError(
                f"no plugin sends by {channel.value}: enable one in plugins.enabled; nothing was queued",
                "unknown",
            )

        session_hours = self._senders[self._plugin_of[channel]].session_hours if channel is not None else None

        def write(tx: Tx) -> MessageId:
            message_id = composing.queue(
                tx,
                request,
                template,
                self._clock.utc(),
                source=actor,
                callback_number=campaign.caller_id or "",
                pool=campaign.caller_ids,
                session_hours=session_hours,
                links=self._links,
            )
            if template is None:  # what a person wrote themselves is accounted for
                tx.audit("message.written", f"message {message_id}", actor=actor)
            return message_id

        message_id = await self._write(write)
        if channel is not None:
            self._senders[self._plugin_of[channel]].wake()
        return message_id

    async def options(
        self, account_id: AccountId, campaign_id: CampaignId, *, language: str = ""
    ) -> tuple[MessageOption, ...]:
        """Return every template that can be sent here without anything to be given, as it would be sent, and what the gate says of it now.

        Raises
        ------
        CommandRefusedError
            There is no such campaign.
        """
        campaign = self._campaigns.get(campaign_id)
        if campaign is None:
            raise CommandRefusedError(f"there is no campaign {campaign_id!r}", "unknown")
        pack, now = self._packs.get(campaign.rule_pack), self._clock.utc()

        def ask(tx: Tx) -> tuple[MessageOption, ...]:
            found = []
            for template in self._templates.values():
                if template.channel not in self._plugin_of or template.given:
                    continue
                request = MessageRequest(
                    campaign_id=campaign_id, account_id=account_id, template=template.name, language=language
                )
                told = MessageOption(template=template.name, channel=template.channel)
                try:
                    message = composing.compose(
                        tx, request, template, now, source="", callback_number=campaign.caller_id or "", pool=campaign.caller_ids, links=self._links
                    )  # fmt: skip
                except CommandRefusedError as error:
                    found.append(msgspec.structs.replace(told, refused=str(error)))
                    continue
                said = outbox.decide(tx, message, pack, now)
                found.append(
                    msgspec.structs.replace(
                        told, language=message.language, text=message.body,
                        letters=tuple(one["title"] for one in message.letters or ()), refused=said.reason if said else "",
                        rule=said.rule if said else "", allowed_from=said.allowed_from if said else None,
                    )
                )  # fmt: skip
            return tuple(found)

        return await self._read(ask)

    async def conversation(self, person_id: PersonId) -> list[MessageRow]:
        """Return what was written to and by a person, over all channels."""
        return await self._read(lambda tx: messages.conversation(tx, person_id))

    async def add_email(self, person_id: PersonId, address: str, *, actor: str) -> list[EmailRow]:
        """Give a person an e-mail address, behind those they have; return all of theirs.

        Raises
        ------
        CommandRefusedError
            There is no such person, or it is no address.
        """

        def write(tx: Tx) -> list[EmailRow]:
            if not people.persons(tx, [person_id]):
                raise CommandRefusedError(f"there is no person {person_id}", "unknown")
            if email_addresses.normalised(address) is None:
                raise CommandRefusedError("that is no e-mail address", "invalid")
            if email_addresses.add(tx, person_id, address, source=actor, at_utc=self._clock.utc()):
                tx.audit("email.added", f"person {person_id}", actor=actor)
            return email_addresses.of_people(tx, [person_id])[person_id]

        return await self._write(write)

    async def in_state(self, state: MessageState) -> list[MessageRow]:
        """Return messages in a state, the newest first."""
        return await self._read(lambda tx: messages.in_state(tx, state))

    async def channels(self) -> tuple[ChannelView, ...]:
        """Return every channel with what waits in it."""
        counts = await self._read(messages.counts)

        def number(channel: Channel, *states: MessageState) -> int:
            return sum(counts.get((channel, state), 0) for state in states)

        return tuple(
            ChannelView(
                channel=channel.value,
                plugin=plugin,
                queued=number(channel, MessageState.QUEUED),
                uncertain=number(channel, MessageState.UNCERTAIN, MessageState.SUBMITTING),
                held=number(channel, MessageState.HELD),
                failed=number(channel, MessageState.FAILED),
            )
            for channel, plugin in sorted(self._plugin_of.items())
        )

    async def release(self, message_id: MessageId, *, actor: str) -> None:
        """Send a held message again: somebody has found that it was not sent, or does not mind twice.

        Raises
        ------
        CommandRefusedError
            There is no such message, or it is not held.
        """

        def write(tx: Tx) -> None:
            message = _known(tx, message_id)
            if not outbox.release(tx, message, self._clock.utc()):
                raise CommandRefusedError(f"the message is {message.state.value}, not held")
            tx.audit("message.released", f"message {message_id}", actor=actor)

        await self._write(write)

    async def cancel(self, message_id: MessageId, *, actor: str, reason: str = "command") -> None:
        """Take back a message that has not been sent.

        Raises
        ------
        CommandRefusedError
            There is no such message, or it is with the provider already.
        """

        def write(tx: Tx) -> None:
            message = _known(tx, message_id)
            if not outbox.cancel(tx, [message], reason, self._clock.utc()):
                raise CommandRefusedError(
                    f"the message is {message.state.value}: it cannot be taken back any more"
                )
            tx.audit("message.cancelled", f"message {message_id}", actor=actor)

        await self._write(write)

    async def end_link(self, message_id: MessageId, *, actor: str) -> None:
        """End the link to a document that a message carried.

        Raises
        ------
        CommandRefusedError
            It carried none.
        """
        await self._write(lambda tx: document_links.end(tx, message_id, actor=actor))

    def _pack_of(self, campaign_id: CampaignId) -> RulePack | None:
        campaign = self._campaigns.get(campaign_id)
        return self._packs.get(campaign.rule_pack) if campaign else None

    async def _write(self, work: Callable[[Tx], T]) -> T:
        return await off_loop.write(self._database, work, self._on_written)

    async def _read(self, work: Callable[[Tx], T]) -> T:
        return await off_loop.read(self._database, work)


def _known(tx: Tx, message_id: MessageId) -> MessageRow:
    message = messages.get(tx, [message_id], keep=True).get(message_id)
    if message is None:
        raise CommandRefusedError(f"there is no message {message_id}", "unknown")
    return message
