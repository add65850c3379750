"""What is done about machines, on virtual time: a message where the rules allow it, an answer to an assistant, a draw for evidence."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from dialer_core.calls.machines import draw_of
from dialer_core.store import models
from dialer_core.verify import verify_store
from dialer_core.vocabulary import AgentId, AgentState, AttemptId, Outcome, Verdict, new_id
from tests.engine.conftest import MakeFloor
from tests.engine.playing import MESSAGE_S
from tests.engine.readings import attempts, event_names
from tests.engine.test_call_loop import run
from tests.engine.virtual import Behaviour, Floor

pytestmark = pytest.mark.unit

MESSAGE = {"machines": {"message": "voicemail-es"}}
A0 = AgentId("a0")


def ended(floor: Floor, outcome: Outcome, count: int = 1) -> bool:
    """Whether so many attempts have ended so."""
    return floor.engine.dialing.campaigns["demo"].outcomes[outcome] == count


@pytest.mark.parametrize(
    ("behaviour", "after"),
    [
        (Behaviour(verdict=Verdict.MACHINE, beep_s=3.0), "beep"),
        (Behaviour(verdict=Verdict.MACHINE, quiet_s=8.0), "quiet"),
    ],
    ids=["beep", "quiet"],
)
def test_a_message_is_left_after_the_beep_or_the_greetings_end(
    make_floor: MakeFloor, behaviour: Behaviour, after: str
) -> None:
    """Where campaign and rule pack allow it, the machine hears the whole message, once, no agent is troubled, and the outcome says so."""
    floor = make_floor(leads=["01"], agents=1, campaign=MESSAGE)
    floor.carrier.default = behaviour

    async def story() -> None:
        await floor.until(lambda: ended(floor, Outcome.MESSAGE_LEFT))
        assert floor.engine.roster[A0].state is AgentState.READY

    run(floor, story)
    ((_, prompts),) = floor.carrier.played
    assert prompts == ("voicemail-es",)
    assert event_names(floor).count("attempt.message_started") == 1
    (attempt,) = attempts(floor)
    waited_s = (attempt.ended_mono_ns - attempt.verdict_mono_ns) / 1e9
    assert waited_s == pytest.approx((behaviour.beep_s or behaviour.quiet_s or 0) + MESSAGE_S, abs=0.1)
    assert after in {"beep", "quiet"}
    assert not attempt.live_answer


def test_a_machine_that_never_beeps_is_hung_up_on_at_the_limit(make_floor: MakeFloor) -> None:
    """Neither beep nor quiet within the campaign's wait: no message, and it ends as a machine."""
    floor = make_floor(
        leads=["01"], agents=1, campaign={"machines": {"message": "voicemail-es", "message_wait_s": 20}}
    )
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE)

    async def story() -> None:
        await floor.until(lambda: ended(floor, Outcome.MACHINE))

    run(floor, story)
    (attempt,) = attempts(floor)
    assert (attempt.ended_mono_ns - attempt.verdict_mono_ns) / 1e9 == pytest.approx(20, abs=0.1)
    assert not floor.carrier.played


def test_no_message_where_the_rule_pack_does_not_allow_it(make_floor: MakeFloor) -> None:
    """The campaign asks for a message, the pack of Mexico forbids it: the machine is hung up on."""
    floor = make_floor(leads=["01"], agents=1, campaign=MESSAGE, pack="mx")
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE, beep_s=1.0)

    async def story() -> None:
        await floor.until(lambda: ended(floor, Outcome.MACHINE))

    run(floor, story)
    assert not floor.carrier.played


@pytest.mark.parametrize(
    ("second", "outcome"),
    [
        (Verdict.HUMAN, Outcome.CONNECTED),
        (Verdict.SILENCE, Outcome.SCREENING),
        (Verdict.MACHINE, Outcome.MACHINE),
    ],
)
def test_an_assistant_is_told_who_calls_and_whoever_comes_then_is_judged(
    make_floor: MakeFloor, second: Verdict, outcome: Outcome
) -> None:
    """The packaged answer is spoken once; a person who comes to the phone gets an agent, nobody or a machine does not."""
    floor = make_floor(leads=["01"], agents=1)
    floor.carrier.default = Behaviour(verdict=Verdict.SCREENING, second_verdict=second, talk_s=5.0)

    async def story() -> None:
        await floor.until(lambda: ended(floor, outcome))

    run(floor, story)
    assert [prompts for _, prompts in floor.carrier.played] == [("screening-es",)]
    assert event_names(floor).count("attempt.screened") == 1


def test_without_an_answer_an_assistant_is_a_machine(make_floor: MakeFloor) -> None:
    """An empty `screening_answer` ends the call as screening."""
    floor = make_floor(leads=["01"], agents=1, campaign={"machines": {"screening_answer": ""}})
    floor.carrier.default = Behaviour(verdict=Verdict.SCREENING)

    async def story() -> None:
        await floor.until(lambda: ended(floor, Outcome.SCREENING))

    run(floor, story)
    assert not floor.carrier.played


def test_the_draw_is_even_and_the_same_each_time() -> None:
    """An attempt's number is in [0, 1), spread evenly over attempts, and whoever checks it finds the same."""
    draws = [draw_of(AttemptId(new_id())) for _ in range(4000)]
    assert all(0.0 <= draw < 1.0 for draw in draws)
    # a binomial share of 0.1 in 4,000 draws: five standard errors
    assert sum(draw < 0.1 for draw in draws) / 4000 == pytest.approx(0.1, abs=5 * (0.09 / 4000) ** 0.5)
    fixed = AttemptId("01990000-0000-7000-8000-000000000001")
    assert draw_of(fixed) == draw_of(fixed)


def samples(floor: Floor) -> dict[str, models.DetectionSample]:
    """Return the draws by attempt."""
    with floor.database.read() as tx:
        return {row.attempt_id: row for row in tx.execute(select(models.DetectionSample.__table__))}


def test_a_draw_that_was_not_random_is_found(make_floor: MakeFloor) -> None:
    """`dialer verify` works each draw out again from its attempt's id: one that was chosen is a violation."""
    floor = make_floor(leads=["01"], agents=1, campaign={"machines": {"sample": 0.02}})
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE, talk_s=3.0)

    async def story() -> None:
        await floor.until(lambda: sum(floor.engine.dialing.campaigns["demo"].outcomes.values()) == 1)

    run(floor, story)
    with floor.database.write() as tx:
        tx.execute(update(models.DetectionSample).values(draw=0.5, connected=True))
    report = verify_store(floor.database, packs=floor.packs, now=floor.clock.utc())
    assert [one.invariant for one in report.violations] == ["I10"]


def test_drawn_machines_reach_agents_who_are_free_and_nobody_is_abandoned_by_it(
    make_floor: MakeFloor,
) -> None:
    """With the largest share, those drawn are connected while an agent is free; every draw is stored as it can be checked."""
    floor = make_floor(
        leads=60,
        agents=2,
        campaign={"machines": {"sample": 0.1}, "pacing": "ratio", "ratio": 3.0, "wrap_up_s": 1.0},
    )
    floor.carrier.default = Behaviour(verdict=Verdict.MACHINE, talk_s=3.0)

    async def story() -> None:
        outcomes = floor.engine.dialing.campaigns["demo"].outcomes
        await floor.until(lambda: sum(outcomes.values()) == 60)
        assert outcomes[Outcome.ABANDONED] == 0

    run(floor, story)
    drawn = samples(floor)
    by_id = {attempt.id: attempt for attempt in attempts(floor)}
    assert drawn.keys() == by_id.keys()
    for key, sample in drawn.items():
        assert sample.draw == draw_of(AttemptId(key))
        assert sample.connected == (sample.draw < sample.share and sample.agent_free)
        assert (by_id[key].outcome == Outcome.CONNECTED) == sample.connected
        assert by_id[key].verdict == Verdict.MACHINE
