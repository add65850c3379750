"""Whole calls through a real worker process, SIPp at the far end."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dialer_core.ipc.messages import (
    Attend,
    Hangup,
    LegAnswered,
    LegEnded,
    LegInfoDigit,
    LegNegotiated,
    LegProvisional,
    LegSent,
    SipIdentity,
)
from dialer_core.vocabulary import EndedBy
from tests.sip.harness import Engine, Worker, sipp
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp")]


SIGNED = f"{'a' * 130}.{'b' * 240}.{'c' * 86};info=<https://certificates.example/us.pem>;alg=ES256;ppt=shaken"
"""A value as long as a real one."""


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    """One worker for all calls of this file: what one leaves behind would hurt the next."""
    with Worker() as running:
        yield running


@pytest.fixture
def engine(worker: Worker) -> Engine:
    """Its engine, with no call left over."""
    worker.engine.wait_slots(0, timeout_s=20.0)
    worker.engine.events.clear()
    return worker.engine


def test_an_answered_call_ends_by_our_bye(engine: Engine, tmp_path: Path) -> None:
    """Sent, ringing, media, answered, ended come in this order, and SIPp gets INVITE, ACK and BYE."""
    with sipp("answer", tmp_path) as far:
        leg = engine.place(
            far.port,
            headers={
                "P-Asserted-Identity": "<sip:+525511112222@127.0.0.1>",
                "X-Lead": "a1",
                "Identity": SIGNED,
            },
        )
        answered = engine.expect(LegAnswered, leg)
        engine.send(Hangup(leg_id=leg, reason='Q.850;cause=16;text="Normal call clearing"'))
        ended = engine.end_of(leg)
        far.finish()
        trace = far.trace()
    told = [type(event) for event in engine.events if getattr(event, "leg_id", "") == leg]
    assert told == [LegSent, LegProvisional, LegNegotiated, LegAnswered, LegEnded]
    assert engine.of(LegSent, leg)[0].call_id == leg == answered.dialog.call_id
    assert engine.of(LegProvisional, leg)[0].code == 180
    media = engine.of(LegNegotiated, leg)[0]
    assert (media.host, media.port, media.codec, media.dtmf_pt, media.ptime_ms, media.direction) == (
        *("127.0.0.1", 6000, "PCMU", 101, 20, 3),
    )
    assert (ended.code, ended.by, ended.invite_sent, ended.crossed) == (200, EndedBy.US, True, False)
    invite = trace.split("INVITE sip:", 1)[1].split("-----", 1)[0]
    assert 'From: "Demo" <sip:+525500000000@127.0.0.1>' in invite
    assert "P-Asserted-Identity: <sip:+525511112222@127.0.0.1>" in invite
    assert "X-Lead: a1" in invite
    assert f"Identity: {SIGNED}" in invite
    assert "m=audio 22998 RTP/AVP 0 8 120" in invite
    assert "a=rtcp:22999 IN IP4 127.0.0.1" in invite
    assert "a=ssrc" not in invite
    bye = trace.rsplit("BYE sip:", 1)[1].split("-----", 1)[0]
    assert 'Reason: Q.850;cause=16;text="Normal call clearing"' in bye


def test_the_dialog_of_an_answered_call_is_told_whole(engine: Engine, tmp_path: Path) -> None:
    """Tags, remote target, route set in a request's order, CSeq and destination are what SIPp put on the wire."""
    with sipp("answer", tmp_path) as far:
        leg = engine.place(far.port)
        dialog = engine.expect(LegAnswered, leg).dialog
        engine.hang_up(leg)
        far.finish()
        trace = far.trace()
    bye = trace.rsplit("BYE sip:", 1)[1].split("-----", 1)[0]
    assert f"tag={dialog.local_tag}\n" in bye.replace("\r", "")
    assert f"tag={dialog.remote_tag}\n" in bye.replace("\r", "")
    assert dialog.remote_target == f"sip:127.0.0.1:{far.port};transport=UDP"
    assert dialog.route_set == (
        f"<sip:127.0.0.1:{far.port};transport=UDP;lr;edge=b>",
        f"<sip:127.0.0.1:{far.port};transport=UDP;lr;edge=a>",
    )
    assert f"CSeq: {dialog.local_cseq + 1} BYE" in bye
    assert dialog.destination == f"127.0.0.1:{far.port}"


def test_a_far_bye_ends_the_leg_with_its_cause(engine: Engine, tmp_path: Path) -> None:
    """A call SIPp hangs up ends by FAR with the Q.850 cause of its BYE."""
    with sipp("far_bye", tmp_path) as far:
        leg = engine.place(far.port)
        ended = engine.end_of(leg)
        far.finish()
    assert len(engine.of(LegAnswered, leg)) == 1
    assert (ended.code, ended.by, ended.q850) == (200, EndedBy.FAR, 31)


@pytest.mark.parametrize(
    ("code", "phrase", "cause"),
    [
        (404, "Not Found", 1),
        (486, "Busy Here", 17),
        (480, "Gone", 20),
        (603, "Decline", 21),
        (503, "Congested", 42),
    ],
)
def test_early_media_then_a_refusal(
    engine: Engine, tmp_path: Path, code: int, phrase: str, cause: int
) -> None:
    """A 183 with SDP tells the media before the refusal tells code, cause, phrase and Retry-After."""
    with sipp("refuse", tmp_path, code=str(code), phrase=phrase, cause=str(cause)) as far:
        leg = engine.place(far.port)
        ended = engine.end_of(leg)
        far.finish()
    early = engine.of(LegProvisional, leg)
    assert [(event.code, event.early_sdp) for event in early] == [(183, True)]
    assert [event.port for event in engine.of(LegNegotiated, leg)] == [6000]
    assert (ended.code, ended.by, ended.q850, ended.reason) == (code, EndedBy.FAR, cause, phrase)
    assert ended.retry_after_s == 17


def test_the_ring_limit_cancels(engine: Engine, tmp_path: Path) -> None:
    """A phone that rings too long gets a CANCEL; the leg ends by LIMIT with the 487 that came back."""
    with sipp("ring", tmp_path) as far:
        leg = engine.place(far.port, ring_limit_s=0.4)
        ended = engine.end_of(leg)
        far.finish()
    assert (ended.code, ended.by, ended.reason) == (487, EndedBy.LIMIT, "Request Terminated")


def test_a_hangup_while_ringing_cancels(engine: Engine, tmp_path: Path) -> None:
    """The engine's Hangup before the answer is a CANCEL, and ends by US; a second Hangup changes nothing."""
    with sipp("ring", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegProvisional, leg)
        engine.hang_up(leg)
        engine.hang_up(leg)
        ended = engine.end_of(leg)
        far.finish()
    assert (ended.code, ended.by) == (487, EndedBy.US)


def test_a_200_crossing_our_cancel_is_told(engine: Engine, tmp_path: Path) -> None:
    """Somebody who answers in the moment of our CANCEL gets ACK and BYE, and the leg's end says `crossed`."""
    with sipp("cross", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegProvisional, leg)
        engine.hang_up(leg)
        ended = engine.end_of(leg)
        far.finish()
    assert (ended.code, ended.by, ended.crossed) == (200, EndedBy.US, True)
    assert not engine.of(LegAnswered, leg)


def test_nobody_attending_ends_the_call(engine: Engine, tmp_path: Path) -> None:
    """An answered leg that no engine takes in hand gets a BYE at its unattended limit."""
    with sipp("answer", tmp_path) as far:
        leg = engine.place(far.port, unattended_limit_s=0.4)
        ended = engine.end_of(leg)
        far.finish()
    assert (ended.code, ended.by, ended.reason) == (200, EndedBy.LIMIT, "unattended_limit")


def test_an_attended_call_outlives_the_limit(engine: Engine, tmp_path: Path) -> None:
    """After Attend the limit no longer runs: a later leg reaches its own limit while the attended one lives."""
    with sipp("answer", tmp_path, calls=2) as far:
        kept = engine.place(far.port, unattended_limit_s=0.4)
        engine.expect(LegAnswered, kept)
        engine.send(Attend(leg_id=kept))
        other = engine.place(far.port, unattended_limit_s=0.6)
        engine.end_of(other)
        assert [leg.leg_id for leg in engine.state().legs] == [kept]
        engine.hang_up(kept)
        assert engine.end_of(kept).by is EndedBy.US
        far.finish()


@pytest.mark.parametrize(("scenario", "limit_s"), [("no_sdp", 6.0), ("bad_sdp", 6.0)])
def test_an_answer_without_usable_media_ends_488(
    engine: Engine, tmp_path: Path, scenario: str, limit_s: float
) -> None:
    """A 200 without SDP, or with one nobody can read, is acknowledged and hung up: no silent call stands."""
    with sipp(scenario, tmp_path) as far:
        leg = engine.place(far.port)
        ended = engine.end_of(leg, timeout_s=limit_s)
        far.finish()
    assert not engine.of(LegNegotiated, leg)
    assert (ended.code, ended.by) == (488, EndedBy.LIMIT)


def test_digest_authentication(engine: Engine, tmp_path: Path) -> None:
    """Challenged with 401, the worker repeats the INVITE with credentials SIPp verifies, under the same Call-ID."""
    identity = SipIdentity(from_uri="sip:+525500000000@127.0.0.1", auth_user="dialer", password="s3cret")
    with sipp("digest", tmp_path) as far:
        leg = engine.place(far.port, identity=identity)
        engine.expect(LegAnswered, leg)
        engine.hang_up(leg)
        engine.end_of(leg)
        far.finish()
    assert len(engine.of(LegSent, leg)) == 1


def test_proxy_authentication(engine: Engine, tmp_path: Path) -> None:
    """Challenged with 407, the worker's response is RFC 2617's hash of user, realm, password and nonces."""
    identity = SipIdentity(from_uri="sip:+525500000000@127.0.0.1", auth_user="dialer", password="s3cret")
    with sipp("proxy_digest", tmp_path) as far:
        leg = engine.place(far.port, identity=identity)
        engine.expect(LegAnswered, leg)
        engine.hang_up(leg)
        engine.end_of(leg)
        far.finish()
        trace = far.trace()
    found = re.search(r"^Proxy-Authorization: Digest (.*)$", trace, re.MULTILINE)
    assert found is not None
    given = dict(re.findall(r'(\w+)="?([^",]*)"?', found.group(1)))
    secret = _md5(f"dialer:{given['realm']}:s3cret")
    request = _md5(f"INVITE:{given['uri']}")
    assert given["response"] == _md5(
        f"{secret}:{given['nonce']}:{given['nc']}:{given['cnonce']}:{given['qop']}:{request}"
    )
    invites = [text for text in re.split(r"-{20,}.*\n.*\n\n", trace) if text.startswith("INVITE ")]
    assert [text.count(f"Call-ID: {leg}") for text in invites] == [1, 1]
    assert all("m=audio 22998 " in text for text in invites)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_wrong_credentials_end_with_the_refusal(engine: Engine, tmp_path: Path) -> None:
    """A wrong password ends in the trunk's own refusal, not in a loop of INVITEs."""
    identity = SipIdentity(from_uri="sip:+525500000000@127.0.0.1", auth_user="dialer", password="wrong")
    with sipp("digest", tmp_path) as far:
        leg = engine.place(far.port, identity=identity)
        ended = engine.end_of(leg)
        far.finish()
    assert (ended.code, ended.by) == (403, EndedBy.FAR)


def test_a_redirect_is_seen_as_one(engine: Engine, tmp_path: Path) -> None:
    """A 302 ends the leg as 302; nothing is sent to the place it names."""
    with sipp("redirect", tmp_path) as far:
        leg = engine.place(far.port)
        ended = engine.end_of(leg)
        far.finish()
        assert far.trace().count("INVITE sip:") == 1
    assert (ended.code, ended.by) == (302, EndedBy.FAR)


def test_reinvites_are_answered_and_told(engine: Engine, tmp_path: Path) -> None:
    """Hold, inactive and a move to another address, port, codec and digit type are each told, our port in every answer."""
    with sipp("reinvite", tmp_path) as far:
        leg = engine.place(far.port)
        engine.end_of(leg)
        far.finish()
        trace = far.trace()
    media = [(m.host, m.port, m.codec, m.dtmf_pt, m.direction) for m in engine.of(LegNegotiated, leg)]
    assert media == [
        ("127.0.0.1", 6000, "PCMU", 101, 3),
        ("127.0.0.1", 6000, "PCMU", -1, 2),
        ("127.0.0.1", 6000, "PCMU", -1, 0),
        ("127.0.0.2", 6200, "PCMA", 96, 3),
    ]
    assert trace.count("m=audio 22998 ") == 4


def test_an_update_is_answered_and_told(engine: Engine, tmp_path: Path) -> None:
    """A move by UPDATE, without any ACK, is told as one by re-INVITE is."""
    with sipp("update", tmp_path) as far:
        leg = engine.place(far.port)
        engine.end_of(leg)
        far.finish()
        trace = far.trace()
    media = [(m.host, m.port, m.codec, m.dtmf_pt, m.direction) for m in engine.of(LegNegotiated, leg)]
    assert media == [("127.0.0.1", 6000, "PCMU", 101, 3), ("127.0.0.2", 6200, "PCMA", 96, 3)]
    assert trace.count("m=audio 22998 ") == 2


def test_a_reinvite_that_is_never_acknowledged_changes_nothing_for_the_call(
    engine: Engine, tmp_path: Path
) -> None:
    """Our 200 gets no ACK: the new address is in use all the same, the call goes on, and their BYE ends it as any."""
    with sipp("unacked_reinvite", tmp_path) as far:
        leg = engine.place(far.port)
        ended = engine.end_of(leg, timeout_s=8.0)
        far.finish()
    assert [(m.host, m.port) for m in engine.of(LegNegotiated, leg)][-1] == ("127.0.0.2", 6200)
    assert (ended.code, ended.by) == (200, EndedBy.FAR)


def test_byes_that_cross_end_the_leg_once(engine: Engine, tmp_path: Path) -> None:
    """Theirs comes before the answer to ours: it is answered, and one end is told, by us who were first."""
    with sipp("bye_cross", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegAnswered, leg)
        engine.hang_up(leg)
        ended = engine.end_of(leg)
        far.finish()
    assert len(engine.of(LegEnded, leg)) == 1
    assert (ended.code, ended.by) == (200, EndedBy.US)


def test_a_digit_by_info_is_told(engine: Engine, tmp_path: Path) -> None:
    """A digit that comes as SIP INFO instead of RTP reaches the engine."""
    with sipp("info_digit", tmp_path) as far:
        leg = engine.place(far.port)
        engine.end_of(leg)
        far.finish()
    assert [event.digit for event in engine.of(LegInfoDigit, leg)] == ["5"]


def test_a_storm_of_digits_by_info_is_told(engine: Engine, tmp_path: Path) -> None:
    """Twenty digits as fast as the far end can send them: each is told once and in order, and the call ends like any."""
    with sipp("info_storm", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegAnswered, leg)
        engine.send(Attend(leg_id=leg))
        engine.end_of(leg, timeout_s=20.0)
        far.finish()
    assert [event.digit for event in engine.of(LegInfoDigit, leg)] == [str(n % 10) for n in range(1, 21)]
