"""The predictive mode through the public interface: what it allows, what it learns, and that it never goes mad."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pacing import Binding, Decision, EventKind, Pacer, PacerConfig, PacingInputError, Snapshot, step_many
from pacing.arithmetic import ARRAYS, NUMBERS
from pacing.bank import Columns, chances
from pacing.budget import allowed_risk

pytestmark = pytest.mark.unit

CONFIG = PacerConfig(mode="predictive")
LEDGER = {"live_total": 1000, "abandoned_total": 28}


def pool(**fields: object) -> Snapshot:
    """Return a pool with plenty of lines and a ledger that allows a little."""
    return Snapshot(**({"now_s": 0.0, "idle": 0, "waiting": 0, "lines_free": 10_000} | LEDGER | fields))


def decide(snapshot: Snapshot, **config: object) -> Decision:
    """Return the first decision of a fresh pacer."""
    return Pacer(PacerConfig(mode="predictive", **config)).step(snapshot)


ages = st.lists(st.floats(0.0, 60.0), max_size=25)


@st.composite
def situations(draw: st.DrawFn) -> dict:
    """Return the fields of any consistent pool."""
    live = draw(st.integers(0, 5000))
    return {
        "idle": draw(st.integers(0, 60)),
        "waiting": draw(st.integers(0, min(8, live))),
        "talk_elapsed_s": draw(ages),
        "wrapup_elapsed_s": draw(ages),
        "finishing_elapsed_s": draw(ages),
        "ring_age_s": draw(ages),
        "listening_age_s": draw(st.lists(st.floats(0.0, 5.0), max_size=5)),
        "lines_free": draw(st.integers(0, 300)),
        "live_total": live,
        "abandoned_total": draw(st.integers(0, min(live, 200))),
        "brake": draw(st.booleans()),
        "stop": draw(st.booleans()),
    }


@settings(deadline=None, max_examples=60)
@given(fields=situations())
def test_lines_brake_and_stop_hold(fields: dict) -> None:
    """0 <= place <= lines; braked at most one per idle agent less those in flight; stopped nothing; all figures are numbers."""
    snapshot = pool(**fields)
    decision = decide(snapshot)
    assert 0 <= decision.place <= snapshot.lines_free
    assert 0 <= decision.release <= sum(age >= 15.0 for age in fields["ring_age_s"])
    if snapshot.brake:
        assert decision.place <= max(0, snapshot.idle - snapshot.in_flight)
    if snapshot.stop:
        assert decision.place == 0
    assert 0.0 < decision.alpha <= 0.5
    assert 0.0 <= decision.p_marginal <= 1.0
    assert math.isfinite(decision.overflow)


@settings(deadline=None, max_examples=60)
@given(fields=situations(), more=st.integers(1, 30))
@example(  # from where the probability is exact to where it is not
    fields={
        "idle": 30, "waiting": 0, "finishing_elapsed_s": [0.0] * 7, "lines_free": 300, "live_total": 2, "abandoned_total": 2,
    },
    more=4,
)  # fmt: skip
def test_more_idle_agents_never_mean_fewer_calls(fields: dict, more: int) -> None:
    """Placing is non-decreasing in idle agents."""
    assert decide(pool(**(fields | {"idle": fields["idle"] + more}))).place >= decide(pool(**fields)).place


@settings(deadline=None, max_examples=60)
@given(fields=situations(), more=st.integers(1, 10))
def test_more_waiting_callers_never_mean_more_calls(fields: dict, more: int) -> None:
    """Placing is non-increasing in waiting callers."""
    assert (
        decide(pool(**(fields | {"waiting": fields["waiting"] + more}))).place <= decide(pool(**fields)).place
    )


@settings(deadline=None, max_examples=60)
@given(fields=situations(), ceiling=st.floats(0.005, 0.3), share=st.floats(0.05, 1.0))
def test_a_stricter_ceiling_never_means_more_calls(fields: dict, ceiling: float, share: float) -> None:
    """Placing is non-increasing as the ceiling gets stricter."""
    loose = decide(pool(**fields), abandonment_ceiling=ceiling)
    assert decide(pool(**fields), abandonment_ceiling=ceiling * share).place <= loose.place


@settings(deadline=None, max_examples=40)
@given(several=st.lists(situations(), min_size=2, max_size=5))
def test_step_many_equals_one_by_one(several: list[dict]) -> None:
    """Stepping several pools at once decides what stepping each alone decides, step after step."""
    together = [Pacer(CONFIG) for _ in several]
    alone = [Pacer(CONFIG) for _ in several]
    for now_s in (0.0, 0.5, 3.0):
        snapshots = [
            pool(
                **(
                    fields
                    | {"now_s": now_s, "events": [(EventKind.LIVE_ANSWER, 9.0), (EventKind.TALK_ENDED, 60.0)]}
                )
            )
            for fields in several
        ]
        for pacer, snapshot, decision in zip(alone, snapshots, step_many(together, snapshots), strict=True):
            single = pacer.step(snapshot)
            assert (single.place, single.release, single.binding) == (
                decision.place,
                decision.release,
                decision.binding,
            )
            assert single.p_marginal == pytest.approx(decision.p_marginal, abs=1e-9)


def test_calls_in_transit_count_once() -> None:
    """Ringing calls hold agents back once: with five idle and five just placed, no more than a few are placed again at once."""
    first = decide(pool(idle=5)).place
    again = decide(pool(idle=5, ring_age_s=[0.0] * first)).place
    assert first >= 5
    assert again == 0


def test_a_call_answered_moves_from_ringing_to_talking_without_a_gap() -> None:
    """A caller who waits holds an agent like a call that rings; one who talks holds none but theirs."""
    ringing = decide(pool(idle=3, ring_age_s=[10.0] * 2)).place
    waiting = decide(pool(idle=3, ring_age_s=[10.0], waiting=1)).place
    talking = decide(pool(idle=2, ring_age_s=[10.0], talk_elapsed_s=[0.0])).place
    assert waiting <= ringing
    assert waiting <= talking


def test_agents_about_to_be_free_and_calls_placed_for_them_balance() -> None:
    """Calls already placed for agents who finish are taken off what those agents allow: asked again at once, nothing more is placed."""
    state = {"idle": 2, "talk_elapsed_s": [170.0] * 20, "wrapup_elapsed_s": [40.0] * 6}
    first = decide(pool(**state)).place
    assert first > 2
    assert decide(pool(ring_age_s=[0.0] * first, **state)).place == 0


def test_agents_who_come_back_and_calls_in_transit_are_not_subtracted_twice() -> None:
    """A call that has found its agent is in transit no longer: it holds that agent, and leaves the others their calls."""
    before = decide(pool(idle=6, ring_age_s=[12.0] * 4)).place
    after = decide(pool(idle=2, talk_elapsed_s=[0.5] * 4)).place
    assert after >= decide(pool(idle=2, ring_age_s=[12.0] * 4)).place
    assert before >= after >= 2


def expected_beyond(chances: list[float], agents: int) -> float:
    """Return by brute force how many of those who may come find no agent on average."""
    total = 0.0
    for outcome in itertools.product((0, 1), repeat=len(chances)):
        likely = math.prod(p if hit else 1.0 - p for p, hit in zip(chances, outcome, strict=True))
        total += likely * max(sum(outcome) - agents, 0)
    return total


@pytest.mark.parametrize(("ringing", "idle", "waiting"), [(6, 1, 0), (6, 4, 0), (4, 0, 2), (0, 0, 3)])
def test_overflow_is_the_expected_number_of_callers_without_an_agent(
    ringing: int, idle: int, waiting: int
) -> None:
    """Few calls: the number told is that of going through every outcome at both moments; callers who wait count whole."""
    pacer = Pacer(CONFIG)
    snapshot = pool(ring_age_s=[9.0] * ringing, idle=idle, waiting=waiting, live_total=400)
    told = pacer.step(snapshot).overflow
    learned = Columns(*pacer._bank.columns[:, 0])
    table = pacer._bank.ring_of(0)[:, [int(9.0 * learned.ring_per_s)]]
    each = chances(table, learned.rate, learned.rate * learned.theta)[1:3, 0]
    expected = [expected_beyond([float(p)] * ringing + [1.0] * waiting, idle) for p in each]
    assert told == pytest.approx(sum(expected) / 2)


def test_callers_past_saving_are_abandoned_already() -> None:
    """A caller with no time left holds no agent who frees later, and costs the ledger a call; with time left it is the other way round."""
    busy = {"talk_elapsed_s": [60.0] * 12, "ring_age_s": [8.0] * 4, "live_total": 500, "abandoned_total": 10}
    saved = decide(pool(waiting=1, waiting_left_s=[1.5], **busy))
    lost = decide(pool(waiting=1, waiting_left_s=[-0.2], **busy))
    gone = decide(pool(**(busy | {"abandoned_total": 11})))
    assert lost.p_marginal == pytest.approx(gone.p_marginal)
    assert lost.alpha == gone.alpha < saved.alpha
    assert lost.p_marginal < saved.p_marginal


def test_the_last_call_of_the_ledger_is_kept_back() -> None:
    """Where the next abandoned call would pass the ceiling it is hardly risked, since a shift may end at any time; with room it grows gently."""
    alphas = [
        decide(pool(idle=2, talk_elapsed_s=[60.0] * 3, live_total=live, abandoned_total=17)).alpha / 0.03
        for live in (599, 600, 617, 634, 667)
    ]
    assert alphas[0] <= 0.05
    assert alphas[1] > 0.2
    assert alphas[3] > 0.8
    assert all(1.0 < after / before < 2.2 for before, after in itertools.pairwise(alphas[1:]))


def test_with_all_agents_gone_nothing_is_placed_and_long_ringing_goes() -> None:
    """No agents: no call, and what has rung for the legal minimum is hung up, not what rings shorter."""
    decision = decide(pool(ring_age_s=[3.0, 16.0, 20.0]))
    assert (decision.place, decision.release) == (0, 2)
    assert decide(pool(ring_age_s=[3.0, 16.0, 20.0]), release=False).release == 0


def test_a_start_from_nothing_never_calls_more_than_a_pessimist_would() -> None:
    """A thousand idle agents and nothing known: even if 45 % answered, there would be an agent for each."""
    decision = decide(pool(idle=1000, live_total=0, abandoned_total=0))
    assert 1000 <= decision.place <= 1.1 * 1000 / 0.45
    assert decision.binding is Binding.ERLANG_C


def test_likely_leads_are_placed_in_smaller_numbers() -> None:
    """Leads that answer 1.8 times as often as others are placed fewer at a time, and those that answer seldom more."""
    base = {"idle": 12, "talk_elapsed_s": [60.0] * 30}
    warm = [(EventKind.LIVE_ANSWER, ring_s) for ring_s in np.linspace(4.0, 24.0, 250)] + [
        (EventKind.NOT_LIVE, 27.0)
    ] * 750

    def placed(propensity: float) -> int:
        pacer = Pacer(CONFIG)
        pacer.step(pool(events=warm))
        for k in range(1, 300):  # the start is over: of four that ring, one is answered every twelve seconds
            answer = [(EventKind.LIVE_ANSWER, 10.0)] if k % 12 == 0 else []
            pacer.step(
                pool(
                    now_s=float(k),
                    ring_age_s=[6.0, 10.0, 14.0, 18.0],
                    ring_propensity=[0.25] * 4,
                    events=answer,
                )
            )
        return pacer.step(
            pool(now_s=300.0, ring_propensity=[], next_propensity=[propensity] * 200, **base)
        ).place

    assert placed(0.45) < placed(0.25) < placed(0.1)


def test_agents_seen_finishing_are_expected_sooner() -> None:
    """Where the sign has been followed by a free agent within seconds, six who gave it just now earn more calls than six who talk on."""
    pacer = Pacer(CONFIG)
    signs = [(EventKind.TALK_LEFT, s) for s in np.linspace(20.0, 400.0, 200)] + [
        (EventKind.FINISHED, s) for s in np.linspace(2.0, 8.0, 200)
    ]
    pacer.step(pool(idle=20, events=signs))
    state, rest = pacer.export_state(), {"idle": 2, "talk_elapsed_s": [100.0] * 14}
    talking = rest | {"talk_elapsed_s": [100.0] * 20}
    silent = Pacer(CONFIG, state).step(pool(**talking)).place
    assert Pacer(CONFIG, state).step(pool(**rest, finishing_elapsed_s=[3.0] * 6)).place >= silent + 3
    # without what was learned the prior takes a sign for little, but for more than none
    assert decide(pool(**rest, finishing_elapsed_s=[3.0] * 6)).place >= decide(pool(**talking)).place


def test_a_sign_says_nothing_of_those_who_give_none() -> None:
    """Conversations that left by a sign count for as long as they were seen, not as if they had ended: agents without one are no sooner free."""
    plain, signed = Pacer(CONFIG), Pacer(CONFIG)
    ended = [(EventKind.TALK_ENDED, 300.0)] * 100
    plain.step(pool(idle=20, events=ended))
    signed.step(pool(idle=20, events=ended + [(EventKind.TALK_LEFT, 150.0)] * 100))
    now = pool(idle=1, talk_elapsed_s=[149.0] * 30)
    assert signed.step(now).p_marginal >= plain.step(now).p_marginal
    assert signed.export_state()["learned"]["talk_left"][75] == 100.0


def test_a_state_from_before_signs_were_known_is_taken() -> None:
    """What was stored before agents could be seen finishing restores, with nothing learned of that."""
    old = Pacer(CONFIG).export_state()
    for name in ("finished", "talk_left", "wrapup_left"):
        del old["learned"][name]
    assert sum(Pacer(CONFIG, old).export_state()["learned"]["finished"]) == 0.0


def test_what_was_learned_survives_json() -> None:
    """A state read back from JSON exports itself again, and paces alike but for the caution of a start."""
    pacer = Pacer(CONFIG)
    events = (
        [(EventKind.LIVE_ANSWER, 9.0)] * 40
        + [(EventKind.NOT_LIVE, 28.0)] * 160
        + [(EventKind.TALK_ENDED, 90.0)] * 40
    )
    pacer.step(pool(idle=10, events=events))
    state = json.loads(json.dumps(pacer.export_state()))
    restored = Pacer(CONFIG, state)
    assert restored.export_state()["learned"] == pacer.export_state()["learned"]
    assert restored.step(pool(idle=10)).place <= Pacer(CONFIG, state).step(pool(idle=20)).place
    longer = Pacer(PacerConfig(mode="predictive", ring_timeout_s=40.0), state)  # bins of another width
    assert sum(longer.export_state()["learned"]["ring_other"]) == pytest.approx(160.0)


def test_the_ledger_moves_the_risk() -> None:
    """The allowed risk falls with every abandoned call, is small but not nothing in debt, and is capped whatever was saved."""
    risks = [allowed_risk(0.03, 1000, abandoned, 0.02, NUMBERS) for abandoned in range(60)]
    at_once = allowed_risk(np.full(60, 0.03), np.full(60, 1000), np.arange(60), np.full(60, 0.02), ARRAYS)
    np.testing.assert_allclose(at_once, risks)
    assert all(a >= b for a, b in itertools.pairwise(risks))
    assert risks[0] <= 0.24
    assert 0.0 < risks[-1] <= 0.001


def test_answers_the_ledger_knows_of_count_without_events() -> None:
    """A driver that sends no events still moves the answer rate: the ledger's live answers are taken."""
    pacer = Pacer(CONFIG)
    for k in range(200):
        pacer.step(
            pool(now_s=0.5 * k, ring_age_s=[10.0] * 20, live_total=1000 + 2 * k, talk_elapsed_s=[50.0] * 20)
        )
    told = Pacer(CONFIG)
    for k in range(200):
        told.step(pool(now_s=0.5 * k, ring_age_s=[10.0] * 20, talk_elapsed_s=[50.0] * 20))
    assert pacer.export_state()["answer_scalar"] > 2.0 * told.export_state()["answer_scalar"]


def test_a_clock_that_goes_back_is_refused_before_anything_is_learned() -> None:
    """One pool whose clock went back refuses the whole batch, and no pool has learned."""
    pacers = [Pacer(CONFIG), Pacer(CONFIG)]
    step_many(pacers, [pool(now_s=5.0), pool(now_s=5.0)])
    before = [pacer.export_state() for pacer in pacers]
    events = [(EventKind.TALK_ENDED, 60.0)]
    with pytest.raises(PacingInputError, match="now_s"):
        step_many(pacers, [pool(now_s=6.0, events=events), pool(now_s=4.0, events=events)])
    assert [pacer.export_state() for pacer in pacers] == before


def test_leads_whom_nobody_ever_reached_stop_no_pacer() -> None:
    """Listed with a probability of 0, as it may be: alone and together the pools place at least one call per idle agent."""
    hopeless = pool(idle=2, next_propensity=[0.0, 0.0])
    alone = Pacer(CONFIG).step(hopeless)
    assert alone.place >= 2
    assert [one.place for one in step_many([Pacer(CONFIG), Pacer(CONFIG)], [hopeless] * 2)] == [
        alone.place
    ] * 2
