"""Why a lead is not dialed now, and from when it can be: the answer in words and by time.

It owns that answer. It asks what a claim asks (`schedule.py`, `attempt_limits.py`, `candidates.py`, `gate.decide`), and changes and
reserves nothing.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from dataclasses import dataclass

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import candidates, number_health, schedule
from dialer_core.campaigns.attempt_limits import Tried
from dialer_core.compliance import gate, windows
from dialer_core.compliance.facts import ContactRequest, Facts
from dialer_core.compliance.gate import Refused
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import CommandRefusedError
from dialer_core.list_settings import ScheduleSettings
from dialer_core.store import callbacks, campaigns, claims, leads, people
from dialer_core.store.callbacks import CallbackRow
from dialer_core.store.models import Lead
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, CampaignState, LeadId, LeadState, PhoneId


@dataclass(frozen=True)
class NumberAnswer:
    """What the gate, and the campaign's schedule, say of one number. `rule` is empty where it may be dialed from the lead's own time on."""

    phone_id: PhoneId
    rank: int
    rule: str
    reason: str
    allowed_from: dt.datetime | None
    zone: str = ""
    """Where its hours are counted: the first of the zones that it may lie in."""


@dataclass(frozen=True)
class LeadAnswer:
    """Why a lead is not dialed now; `numbers` in the order of trying, without those that are dead or without consent."""

    lead_id: LeadId
    state: LeadState
    reason: str
    """What the lead itself is doing: ready, resting, in a call, waiting, finished."""
    dialable_from: dt.datetime | None
    """Earliest instant, in UTC, at which neither the lead's rest nor the gate stands in the way, as far as is known now; None: none is known."""
    numbers: tuple[NumberAnswer, ...]
    campaign_state: CampaignState = CampaignState.RUNNING
    """In any other state nothing of its campaign is dialed, whatever may be."""

    def words(self) -> str:
        """Say it in one line."""
        blocked = bool(self.numbers) and all(one.rule for one in self.numbers)
        parts = [] if blocked and self.reason == _READY else [self.reason]
        if self.dialable_from is not None:
            first = next(one for one in self.numbers if one.allowed_from == self.dialable_from)
            parts.append(f"can be dialed from {local(self.dialable_from, first.zone)}")
        if blocked:
            soonest = min(self.numbers, key=lambda one: one.allowed_from or _NEVER)
            parts.append(f"blocked now: {_RULE_WORDS.get(soonest.rule, soonest.rule)} ({soonest.reason})")
        if self.state is LeadState.DIALABLE and self.campaign_state is not CampaignState.RUNNING:
            parts.append(f"its campaign is {self.campaign_state}")
        return "; ".join(parts)


_READY = "ready: its turn comes by priority"
_NEVER = dt.datetime.max.replace(tzinfo=dt.UTC)
_RULE_WORDS = {
    "window": "out of hours",
    "weekday": "closed that day",
    "zone_unknown": "unknown time zone",
    schedule.RULE: "the campaign is closed",
}
_TURNS = 8
"""How often the gate's "from then on" is held against the schedule's."""


def local(at: dt.datetime, zone: str) -> str:
    """Return a time as people say it, with its weekday, where it is counted; without a zone, in UTC."""
    if not zone:
        return f"{at:%A %Y-%m-%d %H:%M} UTC"
    return f"{at.astimezone(windows.zone_info(zone)):%A %Y-%m-%d %H:%M} {zone}"


def why(
    tx: Tx, lead_id: LeadId, *, settings: CampaignSettings, pack: RulePack, now: dt.datetime
) -> LeadAnswer:
    """Answer for one lead.

    Parameters
    ----------
    tx
        A transaction; a read is enough.
    lead_id
        The lead.
    settings, pack
        Of its campaign.
    now
        The gate is asked for this instant, or for the end of the lead's own rest where that is later.

    Raises
    ------
    CommandRefusedError
        There is no such lead.
    """
    found = leads.with_person(tx, lead_id)
    if found is None:
        raise CommandRefusedError(f"there is no lead {lead_id}", "unknown")
    lead, ready = found
    rests_until = max(now, lead.next_at_utc) if lead.state == LeadState.DIALABLE else now
    phones = candidates.numbers_to_try(
        settings,
        people.phones_of(tx, [ready.person_id])[ready.person_id],
        claims.last_tries(tx, [lead_id]).get(lead_id),
        rests_until,
    )
    own = callbacks.open_of(tx, lead_id)
    tried = Tried.read(tx, settings.attempts, [ready], rests_until)
    rest = (
        None
        if own is not None or lead.state != LeadState.DIALABLE
        else tried.block(ready, phones, rests_until)
    )
    if rest is not None and rest.next_at_utc is not None:
        rests_until = max(rests_until, rest.next_at_utc)
    requests = [candidates.request_of(ready, phone, ready.campaign_id, rests_until) for phone in phones]
    facts = Facts.read(tx, requests, pack)
    numbers = []
    for phone, request in zip(phones, requests, strict=True):
        said = _of_number(request, settings.schedule, pack, facts)
        answer = NumberAnswer(phone.id, phone.rank, *said, zone=request.zones[0] if request.zones else "")
        numbers.append(answer)
    times = [one.allowed_from for one in numbers if one.allowed_from is not None]
    dialable_from = min(times, default=None) if lead.state == LeadState.DIALABLE else None
    if rest is not None and rest.finished_reason is not None:
        dialable_from = None
    return LeadAnswer(
        lead_id,
        LeadState(lead.state),
        rest.reason
        if rest is not None and lead.next_at_utc <= now
        else _reason(lead, own, now, bool(phones)),
        dialable_from,
        tuple(numbers),
        campaigns.states(tx)[CampaignId(lead.campaign_id)],
    )


def _of_number(
    request: ContactRequest, its: ScheduleSettings, pack: RulePack, facts: Facts
) -> tuple[str, str, dt.datetime | None]:
    """Return what first stands in the way of a call, in a word and in words, and from when on nothing does."""
    said = ("", "may be dialed")
    at = request.at
    for _ in range(_TURNS):
        opens = schedule.opens(its, at)
        if opens != at and not said[0]:
            said = (schedule.RULE, schedule.closed(its, at))
        if opens is None:
            return (*said, None)
        decision = gate.decide(dataclasses.replace(request, at=opens), pack, facts)
        if not isinstance(decision, Refused):
            return (*said, opens)
        if not said[0] or decision.allowed_from is None:
            said = (decision.rule, decision.reason)
        if decision.allowed_from is None:
            return (*said, None)
        at = decision.allowed_from
    return (*said, at)


def _reason(lead: Lead, callback: CallbackRow | None, now: dt.datetime, has_number: bool) -> str:  # noqa: FBT001 - one fact of three
    match LeadState(lead.state):
        case LeadState.IN_ATTEMPT:
            return "is being called now"
        case LeadState.WAITING:
            return f"waits for: {lead.waiting_for}"
        case LeadState.FINISHED:
            return f"finished: {lead.finished_reason}"
    if not has_number:
        return f"has {number_health.NO_USABLE_NUMBER}"
    if lead.next_at_utc > now and callback is not None and lead.next_at_utc == callback.open_from_utc:
        by = f" by {callback.agent_id}" if callback.agent_id else ""
        return f"asked to be called back{by} at {callback.due_at_utc:%Y-%m-%d %H:%M} UTC"
    if lead.next_at_utc > now:
        why_resting = lead.blocked_rule or (
            f"after {lead.last_outcome}" if lead.last_outcome else "scheduled"
        )
        return f"rests until {lead.next_at_utc:%Y-%m-%d %H:%M} UTC ({why_resting})"
    return _READY
