"""Calls that come in to a worker from an odd caller: one that offers late, never says where it wants its sound, or never acknowledges the answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dialer_core.ipc.messages import (
    Answer,
    Expect,
    ExpectedLeg,
    LegAnswered,
    LegEnded,
    LegIncoming,
    LegNegotiated,
)
from dialer_core.vocabulary import LegId, new_id
from tests.sip.harness import Engine, Worker, sipp
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp")]


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One worker for all calls of this file."""
    with Worker() as running:
        yield running


def taken(engine: Engine) -> LegId:
    """Take the next call that comes in; return its leg."""
    engine.wait_slots(0, timeout_s=20.0)
    engine.events.clear()
    leg_id = LegId(new_id())
    engine.send(Expect(legs=(ExpectedLeg(leg_id=leg_id, media_host="127.0.0.1", media_port=22998),)))
    engine.state()
    return leg_id


def test_a_late_offer_is_answered_with_ours(worker: Worker, tmp_path: Path) -> None:
    """An INVITE without a description: ours goes out in the 200, theirs comes in the ACK and is told; then it is a call like any."""
    engine = worker.engine
    leg_id = taken(engine)
    with sipp("late_offer", tmp_path, remote=worker.sip_port) as caller:
        assert engine.expect(LegIncoming, leg_id).number
        engine.send(Answer(leg_id=leg_id))
        engine.expect(LegAnswered, leg_id)
        told = engine.expect(LegNegotiated, leg_id)
        assert (told.host, told.port, told.codec) == ("127.0.0.1", 6000, "PCMU")
        engine.hang_up(leg_id)
        engine.end_of(leg_id)
        caller.finish()


def test_who_never_says_where_their_sound_is_wanted_is_hung_up_on(worker: Worker, tmp_path: Path) -> None:
    """No description in the ACK either: nobody could hear anything, so the call ends by itself, within the limit."""
    engine = worker.engine
    leg_id = taken(engine)
    with sipp("late_offer_unanswered", tmp_path, remote=worker.sip_port) as caller:
        engine.expect(LegIncoming, leg_id)
        engine.send(Answer(leg_id=leg_id))
        engine.expect(LegEnded, leg_id, timeout_s=12.0)
        assert engine.of(LegNegotiated, leg_id) == []
        caller.finish(15.0)


def test_an_answer_that_is_never_acknowledged_ends_the_call(worker: Worker, tmp_path: Path) -> None:
    """The 200 is sent again and again, no ACK comes: the caller gets a BYE within the limit, and the slot is free again."""
    engine = worker.engine
    leg_id = taken(engine)
    with sipp("in_unacked", tmp_path, remote=worker.sip_port) as caller:
        engine.expect(LegIncoming, leg_id)
        engine.send(Answer(leg_id=leg_id))
        engine.expect(LegEnded, leg_id, timeout_s=12.0)
        assert engine.of(LegAnswered, leg_id) == []
        caller.finish(15.0)
