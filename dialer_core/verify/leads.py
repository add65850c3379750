"""I18: every lead is dialable now or at a known time, in an attempt, waiting for something named, or finished with a reason."""

from __future__ import annotations

from collections.abc import Iterator

from dialer_core.portfolio.strategy_clock import CALL
from dialer_core.store import scan
from dialer_core.store.account_leads import STRATEGY
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Row, Subject
from dialer_core.vocabulary import LeadState, StrategyState

_STATES = frozenset(state.value for state in LeadState)


def _broken(lead: Row, text: str) -> Violation:
    return Violation(Invariant.I18, "lead", lead.id, text)


def partition(subject: Subject) -> Iterator[Violation]:
    """I18: the columns of a lead fit its state."""
    for lead in subject.leads:
        if lead.state not in _STATES:
            yield _broken(lead, f"{lead.state!r} is no state of a lead")
        if lead.state == LeadState.WAITING and not lead.waiting_for:
            yield _broken(lead, "is waiting, and for what is not said")
        if lead.state == LeadState.FINISHED and not lead.finished_reason:
            yield _broken(lead, "is finished, and why is not said")
        if lead.state != LeadState.FINISHED and lead.finished_reason:
            yield _broken(
                lead, f"is {lead.state}, with the reason {lead.finished_reason!r} of a finished lead"
            )
        if lead.state == LeadState.DIALABLE and lead.waiting_for:
            yield _broken(lead, f"is dialable, and waits for {lead.waiting_for!r}")


def held_by_a_strategy(subject: Subject) -> Iterator[Violation]:
    """I18: a lead that waits for its strategy has one that runs and has a call ahead."""
    ahead = {
        run.account_id
        for run in scan.rows(subject.tx, "strategy_run", only=("state", StrategyState.RUNNING.value))
        if any(step["what"] == CALL for step in run.steps[run.position :])
    }
    for lead in subject.leads:
        if lead.state == LeadState.WAITING and lead.waiting_for == STRATEGY and lead.account_id not in ahead:
            yield _broken(lead, "waits for its strategy, and none that runs has a call ahead")


def in_attempt(subject: Subject) -> Iterator[Violation]:
    """I18: a lead is in an attempt when, and only when, it has a live one, unless it was finished meanwhile."""
    live = {attempt.lead_id: attempt.id for attempt in subject.attempts if attempt.live}
    for lead in subject.leads:
        if lead.state == LeadState.IN_ATTEMPT and lead.id not in live:
            yield _broken(lead, "is in an attempt, and none is live")
        if lead.state == LeadState.DIALABLE and lead.id in live:
            yield _broken(lead, f"is dialable, and its attempt {live[lead.id]} is live")


def account_and_person(subject: Subject) -> Iterator[Violation]:
    """I18: the attempts of a lead are at its own account and person."""
    leads = {lead.id: lead for lead in subject.leads}
    for attempt in subject.attempts:
        lead = leads[attempt.lead_id]
        if (lead.account_id, lead.person_id, lead.campaign_id) != (
            attempt.account_id,
            attempt.person_id,
            attempt.campaign_id,
        ):
            yield Violation(
                Invariant.I18,
                "attempt",
                attempt.id,
                f"is not of its lead's account, person or campaign ({lead.id})",
            )


CHECKS = (
    Check(Invariant.I18, "lead states partition the list", whole=partition),
    Check(Invariant.I18, "a lead waits for a strategy that has a call ahead", whole=held_by_a_strategy),
    Check(Invariant.I18, "a lead is in an attempt when it has a live one", whole=in_attempt),
    Check(Invariant.I18, "attempts are of their leads' accounts and people", whole=account_and_person),
)
