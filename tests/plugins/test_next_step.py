"""What to do next about an account: the hook's order and its failures, and the rules of `agent_desk` where nobody else decides."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from dialer_core.plugin_api import (
    AccountView,
    CampaignId,
    Channel,
    NextStep,
    Opening,
    StepAction,
    StepFacts,
    hookimpl,
)
from dialer_core.portfolio.account_view import AccountSummary
from dialer_core.store.people import PersonRow
from dialer_core.store.promises import Instalment, PaymentRow, PromiseRow
from dialer_core.store.restrictions import RestrictionRow
from dialer_core.vocabulary import PromiseKind, PromiseState, RestrictionKind
from plugins.agent_desk.next_step import default_step
from plugins.agent_desk.words import LANGUAGES, WORDS
from tests.plugins.plugin_sets import Running

pytestmark = pytest.mark.unit

NOW = dt.datetime(2027, 3, 3, 18, tzinfo=dt.UTC)
ZONE = "America/Mexico_City"
OPEN = Opening(channel=Channel.VOICE, allowed=True, from_utc=NOW, zone=ZONE)
STEP = NextStep(action=StepAction.WRITE, why={"es": "Escríbale.", "en": "Write."}, channel=Channel.SMS)


def facts(*openings: Opening, talking: bool = True, late: int = 10, **what: Any) -> StepFacts:
    """Return what is known of an account that owes 1,000.00, with something else."""
    account = AccountSummary(
        id="a", portfolio="default", external_id="A1", person_id="p", creditor="", product=None, currency="MXN",
        balance_minor=100_000, days_past_due=late, due_date=None, status="open",
    )  # fmt: skip
    empty = {
        name: () for name in AccountView.__struct_fields__ if name not in ("account", "person", "promise", "recordings", "identified")
    }  # fmt: skip
    person = PersonRow("p", None, "Ana", "es", None)
    view = AccountView(account=account, person=person, **(empty | {"promise": None, "recordings": {}} | what))
    return StepFacts(
        account=view,
        campaign_id=CampaignId("spring"),
        now=NOW,
        talking=talking,
        openings=openings or (OPEN,),
    )


def promised(days: int, state: PromiseState = PromiseState.OPEN) -> PromiseRow:
    """Return a promise of 500.00, due in some days."""
    due = (NOW.date() + dt.timedelta(days)).isoformat()
    return PromiseRow(
        id="r", account_id="a", person_id="p", campaign_id=None, attempt_id=None, agent_id=None, kind=PromiseKind.AGREEMENT,
        state=state, currency="MXN", total_minor=50_000, settles_minor=None, grace_days=1, made_at_utc=NOW,
        instalments=(Instalment(due, 50_000),),
    )  # fmt: skip


RESTRICTED = RestrictionRow(
    **(
        dict.fromkeys(RestrictionRow.__struct_fields__, None)
        | {"id": "x", "kind": RestrictionKind.ATTORNEY, "source": "", "from_utc": NOW}
    )
)
PAID = PaymentRow(
    id="y", account_id="a", external_id="1", amount_minor=20_000, currency="MXN", paid_on="2027-03-01", promise_id=None,
    source="file", received_at_utc=NOW - dt.timedelta(days=2),
)  # fmt: skip


@pytest.mark.parametrize(
    ("known", "action", "said"),
    [
        (facts(), StepAction.ASK_ALL, "$1,000.00 MXN"),
        (facts(late=60), StepAction.OFFER_PLAN, "60 días"),
        (facts(late=200), StepAction.LISTEN, "200 días"),
        (facts(restrictions=(RESTRICTED,), promise=promised(1)), StepAction.LEAVE, "Tiene abogado"),
        (facts(payments=(PAID,)), StepAction.THANK, "$200.00 MXN"),
        (facts(promises=(promised(-9, PromiseState.BROKEN),)), StepAction.RENEGOTIATE, "No cumplió"),
        (facts(promise=promised(2)), StepAction.REMIND, "5 de marzo"),
        (facts(promise=promised(20)), StepAction.LEAVE, "23 de marzo"),
    ],
)
def test_the_rules_go_by_what_matters_most(known: StepFacts, action: StepAction, said: str) -> None:
    """A restriction, a promise, money that came, a broken promise, the days past due, in this order; the reason is in both languages."""
    step = default_step(known)
    assert (step.action, said in step.why["es"]) == (action, True), step
    assert set(step.why) == set(LANGUAGES)
    assert step.why["en"] != step.why["es"]
    assert "{" not in step.why["es"] + step.why["en"]


def test_the_hour_is_what_the_gate_allows() -> None:
    """On the line it is said now; else by telephone from when the gate allows it, or not at all where that is never."""
    monday = NOW + dt.timedelta(days=2)
    closed = Opening(channel=Channel.VOICE, allowed=False, from_utc=monday, rule="weekday", zone=ZONE)
    never = msgspec.structs.replace(closed, from_utc=None)
    on_the_line, later, shut = (
        default_step(facts(closed)),
        default_step(facts(closed, talking=False)),
        default_step(facts(never, talking=False)),
    )
    assert (on_the_line.channel, on_the_line.at_utc) == (None, None)
    assert (later.action, later.channel, later.at_utc) == (StepAction.ASK_ALL, Channel.VOICE, monday)
    assert (shut.action, shut.channel) == (StepAction.LEAVE, None)


def test_a_promise_is_reminded_of_by_writing_on_its_eve() -> None:
    """By the channel that the gate lets be written by then, at the hour at which they use to answer."""
    sms = Opening(channel=Channel.SMS, allowed=True, from_utc=NOW, zone=ZONE)
    step = default_step(facts(OPEN, sms, promise=promised(20)))
    assert (step.action, step.channel) == (StepAction.REMIND, Channel.SMS)
    assert step.at_utc == dt.datetime(2027, 3, 22, 17, tzinfo=dt.UTC)  # 11:00 there


async def test_the_first_plugin_with_an_answer_decides() -> None:
    """In the order in which they are enabled, whoever is marked last after the others; None leaves it to the next."""
    calls: list[str] = []

    def says(name: str, step: Any) -> Any:
        def choose(facts: StepFacts) -> Any:
            calls.append(name)
            return step

        return choose

    hook = "dialer_choose_next_step"
    default = hookimpl(says("default", STEP), trylast=True)
    running = Running(
        desk={hook: default},
        silent={hook: says("silent", None)},
        scores={hook: says("scores", msgspec.structs.replace(STEP, action=StepAction.CALL))},
    )
    running["desk"].hooks[hook].opts["trylast"] = True
    running["desk"].hooks[hook].trylast = True
    assert await running.host.choose_next_step(facts()) == (
        "scores",
        msgspec.structs.replace(STEP, action=StepAction.CALL),
    )
    assert calls == ["silent", "scores"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("call them", "is a str, no NextStep"),
        (msgspec.structs.replace(STEP, why={"es": "Sólo español"}), "'en'"),
        (msgspec.structs.replace(STEP, at_utc=dt.datetime(2027, 1, 1)), "time zone"),  # noqa: DTZ001 - the fault
        (msgspec.structs.replace(STEP, action=StepAction.CALL, template="t"), "template"),
    ],
)
async def test_what_is_no_step_is_passed_over(answer: Any, said: str) -> None:
    """A plugin that returns something else, or raises, is reported; the next one decides."""

    def broken() -> NextStep:
        raise KeyError

    hook = "dialer_choose_next_step"
    running = Running(odd={hook: lambda: answer}, broken={hook: broken}, good={hook: lambda: STEP})
    assert await running.host.choose_next_step(facts()) == ("good", STEP)
    assert said in running.reported[0].error
    assert [one.plugin for one in running.reported] == ["odd", "broken"]


def test_every_word_of_a_step_has_its_text() -> None:
    """Actions, channels, states of messages, restrictions and whatever else the desk names by the engine's own words."""
    from dialer_core.vocabulary import AgentState, Disposition, MessageState, SupervisionMode

    words = {
        "step": StepAction, "channel": [Channel.VOICE, Channel.SMS, Channel.WHATSAPP, Channel.EMAIL], "state": AgentState,
        "message": [one for one in MessageState if one is not MessageState.RECEIVED], "disposition": Disposition,
        "supervised": SupervisionMode,
    }  # fmt: skip
    missing = [
        key for table, members in words.items() for one in members if (key := f"script.{table}.{one.value}") not in WORDS
    ]  # fmt: skip
    assert missing == []
