"""Events of messages: what becomes of each text, in and out.

It owns these classes; `events.py`, which imports them, says what an event is.
"""

from __future__ import annotations

from dialer_core.event_base import Event, event_named
from dialer_core.vocabulary import AgentId, MessageId


@event_named("message.queued")
class MessageQueued(Event, frozen=True, kw_only=True):
    """A message is to be sent when its time has come and the gate allows it."""

    message_id: MessageId
    channel: str
    template: str
    """Empty: written by hand."""


@event_named("message.accepted")
class MessageAccepted(Event, frozen=True, kw_only=True):
    """The provider has it."""

    message_id: MessageId
    channel: str
    tries: int


@event_named("message.delivered")
class MessageDelivered(Event, frozen=True, kw_only=True):
    """It reached the address, as the provider's receipt says."""

    message_id: MessageId
    channel: str


@event_named("message.failed")
class MessageFailed(Event, frozen=True, kw_only=True):
    """It will not reach the address; `reason` is the provider's code, or ours."""

    message_id: MessageId
    channel: str
    reason: str


@event_named("message.held")
class MessageHeld(Event, frozen=True, kw_only=True):
    """Nobody can say whether it was sent: a person decides (`dialer messages`)."""

    message_id: MessageId
    channel: str


@event_named("message.cancelled")
class MessageCancelled(Event, frozen=True, kw_only=True):
    """It is not sent: `reason` is a rule of the gate that never allows it, or `expired`, `paid`, `opted_out`, or what a command gave."""

    message_id: MessageId
    channel: str
    reason: str


@event_named("message.received")
class MessageReceived(Event, frozen=True, kw_only=True):
    """A person wrote. `known` says whether the address is somebody's."""

    message_id: MessageId
    channel: str
    known: bool


@event_named("optout.received")
class OptOutReceived(Event, frozen=True, kw_only=True):
    """A person asked not to be contacted by this channel any more, in a message or in a call's flow; the restriction stands with this event."""

    channel: str
    message_id: MessageId | None = None
    flow: str = ""
    leg_id: str | None = None
    """Of a call that came in."""


@event_named("chat.state_changed")
class ChatStateChanged(Event, frozen=True, kw_only=True):
    """Somebody else answers what a person writes: `state` as in `ChatState`.

    `reason`: `began`, `wants_agent`, `finished`, `expired`, `opted_out`, `flow_changed`, `account_closed`, `no_flow`, `taken`, `put_back`,
    `to_bot`, `closed`.
    """

    chat_id: str
    state: str
    reason: str
    channel: str
    flow: str = ""
    step: str = ""
    agent_id: AgentId | None = None


@event_named("chat.said")
class ChatSaid(Event, frozen=True, kw_only=True):
    """A flow has written an answer. `sensitive`: it tells of the debt."""

    chat_id: str
    message_id: MessageId
    flow: str
    step: str
    """The last one in it."""
    sensitive: bool
