"""The judge of a conversation's sound: right sound passes, and each way of being wrong fails for its own reason."""

import math

import numpy as np
import pytest

from dialer_core.sim import tone_plan
from dialer_core.sim.audio_check import (
    ConversationCheck,
    check_conversation,
    strays,
    tone_levels_dbfs,
    worst_gap_ms,
)
from dialer_core.sim.playout import play_out
from tests.sim.sound import Stream, at_ns, mixed, sine

pytestmark = pytest.mark.unit

AGENT, OTHER_AGENT = tone_plan.AGENT_TONES_HZ[:2]
CUSTOMER, OTHER_CUSTOMER = tone_plan.CUSTOMER_TONES_HZ[:2]
BRIDGED_S, SPOKE_S, ENDED_S = 2.0, 2.6, 6.0


def _customer() -> Stream:
    """What a customer should have received: silence, the agent from the bridge to the BYE."""
    return Stream(7.0).play(sine(AGENT), BRIDGED_S + 0.04, ENDED_S + 0.02)


def _agent() -> Stream:
    """What the agent should have received: an earlier customer, silence, this one, silence."""
    earlier = Stream(12.0).play(sine(OTHER_CUSTOMER), 0.0, 1.0)
    return earlier.play(sine(CUSTOMER), SPOKE_S, ENDED_S)


def _check(customer: Stream, agent: Stream) -> ConversationCheck:
    return check_conversation(
        customer.recording(),
        agent.recording(),
        customer_hz=CUSTOMER,
        agent_hz=AGENT,
        tones_hz=tone_plan.ALL_TONES_HZ,
        intervals=[(at_ns(BRIDGED_S), at_ns(ENDED_S))],
        spoke_ns=at_ns(SPOKE_S),
    )


def test_right_sound_passes() -> None:
    """A conversation in which both hear the other, from bridge to BYE and not outside, is right in every number."""
    check = _check(_customer(), _agent())
    assert check.ok
    for heard in (check.at_customer, check.at_agent):
        assert heard.measured
        assert heard.margin_db > 30
        assert heard.worst_gap_ms == 0
        assert heard.leak_db < -25  # the earlier customer, cut off 50 Hz away, leaves -30 dB in the window
        assert heard.level_dbfs == pytest.approx(-15.05, abs=0.2)


def test_crossed_sound_fails() -> None:
    """Another agent's sound instead of the partner's fails the margin and the gap."""
    heard = _check(_customer().play(sine(OTHER_AGENT), 3.0, 4.0), _agent()).at_customer
    assert not heard.margin_ok
    assert heard.margin_db < -60
    assert not heard.gap_ok


def test_a_single_packet_of_somebody_else_fails() -> None:
    """20 ms of another customer in a conversation of seconds fails the margin."""
    heard = _check(_customer(), _agent().play(sine(OTHER_CUSTOMER), 4.0, 4.02)).at_agent
    assert not heard.margin_ok
    assert heard.gap_ok


def test_a_voice_below_fails() -> None:
    """Another customer mixed in 15 dB below the partner fails the margin, 26 dB below passes."""
    loud = mixed(sine(CUSTOMER), sine(OTHER_CUSTOMER, tone_plan.TONE_AMPLITUDE * 10 ** (-15 / 20)))
    soft = mixed(sine(CUSTOMER), sine(OTHER_CUSTOMER, tone_plan.TONE_AMPLITUDE * 10 ** (-26 / 20)))
    failed = _check(_customer(), _agent().play(loud, SPOKE_S, ENDED_S)).at_agent
    assert not failed.margin_ok
    assert failed.margin_db == pytest.approx(15, abs=1)
    passed = _check(_customer(), _agent().play(soft, SPOKE_S, ENDED_S)).at_agent
    assert passed.margin_ok
    assert passed.margin_db == pytest.approx(26, abs=1)


def test_lost_packets_are_a_gap() -> None:
    """Three packets lost in a row are a gap of 60 ms, which passes; four are 80 ms, which fails."""
    three = _check(_customer().drop(range(150, 153)), _agent()).at_customer
    assert three.worst_gap_ms == pytest.approx(60, abs=2)
    four = _check(_customer().drop(range(150, 154)), _agent()).at_customer
    assert four.worst_gap_ms == pytest.approx(80, abs=2)
    assert not four.gap_ok
    assert four.margin_ok


def test_silence_sent_in_the_middle_is_a_gap() -> None:
    """A relay that sends silence for 100 ms instead of the partner fails, although no packet is missing."""
    silent = b"\xff" * 160
    heard = _check(_customer().play(silent, 4.0, 4.1), _agent()).at_customer
    assert heard.worst_gap_ms == pytest.approx(100, abs=2)
    assert not heard.gap_ok


def test_sound_that_comes_too_late_is_a_gap() -> None:
    """Packets later than the jitter buffer are lost to the listener; packets 40 ms late are not."""
    late = _check(_customer().delay(range(200, 204), 90), _agent()).at_customer
    assert late.late_packets == 4
    assert not late.gap_ok
    in_time = _check(_customer().delay(range(200, 210), 40), _agent()).at_customer
    assert in_time.late_packets == 0
    assert in_time.worst_gap_ms == 0


def test_a_standstill_and_a_burst_are_a_gap() -> None:
    """A relay that stands still for 300 ms and then sends everything at once leaves a gap."""
    burst = _customer()
    for index in range(200, 215):
        burst.delay([index], (215 - index) * 20)
    heard = _check(burst, _agent()).at_customer
    assert not heard.gap_ok
    assert heard.worst_gap_ms > 150


def test_timestamps_that_do_not_fit_are_a_gap() -> None:
    """A sender that counts 320 samples a packet leaves half of the listener's time empty."""
    stream = _customer()
    stream.timestamp_shift = {index: 160 * index for index in range(350)}
    assert not _check(stream, _agent()).at_customer.gap_ok


def test_a_new_ssrc_or_clock_is_no_defect_by_itself() -> None:
    """A stream that goes on under another SSRC and another timestamp is heard without a gap."""
    stream = _customer()
    stream.ssrcs = {180: 8}
    stream.timestamp_shift = {180: 5_000_000}
    heard = _check(stream, _agent()).at_customer
    assert heard.ok
    assert heard.worst_gap_ms == 0


def test_late_hearing_fails() -> None:
    """An agent heard only 300 ms after the bridge was missing, and one heard 80 ms after it was not."""
    silent = b"\xff" * 160
    late = _check(_customer().play(silent, BRIDGED_S, BRIDGED_S + 0.3), _agent()).at_customer
    assert not late.gap_ok
    in_time = _check(_customer().play(silent, BRIDGED_S, BRIDGED_S + 0.08), _agent()).at_customer
    assert in_time.ok


@pytest.mark.parametrize(("begin_s", "end_s"), [(1.2, 1.3), (1.5, 1.54), (ENDED_S + 0.4, ENDED_S + 0.5)])
def test_sound_outside_the_bridge_fails(begin_s: float, end_s: float) -> None:
    """40 or 100 ms of the partner before the bridge, or after the BYE, is a leak at either side."""
    at_customer = _check(_customer().play(sine(AGENT), begin_s, end_s), _agent()).at_customer
    assert not at_customer.leak_ok
    assert at_customer.margin_ok
    assert at_customer.gap_ok
    assert not _check(_customer(), _agent().play(sine(CUSTOMER), begin_s, end_s)).at_agent.leak_ok


def test_a_soft_leak_fails_and_a_softer_one_does_not() -> None:
    """A leak counts from 20 dB below the level of the conversation."""
    loud, soft = (sine(AGENT, tone_plan.TONE_AMPLITUDE * 10 ** (db / 20)) for db in (-17, -24))
    leaking = _check(_customer().play(loud, 0.5, 1.5), _agent()).at_customer
    assert leaking.leak_db == pytest.approx(-17, abs=0.5)
    assert not leaking.leak_ok
    assert _check(_customer().play(soft, 0.5, 1.5), _agent()).at_customer.leak_ok


def test_two_conversations_of_a_pair_are_judged_together() -> None:
    """Between two bridges of the same pair the partner must not be heard; within both it must."""
    customer = Stream(8.0).play(sine(AGENT), 1.0, 3.0).play(sine(AGENT), 5.0, 7.0)
    agent = Stream(11.0).play(sine(CUSTOMER), 1.0, 3.0).play(sine(CUSTOMER), 5.0, 7.0)

    def check(intervals: list[tuple[float, float]]) -> ConversationCheck:
        return check_conversation(
            customer.recording(),
            agent.recording(),
            customer_hz=CUSTOMER,
            agent_hz=AGENT,
            tones_hz=tone_plan.ALL_TONES_HZ,
            intervals=[(at_ns(begin), at_ns(end)) for begin, end in intervals],
            spoke_ns=at_ns(1.0),
        )

    assert check([(1.0, 3.0), (5.0, 7.0)]).ok
    assert not check([(1.0, 3.0)]).at_customer.leak_ok
    assert not check([(1.0, 7.0)]).at_customer.gap_ok


def test_a_customer_who_never_spoke_cannot_be_missed() -> None:
    """Without a customer's tone only the agent's direction is judged, and the other says that it was not measured."""
    check = check_conversation(
        _customer().recording(),
        Stream(12.0).recording(),
        customer_hz=None,
        agent_hz=AGENT,
        tones_hz=tone_plan.ALL_TONES_HZ,
        intervals=[(at_ns(BRIDGED_S), at_ns(ENDED_S))],
        spoke_ns=None,
    )
    assert check.ok
    assert not check.at_agent.measured


def test_nothing_received_fails() -> None:
    """A leg that received no packet at all heard nobody."""
    heard = _check(Stream(0.0), _agent()).at_customer
    assert not heard.margin_ok
    assert not heard.gap_ok
    assert heard.worst_gap_ms > 3000


def test_a_stray_tone_is_found_wherever_it_is() -> None:
    """A tone that an agent hears outside its own intervals is reported with its place; one within is not."""
    agent = _agent().play(sine(AGENT), 9.0, 9.4)
    allowed = {
        OTHER_CUSTOMER: [(at_ns(0.0), at_ns(1.0))],
        CUSTOMER: [(at_ns(BRIDGED_S), at_ns(ENDED_S))],
    }
    (stray,) = strays(agent.recording(), tones_hz=tone_plan.ALL_TONES_HZ, allowed=allowed)
    assert stray.hz == AGENT
    assert at_ns(8.8) < stray.at_ns < at_ns(9.4)
    assert strays(_agent().recording(), tones_hz=tone_plan.ALL_TONES_HZ, allowed=allowed) == ()


def test_the_time_line_is_exact_across_jitter_and_wraps() -> None:
    """Jitter of less than a packet moves no sample: the played-out tone is the one sent, sample for sample."""
    stream = Stream(2.0).play(sine(CUSTOMER), 0.0, 2.0)
    heard = play_out(stream.recording(), (at_ns(0.0), at_ns(2.0))).samples
    clean = play_out(
        Stream(2.0).play(sine(CUSTOMER), 0.0, 2.0).delay(range(0, 100, 3), 15).recording(),
        (at_ns(0.0), at_ns(2.0)),
    ).samples
    assert np.array_equal(heard, clean)


def test_levels_are_what_a_slow_sum_says() -> None:
    """The levels equal the textbook sum over a window, for a sine whose level is known."""
    t_s = np.arange(4000) / 8000
    samples = (0.1 * np.sin(2 * np.pi * 1200 * t_s + 0.3)).astype(np.float32)
    levels = tone_levels_dbfs(samples, (1200, 1250))
    assert levels.shape == (7, 2)
    assert levels[:, 0] == pytest.approx(20 * math.log10(0.1 / math.sqrt(2)), abs=0.01)
    assert levels[:, 1].max() < -85


@pytest.mark.parametrize("gap_samples", [80, 161, 400, 1234])
def test_gaps_are_measured_to_the_millisecond(gap_samples: int) -> None:
    """A hole of any length in a tone is measured within 2 ms."""
    samples = (0.2 * np.sin(2 * np.pi * 750 * np.arange(16000) / 8000)).astype(np.float32)
    samples[5000 : 5000 + gap_samples] = 0
    assert worst_gap_ms(samples, 750) == pytest.approx(gap_samples / 8, abs=2)
