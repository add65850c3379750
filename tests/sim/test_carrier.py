"""Every family of behaviour against SIPp as an independent caller: the SIP it gets, the sound it gets, the log."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import pytest

from dialer_core.sim import g711, tone_plan
from dialer_core.sim.log_reader import CallRecord, SimulationLog, hello_to_agent_ms, load_log
from tests.polling import wait_until
from tests.sim.callers import (
    ACK,
    ACK_REFUSAL,
    AWAIT_BYE,
    BYE,
    CANCEL,
    HOST,
    INVITE,
    PROVISIONAL,
    Packet,
    SippCall,
    SoundEnd,
    ended,
    pause,
    response,
    simulator,
    sipp_call,
)
from tests.skips import requires_program

pytestmark = [pytest.mark.sip, requires_program("sipp")]

CARRIER = 21000
AGENT_HZ = tone_plan.AGENT_TONES_HZ[3]

ANSWERED = INVITE + PROVISIONAL
PCMU_ONLY = r"m=audio [0-9]+ RTP/AVP 0 120[[:space:]]"
PCMA_ONLY = r"m=audio [0-9]+ RTP/AVP 8 120[[:space:]]"
HUNG_UP_BY_FAR_END = ANSWERED + response(200) + ACK + AWAIT_BYE


def _refused(code: int) -> str:
    return INVITE + PROVISIONAL + response(code) + ACK_REFUSAL


@dataclass(frozen=True)
class Family:
    """A behaviour, a number of it, and what SIPp shall see."""

    number: str
    steps: str


FAMILIES = {
    "person_with_agent": Family("5250000000", ANSWERED + response(200, check=PCMU_ONLY) + ACK + AWAIT_BYE),
    "person_with_agent_pcma": Family("5250000001", ANSWERED + response(200, check=PCMA_ONLY) + ACK + AWAIT_BYE),
    "person_with_message": Family("5250000033", HUNG_UP_BY_FAR_END),
    "person_left_alone": Family("5250000024", HUNG_UP_BY_FAR_END),
    "business": Family("5250000014", ANSWERED + response(200) + ACK + pause(4600) + BYE + response(200)),
    "voicemail": Family("5250000043", ANSWERED + response(200) + ACK + pause(12500) + BYE + response(200)),
    "fax": Family("5250000058", ANSWERED + response(200) + ACK + pause(6500) + BYE + response(200)),
    "answered_sit": Family("5250000061", ANSWERED + response(200) + ACK + pause(3000) + BYE + response(200)),
    "early_announcement": Family(
        "5250000066", INVITE + response(100, optional=True) + response(183, check="m=audio") + response(404) + ACK_REFUSAL
    ),
    "busy": Family("5250000070", _refused(486)),
    "unavailable": Family("5250000077", _refused(480)),
    "declined": Family("5250000081", _refused(603)),
    "no_circuit": Family("5250000084", _refused(503)),
    "rings_out": Family(
        "5250000087",
        INVITE + response(100, optional=True) + response(180) + pause(2000) + CANCEL + response(487) + ACK_REFUSAL,
    ),
    "hangs_up": Family("5250000094", HUNG_UP_BY_FAR_END),
    "silent": Family("5250000098", ANSWERED + response(200) + ACK + pause(2000) + BYE + response(200)),
    "cancelled_before_answer": Family(
        "5250000011", INVITE + response(100, optional=True) + response(180) + CANCEL + response(487) + ACK_REFUSAL
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A finished run: the log, and what each caller saw and heard."""

    log: SimulationLog
    calls: dict[str, SippCall]
    ends: dict[str, SoundEnd]
    exit_status: int

    def record(self, family: str) -> CallRecord:
        """The simulator's record of a family's call."""
        return self.log.calls[self.calls[family].call_id]

    def packets(self, family: str) -> list[Packet]:
        """What the family's caller received."""
        return self.ends[family].packets


def _reply(family: str, _: Packet) -> bytes | None:
    """What the caller of a family sends all the time."""
    if family == "person_with_agent":
        return tone_plan.tone_frame(AGENT_HZ, g711.Law.PCMU)
    if family == "person_with_agent_pcma":
        return tone_plan.tone_frame(AGENT_HZ, g711.Law.PCMA)
    if family == "person_with_message":
        noise = np.random.default_rng(3).normal(0, 2500, 160).astype(np.int16)
        return g711.encode(noise, g711.Law.PCMA)
    return None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """All families called at once, once; the simulator is its own process and is stopped by SIGTERM."""
    folder = tmp_path_factory.mktemp("carrier")
    ends = {
        family: SoundEnd(21200 + 2 * index, partial(_reply, family)) for index, family in enumerate(FAMILIES)
    }
    calls: dict[str, SippCall] = {}
    with (
        ended(calls, ends),
        simulator(
            folder,
            "--carrier-port",
            str(CARRIER),
            "--rtp-ports",
            "21400-21599",
            "--talk-s",
            "0.8-1.0",
            "--patience-s",
            "3",
        ) as process,
    ):
        calls.update(
            (
                family,
                sipp_call(folder, how.steps, to_port=CARRIER, number=how.number, rtp_port=ends[family].port),
            )
            for family, how in FAMILIES.items()
        )
        for call in calls.values():
            call.result()
        log = folder / "sim.jsonl"
        wait_until(
            lambda: log.read_text().count('"call.ended"') == len(FAMILIES),
            5,
            "the closing line of every call",
        )
        process.send_signal(signal.SIGTERM)
        status = process.wait(10)
        yield Run(load_log(log), calls, ends, status)


@pytest.mark.parametrize("family", FAMILIES)
def test_sipp_sees_what_the_table_says(run: Run, family: str) -> None:
    """SIPp's scenario, written from the table, goes through without a complaint."""
    assert run.calls[family].result() == 0, run.calls[family].complaint()


def test_the_process_ends_cleanly(run: Run) -> None:
    """SIGTERM ends the simulator with status 0, and the log with its last line."""
    assert run.exit_status == 0
    assert run.log.footer is not None


@pytest.mark.parametrize(
    "family",
    [
        f
        for f in FAMILIES
        if f not in {"busy", "unavailable", "declined", "no_circuit", "rings_out", "cancelled_before_answer"}
    ],
)
def test_the_sound_is_one_continuous_stream(run: Run, family: str) -> None:
    """One SSRC, one marker at the start, no jump of sequence or timestamp, 20 ms a packet from first to last."""
    packets = run.packets(family)
    assert len({packet.ssrc for packet in packets}) == 1
    assert [packet.marker for packet in packets] == [True] + [False] * (len(packets) - 1)
    assert {packet.payload_type for packet in packets} == {0 if int(FAMILIES[family].number) % 2 == 0 else 8}
    assert {len(packet.payload) for packet in packets} == {160}
    steps = {(b.sequence - a.sequence) % 65536 for a, b in pairwise(packets)}
    assert steps == {1}
    assert {(b.timestamp - a.timestamp) % 2**32 for a, b in pairwise(packets)} == {160}
    # the schedule is absolute: over the whole call the arrival follows the timestamp; a late tick is made up for
    drift_s = [p.at_s - packets[0].at_s - 0.02 * n for n, p in enumerate(packets)]
    assert abs(float(np.median(drift_s))) < 0.05


def _dbfs(packets: list[Packet], from_s: float, to_s: float) -> np.ndarray:
    """Level of each packet of a stretch of the stream."""
    law = g711.LAW_OF_PAYLOAD_TYPE[packets[0].payload_type]
    chosen = packets[round(from_s * 50) : round(to_s * 50)]
    return np.array([20 * np.log10(np.std(g711.decode(p.payload, law)) + 1e-6) for p in chosen])


def _loud_runs(packets: list[Packet]) -> list[tuple[float, float]]:
    """(begin, length) in seconds of each stretch of sound, holes up to 240 ms within words filled."""
    loud = np.flatnonzero(_dbfs(packets, 0, 1e6) > -50)
    if not len(loud):
        return []
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > 12) + 1)
    return [(part[0] / 50, (part[-1] - part[0] + 1) / 50) for part in parts]


def test_a_person_says_hello_hears_the_agent_talks_and_hangs_up(run: Run) -> None:
    """The caller hears a short hello and then the customer's own tone for talk_s; the log tells the same story."""
    for family in ("person_with_agent", "person_with_agent_pcma"):
        record, runs = run.record(family), _loud_runs(run.packets(family))
        kinds = [event["kind"] for event in record.events]
        story = ["ack.received", "hello.started", "hello.ended", "speaking.started", "bye.sent", "call.ended"]
        assert [kind for kind in kinds if kind in story] == story
        assert record.field("agent.heard", "hz") == AGENT_HZ
        assert record.field("bye.sent", "reason") == "talked"
        assert record.tone_hz in tone_plan.CUSTOMER_TONES_HZ
        # the caller sent its tone from the first packet on: the hello, a breath, then the customer's tone
        assert 0.3 <= runs[0][1] <= 0.7
        assert 0.75 <= runs[-1][1] <= 1.1
        frame = run.packets(family)[round((runs[-1][0] + 0.3) * 50)].payload
        law = g711.LAW_OF_PAYLOAD_TYPE[run.packets(family)[0].payload_type]
        assert frame == tone_plan.tone_frame(record.tone_hz or 0, law)
        waited_ms = hello_to_agent_ms(record)
        assert waited_ms is not None
        assert waited_ms < 0  # the agent was there before the hello ended
    tones = {run.record(f).tone_hz for f in ("person_with_agent", "person_with_agent_pcma")}
    assert len(tones) == 2


def test_a_person_hears_a_message_and_waits_for_its_end(run: Run) -> None:
    """Loud sound that is no agent's tone is logged as a message, and is no reason to speak."""
    record = run.record("person_with_message")
    assert record.first("message.heard")
    assert not record.first("agent.heard")
    assert record.spoke_ns is None
    assert record.field("bye.sent", "reason") == "patience"
    assert record.field("call.ended", "message_heard_ms") > 1000


def test_a_person_left_alone_hangs_up(run: Run) -> None:
    """After 1.2 to 2 s of silence and a hello nobody comes: after the patience the person hangs up."""
    record = run.record("person_left_alone")
    begin_s, length_s = _loud_runs(run.packets("person_left_alone"))[0]
    assert 1.2 <= begin_s <= 2.1
    assert 0.3 <= length_s <= 0.7
    hello_ended, bye_sent = record.first("hello.ended"), record.first("bye.sent")
    assert hello_ended
    assert bye_sent
    assert bye_sent["reason"] == "patience"
    assert (bye_sent["at_mono_ns"] - hello_ended["at_ns"]) / 1e9 == pytest.approx(3, abs=0.5)
    assert hello_to_agent_ms(record) is None


def test_the_end_of_the_hello_is_told_to_the_frame(run: Run) -> None:
    """`hello.ended` is the moment at which the last loud sample of the greeting was sent."""
    for family in ("business", "person_left_alone"):
        packets, record = run.packets(family), run.record(family)
        begin_s, length_s = _loud_runs(packets)[-1]
        heard_ns = (packets[0].at_s + begin_s + length_s) * 1e9
        assert record.hello_ended_ns is not None
        assert (record.hello_ended_ns - heard_ns) / 1e6 == pytest.approx(0, abs=100)


def test_a_machine_greets_at_length_and_beeps(run: Run) -> None:
    """A voicemail speaks for 6 s or more, then beeps at 1000 Hz for half a second, then is silent."""
    packets = run.packets("voicemail")
    runs = _loud_runs(packets)
    begin_s, length_s = runs[-1]
    assert begin_s - runs[0][0] > 6
    assert length_s == pytest.approx(0.5, abs=0.02)
    law = g711.LAW_OF_PAYLOAD_TYPE[packets[0].payload_type]
    at = round(begin_s * 50) + 3
    beep = np.concatenate([g711.decode(p.payload, law) for p in packets[at : at + 10]])
    assert np.argmax(np.abs(np.fft.rfft(beep))) * 8000 / len(beep) == pytest.approx(1000, abs=5)


def test_a_fax_answers_with_ced(run: Run) -> None:
    """The fax sends 2100 Hz for 3 s."""
    packets = run.packets("fax")
    begin_s, length_s = _loud_runs(packets)[0]
    assert length_s == pytest.approx(4.28, abs=0.1)  # CED, 80 ms, 1.2 s of V.21 flags
    law = g711.LAW_OF_PAYLOAD_TYPE[packets[0].payload_type]
    at = round(begin_s * 50)
    ced = np.concatenate([g711.decode(p.payload, law) for p in packets[at + 2 : at + 145]])
    assert np.argmax(np.abs(np.fft.rfft(ced))) * 8000 / len(ced) == pytest.approx(2100, abs=2)


def test_early_media_is_heard_before_the_404(run: Run) -> None:
    """SIT and an announcement come as early media, without any answer."""
    record = run.record("early_announcement")
    codes = [event["code"] for event in record.all("response.sent")]
    assert codes == [100, 183, 404]
    begin_s, length_s = _loud_runs(run.packets("early_announcement"))[0]
    assert begin_s < 0.4
    assert length_s >= 0.9
    assert record.field("rtp.opened", "phase") == "early"
    assert not record.first("ack.received")


def test_silence_is_silence(run: Run) -> None:
    """A silent answer sends nothing but the codec's silence."""
    assert {packet.payload for packet in run.packets("silent")} == {b"\xff" * 160}


def test_an_early_hang_up_comes_within_300_ms(run: Run) -> None:
    """The BYE of `hangs_up` follows the ACK by less than 300 ms."""
    record = run.record("hangs_up")
    acked, bye_sent = record.first("ack.received"), record.first("bye.sent")
    assert acked
    assert bye_sent
    assert 0 < (bye_sent["at_mono_ns"] - acked["at_mono_ns"]) / 1e6 < 300


def test_refusals_carry_their_q850_cause(run: Run) -> None:
    """Each refused call ends with its code, without a sound, and with the class `none` or its announcement."""
    for family, code in {"busy": 486, "unavailable": 480, "declined": 603, "no_circuit": 503}.items():
        record = run.record(family)
        assert record.field("call.ended", "final_code") == code
        assert record.field("call.ended", "recording") is None
        assert run.packets(family) == []


@pytest.mark.parametrize("family", ["rings_out", "cancelled_before_answer"])
def test_a_cancel_is_followed(run: Run, family: str) -> None:
    """CANCEL ends the call with 487 and no sound was opened."""
    record = run.record(family)
    assert record.first("cancel.received")
    assert record.field("call.ended", "final_code") == 487
    assert record.field("call.ended", "ended_by") == "cancel"
    assert run.packets(family) == []


def test_what_the_caller_sent_is_recorded(run: Run) -> None:
    """The recording holds the caller's packets, payload for payload, with its SSRC and port."""
    record = run.record("person_with_agent")
    recording = run.log.recording_of(record.call_id)
    assert len(recording) > 50
    assert set(recording.ssrc.tolist()) == {1234}
    assert set(recording.source_port.tolist()) == {run.ends["person_with_agent"].port}
    assert recording.payload_of(10).tobytes() == tone_plan.tone_frame(AGENT_HZ, g711.Law.PCMU)
    assert np.array_equal(np.diff(recording.sequence.astype(int)), np.ones(len(recording) - 1))
    ended_line = record.first("call.ended")
    assert ended_line
    assert (ended_line["lost"], ended_line["duplicates"], ended_line["ssrcs"]) == (0, 0, 1)
    assert ended_line["sources"] == {f"{HOST}:{run.ends['person_with_agent'].port}": len(recording)}


def test_the_number_and_the_caller_are_logged(run: Run) -> None:
    """The log names the called number, the caller, and the codecs offered."""
    record = run.record("busy")
    assert record.called_number == "5250000070"
    assert record.field("invite.received", "from_user") == "+525550000000"
    assert record.field("invite.received", "codecs") == ["PCMU", "PCMA", "telephone-event"]
    assert record.expected_outcome == "busy"
