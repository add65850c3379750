"""Words of messages: texts over any channel but the telephone.

The table of a message's states is in `messaging/outbox.py`.
"""

from __future__ import annotations

import enum


class MessageState(enum.StrEnum):
    """Where one message is."""

    QUEUED = "queued"
    """Waits for its time, the gate, or its next try."""
    SUBMITTING = "submitting"
    """Committed, and about to go to the provider, or there: its answer is not known yet."""
    UNCERTAIN = "uncertain"
    """It may have been sent: no answer came, or we died before it. The provider is asked, where it can be."""
    HELD = "held"
    """Nobody can say whether it was sent: a person decides."""
    ACCEPTED = "accepted"
    """The provider has it."""
    DELIVERED = "delivered"
    """It reached the address."""
    FAILED = "failed"
    """It will not reach the address; the reason says why."""
    CANCELLED = "cancelled"
    """Taken back before it was sent: paid, opted out, too late, forbidden for good, or by command."""
    RECEIVED = "received"
    """It came from a person."""


class UncertainPolicy(enum.StrEnum):
    """What becomes of a message of which nobody can say whether it was sent."""

    HOLD = "hold"
    """A person decides: nothing is sent twice."""
    RESEND = "resend"
    """It is sent again, perhaps twice: for codes and links that harm nobody."""


class ChatState(enum.StrEnum):
    """Who answers what a person writes."""

    BOT = "bot"
    """A flow."""
    WAITING = "waiting"
    """Nobody yet: an agent with the skills is to take it."""
    WITH_AGENT = "with_agent"
    """An agent."""
    CLOSED = "closed"
    """Nobody any more; the next text begins another chat."""
