"""What a worker does beside single calls: slots, engines that come and go, its own end, strangers, probes."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from dialer_core.ipc.messages import (
    AllowSources,
    Drain,
    DumpState,
    Hangup,
    LegAnswered,
    LegEnded,
    LegNegotiated,
    LegProvisional,
    LegSent,
    Place,
    Probe,
    ProbeResult,
    SipIdentity,
    WorkerHello,
)
from dialer_core.vocabulary import EndedBy, LegId, LegKind, new_id
from tests.descriptors import no_descriptors_for
from tests.polling import wait_until
from tests.sip.harness import Worker, free_port, options, sipp
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp")]


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A worker for one test."""
    with Worker() as running:
        yield running


def test_a_call_too_many_is_refused_before_its_invite(worker: Worker, tmp_path: Path) -> None:
    """With every slot in use the next Place ends at once by WORKER without an INVITE; the others go on."""
    engine = worker.engine
    capacity = engine.of(WorkerHello)[0].capacity
    with sipp("answer", tmp_path, calls=capacity) as far:
        legs = [engine.place(far.port) for _ in range(capacity)]
        for leg in legs:
            engine.expect(LegAnswered, leg)
        refused = engine.end_of(engine.place(far.port))
        assert (refused.code, refused.by, refused.invite_sent) == (0, EndedBy.WORKER, False)
        assert not engine.of(LegSent, refused.leg_id)
        for leg in legs:
            engine.hang_up(leg)
            engine.end_of(leg)
        far.finish()
    assert far.trace().count("INVITE sip:") == capacity


@pytest.mark.parametrize(
    "fields",
    [
        {"to_uri": "no uri at all"},
        {"to_uri": ""},
        {"to_uri": "tel:+525500000000"},
        {"headers": {"X-Bad": "a\r\nRoute: <sip:evil@127.0.0.1>"}},
        {"headers": {"X Bad": "a"}},
    ],
)
def test_what_cannot_be_sent_is_refused(worker: Worker, fields: dict[str, object]) -> None:
    """An address or header that cannot go into an INVITE ends the leg by WORKER, and the worker lives on."""
    engine = worker.engine
    ended = engine.end_of(engine.place(9, **fields))
    assert (ended.code, ended.by, ended.invite_sent) == (0, EndedBy.WORKER, False)
    engine.wait_slots(0)


def test_a_hangup_of_no_leg_is_ignored(worker: Worker) -> None:
    """A Hangup for a leg that is not there brings no event."""
    worker.engine.hang_up(LegId("never-was"))
    assert worker.engine.state().legs == ()
    assert not worker.engine.of(LegEnded)


def test_a_dead_port_ends_at_the_progress_limit(worker: Worker) -> None:
    """Nothing answers at all: 408 by LIMIT at the progress limit; the slot follows when pjsip gives up too."""
    engine = worker.engine
    leg = engine.place(free_port(), progress_limit_s=0.3)
    ended = engine.end_of(leg, timeout_s=3.0)
    assert (ended.code, ended.by, ended.invite_sent) == (408, EndedBy.LIMIT, True)
    engine.wait_slots(1)
    engine.wait_slots(0, timeout_s=20.0)


def test_an_unanswered_cancel_does_not_hold_the_leg(worker: Worker, tmp_path: Path) -> None:
    """A far end that rings and then never answers the CANCEL: the leg ends at the release limit."""
    engine = worker.engine
    with sipp("deaf_cancel", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegProvisional, leg)
        engine.hang_up(leg)
        ended = engine.end_of(leg)
        far.finish()
    assert (ended.code, ended.by, ended.crossed) == (487, EndedBy.US, False)


def test_dump_state_tells_every_leg(worker: Worker, tmp_path: Path) -> None:
    """A ringing and an answered leg are told with phase, Call-ID, media and dialog; ended ones among the recent ends."""
    engine = worker.engine
    with sipp("ring", tmp_path) as ringing, sipp("answer", tmp_path) as answering:
        early = engine.place(ringing.port)
        engine.expect(LegProvisional, early)
        talking = engine.place(answering.port)
        answered = engine.expect(LegAnswered, talking)
        legs = {leg.leg_id: leg for leg in engine.state().legs}
        assert legs[early].state == "early"
        pending = engine.of(LegProvisional, early)[-1].pending
        assert legs[early].dialog == pending
        assert pending is not None
        assert pending.via.startswith("SIP/2.0/UDP")
        assert "branch=z9hG4bK" in pending.via
        assert legs[talking].state == "confirmed"
        assert legs[talking].call_id == talking
        assert legs[talking].dialog == answered.dialog
        told = engine.of(LegNegotiated, talking)[-1]
        assert legs[talking].negotiated == msgspec.structs.replace(told, seq=0)
        for leg in (early, talking):
            engine.hang_up(leg)
            engine.end_of(leg)
    state = engine.state()
    assert state.legs == ()
    assert [ended.leg_id for ended in state.recent_ends] == [early, talking]


def test_events_wait_for_the_next_engine(worker: Worker, tmp_path: Path) -> None:
    """What happens while no engine is attached is told, in order and once, to the next one, after its hello."""
    first = worker.engine
    with sipp("answer", tmp_path) as far:
        leg = first.place(far.port, unattended_limit_s=0.5)
        first.expect(LegSent, leg)
        first.close()
        far.finish()  # SIPp has seen the answer acknowledged and the BYE of the unattended limit
        second = worker.attach()
        ended = second.end_of(leg)
    assert isinstance(second.events[0], WorkerHello)
    told = [event for event in first.events + second.events if getattr(event, "leg_id", "") == leg]
    assert [type(event) for event in told] == [LegSent, LegProvisional, LegNegotiated, LegAnswered, LegEnded]
    assert [event.seq for event in told] == sorted(event.seq for event in told)
    assert ended.by is EndedBy.LIMIT


def test_a_newer_engine_replaces_an_older(worker: Worker, tmp_path: Path) -> None:
    """The second connection is served and the first one closed; the calls do not notice."""
    old = worker.engine
    with sipp("answer", tmp_path) as far:
        leg = old.place(far.port)
        old.expect(LegAnswered, leg)
        new = worker.attach()
        assert wait_until(lambda: old.pump() or old.closed, 5.0, "the old connection's end")
        assert [snapshot.leg_id for snapshot in new.state().legs] == [leg]
        new.hang_up(leg)
        assert new.end_of(leg).by is EndedBy.US
        far.finish()


def test_an_engine_gets_in_where_no_descriptor_is_left(worker: Worker) -> None:
    """A worker at its limit of open files lets the next engine in, and the one after that: its loop does not turn on a door it cannot open."""
    worker.engine.close()
    with no_descriptors_for(worker.pid):
        first = worker.attach()
        first.send(AllowSources(addresses=("127.0.0.1",)))
        assert first.state().legs == ()
        second = worker.attach()
        assert second.state().legs == ()
        assert wait_until(lambda: first.pump() or first.closed, 5.0, "the old connection's end")
    worker.attach().state()


def test_engines_that_come_and_go_leave_no_descriptor_behind(worker: Worker) -> None:
    """Each tells whom SIP may come from, for which the worker looks for its sockets: the tenth finds it with as many open files as the second."""
    counts = []
    for _ in range(10):
        engine = worker.attach()
        engine.send(AllowSources(addresses=("127.0.0.1",)))
        engine.state()
        counts.append(len(list(Path(f"/proc/{worker.pid}/fd").iterdir())))
    assert counts[-1] == counts[1]


def test_bytes_that_are_no_command_end_the_connection_only(worker: Worker) -> None:
    """An engine that speaks nonsense is cut off, and the next one is served."""
    worker.engine.send_raw(b"\x00\x00\x00\x04\xff\xff\xff\xff")
    assert wait_until(lambda: worker.engine.pump() or worker.engine.closed, 5.0, "the connection's end")
    assert worker.attach().state().legs == ()


def test_sigterm_says_bye_to_everyone(worker: Worker, tmp_path: Path) -> None:
    """Told to go, the worker cancels and hangs up its calls, tells both ends, and exits with 0."""
    engine = worker.engine
    with sipp("ring", tmp_path) as ringing, sipp("answer", tmp_path) as answering:
        early = engine.place(ringing.port)
        engine.expect(LegProvisional, early)
        talking = engine.place(answering.port)
        engine.expect(LegAnswered, talking)
        assert worker.process is not None
        worker.process.send_signal(signal.SIGTERM)
        assert engine.expect(LegEnded, early).by is EndedBy.US
        assert engine.expect(LegEnded, talking).by is EndedBy.US
        ringing.finish()
        answering.finish()
        assert worker.process.wait(5.0) == 0


def test_a_drained_worker_leaves_after_its_last_call(worker: Worker, tmp_path: Path) -> None:
    """After Drain nothing is placed any more, the call that is up goes on, and with it the process ends."""
    engine = worker.engine
    with sipp("answer", tmp_path) as far:
        leg = engine.place(far.port)
        engine.expect(LegAnswered, leg)
        engine.send(Drain())
        refused = engine.end_of(engine.place(far.port))
        assert (refused.by, refused.invite_sent) == (EndedBy.WORKER, False)
        engine.hang_up(leg)
        engine.expect(LegEnded, leg)
        far.finish()
    assert worker.process is not None
    assert worker.process.wait(5.0) == 0


def test_incoming_calls_are_refused(worker: Worker, tmp_path: Path) -> None:
    """A caller gets 480, again and again, and no slot or leg stays behind."""
    with sipp("call_in", tmp_path, calls=6, remote=worker.sip_port) as caller:
        caller.finish(20.0)
    worker.engine.wait_slots(0)
    assert worker.engine.state().legs == ()


@pytest.mark.parametrize("code", ["200 OK", "404 Not Found", "503 Down"])
def test_a_probe_tells_the_trunks_answer(worker: Worker, tmp_path: Path, code: str) -> None:
    """OPTIONS goes out of any dialog and its final code is told once."""
    with sipp("options", tmp_path, code=code) as far:
        worker.engine.send(Probe(probe_id="trunk-a", uri=f"sip:127.0.0.1:{far.port}"))
        result = worker.engine.expect(ProbeResult)
        far.finish()
    assert (result.probe_id, result.code) == ("trunk-a", int(code[:3]))


def test_a_probe_of_a_dead_trunk_ends_in_time(worker: Worker) -> None:
    """No answer: code 0 after the probe's own limit, and once only."""
    engine = worker.engine
    engine.send(Probe(probe_id="trunk-b", uri=f"sip:127.0.0.1:{free_port()}", timeout_s=0.3))
    assert engine.expect(ProbeResult, timeout_s=2.0).code == 0
    engine.send(Probe(probe_id="trunk-c", uri="nonsense", timeout_s=0.3))
    assert engine.expect(ProbeResult, count=2, timeout_s=2.0).code == 0
    engine.state()
    assert [result.probe_id for result in engine.of(ProbeResult)] == ["trunk-b", "trunk-c"]


def test_a_call_by_tcp(worker: Worker, tmp_path: Path) -> None:
    """A trunk that says transport=tcp is called over TCP, answered and hung up."""
    engine = worker.engine
    with sipp("answer", tmp_path, tcp=True) as far:
        leg = engine.place(far.port, to_uri=f"sip:service@127.0.0.1:{far.port};transport=tcp")
        engine.expect(LegAnswered, leg)
        engine.hang_up(leg)
        engine.end_of(leg)
        far.finish()
    assert "Via: SIP/2.0/TCP" in far.trace()
    told = [type(event) for event in engine.events if getattr(event, "leg_id", "") == leg]
    assert told == [LegSent, LegProvisional, LegNegotiated, LegAnswered, LegEnded]


def test_a_long_invite_stays_on_udp(worker: Worker, tmp_path: Path) -> None:
    """A request over 1,300 bytes goes by UDP where the trunk is called by UDP, also when TCP is in use elsewhere."""
    engine = worker.engine
    with (
        sipp("ring", tmp_path, tcp=True) as elsewhere,
        sipp("answer", tmp_path) as far,
        socket.create_server(("127.0.0.1", far.port)) as temptation,
    ):
        by_tcp = engine.place(elsewhere.port, to_uri=f"sip:service@127.0.0.1:{elsewhere.port};transport=tcp")
        engine.expect(LegProvisional, by_tcp)
        leg = engine.place(far.port, headers={"X-Long": "a" * 1500})
        engine.expect(LegAnswered, leg)
        for up in (leg, by_tcp):
            engine.hang_up(up)
            engine.end_of(up)
        far.finish()
        temptation.setblocking(False)
        with pytest.raises(BlockingIOError):
            temptation.accept()
    assert far.trace().count("X-Long: aaa") == 1


def test_a_hangup_that_meets_a_challenge(worker: Worker, tmp_path: Path) -> None:
    """A leg given up before its INVITE is challenged ends with the challenge: nothing is sent again for it."""
    engine = worker.engine
    identity = SipIdentity(from_uri="sip:+525500000000@127.0.0.1", auth_user="dialer", password="s3cret")
    leg = LegId(new_id())
    with sipp("digest", tmp_path) as far:
        order = Place(
            leg_id=leg,
            kind=LegKind.CUSTOMER,
            to_uri=f"sip:service@127.0.0.1:{far.port}",
            identity=identity,
            media_host="127.0.0.1",
            media_port=22998,
        )
        engine.send(order, Hangup(leg_id=leg))
        ended = engine.end_of(leg)
        engine.wait_slots(0)
        assert far.trace().count("INVITE sip:") == 1
    assert (ended.code, ended.by) == (401, EndedBy.US)


def test_a_tenth_identity(worker: Worker, tmp_path: Path) -> None:
    """More identities than pjsua2 has accounts: each call still goes out as its own caller, and authenticates as itself."""
    engine = worker.engine
    for number in range(10):
        identity = SipIdentity(
            from_uri=f"sip:+52550000000{number}@127.0.0.1",
            auth_user=f"user{number}",
            password=f"secret{number}",
        )
        with sipp("proxy_digest", tmp_path) as far:
            leg = engine.place(far.port, identity=identity)
            engine.expect(LegAnswered, leg)
            engine.hang_up(leg)
            engine.end_of(leg)
            far.finish()
            trace = far.trace()
        assert f"<sip:+52550000000{number}@127.0.0.1>" in trace
        assert f'username="user{number}"' in trace


def test_an_outbound_proxy_gets_the_request(worker: Worker, tmp_path: Path) -> None:
    """With a proxy the INVITE goes there, with a Route and the callee's own address in its first line."""
    engine = worker.engine
    with sipp("answer", tmp_path) as proxy:
        identity = SipIdentity(from_uri="sip:+525500000000@127.0.0.1", proxy=f"sip:127.0.0.1:{proxy.port};lr")
        leg = engine.place(0, to_uri="sip:callee@192.0.2.1", identity=identity)
        engine.expect(LegAnswered, leg)
        engine.hang_up(leg)
        engine.end_of(leg)
        proxy.finish()
        invite = proxy.trace().split("INVITE ", 1)[1]
    assert invite.startswith("sip:callee@192.0.2.1 SIP/2.0")
    assert f"Route: <sip:127.0.0.1:{proxy.port};lr>" in invite


def test_an_engine_that_does_not_read(worker: Worker, tmp_path: Path) -> None:
    """An engine that stops reading is not waited for: new calls are refused, and the next engine gets each event, whole, in order."""
    engine = worker.engine
    with sipp("far_bye", tmp_path) as far:
        leg = engine.place(far.port)
        engine.end_of(leg)
        far.finish()
    engine.send(*[DumpState()] * 3000)
    refused = engine.place(9)
    wait_until(lambda: engine.unread_bytes == 0, 10.0, "the worker to take all commands")
    engine.close()
    with sipp("far_bye", tmp_path) as far:
        following = worker.attach()
        ended = following.expect(LegEnded, refused, timeout_s=10.0)
        assert (ended.by, ended.invite_sent, ended.reason) == (
            EndedBy.WORKER,
            False,
            "the engine does not read its events",
        )
        sequence = [event.seq for event in following.events if event.seq]
        assert sequence == sorted(set(sequence))
        again = following.place(far.port)
        assert following.end_of(again).by is EndedBy.FAR
        far.finish()


def test_a_refused_tcp_connection_never_sent_an_invite(worker: Worker) -> None:
    """Where nobody listens by TCP the leg ends by WORKER with 503 and `invite_sent` false."""
    engine = worker.engine
    port = free_port()
    ended = engine.end_of(engine.place(port, to_uri=f"sip:service@127.0.0.1:{port};transport=tcp"))
    assert (ended.code, ended.by, ended.invite_sent) == (503, EndedBy.WORKER, False)


def _answers(worker: Worker, source: str, timeout_s: float) -> bool:
    """Tell whether the worker answers an OPTIONS sent from a loopback address."""
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        stranger.bind((source, 0))
        stranger.settimeout(timeout_s)
        own = stranger.getsockname()[1]
        request = options(worker.sip_port, source=source, own_port=own, call_id=f"options-{own}")
        stranger.sendto(request, ("127.0.0.1", worker.sip_port))
        try:
            return stranger.recv(2000).startswith(b"SIP/2.0 200")
        except TimeoutError:
            return False


def test_strangers_are_discarded_by_the_kernel(worker: Worker) -> None:
    """All of 127.0.0.0/8 is heard at first; after AllowSources only who is named, and a bad list changes nothing."""
    assert _answers(worker, "127.0.0.2", 2.0)
    worker.engine.send(AllowSources(addresses=("127.0.0.1", "127.1.0.0/16")))
    worker.engine.state()
    assert not _answers(worker, "127.0.0.2", 0.3)
    assert _answers(worker, "127.0.0.1", 2.0)
    assert _answers(worker, "127.1.2.3", 2.0)
    worker.engine.send(AllowSources(addresses=("127.0.0.2", "no address")))
    worker.engine.state()
    assert not _answers(worker, "127.0.0.2", 0.3)
    assert _answers(worker, "127.0.0.1", 2.0)
    worker.engine.send(AllowSources(addresses=("127.0.0.1",), complete=False))
    worker.engine.state()
    assert _answers(worker, "127.1.2.3", 2.0), "a list that is not complete has shut somebody out"


def test_a_second_worker_on_a_taken_port_says_so(worker: Worker) -> None:
    """A worker whose SIP port is taken ends with status 1 and one line that names the port."""
    second = Worker()
    second.sip_port = worker.sip_port
    with pytest.raises(AssertionError, match="worker_cannot_start"), second:
        pass
    assert f":{worker.sip_port}" in second.last_log
    assert "Traceback" not in second.last_log
