"""What an agent's word about a conversation does: to the attempt, to the lead, and to whom may be contacted at all.

It owns the table of effects (`EFFECTS`, below), and the tree of words of a campaign, whose own words stand under the built-in ones and do
what those do where they do not say otherwise. It does not own outcomes, which the network gives (`recycle.py`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from dialer_core.campaign_settings import CampaignSettings
from dialer_core.campaigns import number_health
from dialer_core.disposition_settings import BUILT_IN, REASONS, DispositionSettings
from dialer_core.errors import CommandRefusedError
from dialer_core.events import AttemptDispositioned, CallDispositioned
from dialer_core.portfolio.payments import WAITS as PAYMENT
from dialer_core.portfolio.promises import WAITS as PROMISE
from dialer_core.store import attempts, callbacks, claims, leads, people, promises, restrictions
from dialer_core.store.callers import Caller
from dialer_core.store.models import Lead
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AccountId,
    AccountStatus,
    AgentId,
    AttemptId,
    CampaignId,
    Channel,
    Disposition,
    LeadId,
    LeadState,
    LegId,
    PersonId,
    PhoneId,
    RestrictionKind,
    RestrictionScope,
)


@dataclass(frozen=True)
class Effect:
    """What follows from a disposition."""

    again_after: dt.timedelta | None = None
    """The lead is dialed again after this; None: it is finished under the disposition's name."""
    restriction: RestrictionKind | None = None
    scope: RestrictionScope = RestrictionScope.PERSON
    channel: Channel | None = None
    """Channel that the restriction covers; None: every one."""


_DAY = dt.timedelta(days=1)
PERSONAL_FOR = dt.timedelta(minutes=15)
"""An agent who is not there when their call-back is due may still come to it for so long; then it is anybody's."""

EFFECTS: dict[str, Effect] = {
    Disposition.RIGHT_PARTY: Effect(),
    Disposition.PROMISE: Effect(),
    Disposition.REFUSES: Effect(),
    Disposition.OTHER: Effect(),
    Disposition.THIRD_PARTY: Effect(again_after=_DAY),
    Disposition.CALLBACK: Effect(again_after=_DAY),  # unless a time is given
    Disposition.MACHINE: Effect(again_after=dt.timedelta(hours=4)),
    Disposition.WRONG_NUMBER: Effect(
        again_after=dt.timedelta(minutes=5),
        restriction=RestrictionKind.WRONG_NUMBER,
        scope=RestrictionScope.PHONE,
    ),
    Disposition.DISPUTES: Effect(restriction=RestrictionKind.DISPUTE, scope=RestrictionScope.ACCOUNT),
    Disposition.DECEASED: Effect(restriction=RestrictionKind.DECEASED),
    Disposition.DO_NOT_CALL: Effect(restriction=RestrictionKind.DO_NOT_CALL, channel=Channel.VOICE),
}


_CLOSED = frozenset({AccountStatus.PAID.value, AccountStatus.WITHDRAWN.value})
"""Reasons for which a lead is finished that no disposition takes back."""


class _About(Protocol):
    """Whom a conversation was with, and at which number."""

    @property
    def person_id(self) -> PersonId: ...

    @property
    def account_id(self) -> AccountId: ...

    @property
    def phone_id(self) -> PhoneId: ...

    @property
    def number(self) -> str: ...


@dataclass(frozen=True)
class _CalledIn:
    """Somebody who has called."""

    person_id: PersonId
    account_id: AccountId
    phone_id: PhoneId
    number: str


@dataclass(frozen=True)
class Word:
    """One word of a campaign's tree."""

    name: str
    root: Disposition
    """The built-in word that it is, or is a kind of: what reports and rules go by."""
    under: str | None
    label: str
    effect: Effect
    needs_reason: bool
    hidden: bool


def words_of(settings: CampaignSettings | None) -> dict[str, Word]:
    """Return a campaign's words by name, each after the word it stands under: the built-in ones, and its own."""
    own = settings.dispositions if settings is not None else {}
    found: dict[str, Word] = {}
    left = [name.value for name in Disposition] + [name for name in own if name not in BUILT_IN]
    while left:
        name = left.pop(0)
        its = own.get(name, DispositionSettings())
        if its.under is not None and its.under not in found:
            left.append(name)
            continue
        above = found[its.under] if its.under is not None else None
        found[name] = Word(
            name=name,
            root=above.root if above else Disposition(name),
            under=its.under,
            label=its.label or name,
            effect=_effect(its, above.effect if above else EFFECTS[name]),
            needs_reason=bool(above and above.needs_reason) if its.needs_reason is None else its.needs_reason,
            hidden=its.hidden,
        )
    return found


def word_of(settings: CampaignSettings | None, disposition: str) -> Word:
    """Return one word; one that the campaign does not know (any more) finishes the lead under its name."""
    known = words_of(settings).get(disposition)
    return known or Word(disposition, Disposition.OTHER, None, disposition, Effect(), False, False)


def _effect(its: DispositionSettings, above: Effect) -> Effect:
    again = above.again_after
    if its.again_after_minutes is not None:
        again = dt.timedelta(minutes=its.again_after_minutes)
    elif its.finish:
        again = None
    if its.restriction is None:
        return replace(above, again_after=again)
    return Effect(again, its.restriction, its.scope or RestrictionScope.PERSON, its.channel)


@dataclass(frozen=True)
class WordView:
    """A word as a desk needs it."""

    name: str
    root: str
    under: str | None
    label: str
    again_after_minutes: float | None
    """None: the lead is finished."""
    restriction: str | None
    needs_reason: bool


@dataclass(frozen=True)
class WordsView:
    """What agents of a campaign may say: each word after the one it stands under, and the reasons for non-payment."""

    dispositions: tuple[WordView, ...]
    reasons: dict[str, str]
    promises: dict[str, float]
    """What they may agree to: the campaign's `[promises]`."""


def words_view(settings: CampaignSettings) -> WordsView:
    """Return what agents of a campaign may say."""
    return WordsView(
        tuple(
            WordView(
                one.name,
                one.root.value,
                one.under,
                one.label,
                one.effect.again_after.total_seconds() / 60 if one.effect.again_after else None,
                one.effect.restriction,
                one.needs_reason,
            )
            for one in words_of(settings).values()
            if not one.hidden
        ),
        settings.reasons,
        settings.promises.model_dump(),
    )


def check(settings: CampaignSettings | None, disposition: str, reason: str | None) -> Word:
    """Return the word that an agent gives, with its reason for non-payment, if they may give them.

    Raises
    ------
    CommandRefusedError
        The campaign has no such word or reason, or the word needs a reason (kind `invalid`).
    """
    words = words_of(settings)
    word = words.get(disposition)
    if word is None or word.hidden:
        known = ", ".join(one.name for one in words.values() if not one.hidden)
        raise CommandRefusedError(f"{disposition!r} is no disposition here; allowed are: {known}", "invalid")
    reasons = settings.reasons if settings is not None else REASONS
    if reason is None and word.needs_reason:
        raise CommandRefusedError(
            f"{disposition} needs a reason for non-payment: {', '.join(reasons)}", "invalid"
        )
    if reason is not None and reason not in reasons:
        raise CommandRefusedError(
            f"{reason!r} is no reason here; allowed are: {', '.join(reasons)}", "invalid"
        )
    return word


def apply(
    tx: Tx,
    *,
    attempt_id: AttemptId,
    disposition: str,
    agent_id: AgentId | None,
    now: dt.datetime,
    callback_at: dt.datetime | None = None,
    reason: str | None = None,
    campaigns: Mapping[CampaignId, CampaignSettings] = MappingProxyType({}),
) -> LeadState:
    """Store what an agent (or, None, a flow) says of a conversation, during it or after, and do what follows; return the lead's state.

    A later word replaces the former one; a restriction that the former one made stays. While the attempt is live the lead stays with
    it, and the settling of its end reads the disposition.

    Parameters
    ----------
    tx
        The transaction.
    attempt_id, disposition, agent_id
        Which conversation, what it was, and who says so.
    now
        When.
    callback_at
        When the person asked to be called, for `callback`; the gate still decides.
    reason
        Why they do not pay, as the agent understood it; None leaves what was said before.
    campaigns
        Their words, by which the disposition is checked; a campaign that is not there has the built-in ones.

    Raises
    ------
    CommandRefusedError
        There is no such attempt, nobody was spoken to in it, or its campaign has no such word or reason.
    """
    attempt = claims.tried(tx, attempt_id)
    lead = leads.get(tx, attempt.lead_id) if attempt is not None else None
    if attempt is None or lead is None:
        raise CommandRefusedError(f"there is no attempt {attempt_id}", "unknown")
    if agent_id is not None and attempt.agent_id is None:
        raise CommandRefusedError(
            f"attempt {attempt_id} was not bridged to an agent; it has no conversation to name"
        )
    word = check(campaigns.get(attempt.campaign_id), disposition, reason)
    effect = word.effect
    if callback_at is not None and word.root is not Disposition.CALLBACK:
        raise CommandRefusedError(
            f"a time goes with the disposition callback, not with {disposition}", "invalid"
        )
    attempts.update(tx, attempt_id, disposition=disposition, reason=reason or attempt.reason)
    # as it is now: a payment may have been writing where it goes. After the attempt, in the order of `recycle.settle`
    lead = leads.get(tx, attempt.lead_id, keep=True) or lead
    if effect.restriction is not None:
        _restrict(tx, attempt, f"attempt {attempt.id}", effect, now)
    tx.emit(
        AttemptDispositioned(
            campaign_id=attempt.campaign_id,
            account_id=attempt.account_id,
            attempt_id=attempt_id,
            agent_id=agent_id,
            disposition=disposition,
            reason=reason,
        )
    )
    return _after(
        tx,
        attempt,
        lead,
        word,
        disposition,
        now,
        callback_at,
        agent_id,
        attempt_id=attempt_id,
        live=attempt.live,
    )


def apply_to_call(
    tx: Tx,
    *,
    leg_id: LegId,
    campaign_id: CampaignId,
    caller: Caller | None,
    disposition: str,
    agent_id: AgentId | None,
    now: dt.datetime,
    callback_at: dt.datetime | None = None,
    reason: str | None = None,
    campaigns: Mapping[CampaignId, CampaignSettings] = MappingProxyType({}),
) -> LeadState | None:
    """Store what an agent (or, None, a flow) says of a call that came in, and do what follows to the lead of its caller, as after an attempt.

    Parameters
    ----------
    tx, disposition, agent_id, now, callback_at, reason, campaigns
        As in `apply`.
    leg_id, campaign_id, caller
        The call, the campaign whose number was called, and who they are; None: nobody knows, and the word is only told.

    Returns
    -------
    LeadState | None
        The lead's state from now on; None where no lead is known.

    Raises
    ------
    CommandRefusedError
        The campaign has no such word or reason.
    """
    word = check(campaigns.get(campaign_id), disposition, reason)
    if callback_at is not None and word.root is not Disposition.CALLBACK:
        raise CommandRefusedError(
            f"a time goes with the disposition callback, not with {disposition}", "invalid"
        )
    lead_id = caller.lead_id if caller is not None else None
    account_id = caller.account_id if caller is not None else None
    told = CallDispositioned(
        campaign_id=campaign_id, account_id=account_id, leg_id=leg_id, agent_id=agent_id, lead_id=lead_id,
        disposition=disposition, reason=reason,
    )  # fmt: skip
    tx.emit(told)
    if caller is None or account_id is None:
        return None
    number = people.phone(tx, caller.phone_id)
    who = _CalledIn(caller.person_id, account_id, caller.phone_id, number.e164 if number else "")
    if word.effect.restriction is not None:
        _restrict(tx, who, f"call {leg_id}", word.effect, now)
    lead = leads.get(tx, lead_id, keep=True) if lead_id is not None else None
    if lead is None:
        return None
    return _after(tx, who, lead, word, disposition, now, callback_at, agent_id)


def _after(
    tx: Tx,
    who: _About,
    lead: Lead,
    word: Word,
    disposition: str,
    now: dt.datetime,
    callback_at: dt.datetime | None,
    agent_id: AgentId | None,
    *,
    attempt_id: AttemptId | None = None,
    live: bool = False,
) -> LeadState:
    """Make or take away the call-back that a word speaks of, and put the lead where it sends it; one of a live attempt stays there."""
    closed = lead.state == LeadState.FINISHED and lead.finished_reason in _CLOSED
    if word.root is Disposition.CALLBACK and callback_at is not None and not closed:
        callbacks.add(
            tx, lead_id=LeadId(lead.id), campaign_id=CampaignId(lead.campaign_id), due_at_utc=callback_at, agent_id=agent_id,
            open_from_utc=callback_at + PERSONAL_FOR if agent_id else None, phone_id=who.phone_id, attempt_id=attempt_id,
        )  # fmt: skip
    else:  # a later word takes the former one's call-back away
        callbacks.cancel(tx, LeadId(lead.id))
    if live:
        return LeadState(lead.state)
    if lead.state == LeadState.IN_ATTEMPT:  # a later attempt is under way: this word speaks of an older one
        return LeadState.IN_ATTEMPT
    paid_since = lead.state == LeadState.WAITING and lead.waiting_for == PAYMENT and callback_at is None
    if closed or (
        paid_since and word.effect.again_after is not None
    ):  # nobody's word brings back what was paid
        return LeadState(lead.state)
    rests_until = callback_at + PERSONAL_FOR if callback_at is not None else None
    return place(tx, who, lead, word.effect, disposition, now, rests_until)


def place(
    tx: Tx,
    attempt: _About,
    lead: Lead,
    effect: Effect,
    disposition: str,
    now: dt.datetime,
    rests_until: dt.datetime | None,
) -> LeadState:
    """Put a lead where a disposition sends it; one whose account has an open promise waits for that (I12).

    `rests_until` is when its call-back is anybody's: before, its agent alone may claim it (`store.callbacks.take_due`).
    """
    finishes = effect.restriction is not None and effect.again_after is None
    if not finishes and promises.open_of(tx, [attempt.account_id]):
        leads.update_lead(
            tx,
            LeadId(lead.id),
            state=LeadState.WAITING.value,
            waiting_for=PROMISE,
            finished_reason=None,
            next_at_utc=leads.READY_UTC,
        )
        return LeadState.WAITING
    reason: str | None = None
    if effect.again_after is None:
        reason = disposition
    elif effect.restriction is not None:  # this number is not theirs: is there another?
        phones = people.phones_of(tx, [attempt.person_id])[attempt.person_id]
        if not number_health.other_usable(phones, attempt.phone_id):
            reason = number_health.NO_USABLE_NUMBER
    if reason is not None:
        leads.finish(tx, lead, reason)
        return LeadState.FINISHED
    leads.update_lead(
        tx,
        LeadId(lead.id),
        state=LeadState.DIALABLE.value,
        next_at_utc=rests_until or now + (effect.again_after or _DAY),
        waiting_for=None,
        finished_reason=None,
    )
    return LeadState.DIALABLE


def _restrict(tx: Tx, who: _About, source: str, effect: Effect, now: dt.datetime) -> None:
    if effect.restriction is None:
        return
    values = {
        RestrictionScope.PERSON: who.person_id,
        RestrictionScope.ACCOUNT: who.account_id,
        RestrictionScope.NUMBER: who.number,
        RestrictionScope.PHONE: who.phone_id,
    }
    restrictions.add(
        tx,
        effect.restriction,
        effect.scope,
        values[effect.scope],
        source=source,
        from_utc=now,
        channel=effect.channel,
    )
