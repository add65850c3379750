"""What becomes of a lead after an attempt: dialed again and when, at which number, or done.

It owns the built-in rules per outcome (`RULES`, below; a campaign's `[recycle.OUTCOME]` replaces one), the settling of the contact in
the ledger and the lock after an abandoned call. What an agent said of a conversation (`dispositions.py`) comes before the rule of its
outcome. It does not end attempts (`calls/`) nor choose the next lead (`hopper.py`).
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

from dialer_core.campaign_settings import CampaignSettings, RecycleRule
from dialer_core.campaigns import attempt_limits, dispositions, number_health
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import StoreError
from dialer_core.store import (
    callbacks,
    claims,
    contacts,
    leads,
    people,
    promises,
    restrictions,
    strategy_runs,
)
from dialer_core.store.claims import Tried
from dialer_core.store.models import Lead
from dialer_core.store.people import PhoneRow
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import (
    AttemptId,
    ContactSettlement,
    Disposition,
    LeadId,
    LeadState,
    Outcome,
    RestrictionKind,
    RestrictionScope,
)

_DAY_MIN = 24 * 60.0


def _again(after_minutes: float, max_attempts: int, *, next_number: bool = False) -> RecycleRule:
    return RecycleRule(after_minutes=after_minutes, max_attempts=max_attempts, next_number=next_number)


RULES: dict[Outcome, RecycleRule] = {
    # spoken with: an agent's disposition may open the lead again
    Outcome.CONNECTED: RecycleRule(finish=True),
    # a flow has done what it is for
    Outcome.SELF_SERVED: RecycleRule(finish=True),
    # a person was there
    Outcome.ABANDONED: _again(240, 3),  # and not before the pack's lock has ended
    Outcome.CALLER_HUNG_UP: _again(120, 4),
    Outcome.UNIDENTIFIED: _again(240, 4),
    Outcome.DECLINED: _again(_DAY_MIN, 2, next_number=True),
    Outcome.SCREENING: _again(240, 4, next_number=True),
    # nobody was there
    Outcome.MACHINE: _again(240, 6, next_number=True),
    Outcome.MESSAGE_LEFT: _again(_DAY_MIN, 3),
    Outcome.NO_ANSWER: _again(180, 6, next_number=True),
    Outcome.BUSY: _again(15, 6),
    Outcome.UNAVAILABLE: _again(120, 6, next_number=True),
    Outcome.NETWORK_TONE: _again(30, 4, next_number=True),
    Outcome.ANNOUNCEMENT: _again(_DAY_MIN, 3, next_number=True),
    Outcome.REJECTED: _again(240, 3, next_number=True),
    # speaks against the number: the next number soon, this one not before a day, and never after two such in a row
    Outcome.INVALID_NUMBER: _again(5, 100, next_number=True),
    Outcome.SIT: _again(5, 100, next_number=True),
    Outcome.FAX: _again(5, 100, next_number=True),
    # never reached the number, or was our doing
    Outcome.CONGESTION: _again(2, 100),
    Outcome.TRUNK_FAILED: _again(1, 100),
    Outcome.REDIRECTED: _again(_DAY_MIN, 3, next_number=True),
    Outcome.MEDIA_FAILED: _again(30, 3),
    Outcome.RELEASED: _again(30, 6),
    Outcome.CANCELLED: _again(5, 100),
    Outcome.INTERRUPTED: _again(15, 100),
    Outcome.INTERNAL: _again(60, 3),
}

_REST_OF_A_FAULTY_NUMBER = dt.timedelta(days=1)
_LONGEST_BACK_OFF = dt.timedelta(hours=1)
_UNBOUNDED = frozenset({Outcome.TRUNK_FAILED, Outcome.CONGESTION, Outcome.CANCELLED, Outcome.INTERRUPTED})
"""Never the lead's fault: these alone never finish it, but the pause doubles each time, up to `_LONGEST_BACK_OFF`."""


def rule_of(settings: CampaignSettings, outcome: Outcome) -> RecycleRule:
    """Return the rule of an outcome: the campaign's, or the built-in one."""
    return settings.recycle.get(outcome) or RULES[outcome]


def settle(
    tx: Tx,
    *,
    attempt_id: AttemptId,
    outcome: Outcome,
    live_answer: bool,
    abandoned: bool,
    talked: bool,
    settings: CampaignSettings,
    pack: RulePack,
    now: dt.datetime,
) -> LeadState | None:
    """Settle an attempt that has just ended: contact, number and lead. Once: a second call changes nothing.

    Parameters
    ----------
    tx
        The transaction in which the attempt ended.
    attempt_id, outcome
        The attempt and its one outcome.
    live_answer, abandoned, talked
        It was routed as a person; no agent came in time; an agent, or a flow that knew who they are, and the person spoke.
    settings, pack
        Of its campaign.
    now
        When it ended.

    Returns
    -------
    LeadState | None
        The lead's state from now on; None where there was nothing to settle.

    Raises
    ------
    StoreError
        There is no such attempt or lead.
    """
    attempt = claims.tried(tx, attempt_id)
    if attempt is None:
        raise StoreError(f"there is no attempt {attempt_id} to settle")
    # cancelled before its INVITE left, it reached nobody, whatever the pack says of cancelled ones; one that was
    # interrupted may have left although nobody wrote it down
    unsent = outcome is Outcome.CANCELLED and attempt.sent_mono_ns is None
    void = (outcome in pack.void_outcomes or unsent) and not live_answer and not talked
    settlement = ContactSettlement.VOID if void else ContactSettlement.COUNTED
    if not contacts.settle(tx, attempt_id, settlement, outcome=outcome.value, conversation=talked):
        return None
    if talked:
        strategy_runs.stop(tx, "contact", persons=[attempt.person_id])
    phones = people.phones_of(tx, [attempt.person_id])[attempt.person_id]
    phones = [
        number_health.learn(tx, phone, outcome, answered=live_answer or talked, now=now)
        if phone.id == attempt.phone_id
        else phone
        for phone in phones
    ]
    locked_until = None
    if abandoned and pack.abandonment.lock_hours:
        locked_until = now + dt.timedelta(hours=pack.abandonment.lock_hours)
        restrictions.add(
            tx,
            RestrictionKind.ABANDONMENT_LOCK,
            RestrictionScope.PERSON,
            attempt.person_id,
            source=f"attempt {attempt_id}",
            from_utc=now,
            until_utc=locked_until,
        )
    lead = leads.get(tx, attempt.lead_id, keep=True)  # a payment may be writing where it goes
    if lead is None:
        raise StoreError(f"there is no lead {attempt.lead_id} to recycle")
    if talked:
        callbacks.made(tx, attempt.lead_id, attempt.id)
    if lead.state != LeadState.IN_ATTEMPT:  # finished meanwhile, by a payment or a restriction
        leads.update_lead(tx, LeadId(lead.id), last_outcome=outcome.value)
        return LeadState(lead.state)
    said = attempt.disposition
    if said is None and talked and promises.open_of(tx, [attempt.account_id]):
        said = Disposition.PROMISE.value  # written down during the conversation, which is word enough
    if said is not None:  # said during the conversation
        word = dispositions.word_of(settings, said)
        asked_for = callbacks.open_of(tx, LeadId(lead.id)) if word.root is Disposition.CALLBACK else None
        rests_until = asked_for.open_from_utc if asked_for else None
        leads.update_lead(tx, LeadId(lead.id), last_outcome=outcome.value)
        return dispositions.place(tx, attempt, lead, word.effect, said, now, rests_until)
    return _recycle(tx, attempt, lead, outcome, phones, settings, max(filter(None, (now, locked_until))), now)


def settle_without_rules(tx: Tx, attempt_id: AttemptId, outcome: Outcome, *, talked: bool) -> None:
    """Settle an attempt whose campaign's file is gone, so that nobody knows its rules: the contact counts, and its lead waits for nothing.

    Nobody dials it while there is no campaign; when there is one again, the gate is asked first.
    """
    attempt = claims.tried(tx, attempt_id)
    counted = ContactSettlement.COUNTED
    if attempt is None or not contacts.settle(
        tx, attempt_id, counted, outcome=outcome.value, conversation=talked
    ):
        return
    lead = leads.get(tx, attempt.lead_id, keep=True)
    if lead is not None and lead.state == LeadState.IN_ATTEMPT:
        leads.update_lead(
            tx,
            LeadId(lead.id),
            state=LeadState.DIALABLE.value,
            next_at_utc=leads.READY_UTC,
            last_outcome=outcome.value,
        )


def _recycle(
    tx: Tx,
    attempt: Tried,
    lead: Lead,
    outcome: Outcome,
    phones: Sequence[PhoneRow],
    settings: CampaignSettings,
    earliest: dt.datetime,
    now: dt.datetime,
) -> LeadState:
    rule = rule_of(settings, outcome)
    before = claims.count_outcome(tx, LeadId(lead.id), outcome, without=attempt.id)
    reason = _finished_because(rule, outcome, before, phones)
    most = settings.attempts.most
    if reason is None and most is not None and lead.attempts >= most and outcome not in _UNBOUNDED:
        reason = attempt_limits.MOST
    if reason is not None:
        leads.finish(tx, lead, reason, last_outcome=outcome.value)
        callbacks.cancel(tx, LeadId(lead.id))
        return LeadState.FINISHED
    pause = dt.timedelta(minutes=_pause_minutes(rule, before))
    if outcome in _UNBOUNDED and outcome not in settings.recycle:
        pause = min(pause * 2 ** min(before, 16), _LONGEST_BACK_OFF)
    another = rule.next_number and number_health.other_usable(phones, attempt.phone_id)
    if outcome in number_health.FAULTS and not another:
        pause = max(pause, _REST_OF_A_FAULTY_NUMBER)
    leads.update_lead(
        tx,
        LeadId(lead.id),
        state=LeadState.DIALABLE.value,
        next_at_utc=callbacks.not_reached(tx, LeadId(lead.id), max(now + pause, earliest)),
        last_outcome=outcome.value,
        waiting_for=None,
    )
    return LeadState.DIALABLE


def _pause_minutes(rule: RecycleRule, before: int) -> float:
    """Return the pause after an outcome that came so many times before: longer each time where the rule says so."""
    if rule.growth == 1.0:
        return rule.after_minutes
    longest = max(rule.longest_minutes, rule.after_minutes)
    steps = math.log(max(1.0, longest / max(rule.after_minutes, 1e-3)), rule.growth)
    return longest if before >= steps else rule.after_minutes * rule.growth**before


def _finished_because(
    rule: RecycleRule, outcome: Outcome, before: int, phones: Sequence[PhoneRow]
) -> str | None:
    if rule.finish:
        return outcome.value
    if not any(number_health.usable(phone) for phone in phones):
        return number_health.NO_USABLE_NUMBER
    if before + 1 >= rule.max_attempts and outcome not in _UNBOUNDED:
        return f"max_{outcome.value}"
    return None
