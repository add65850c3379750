"""REFER through a real worker, and being told whom a PBX has connected us to; SIPp at the far end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dialer_core.ipc.messages import Dialog, LegAnswered, LegConnectedLine, LegReferred, Refer
from dialer_core.sip.headers import refer_target
from tests.sip.harness import Engine, Worker, sipp
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp")]

QUEUE_LEG = Dialog(
    call_id="0198-q", local_uri="sip:marcador@127.0.0.1", local_tag="ours", remote_uri="sip:600@127.0.0.1", remote_tag="theirs",
    remote_target="sip:600@127.0.0.1:5090;transport=udp",
)  # fmt: skip


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One worker for all calls of this file."""
    with Worker() as running:
        yield running


@pytest.fixture
def engine(worker: Worker) -> Engine:
    """Its engine, with no call left over."""
    worker.engine.wait_slots(0, timeout_s=20.0)
    worker.engine.events.clear()
    return worker.engine


@pytest.mark.parametrize(
    ("scenario", "codes"),
    [("refer", [100, 100, 200]), ("refer_failed", [100, 404]), ("refer_refused", [603])],
)
def test_what_becomes_of_a_refer_is_told(
    engine: Engine, tmp_path: Path, scenario: str, codes: list[int]
) -> None:
    """Accepted, on its way, done; accepted, and nobody there; refused: one final word each, and the call is ours to end."""
    with sipp(scenario, tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegAnswered, leg)
        engine.send(Refer(leg_id=leg, to_uri="sip:600@127.0.0.1:5090", replaces=QUEUE_LEG))
        engine.expect(LegReferred, leg, count=len(codes))
        engine.hang_up(leg)
        engine.end_of(leg)
        far.finish()
        trace = far.trace()
    told = engine.of(LegReferred, leg)
    assert [one.code for one in told] == codes
    assert [one.final for one in told] == [False] * (len(codes) - 1) + [True]
    refer = trace.split("REFER sip:", 1)[1].split("-----", 1)[0]
    wanted = "<sip:600@127.0.0.1:5090;transport=udp?Replaces=0198-q%3Bto-tag%3Dtheirs%3Bfrom-tag%3Dours>"
    assert f"Refer-To: {wanted}" in refer
    assert refer_target("sip:x@y", QUEUE_LEG) == wanted


def test_a_refer_on_a_leg_that_is_not_up_is_told_at_once(engine: Engine) -> None:
    """Code 0, final: nothing has left."""
    engine.send(Refer(leg_id="nobody", to_uri="sip:600@127.0.0.1:5090"))  # type: ignore[arg-type]
    told = engine.expect(LegReferred, "nobody")
    assert (told.code, told.final) == (0, True)


def test_a_connected_line_update_is_told(engine: Engine, tmp_path: Path) -> None:
    """The user part of its P-Asserted-Identity, once."""
    with sipp("connected_line", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegAnswered, leg)
        told = engine.expect(LegConnectedLine, leg)
        engine.hang_up(leg)
        engine.end_of(leg)
        far.finish()
    assert told.user == "1001"
    assert len(engine.of(LegConnectedLine, leg)) == 1
