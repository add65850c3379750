"""Events of how a list is worked: campaigns released and archived, leads shown before they are dialed, strategies, promises taken back.

It owns these classes; `events.py`, which imports them, says what an event is.
"""

from __future__ import annotations

from dialer_core.event_base import Event, event_named
from dialer_core.vocabulary import AgentId


@event_named("campaign.released")
class CampaignReleased(Event, frozen=True, kw_only=True):
    """A draft may be started from now on."""

    reason: str = ""


@event_named("campaign.archived")
class CampaignArchived(Event, frozen=True, kw_only=True):
    """It is over: it takes no leads and cannot be started."""

    reason: str = ""


@event_named("campaign.reopened")
class CampaignReopened(Event, frozen=True, kw_only=True):
    """An archived campaign takes leads again, and may be started."""

    reason: str = ""


@event_named("lead.shown")
class LeadShown(Event, frozen=True, kw_only=True):
    """A lead is shown to an agent, who dials or skips it."""

    lead_id: str
    agent_id: AgentId


@event_named("lead.skipped")
class LeadSkipped(Event, frozen=True, kw_only=True):
    """An agent did not dial the lead they were shown, or let its time go by."""

    lead_id: str
    agent_id: AgentId
    reason: str


@event_named("lead.next_number_dialed")
class LeadNextNumberDialed(Event, frozen=True, kw_only=True):
    """An agent asked for the next number of the person they had just talked about: it is dialed to them."""

    lead_id: str
    agent_id: AgentId
    after: str
    """The attempt they had before."""


@event_named("strategy.step_done")
class StrategyStepDone(Event, frozen=True, kw_only=True):
    """A step of an account's strategy was done or passed over; done again after a death between the deed and this word."""

    run_id: str
    strategy: str
    position: int
    what: str
    last: bool
    skipped: str = ""
    """Why the step was passed over; empty: it was done."""


@event_named("strategy.stopped")
class StrategyStopped(Event, frozen=True, kw_only=True):
    """An account's strategy does no step any more: a payment, a promise, a restriction, a conversation, a fault, or another in its place."""

    run_id: str
    strategy: str
    reason: str


@event_named("campaign.caller_ids")
class CampaignCallerIds(Event, frozen=True, kw_only=True):
    """An engine has begun to call from these numbers for a campaign: every call that it commits from now on shows one of them."""

    pool: str
    digests: tuple[str, ...]
    """Of each number, BLAKE2b of 8 bytes in hexadecimal digits: the log holds no numbers."""


@event_named("caller_id.health_changed")
class CallerIdHealthChanged(Event, frozen=True, kw_only=True):
    """Something speaks against a number that we call from, or no longer does: `dialer caller-ids` shows it. It is called from as before."""

    pool: str
    position: int
    """Which number of the pool, counted from 1."""
    signs: tuple[str, ...]
    """`blocked`, `answered_less`, `short_calls`; none: nothing any more."""
    attempts: int
    """In the last seven days."""
    answered: int
    short: int
    blocked: int


@event_named("promise.withdrawn")
class PromiseWithdrawn(Event, frozen=True, kw_only=True):
    """A promise does not count any more: it was `cancelled`, or `replaced` by another."""

    promise_id: str
    state: str
