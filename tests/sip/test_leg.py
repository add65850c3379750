"""The table of a leg and its limits, on a clock the test moves."""

from __future__ import annotations

import pytest

from dialer_core.ipc.messages import LegNegotiated, Place, SipIdentity
from dialer_core.sip.leg import TABLE, Leg, Phase, Signal
from dialer_core.vocabulary import EndedBy, LegId, LegKind

pytestmark = pytest.mark.unit

SECOND = 1_000_000_000
START = 5 * SECOND


def _leg() -> Leg:
    order = Place(
        leg_id=LegId("leg"),
        kind=LegKind.CUSTOMER,
        to_uri="sip:a@127.0.0.1",
        identity=SipIdentity(from_uri="sip:b@127.0.0.1"),
        media_host="127.0.0.1",
        media_port=4000,
        progress_limit_s=8.0,
        ring_limit_s=28.0,
        unattended_limit_s=15.0,
    )
    return Leg(order=order, sent_ns=START)


def _at(leg: Leg) -> tuple[float, Signal] | None:
    limit = leg.next_limit()
    return None if limit is None else ((limit[0] - START) / SECOND, limit[1])


def test_every_phase_decides_every_signal() -> None:
    """The table has a cell for each pair, and every phase but the last can reach the end."""
    assert set(TABLE) == set(Phase)
    assert all(set(row) == set(Signal) for row in TABLE.values())
    assert all(Phase.ENDED in TABLE[phase].values() for phase in Phase if phase is not Phase.ENDED)


def test_an_ended_leg_takes_nothing() -> None:
    """After the end every signal is late, so that there is one `LegEnded` and no more."""
    leg = _leg()
    assert leg.apply(Signal.DISCONNECTED, START)
    assert not any(leg.apply(signal, START) for signal in Signal)
    assert leg.next_limit() is None


@pytest.mark.parametrize("first", list(Signal))
@pytest.mark.parametrize("second", list(Signal))
def test_any_two_signals_in_either_order_end_at_most_once(first: Signal, second: Signal) -> None:
    """Whatever two things happen in whatever phase, the leg ends at most once, and never leaves the end."""
    for phase in Phase:
        leg = _leg()
        leg.phase = phase
        ends = 0
        for signal in (first, second):
            counted = leg.apply(signal, START)
            ends += counted and leg.phase is Phase.ENDED
        assert ends <= (phase is not Phase.ENDED)


def test_limits_follow_the_phases() -> None:
    """Progress, ringing, media and attendance each have their limit, counted from the phase's own beginning."""
    leg = _leg()
    assert _at(leg) == (8.0, Signal.PROGRESS_LIMIT)
    leg.apply(Signal.PROGRESS, START + SECOND)
    assert _at(leg) == (28.0, Signal.RING_LIMIT)
    leg.apply(Signal.RINGING, START + 2 * SECOND)
    assert _at(leg) == (28.0, Signal.RING_LIMIT)
    leg.apply(Signal.ANSWERED, START + 10 * SECOND)
    assert _at(leg) == (12.0, Signal.MEDIA_LIMIT)
    leg.negotiated = LegNegotiated(at_ns=0, leg_id=LegId("leg"), host="127.0.0.1", port=4002, codec="PCMU")
    assert _at(leg) == (25.0, Signal.UNATTENDED_LIMIT)
    leg.attended = True
    assert _at(leg) is None


@pytest.mark.parametrize(("cause", "by"), [(Signal.HANGUP, EndedBy.US), (Signal.RING_LIMIT, EndedBy.LIMIT)])
def test_a_leg_given_up_waits_for_its_final_answer(cause: Signal, by: EndedBy) -> None:
    """Given up before the answer, a leg ends with the final answer seen, or two seconds later without one."""
    leg = _leg()
    leg.apply(Signal.RINGING, START)
    assert leg.apply(cause, START + SECOND)
    assert leg.phase is Phase.RELEASING
    assert leg.ended_by is by
    assert _at(leg) == (3.0, Signal.RELEASE_LIMIT)
    assert not leg.apply(Signal.DISCONNECTED, START + SECOND)
    assert leg.apply(Signal.FINAL_SEEN, START + SECOND)
    assert leg.phase is Phase.ENDED
