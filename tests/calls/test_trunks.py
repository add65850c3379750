"""Trunks: lines and rates are never exceeded, and failures move to the next trunk."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dialer_core.calls.trunks import FAILURES_TO_DOWN, REFUSALS_TO_HOLD, SECOND_NS, TRIAL_S, Trunks
from dialer_core.settings import TrunkSettings
from dialer_core.vocabulary import TrunkId, TrunkState

pytestmark = pytest.mark.unit

A, B = TrunkId("a"), TrunkId("b")


def make_trunks(lines: int = 3, rate: float = 5.0) -> Trunks:
    """Two trunks that answered their first OPTIONS."""
    settings = TrunkSettings(host="127.0.0.1", lines=lines, calls_per_second=rate)
    trunks = Trunks({A: settings, B: settings})
    trunks.note_alive(A)
    trunks.note_alive(B)
    return trunks


@given(
    st.lists(st.tuples(st.integers(0, 400_000_000), st.integers(0, 3_000_000_000)), min_size=1, max_size=200),
    st.integers(1, 9),
)
def test_no_second_sees_more_invites_than_allowed(asked: list[tuple[int, int]], rate: int) -> None:
    """In any second of the wire a trunk gets at most its calls per second, however the asking falls and however late each INVITE leaves (I7)."""
    trunks = make_trunks(lines=10_000, rate=rate)
    now_ns = 10 * SECOND_NS
    under_way: list[int] = []
    left_ns: list[int] = []
    for gap_ns, late_ns in asked:
        now_ns += gap_ns
        for at_ns in sorted(at_ns for at_ns in under_way if at_ns <= now_ns):
            under_way.remove(at_ns)
            left_ns.append(at_ns)
            trunks[A].sent(at_ns)
        under_way += [now_ns + late_ns] * len(trunks.reserve(["a"], 3, now_ns))
    left_ns += under_way
    for start in left_ns:
        assert sum(start <= at < start + SECOND_NS for at in left_ns) <= rate


def test_an_invite_that_never_leaves_gives_its_token_back() -> None:
    """What was reserved for nobody, or refused before it left, counts against no second."""
    trunks = make_trunks(rate=2)
    assert len(trunks.reserve(["a"], 5, SECOND_NS)) == 2
    assert trunks.reserve(["a"], 5, 9 * SECOND_NS) == []
    trunks[A].give_back(unsent=True)
    trunks[A].sent(9 * SECOND_NS)
    assert len(trunks.reserve(["a"], 5, 9 * SECOND_NS)) == 1


def test_a_rate_below_one_spaces_calls_out() -> None:
    """One call every five seconds means one call every five seconds."""
    trunks = make_trunks(rate=0.2)
    assert len(trunks.reserve(["a"], 5, SECOND_NS)) == 1
    trunks[A].sent(SECOND_NS)
    assert trunks.reserve(["a"], 5, 5 * SECOND_NS) == []
    assert len(trunks.reserve(["a"], 5, 7 * SECOND_NS)) == 1


def test_lines_are_a_limit_until_they_are_given_back() -> None:
    """A fourth call on three lines waits for one of them."""
    trunks = make_trunks(lines=3, rate=100)
    assert trunks.reserve(["a"], 5, SECOND_NS) == [A, A, A]
    assert trunks.reserve(["a"], 1, 3 * SECOND_NS) == []
    assert "all 3 lines in use" in trunks.blocked_reason(["a"], 3 * SECOND_NS)
    trunks[A].give_back()
    assert trunks.reserve(["a"], 1, 3 * SECOND_NS) == [A]


def test_reservations_overflow_to_the_next_trunk() -> None:
    """The first trunk is filled first."""
    assert make_trunks(lines=3, rate=100).reserve(["a", "b"], 5, SECOND_NS) == [A, A, A, B, B]


def test_failover_goes_forward_only() -> None:
    """After the last trunk there is none; a trunk that is down is passed over."""
    trunks = make_trunks()
    assert trunks.next_after(A, ["a", "b"], SECOND_NS) == B
    assert trunks.next_after(B, ["a", "b"], SECOND_NS) is None
    trunks.note_silent(B, probe=True)
    assert trunks.next_after(A, ["a", "b"], SECOND_NS) is None


def test_silence_takes_a_trunk_down_and_any_answer_brings_it_up() -> None:
    """One lost INVITE is bad luck, several are a dead trunk; a probe's silence is enough by itself."""
    trunks = make_trunks()
    changes = [trunks.note_silent(A, probe=False) for _ in range(FAILURES_TO_DOWN)]
    assert changes == [False] * (FAILURES_TO_DOWN - 1) + [True]
    assert trunks[A].state is TrunkState.DOWN
    assert trunks.reserve(["a"], 1, SECOND_NS) == []
    assert "does not answer INVITE" in trunks.blocked_reason(["a"], SECOND_NS)
    assert trunks.note_alive(A) is True
    assert trunks.note_alive(A) is False
    assert trunks.note_silent(A, probe=True) is True


def test_a_trunk_that_is_never_probed_stays_up() -> None:
    """Some trunks do not answer OPTIONS; without probes nothing would ever bring them up again."""
    settings = TrunkSettings(host="127.0.0.1", options_interval_s=0)
    trunks = Trunks({A: settings})
    assert trunks[A].state is TrunkState.UP
    for _ in range(10):
        assert trunks.note_silent(A, probe=False) is False


def test_a_trunk_that_refuses_everything_is_tried_by_one_call_at_a_time() -> None:
    """It answers, so it is up; after some refusals in a row it waits, longer each time, for single calls, whatever talks over it meanwhile."""
    trunks = make_trunks(lines=10, rate=100)
    now_ns = SECOND_NS
    trunks.reserve(["a"], 2, now_ns)  # two conversations that go on
    told = [trunks.note_refused(A, now_ns) for _ in range(REFUSALS_TO_HOLD)]
    assert told == [False] * (REFUSALS_TO_HOLD - 1) + [True]
    holds = []
    for _ in range(8):
        assert trunks.available(["a"], now_ns) == 0
        assert "refuses every call" in trunks.blocked_reason(["a"], now_ns)
        assert trunks.note_alive(A) is False, "OPTIONS says nothing about calls"
        holds.append((trunks[A].held_until_ns - now_ns) / SECOND_NS)
        now_ns = trunks[A].held_until_ns
        assert trunks.reserve(["a"], 5, now_ns) == [A]
        assert trunks.reserve(["a"], 5, now_ns + int((TRIAL_S - 1) * SECOND_NS)) == []
        trunks[A].give_back()
        assert trunks.note_refused(A, now_ns) is False
    assert holds == [2, 4, 8, 16, 32, 60, 60, 60]
    assert trunks.note_accepted(A) is True
    assert trunks.available(["a"], now_ns) == 8
    assert trunks[A].reason == ""


def test_a_trunk_is_held_as_long_as_it_asks_for() -> None:
    """Retry-After counts, up to a minute; a call that is taken on between two refusals forgets them."""
    trunks = make_trunks(rate=100)
    for _ in range(REFUSALS_TO_HOLD):
        trunks.note_refused(A, 0)
    trunks.note_refused(A, 0, 30.0)
    assert trunks[A].held_until_ns == 30 * SECOND_NS
    trunks.note_refused(A, 0, 7200.0)
    assert trunks[A].held_until_ns == 60 * SECOND_NS
    trunks.note_accepted(A)
    for _ in range(REFUSALS_TO_HOLD - 1):
        trunks.note_refused(A, 0)
    assert not trunks.note_accepted(A)
    assert not trunks[A].held
