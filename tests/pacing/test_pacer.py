"""The pacer through its public interface: each mode, each limit above it, and what is remembered."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pacing import (
    Binding,
    Decision,
    EventKind,
    Mode,
    Pacer,
    PacerConfig,
    PacingInputError,
    Snapshot,
    erlang,
    step_many,
)

pytestmark = pytest.mark.unit

PLENTY = 10_000
GOOD_STATE = Pacer(PacerConfig()).export_state()


def pool(**fields: object) -> Snapshot:
    """Return a quiet pool with plenty of lines, with the given fields."""
    return Snapshot(**({"now_s": 0.0, "idle": 0, "waiting": 0, "lines_free": PLENTY} | fields))


def decide(mode: str, snapshot: Snapshot, **config: object) -> Decision:
    """Return the first decision of a fresh pacer."""
    return Pacer(PacerConfig(mode=mode, **config)).step(snapshot)


def test_preview_never_places() -> None:
    """In preview the agents place calls: the pacer places none and says so."""
    decision = decide("preview", pool(idle=50))
    assert (decision.place, decision.release, decision.binding) == (0, 0, Binding.PREVIEW)


def test_progressive_places_one_per_idle_agent_less_those_in_flight() -> None:
    """Ringing, listening and waiting calls each take one idle agent."""
    snapshot = pool(idle=9, waiting=1, ring_age_s=[1.0, 5.0, 9.0], listening_age_s=[0.4], live_total=1)
    decision = decide("progressive", snapshot)
    assert (decision.place, decision.binding) == (4, Binding.IDLE)


def test_ratio_places_its_multiple_of_the_idle_agents() -> None:
    """A ratio of 1.5 and 3 idle agents make 5 calls (halves go up), less the 2 in flight."""
    decision = decide("ratio", pool(idle=3, ring_age_s=[1.0, 2.0]), ratio=1.5)
    assert (decision.place, decision.binding) == (3, Binding.RATIO)


def test_busy_agents_earn_no_calls_in_ratio_mode() -> None:
    """Agents talking or in wrap-up do not count until they are idle."""
    snapshot = pool(idle=0, talk_elapsed_s=[170.0] * 20, wrapup_elapsed_s=[29.0] * 5)
    assert decide("ratio", snapshot, ratio=3.0).place == 0


def test_fields_only_the_predictive_mode_computes_are_nan_elsewhere() -> None:
    """Alpha, marginal probability and overflow belong to the predictive mode; the others release nothing."""
    for mode in set(Mode) - {Mode.PREDICTIVE}:
        decision = decide(mode, pool(idle=5))
        assert math.isnan(decision.alpha)
        assert math.isnan(decision.p_marginal)
        assert math.isnan(decision.overflow)
        assert decision.release == 0


def test_erlang_c_places_at_the_rate_of_the_formula() -> None:
    """Over an hour of 20 agents, placed calls equal the formula's rate over the answer rate, within one call."""
    pacer = Pacer(PacerConfig(mode="erlang_c", erlang_wait_s=2.0, erlang_target=0.97))
    steps = np.arange(0.0, 3600.0, 0.25)
    placed = sum(pacer.step(pool(now_s=float(now_s), idle=20)).place for now_s in steps)
    # nothing was learned: talk 180 s, wrap-up 30 s, answer rate 0.3 are the documented priors
    rate_hz = float(erlang.largest_arrival_rate(20, 210.0, 2.0, 0.97)) / 0.3
    assert placed == pytest.approx(rate_hz * steps[-1], abs=1.0)


def test_erlang_c_learns_answer_rate_and_handling_time() -> None:
    """After many events the rate is that of the observed means, not of the priors."""
    pacer = Pacer(PacerConfig(mode="erlang_c"))
    live, dead = [(EventKind.LIVE_ANSWER, 8.0)] * 600, [(EventKind.NOT_LIVE, 20.0)] * 5400
    ended = [(EventKind.TALK_ENDED, 90.0)] * 3000 + [(EventKind.WRAPUP_ENDED, 10.0)] * 3000
    pacer.step(pool(idle=50, events=live + dead + ended))
    placed = sum(pacer.step(pool(now_s=0.25 * k, idle=50)).place for k in range(1, 2401))
    rate_hz = float(erlang.largest_arrival_rate(50, 100.0, 2.0, 0.97)) / 0.1
    assert placed == pytest.approx(
        600.0 * rate_hz, rel=0.03
    )  # 40 prior attempts of 6,040, 12 conversations of 3,012


def test_conversations_under_way_count_towards_the_mean() -> None:
    """Twenty talks of 10 minutes that have not ended make handling longer, and the rate lower."""
    short = Pacer(PacerConfig(mode="erlang_c"))
    long = Pacer(PacerConfig(mode="erlang_c"))
    placed_short = placed_long = 0
    for k in range(2400):
        placed_short += short.step(pool(now_s=0.25 * k, idle=20)).place
        placed_long += long.step(pool(now_s=0.25 * k, idle=0, talk_elapsed_s=[600.0] * 20)).place
    assert placed_long < 0.5 * placed_short


def test_unplaced_credit_is_capped() -> None:
    """After an hour without lines, Erlang-C places two seconds' worth and a call, not an hour's."""
    pacer = Pacer(PacerConfig(mode="erlang_c"))
    pacer.step(pool(idle=500))
    blocked = pacer.step(pool(now_s=3600.0, idle=500, lines_free=0))
    assert (blocked.place, blocked.binding) == (0, Binding.LINES)
    rate_hz = float(erlang.largest_arrival_rate(500, 210.0, 2.0, 0.97)) / 0.3
    assert 1 <= pacer.step(pool(now_s=3600.0, idle=500)).place <= 1 + 2 * rate_hz


@pytest.mark.parametrize("mode", ["ratio", "erlang_c"])
def test_over_the_ceiling_dialing_falls_back_to_one_to_one(mode: str) -> None:
    """With no room for one more abandoned call, one call per idle agent is placed, bound by the ceiling."""
    config = PacerConfig(mode=mode, ratio=4.0, abandonment_ceiling=0.03)
    with_room = {"live_total": 1000, "abandoned_total": 29}
    without = {"live_total": 1000, "abandoned_total": 30}
    free, held = Pacer(config), Pacer(config)
    for pacer, ledger in ((free, with_room), (held, without)):
        pacer.step(pool(idle=100, **ledger))
    crowd = {"now_s": 60.0, "idle": 100, "ring_age_s": [3.0] * 98}
    assert free.step(pool(**crowd, **with_room)).place > 2
    decision = held.step(pool(**crowd, **without))
    assert (decision.place, decision.binding) == (2, Binding.CEILING)


def test_a_first_abandoned_call_is_let_happen_once() -> None:
    """Before 1 / ceiling live answers the first abandoned call does not count against more, the second does."""
    config = {"ratio": 3.0, "abandonment_ceiling": 0.03}
    assert decide("ratio", pool(idle=4, live_total=5, abandoned_total=0), **config).place == 12
    assert decide("ratio", pool(idle=4, live_total=5, abandoned_total=1), **config).place == 4
    assert decide("ratio", pool(idle=4, live_total=66, abandoned_total=1), **config).place == 4
    assert decide("ratio", pool(idle=4, live_total=67, abandoned_total=1), **config).place == 12


def test_the_brake_holds_every_mode_to_one_to_one() -> None:
    """The brake leaves at most one call per idle agent less those in flight, and says so where it takes calls away."""
    decision = decide("ratio", pool(idle=10, ring_age_s=[1.0] * 4, brake=True), ratio=3.0)
    assert (decision.place, decision.binding) == (6, Binding.BRAKE)


def test_a_snapshot_that_contradicts_itself_is_paced_as_if_braked() -> None:
    """More callers waiting than ever answered live cannot be: the pacer goes one to one instead of failing."""
    snapshot = pool(idle=10, waiting=3, live_total=2)
    assert decide("ratio", snapshot, ratio=3.0) == decide(
        "ratio", pool(idle=10, waiting=3, live_total=2, brake=True), ratio=3.0
    )
    assert decide("ratio", snapshot, ratio=3.0).binding is Binding.BRAKE


def test_the_stop_places_nothing() -> None:
    """At the hard stop nothing is placed, whoever is idle."""
    for mode in Mode:
        decision = decide(mode, pool(idle=100, stop=True))
        assert (decision.place, decision.binding) == (0, Binding.STOP)


def test_a_clock_that_goes_back_is_refused() -> None:
    """A step before the previous one raises and names now_s; the next good step works."""
    pacer = Pacer(PacerConfig())
    pacer.step(pool(now_s=10.0, idle=1))
    with pytest.raises(PacingInputError, match="now_s"):
        pacer.step(pool(now_s=9.0, idle=1))
    assert pacer.step(pool(now_s=10.0, idle=1)).place == 1


def test_state_survives_json_and_a_new_clock() -> None:
    """An exported state read back from JSON paces like the pacer it came from, on a clock that began again."""
    events = (
        [(EventKind.LIVE_ANSWER, 5.0)] * 50
        + [(EventKind.NOT_LIVE, 25.0)] * 450
        + [(EventKind.TALK_ENDED, 60.0)] * 40
    )
    old = Pacer(PacerConfig(mode="erlang_c"))
    old.step(pool(now_s=1e6, idle=30, events=events))
    new = Pacer(PacerConfig(mode="erlang_c"), state=json.loads(json.dumps(old.export_state())))
    assert new.export_state() == old.export_state()
    new.step(pool(now_s=0.0, idle=30))
    places = [
        (old.step(pool(now_s=1e6 + t, idle=30)).place, new.step(pool(now_s=t, idle=30)).place)
        for t in range(1, 200)
    ]
    assert sum(a for a, _ in places) > 0
    assert all(a == b for a, b in places)


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"version": 99},
        {"version": 2},
        {"version": 2, "learned": {"ring_bin_s": "many"}, "answer_scalar": 1.0, "answer_shape": 5.0},
        GOOD_STATE | {"answer_scalar": -1.0},
        GOOD_STATE | {"answer_shape": float("nan")},
        GOOD_STATE | {"learned": GOOD_STATE["learned"] | {"talk": [1.0]}},
        GOOD_STATE | {"learned": GOOD_STATE["learned"] | {"ring_live": [-1.0] * 64}},
        GOOD_STATE | {"learned": GOOD_STATE["learned"] | {"talk_s": float("inf")}},
    ],
)
def test_a_state_that_is_none_is_refused(state: dict) -> None:
    """A state of another version, with values missing or impossible, is refused as `state`."""
    with pytest.raises(PacingInputError, match="state"):
        Pacer(PacerConfig(), state=state)


def test_step_many_equals_one_by_one() -> None:
    """Stepping several pools at once decides what stepping each alone decides."""
    configs = [PacerConfig(mode=mode, ratio=2.0) for mode in Mode]
    together, alone = [Pacer(c) for c in configs], [Pacer(c) for c in configs]
    for now_s in range(30):
        snapshots = [pool(now_s=float(now_s), idle=7 + i, ring_age_s=[1.0] * i) for i in range(len(configs))]
        expected = [pacer.step(snapshot) for pacer, snapshot in zip(alone, snapshots, strict=True)]
        for one, other in zip(step_many(together, snapshots), expected, strict=True):
            assert (one.place, one.release, one.binding) == (other.place, other.release, other.binding)
    with pytest.raises(PacingInputError, match="snapshots"):
        step_many(together, [])


def counts(most: int) -> st.SearchStrategy[int]:
    """Return a strategy for a count up to `most`, small ones often."""
    return st.one_of(st.integers(0, min(5, most)), st.integers(0, most))


ages = st.lists(st.floats(0.0, 300.0), max_size=30)


@st.composite
def situations(draw: st.DrawFn) -> dict:
    """Return the fields of any consistent pool."""
    live = draw(counts(5000))
    return {
        "idle": draw(counts(200)),
        "waiting": draw(counts(min(20, live))),
        "talk_elapsed_s": draw(ages),
        "wrapup_elapsed_s": draw(ages),
        "ring_age_s": draw(ages),
        "listening_age_s": draw(ages),
        "lines_free": draw(counts(300)),
        "live_total": live,
        "abandoned_total": draw(counts(min(live, 200))),
        "brake": draw(st.booleans()),
        "stop": draw(st.booleans()),
    }


configs = st.builds(
    PacerConfig,
    mode=st.sampled_from(list(Mode)),
    ratio=st.floats(0.1, 8.0),
    abandonment_ceiling=st.floats(0.005, 0.2),
    erlang_target=st.floats(0.5, 0.99),
)


def settled(config: PacerConfig, fields: dict) -> Decision:
    """Return the decision 30 s into an unchanged situation, where Erlang-C's credit is at its cap."""
    pacer = Pacer(config)
    pacer.step(pool(now_s=0.0, **(fields | {"stop": True})))
    return pacer.step(pool(now_s=30.0, **fields))


@settings(deadline=None)
@given(config=configs, fields=situations())
def test_never_more_than_the_lines_the_brake_and_the_stop_allow(config: PacerConfig, fields: dict) -> None:
    """In any mode and situation: 0 <= place <= lines; braked at most one to one; stopped nothing."""
    decision = settled(config, fields)
    snapshot = pool(**fields)
    assert 0 <= decision.place <= snapshot.lines_free
    if snapshot.brake:
        assert decision.place <= max(0, snapshot.idle - snapshot.in_flight)
    if snapshot.stop:
        assert decision.place == 0
    assert decision.binding in Binding


@settings(deadline=None)
@given(config=configs, fields=situations(), more=st.integers(1, 50))
def test_more_idle_agents_never_mean_fewer_calls(config: PacerConfig, fields: dict, more: int) -> None:
    """Placing is non-decreasing in idle agents."""
    richer = fields | {"idle": fields["idle"] + more}
    assert settled(config, richer).place >= settled(config, fields).place


@settings(deadline=None)
@given(config=configs, fields=situations(), more=st.integers(1, 20))
def test_more_waiting_callers_never_mean_more_calls(config: PacerConfig, fields: dict, more: int) -> None:
    """Placing is non-increasing in waiting callers."""
    crowded = fields | {"waiting": fields["waiting"] + more}
    assert settled(config, crowded).place <= settled(config, fields).place


@settings(deadline=None)
@given(config=configs, fields=situations(), share=st.floats(0.05, 1.0))
def test_a_stricter_ceiling_never_means_more_calls(config: PacerConfig, fields: dict, share: float) -> None:
    """Placing is non-increasing as the ceiling gets stricter."""
    strict = PacerConfig(
        mode=config.mode,
        ratio=config.ratio,
        erlang_target=config.erlang_target,
        abandonment_ceiling=config.abandonment_ceiling * share,
    )
    assert settled(strict, fields).place <= settled(config, fields).place
