"""What is best done next about an account: the facts that a plugin is asked with, and the shape of what it answers.

It owns these two shapes and what makes an answer one. Who decides is a plugin's matter (`dialer_choose_next_step`), when one may contact
somebody the gate's.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import msgspec

from dialer_core.portfolio.account_view import AccountView
from dialer_core.vocabulary import CampaignId, Channel, StepAction

LANGUAGES = ("es", "en")
LONGEST_WHY = 400


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says of one channel now, for the best address of it."""

    channel: Channel
    allowed: bool
    from_utc: dt.datetime | None
    """Now, or the first instant at which nothing known now stands in the way; None: none is known."""
    rule: str = ""
    """Which rule stands in the way."""
    reason: str = ""
    zone: str = ""
    """Where its hours are counted."""
    counts: dict[str, list[int]] = {}
    """By cap: contacts that count, and the most there may be."""


class StepFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an account when it is asked what to do about it."""

    account: AccountView
    """Whose it is, what is owed, promised and paid, and everything that was said, in one line of time."""
    campaign_id: CampaignId
    """Whose rules hold."""
    now: dt.datetime
    talking: bool
    """An agent has the person on the line, and knows that it is they."""
    openings: tuple[Opening, ...]
    """The telephone, and each channel that messages can be sent by."""

    def opening(self, channel: Channel) -> Opening | None:
        """Return what the gate says of a channel; None: there is no way to contact them by it."""
        return next((one for one in self.openings if one.channel is channel), None)


class NextStep(msgspec.Struct, frozen=True, kw_only=True):
    """What is best done next."""

    action: StepAction
    why: Mapping[str, str]
    """The reason in words for the agent, in Spanish (`es`) and in English (`en`)."""
    channel: Channel | None = None
    """By which channel; None: in the conversation they have."""
    at_utc: dt.datetime | None = None
    """When; None: now."""
    template: str = ""
    """Which message, for `write`."""


class ChosenStep(msgspec.Struct, frozen=True, kw_only=True):
    """A next step as a desk is told it."""

    step: NextStep | None
    """None: no plugin that is enabled says what to do."""
    by: str
    """Which plugin says so."""
    openings: tuple[Opening, ...]


def problem_of(step: NextStep) -> str:
    """Return why this is no step that a desk can show; empty: it is one."""
    if missing := [one for one in LANGUAGES if not 0 < len(step.why.get(one, "").strip()) <= LONGEST_WHY]:
        return f"why: needs 1 to {LONGEST_WHY} characters in {missing[0]!r}"
    if step.at_utc is not None and step.at_utc.tzinfo is None:
        return "at_utc: has no time zone"
    if step.template and step.action is not StepAction.WRITE:
        return "template: goes with write alone"
    return ""
