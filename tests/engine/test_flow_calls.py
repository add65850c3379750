"""Calls in a flow, on virtual time: spoken to at once, identified before anything of a debt, stored before it is confirmed, and never left alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from dialer_core.calls.flow_calls import MOST_UNPREPARED
from dialer_core.calls.flow_work import Prepared, Terms
from dialer_core.flows.language import Flow
from dialer_core.flows.meaning import is_sensitive
from dialer_core.flows.reading import load_flow
from dialer_core.store import models
from dialer_core.vocabulary import AgentId, AgentState, AttemptState, Outcome, Verdict
from tests.engine.conftest import MakeFloor
from tests.engine.playing import MESSAGE_S, press
from tests.engine.readings import attempts, event_names
from tests.engine.test_call_loop import run
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

FLOW = load_flow(Path("dialer_core/config_defaults/flows/recordatorio.toml"))
PROMISE = Terms(120050, "2026-11-20")
PERSON = Behaviour(verdict=Verdict.HUMAN, verdict_s=0.5, silence_s=0.2)
PRESSING_S = MESSAGE_S + 0.5


class Host:
    """What the host does: prepares each attempt, in two stages, as it sees it in the log."""

    def __init__(self, floor: Floor, *, delay_s: float = 0.05) -> None:
        self.floor, self.delay_s = floor, delay_s
        self.stages: dict[str, int] = {}

    async def run(self) -> None:
        """Look at every live attempt, again and again."""
        self.floor.engine.host_is(there=True)
        while True:
            await asyncio.sleep(self.delay_s)
            for attempt in list(self.floor.engine.machine.attempts.values()):
                stage = 2 if attempt.identified else 1
                if self.stages.get(attempt.id, 0) < stage:
                    self.stages[attempt.id] = stage
                    self.prepare(attempt.id, debt=stage == 2)

    def prepare(self, attempt_id: Any, *, debt: bool) -> None:
        """Hand over what may be said."""
        (flow,) = self.floor.settings.flows.values()
        names = [name for name, step in flow.steps.items() if is_sensitive(flow, step) == debt]
        self.floor.engine.flow_calls.prepared(
            Prepared(
                call=attempt_id, language="es", values={"account.balance": 120050},
                prompts={name: (f"speech:{name}",) for name in names}, wrong=("speech:wrong",),
                terms={"promise": PROMISE, "second": PROMISE} if debt else {}, debt=debt,
            )
        )  # fmt: skip


def floor_of(
    make_floor: MakeFloor, *, agents: int = 1, leads: Any = ("01",), flow: Flow = FLOW, **campaign: Any
) -> Floor:
    """Return a floor whose campaign has a flow, by default the packaged one."""
    floor = make_floor(
        leads=list(leads) if not isinstance(leads, int) else leads, workers=20,
        trunks={"carrier": {"host": "127.0.0.1", "lines": 60, "calls_per_second": 60}}, agents=agents,
        campaign={"flow": "recordatorio"} | campaign, flows={"recordatorio": flow},
    )  # fmt: skip
    floor.carrier.default = PERSON
    return floor


def steps_heard(floor: Floor) -> list[str]:
    """Return what was played, without the words before it."""
    return [prompts[-1].removeprefix("speech:") for _, prompts in floor.carrier.played]


def talk(floor: Floor, keys: str, *, host: Host | None = None, then: Any = None) -> None:
    """Run a floor: the one person presses keys, each well into the question; `-` is a wait."""
    hosted = host or Host(floor)

    async def story() -> None:
        working = floor.loop.create_task(hosted.run())
        await floor.until(
            lambda: any(a.state is AttemptState.IN_FLOW for a in floor.engine.machine.attempts.values())
        )
        await floor.pass_s(PRESSING_S)
        for key in keys:
            if key != "-":
                press(floor.carrier, key)
            await floor.pass_s(PRESSING_S)
        if then is not None:
            await then()
        await floor.until(lambda: not floor.engine.machine.attempts)
        working.cancel()

    run(floor, story)


def only(floor: Floor) -> Any:
    """Return the one attempt's row."""
    (attempt,) = attempts(floor)
    return attempt


def test_a_promise_made_by_keys_is_in_the_store_before_it_is_confirmed(make_floor: MakeFloor) -> None:
    """Person, identity, terms, one: a promise as the desk makes it, the lead waits for it, no agent was troubled."""
    floor = floor_of(make_floor)
    talk(floor, "121")
    attempt = only(floor)
    assert (attempt.outcome, attempt.disposition, attempt.live_answer) == (
        Outcome.SELF_SERVED,
        "promise",
        True,
    )
    assert steps_heard(floor) == ["hello", "who", "menu", "promise", "promised"]
    with floor.database.read() as tx:
        (promise,) = tx.execute(select(models.Base.metadata.tables["promise"]))
        (lead,) = tx.execute(select(models.Lead.__table__))
    assert (promise.total_minor, promise.state, promise.attempt_id) == (120050, "open", attempt.id)
    assert (lead.state, lead.waiting_for) == ("waiting", "promise")
    names = event_names(floor)
    assert names.index("identity.verified") < names.index("promise.made") < names.index("flow.ended")
    assert "attempt.bridged" not in names


def test_nine_restricts_them_at_once_and_says_so_after(make_floor: MakeFloor) -> None:
    """Opt-out before anybody is identified: restriction, event, confirmation, in this order; the lead is finished."""
    floor = floor_of(make_floor)
    talk(floor, "9")
    attempt = only(floor)
    assert (attempt.outcome, attempt.disposition) == (Outcome.SELF_SERVED, "do_not_call")
    assert steps_heard(floor)[-2:] == ["stop_calls", "goodbye"]
    with floor.database.read() as tx:
        (restriction,) = tx.execute(select(models.Restriction.__table__))
        (lead,) = tx.execute(select(models.Lead.__table__))
    assert (restriction.kind, restriction.channel) == ("do_not_call", "voice")
    assert (lead.state, lead.finished_reason) == ("finished", "do_not_call")
    names = event_names(floor)
    assert names.index("restriction.added") < names.index("flow.ended")


def test_zero_brings_them_to_an_agent(make_floor: MakeFloor) -> None:
    """Who asks for an agent waits for one as any live answer does, and talks."""
    floor = floor_of(make_floor)
    talk(floor, "10")
    attempt = only(floor)
    assert (attempt.outcome, attempt.agent_id) == (Outcome.CONNECTED, "a0")
    assert steps_heard(floor)[-1] == "agent"
    assert event_names(floor).count("flow.ended") == 1


def test_who_asks_for_an_agent_and_none_is_there_hears_the_message(make_floor: MakeFloor) -> None:
    """The deadline of live answers holds for them too."""
    floor = floor_of(make_floor)

    host = Host(floor)

    async def story() -> None:
        working = floor.loop.create_task(host.run())
        await floor.until(
            lambda: any(a.state is AttemptState.IN_FLOW for a in floor.engine.machine.attempts.values())
        )
        floor.engine.roster.pause(AgentId("a0"), "lunch")
        for key in ("1", "0"):
            await floor.pass_s(PRESSING_S)
            press(floor.carrier, key)
        await floor.until(lambda: not floor.engine.machine.attempts)
        working.cancel()

    run(floor, story)
    assert only(floor).outcome == Outcome.ABANDONED


@pytest.mark.parametrize(
    ("keys", "outcome", "disposition"),
    [
        ("2", Outcome.UNIDENTIFIED, "third_party"),
        ("", Outcome.UNIDENTIFIED, None),
        ("11#", Outcome.SELF_SERVED, None),
    ],
    ids=["somebody else", "nobody presses", "the balance is heard"],
)
def test_what_was_done_is_the_outcome(
    make_floor: MakeFloor, keys: str, outcome: Outcome, disposition: str | None
) -> None:
    """A third party, a silent one and a served one end as what they are; nobody else has heard of a debt."""
    floor = floor_of(make_floor)
    talk(floor, keys)
    assert (only(floor).outcome, only(floor).disposition) == (outcome, disposition)
    assert ("balance" in steps_heard(floor)) == (keys == "11#")


def test_a_hang_up_in_the_middle_is_the_callers(make_floor: MakeFloor) -> None:
    """They hear the beginning and hang up: no more than that is told."""
    floor = floor_of(make_floor)
    floor.carrier.default = Behaviour(verdict=Verdict.HUMAN, verdict_s=0.5, silence_s=0.2, patience_s=3.0)
    talk(floor, "")
    assert only(floor).outcome == Outcome.CALLER_HUNG_UP


def test_a_machine_hears_nothing_of_the_flow(make_floor: MakeFloor) -> None:
    """Its verdict hangs up, or leaves the message that the rules allow: never the flow."""
    floor = floor_of(make_floor, machines={"message": "voicemail-es"})
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE, beep_s=2.0)
    host = Host(floor)

    async def story() -> None:
        working = floor.loop.create_task(host.run())
        await floor.until(lambda: floor.engine.dialing.campaigns["demo"].outcomes[Outcome.MESSAGE_LEFT] == 1)
        working.cancel()

    run(floor, story)
    assert [prompts for _, prompts in floor.carrier.played] == [("voicemail-es",)]


def test_a_person_whose_speech_is_not_ready_is_not_left_in_silence(make_floor: MakeFloor) -> None:
    """The host hangs: by the limit of live answers the abandonment message begins, and it counts as abandoned."""
    floor = floor_of(make_floor)

    async def story() -> None:
        floor.engine.host_is(there=True)
        await floor.until(lambda: floor.engine.dialing.campaigns["demo"].outcomes[Outcome.ABANDONED] == 1)

    run(floor, story)
    assert not floor.carrier.played


def test_speech_that_comes_a_little_late_is_still_heard(make_floor: MakeFloor) -> None:
    """Ready a second after the answer: the flow begins then, within the limit."""
    floor = floor_of(make_floor)
    floor.carrier.default = Behaviour(
        progress_s=None, final_s=0.05, verdict=Verdict.HUMAN, verdict_s=0.5, silence_s=0.2
    )
    talk(floor, "9", host=Host(floor, delay_s=1.3))
    assert only(floor).disposition == "do_not_call"


def own_flow(folder: Path, steps: str) -> Flow:
    """Return a flow of one key to say who one is, and of these steps after it."""
    file = folder / "own.toml"
    file.write_text(
        'start = "hello"\nat_limit = "goodbye"\nlanguages = ["es"]\nanytime = { 9 = "stop_calls" }\n'
        '[steps.hello]\ndo = "verify"\nconfirm = "1"\nnext = "second"\non_timeout = "goodbye"\n'
        'text.es = "Mensaje automático. Si es {person.name}, oprima uno."\n'
        '[steps.stop_calls]\ndo = "opt_out"\ntext.es = "Listo."\nnext = "goodbye"\non_failed = "goodbye"\n'
        f'[steps.goodbye]\ndo = "end"\ntext.es = "Adiós."\n{steps}'
    )
    return load_flow(file)


DEBT = '[steps.second]\ndo = "payment_info"\ntext.es = "Debe {account.balance}."\nnext = "goodbye"\n'
MENU = '[steps.second]\ndo = "ask"\nkeys = { 1 = "again" }\non_timeout = "goodbye"\ntext.es = "Oprima uno."\n'
AGAIN = '[steps.again]\ndo = "lookup"\nnext = "promise"\non_failed = "goodbye"\n'
OFFER = (
    '[steps.promise]\ndo = "promise"\nin_days = 5\ntext.es = "¿Paga {promise.amount}?"\nnext = "goodbye"\n'
    'on_declined = "goodbye"\non_failed = "sorry"\non_timeout = "goodbye"\n'
    '[steps.sorry]\ndo = "say"\ntext.es = "No se pudo anotar."\nnext = "goodbye"\n'
)


def test_what_is_owed_is_heard_to_its_end_though_its_sound_came_late(
    make_floor: MakeFloor, tmp_path: Path
) -> None:
    """Rendered a moment after they said who they are: it lasts as long as it does, not until the wait for it would have ended."""
    floor = floor_of(make_floor, flow=own_flow(tmp_path, DEBT))
    talk(floor, "1", host=Host(floor, delay_s=1.3))
    assert steps_heard(floor) == ["hello", "second", "goodbye"]
    begun = [at_ns for at_ns, _ in floor.carrier.played]
    assert begun[2] - begun[1] >= MESSAGE_S * 1e9
    assert only(floor).outcome == Outcome.SELF_SERVED


def test_a_promise_is_not_offered_any_more_of_an_account_read_again(
    make_floor: MakeFloor, tmp_path: Path
) -> None:
    """Paid while they talk: the terms of before are gone with the sound of before."""
    floor = floor_of(make_floor, flow=own_flow(tmp_path, MENU + AGAIN + OFFER))

    async def paid() -> None:
        press(floor.carrier, "1")
        await floor.pass_s(0.5)
        (attempt,) = floor.engine.machine.attempts.values()
        floor.engine.flow_calls.prepared(
            Prepared(
                call=attempt.id,
                language="es",
                values={},
                prompts={"sorry": ("speech:sorry",)},
                debt=True,
            )
        )

    talk(floor, "1", then=paid)
    assert steps_heard(floor) == ["hello", "second", "goodbye"]


@pytest.mark.parametrize(("commit_s", "kept"), [(1.0, True), (6.0, False)])
def test_a_promise_they_were_told_was_not_written_down_is_not(
    make_floor: MakeFloor,
    tmp_path: Path,
    commit_s: float,
    kept: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The store takes longer than anybody waits: they hear that it failed, and then it must not be there when it comes back."""
    floor = floor_of(make_floor, flow=own_flow(tmp_path, OFFER.replace("steps.promise", "steps.second")))

    async def slow() -> None:
        floor.life.journal.commit_s = commit_s
        press(floor.carrier, "1")
        await floor.pass_s(2 * commit_s + 1)
        floor.life.journal.commit_s = 0.0

    talk(floor, "1", then=slow)
    assert ("promise.made" in event_names(floor)) is kept
    assert ("sorry" in steps_heard(floor)) is not kept


def test_without_a_host_nothing_is_begun_and_with_a_slow_one_not_much(make_floor: MakeFloor) -> None:
    """Flow campaigns wait for the host, and say so; one that does not keep up gets no more than it can prepare."""
    floor = floor_of(make_floor, leads=80, agents=50, pacing="progressive")

    async def story() -> None:
        await floor.pass_s(5.0)
        campaign = floor.engine.dialing.campaigns["demo"]
        assert campaign.attempts == 0
        assert "host" in campaign.held
        floor.engine.host_is(there=True)
        await floor.pass_s(3.0)
        assert MOST_UNPREPARED < len(floor.engine.machine.attempts) < 80
        assert "keep up" in campaign.held
        floor.engine.dialing.stop(campaign.id, "enough")
        await floor.until(lambda: not floor.engine.machine.attempts)

    floor.carrier.default = Behaviour(progress_s=0.5, final_s=None)
    run(floor, story)


def test_an_engine_killed_in_mid_flow_leaves_nobody_and_an_honest_outcome(make_floor: MakeFloor) -> None:
    """The next engine does not know what they were told: it ends the call, as interrupted."""
    floor = floor_of(make_floor)
    host = Host(floor)

    async def story() -> None:
        working = floor.loop.create_task(host.run())
        await floor.until(
            lambda: any(a.state is AttemptState.IN_FLOW for a in floor.engine.machine.attempts.values())
        )
        await floor.pass_s(1.0)
        working.cancel()
        floor.kill_engine()
        await floor.pass_s(1.0)
        await floor.start_again()
        await floor.until(lambda: not floor.engine.machine.attempts)

    run(floor, story)
    assert only(floor).outcome == Outcome.INTERRUPTED
    assert not [call for call in floor.carrier.calls.values() if "5255" in call.place.to_uri]


def test_a_new_media_plane_says_the_step_again(make_floor: MakeFloor) -> None:
    """The sound dies in the middle of a prompt: it is said once more, and the flow goes on."""
    floor = floor_of(make_floor)
    host = Host(floor)

    async def story() -> None:
        working = floor.loop.create_task(host.run())
        await floor.until(
            lambda: any(a.state is AttemptState.IN_FLOW for a in floor.engine.machine.attempts.values())
        )
        await floor.pass_s(1.0)
        floor.lose_media()
        await floor.pass_s(0.5)
        floor.attach_media()
        await floor.pass_s(2 * PRESSING_S)
        press(floor.carrier, "9")
        await floor.until(lambda: not floor.engine.machine.attempts)
        working.cancel()

    run(floor, story)
    assert steps_heard(floor)[:2] == ["hello", "hello"]
    assert only(floor).disposition == "do_not_call"


def test_a_storm_of_digits_ends_the_flow_and_nothing_else(make_floor: MakeFloor) -> None:
    """Five hundred keys at once: the flow runs into its own limit, says goodbye, and the loop goes on."""
    floor = floor_of(make_floor)

    async def storm() -> None:
        for _ in range(5):
            press(floor.carrier, "1234567804#*" * 9)
            await floor.pass_s(0.1)
            if not floor.carrier.calls or not floor.engine.machine.attempts:
                break

    talk(floor, "", then=storm)
    assert only(floor).outcome in (Outcome.SELF_SERVED, Outcome.CONNECTED, Outcome.UNIDENTIFIED)
    assert floor.engine.roster[AgentId("a0")].state in (AgentState.LOGGED_OUT, AgentState.READY)


def test_an_agentless_campaign_is_placed_by_lines_and_rate(make_floor: MakeFloor) -> None:
    """Nobody is logged in: as many calls as the trunk has lines, no faster than its rate, and each is spoken to."""
    floor = make_floor(
        leads=40, agents=0, campaign={"flow": "recordatorio", "pacing": "agentless"}, flows={"recordatorio": FLOW},
        trunks={"carrier": {"host": "127.0.0.1", "lines": 12, "calls_per_second": 5}},
    )  # fmt: skip
    floor.carrier.default = PERSON
    host, most = Host(floor), 0

    async def story() -> None:
        nonlocal most
        working = floor.loop.create_task(host.run())
        campaign = floor.engine.dialing.campaigns["demo"]
        while sum(campaign.outcomes.values()) < 40:
            await floor.pass_s(0.2)
            most = max(most, len(floor.engine.machine.attempts))
        working.cancel()

    run(floor, story)
    assert most == 12
    sent = sorted(attempt.sent_mono_ns for attempt in attempts(floor))
    assert min(later - first for first, later in zip(sent, sent[6:], strict=False)) >= 1_000_000_000
    assert {attempt.outcome for attempt in attempts(floor)} == {Outcome.UNIDENTIFIED}
