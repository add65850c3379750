"""Calls that came in, under an engine that did not take them: what is adopted, and what is not. A live one is in tests/edge."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from dialer_core.ipc.messages import Dialog, LegEnded, LegIncoming, LegSnapshot, MediaLegSnapshot
from dialer_core.store.models import EventRow
from dialer_core.vocabulary import EndedBy, LegId, LegKind, WorkerId, new_id
from tests.engine.conftest import MakeFloor
from tests.engine.readings import verified

pytestmark = pytest.mark.unit

WORKER, LEG = WorkerId("inbound-0"), LegId(new_id())
OUR_NUMBER = "+525512340000"
DIALOG = Dialog(
    call_id="c", local_uri="sip:us@edge", local_tag="l", remote_uri="sip:them@edge", remote_tag="r",
    remote_target="sip:them@127.0.0.1", route_set=(), local_cseq=1, destination="127.0.0.1:5060",
)  # fmt: skip
ENDED = LegEnded(at_ns=9, leg_id=LEG, code=200, by=EndedBy.FAR)


def held(number: str = OUR_NUMBER, *, ended: LegEnded | None = None) -> LegSnapshot:
    """Return what its worker says of an answered call to a number."""
    arrival = LegIncoming(at_ns=5, leg_id=LEG, call_id="c", number=number.removeprefix("+"), trunk="t0")
    return LegSnapshot(
        leg_id=LEG, kind=LegKind.CUSTOMER, owner="", call_id="c", state="ended" if ended else "confirmed", media_port=30000,
        answered_ns=7, dialog=DIALOG, arrival=arrival, ended=ended,
    )  # fmt: skip


def sound(*, playing: bool) -> MediaLegSnapshot:
    """Return what the media plane says: the message was begun."""
    return MediaLegSnapshot(
        leg_id=LEG, kind=LegKind.CUSTOMER, host="127.0.0.1", port=30000, play_id="inbound", playing=playing
    )


@pytest.mark.parametrize(
    ("leg", "heard", "told"),
    [
        (held(), sound(playing=True), ["call.arrived"]),
        (held(), sound(playing=False), ["call.arrived", "call.ended"]),
        (held("+525500009999"), sound(playing=True), []),
        (held(ended=ENDED), None, []),
    ],
    ids=["message plays", "message is over", "number of nobody", "over and never stored"],
)
def test_what_an_engine_makes_of_a_call_it_did_not_take(
    make_floor: MakeFloor, leg: LegSnapshot, heard: MediaLegSnapshot | None, told: list[str]
) -> None:
    """Its message goes on, or it is ended after it; a number that is nobody's any more is not ours, nor a call that is over and was never told."""
    floor = make_floor(leads=[], agents=0, campaign={"caller_id": OUR_NUMBER})

    async def story() -> None:
        await floor.start()
        inbound = floor.engine.inbound
        inbound.adopt(WORKER, leg, heard, None, stored=False)
        assert inbound.owns(LEG) is bool(told)
        inbound.bring_in_line({LEG: heard} if heard is not None else {})
        assert inbound.owns(LEG) is (told == ["call.arrived"])
        inbound.end_all()
        await floor.stop()

    floor.loop.run_until_complete(story())
    verified(floor)
    with floor.database.read() as tx:
        names = list(
            tx.scalars(select(EventRow.name).where(EventRow.name.startswith("call.")).order_by(EventRow.seq))
        )
    assert names == (["call.arrived", "call.ended"] if told else [])
