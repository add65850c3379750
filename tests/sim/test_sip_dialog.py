"""The dialog's table: complete, and driven through every pair of events in both orders."""

# ruff: noqa: ARG002  the stand-ins below ignore most of what their protocols hand them

import asyncio
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from aiosipua.message import SipMessage, SipRequest, SipResponse

from dialer_core.sim import sip_messages as sip
from dialer_core.sim.sip_dialog import BUG, LATE, TRANSITIONS, Dialog, DialogBugError, Event, State

pytestmark = pytest.mark.unit

SOURCE = ("127.0.0.1", 5070)
SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


class FakeWire:
    """An endpoint that keeps what a dialog sends."""

    address = ("127.0.0.1", 5060)

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.kinds: list[str] = []
        self.forgotten = False
        self.bye_answer: Callable[[int], None] | None = None

    def reply(self, request: SipRequest, reply: SipResponse) -> bytes:
        """Keeps a response."""
        self.sent.append(f"{reply.status_code} {request.method}")
        return bytes(reply)

    def send(self, data: bytes, to: sip.Address) -> None:
        """Keeps a datagram's first line."""
        self.sent.append(data.decode().split("\r\n", 1)[0])

    def expect_answer(self, branch: str, callback: Callable[[int], None]) -> None:
        """Keeps the callback."""
        self.bye_answer = callback

    def log(self, kind: str, **fields: Any) -> None:
        """Keeps a kind."""
        self.kinds.append(kind)

    def forget(self, dialog: Dialog) -> None:
        """Notes the end."""
        self.forgotten = True


class Session:
    """A dialog's user with one SDP."""

    def offered(self, offer: sip.Offer) -> str:
        """One answer to every offer."""
        return SDP

    def current_sdp(self) -> str:
        """The one SDP."""
        return SDP

    def late_answer(self, answer: sip.Offer) -> None:
        """Takes any answer."""


def request(method: str, cseq: int, to_tag: str = "") -> SipRequest:
    """A request of the caller's."""
    to = "<sip:5500@127.0.0.1>" + (f";tag={to_tag}" if to_tag else "")
    text = (
        f"{method} sip:5500@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5070;branch=z9hG4bK{method}{cseq}\r\n"
        f"From: <sip:me@127.0.0.1>;tag=far\r\nTo: {to}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n"
        "Contact: <sip:me@127.0.0.1:5070;ob>\r\nContent-Length: 0\r\n\r\n"
    )
    message = SipMessage.parse(text)
    assert isinstance(message, SipRequest)
    return message


def _dialog() -> tuple[Dialog, FakeWire]:
    wire = FakeWire()
    dialog = Dialog(wire, request("INVITE", 1), SOURCE)
    dialog.user = Session()
    return dialog, wire


def _drive(dialog: Dialog, wire: FakeWire, event: Event) -> None:
    cseq = 2 + len(wire.sent)
    actions: dict[Event, Callable[[], None]] = {
        Event.ACK: lambda: dialog.on_ack(request("ACK", 1, dialog.local_tag)),
        Event.CANCEL: lambda: dialog.on_cancel(request("CANCEL", 1), SOURCE),
        Event.BYE: lambda: dialog.on_bye(request("BYE", cseq, dialog.local_tag), SOURCE),
        Event.REINVITE: lambda: dialog.on_reinvite(request("INVITE", cseq, dialog.local_tag), SOURCE),
        Event.BYE_ANSWERED: lambda: wire.bye_answer(200) if wire.bye_answer else None,
        Event.ANSWER: lambda: dialog.answer(SDP),
        Event.REJECT: lambda: dialog.reject(486),
        Event.HANG_UP: lambda: dialog.hang_up("test"),
    }
    actions[event]()


def test_the_table_knows_every_pair() -> None:
    """Each state answers each event with a next state, late or bug."""
    for state in State:
        assert set(TRANSITIONS[state]) == set(Event), state
        assert all(following in {*State, LATE, BUG} for following in TRANSITIONS[state].values())


async def test_no_order_of_events_is_a_surprise() -> None:
    """Any three events, in any order, follow the table; only our own side's misuse is an error."""
    for events in permutations([event for event in Event if event is not Event.GIVE_UP], 3):
        dialog, wire = _dialog()
        for event in events:
            if event is Event.BYE_ANSWERED and wire.bye_answer is None:
                continue
            following = TRANSITIONS[dialog.state][event]
            if following == BUG:
                with pytest.raises(DialogBugError):
                    _drive(dialog, wire, event)
                continue
            before = dialog.state
            _drive(dialog, wire, event)
            assert dialog.state == (before if following == LATE else following), events
        assert dialog.over.is_set() == (dialog.state in {State.REJECTED, State.LEAVING, State.ENDED}), events
        dialog.abandon_timers()


async def test_cancel_before_the_answer_ends_the_invite() -> None:
    """CANCEL of a ringing call gets 200, and its INVITE 487."""
    dialog, wire = _dialog()
    dialog.respond(180)
    _drive(dialog, wire, Event.CANCEL)
    assert wire.sent == ["180 INVITE", "200 CANCEL", "487 INVITE"]
    assert dialog.ended_by == "cancel"
    dialog.abandon_timers()


async def test_cancel_crossing_the_answer_changes_nothing() -> None:
    """CANCEL after the 200 gets its own 200 and leaves the call alone."""
    dialog, wire = _dialog()
    dialog.answer(SDP)
    _drive(dialog, wire, Event.CANCEL)
    assert wire.sent == ["200 INVITE", "200 CANCEL"]
    assert not dialog.over.is_set()
    dialog.abandon_timers()


async def test_byes_that_cross_are_both_answered() -> None:
    """A BYE that crosses ours gets 200, and the call ends with the answer to ours."""
    dialog, wire = _dialog()
    dialog.answer(SDP)
    _drive(dialog, wire, Event.ACK)
    dialog.hang_up("test")
    _drive(dialog, wire, Event.BYE)
    assert wire.sent == ["200 INVITE", "BYE sip:me@127.0.0.1:5070;ob SIP/2.0", "200 BYE"]
    _drive(dialog, wire, Event.BYE_ANSWERED)
    assert dialog.state is State.ENDED
    assert wire.forgotten


async def test_an_old_request_within_the_dialog_is_refused() -> None:
    """A BYE whose CSeq is not higher than the last gets 500 and ends nothing."""
    dialog, wire = _dialog()
    dialog.answer(SDP)
    _drive(dialog, wire, Event.ACK)
    dialog.on_bye(request("BYE", 1, dialog.local_tag), SOURCE)
    assert wire.sent[-1] == "500 BYE"
    assert dialog.state is State.CONFIRMED


async def test_a_final_response_is_sent_until_its_ack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A 200 and a 486 are sent again at T1, 2 T1 … until the ACK; without one they end as the table says."""
    for name, value in (("T1_S", 0.001), ("T2_S", 0.004), ("GIVE_UP_S", 0.02)):
        monkeypatch.setattr(f"dialer_core.sim.sip_dialog.{name}", value)
    answered, wire = _dialog()
    answered.answer(SDP)
    await asyncio.wait_for(answered.over.wait(), 5)
    assert answered.retransmissions >= 3
    assert answered.ended_by == "no_ack"
    assert wire.sent[-1].startswith("BYE")
    rejected, wire = _dialog()
    rejected.reject(486)
    repeated = rejected.retransmissions
    _drive(rejected, wire, Event.ACK)
    await asyncio.sleep(0)
    assert rejected.state is State.ENDED
    assert rejected.retransmissions == repeated == 0
    answered.abandon_timers()
