"""The life of rows: joining, leaving, answering, losing packets; and that nothing crashes or is stuck."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amd import AmdInputError, Detector, DetectorConfig, Label, Mark, MarkKind, Reason, detect, g711
from amd.config import HEARD_OUT_S
from tests.amd.sounds import cadenced, pcm, silence, speech, tone

pytestmark = pytest.mark.unit

QUICK = DetectorConfig(limit_s=0.6, longest_greeting_s=0.4, revise_s=0.3, longest_pause_s=0.2)
NOTHING = np.zeros((1, 160), np.int16)


def listen(detector: Detector, row: int, sound: np.ndarray, *, lost: range = range(0)) -> list[Mark]:
    """Return the marks of one row that hears a recording, some of its ticks lost."""
    marks: list[Mark] = []
    for tick in range(sound.size // 160):
        frame = sound[160 * tick : 160 * tick + 160].reshape(1, 160)
        marks += detector.step(frame, np.array([row]), np.array([tick not in lost]))
    return marks


def test_a_batch_hears_what_single_calls_hear() -> None:
    """Twelve different calls, joined at different ticks and shuffled in every tick, get the marks each gets alone."""
    rng = np.random.default_rng(0)
    calls = [
        pcm(silence(0.3 + 0.1 * k), *what, silence(8.0), seed=k)[: 8000 * 8]
        for k, what in enumerate(
            [
                [speech(0.6, rng)],
                [speech(2.0, rng)],
                [speech(8.0, rng)],
                [speech(1.4, rng), silence(1.5), speech(3.0, rng)],
                [tone(2100.0, 2.0)],
                [cadenced("us_busy", 4.0)],
                [cadenced("mx_ringback", 6.0)],
                [silence(1.0)],
                [speech(1.0, rng), silence(0.3), tone(900.0, 0.4)],
                [speech(0.4, rng), silence(0.6), speech(0.7, rng)],
                [0.05 * rng.standard_normal(30000)],
                [speech(3.5, rng)],
            ]
        )
    ]
    alone = [detect(call) for call in calls]
    detector = Detector(1)
    together: list[list[Mark]] = [[] for _ in calls]
    joined: dict[int, int] = {}
    for tick in range(400 + 3 * len(calls)):
        if tick % 3 == 0 and tick // 3 < len(calls):
            joined[detector.join()] = tick // 3
        live = [(row, call) for row, call in joined.items() if tick - 3 * call < 400]
        live = [live[i] for i in rng.permutation(len(live))]
        frames = [calls[call][160 * (tick - 3 * call) :][:160] for _, call in live]
        if frames:
            for mark in detector.step(np.stack(frames), np.array([row for row, _ in live])):
                together[joined[mark.row]].append(mark._replace(row=0))
    # a product of matrices adds in another order when there are more rows
    certain, alike = (
        [[mark._replace(confidence=round(mark.confidence, 4)) for mark in marks] for marks in said]
        for said in (together, alone)
    )
    assert certain == alike


def test_rows_that_are_not_named_stand_still() -> None:
    """A row's time is its own: naming it in every other tick only gives the marks of naming it in each."""
    sound = pcm(silence(0.4), speech(0.7, np.random.default_rng(1)), silence(5.0))
    detector = Detector(2)
    idle, busy = detector.join(), detector.join()
    marks: list[Mark] = []
    for tick in range(sound.size // 160):
        marks += detector.step(sound[160 * tick : 160 * tick + 160].reshape(1, 160), np.array([busy]))
        detector.step(NOTHING[:0], np.array([], np.intp))
    assert [mark._replace(row=0) for mark in marks] == detect(sound)
    assert listen(detector, idle, np.zeros(160 * 324, np.int16)) == []
    assert [mark.label for mark in detector.step(NOTHING, np.array([idle]))] == [Label.SILENCE]


def test_the_detector_grows_and_reuses_rows() -> None:
    """Rows beyond the capacity join all the same; a row that left is handed out again, fresh."""
    detector = Detector(2)
    rows = [detector.join() for _ in range(9)]
    assert len(set(rows)) == 9 == detector.n_rows
    assert detector.capacity >= 9
    listen(detector, rows[4], pcm(silence(0.2), speech(3.0, np.random.default_rng(2))))
    detector.leave(rows[4])
    assert detector.join() == rows[4]
    assert [mark.label for mark in listen(detector, rows[4], np.zeros(8000 * 7, np.int16))] == [Label.SILENCE]


def test_growing_forgets_nothing() -> None:
    """A row that has heard speech still knows after many others joined."""
    sound = pcm(silence(0.4), speech(0.7, np.random.default_rng(3)), silence(5.0))
    detector = Detector(1)
    row = detector.join()
    before = listen(detector, row, sound[:8000])
    for _ in range(100):
        detector.join()
    assert before + listen(detector, row, sound[8000:]) == detect(sound)


def test_an_early_row_tells_tones_and_announcements_only() -> None:
    """Before the answer: no verdict on silence or a greeting's length, an announcement on speech, tones as ever."""
    rng = np.random.default_rng(4)
    assert detect(np.zeros(8000 * 20, np.int16), early=True) == []
    (mark,) = detect(pcm(silence(0.5), speech(6.0, rng), silence(1.0)), early=True)
    assert (mark.label, mark.reason, mark.provisional) == (Label.ANNOUNCEMENT, Reason.EARLY_SPEECH, False)
    ringing = detect(pcm(cadenced("us_ringback", 20.0)), early=True)
    assert [(mark.label, mark.provisional) for mark in ringing] == [(Label.RINGBACK, True)]


def test_ringing_then_an_announcement_are_both_told() -> None:
    """Ringing decides nothing: what comes after it in early media still gets its verdict."""
    sound = pcm(cadenced("mx_ringback", 6.0), speech(3.0, np.random.default_rng(5)))
    assert [mark.label for mark in detect(sound, early=True)] == [Label.RINGBACK, Label.ANNOUNCEMENT]


def test_an_answer_begins_again_at_tick_0() -> None:
    """After `answered` the row's marks are those of a call that begins there, thresholds kept."""
    config = DetectorConfig(limit_s=3.0)
    sound = pcm(silence(0.4), speech(0.7, np.random.default_rng(6)), silence(4.0))
    detector = Detector(1)
    row = detector.join(early=True, config=config)
    listen(
        detector,
        row,
        pcm(cadenced("us_ringback", 5.0), tone(440.0, 0.2), speech(1.0, np.random.default_rng(7))),
    )
    detector.answered(row)
    assert listen(detector, row, sound) == detect(sound, config)
    detector.answered(row)
    assert listen(detector, row, np.zeros(8000 * 3, np.int16))[0].tick == 149


def test_every_row_has_its_own_thresholds() -> None:
    """Two campaigns' calls side by side: the one to which delay costs next to nothing waits for its longest pause, the other does not."""
    sound = pcm(silence(0.4), speech(0.7, np.random.default_rng(8)), silence(3.0))
    detector = Detector(2, DetectorConfig.preset("fast"))
    fast, patient = detector.join(), detector.join(config=DetectorConfig(cost_delay_s=1e-5))
    ticks = {}
    for tick in range(sound.size // 160):
        frame = np.broadcast_to(sound[160 * tick : 160 * tick + 160], (2, 160))
        for mark in detector.step(np.ascontiguousarray(frame), np.array([patient, fast])):
            ticks.setdefault(mark.row, mark.tick)
    assert ticks[patient] - ticks[fast] >= 10


def test_lost_packets_cost_time_and_nothing_else() -> None:
    """Losses within a word move a person's verdict by 0.3 s at most; a row that hears nothing at all meets its limit."""
    sound = pcm(silence(0.4), speech(0.9, np.random.default_rng(9)), silence(3.0))
    whole = detect(sound)[0]
    for first in (24, 30, 40, 50):
        detector = Detector(1)
        verdict = listen(detector, detector.join(), sound, lost=range(first, first + 2))[0]
        assert verdict.label is Label.HUMAN
        assert abs(verdict.tick - whole.tick) <= 15
    detector = Detector(1)
    (mark,) = listen(detector, detector.join(), np.resize(sound, 8000 * 8), lost=range(400))
    assert (mark.label, mark.reason, mark.tick) == (Label.SILENCE, Reason.NO_VOICE, 324)


def test_a_phone_that_stops_sending_when_nobody_speaks_is_heard() -> None:
    """Silence suppression: after a word no packet comes, or only equal samples, and the person is told all the same."""
    word = pcm(silence(0.4), speech(0.7, np.random.default_rng(10)))
    nothing = np.zeros(8000 * 2, np.int16)
    detector = Detector(2)
    row = detector.join()
    marks = listen(detector, row, np.concatenate([word, nothing]), lost=range(word.size // 160, 1000))
    assert marks[0].label is Label.HUMAN
    for octet, decode in ((0xFF, g711.decode_pcmu), (0xD5, g711.decode_pcma)):
        idle = decode(np.full(16000, octet, np.uint8))
        assert detect(np.concatenate([word, idle]))[0].label is Label.HUMAN


def test_misuse_is_refused_and_changes_nothing() -> None:
    """Wrong shapes, types, and rows that are not in use raise by name, and no row has advanced."""
    detector = Detector(4)
    row = detector.join()
    rows = np.array([row])
    with pytest.raises(AmdInputError, match="capacity"):
        Detector(0)
    for bad, field in (
        ((np.zeros((1, 80), np.int16), rows), "pcm"),
        ((np.zeros((2, 160), np.int16), rows), "pcm"),
        ((np.zeros((1, 160), np.float32), rows), "pcm"),
        ((NOTHING, np.array([[row]])), "rows"),
        ((NOTHING, np.array([0.0])), "rows"),
        ((NOTHING, np.array([row + 1])), "rows"),
        ((NOTHING, np.array([-1])), "rows"),
        ((NOTHING, np.array([99])), "rows"),
        ((np.zeros((2, 160), np.int16), np.array([row, row])), "rows"),
        ((NOTHING, rows, np.array([1])), "valid"),
        ((NOTHING, rows, np.array([True, True])), "valid"),
    ):
        with pytest.raises(AmdInputError, match=field):
            detector.step(*bad)
    for call in (detector.leave, detector.answered):
        with pytest.raises(AmdInputError, match="row"):
            call(3)
    assert listen(detector, row, np.zeros(8000 * 7, np.int16))[0].tick == 324
    detector.leave(row)
    with pytest.raises(AmdInputError, match="row"):
        detector.leave(row)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("longest_pause_s", 0.0),
        ("limit_s", -1.0),
        ("revise_s", float("nan")),
        ("limit_s", 61.0),
        ("cost_lost_person", 0.0),
        ("cost_delay_s", float("inf")),
    ],
)
def test_thresholds_that_cannot_be_are_refused_by_name(field: str, value: float) -> None:
    """Zero, negative, NaN, absurd and contradictory thresholds raise and name the setting."""
    with pytest.raises(AmdInputError) as refusal:
        DetectorConfig(**{field: value})
    assert refusal.value.field == field
    with pytest.raises(AmdInputError, match="fast, strict"):
        DetectorConfig.preset("turbo")


class Protocol:
    """What a row may say, in order: kept per row, and asked after every mark."""

    def __init__(self, *, early: bool) -> None:
        self.early = early
        self.verdict: Mark | None = None
        self.closed = False

    def take(self, mark: Mark) -> None:
        """Check one mark against what came before it."""
        assert 0.0 <= mark.confidence <= 1.0
        assert mark.greeting_end_tick <= mark.tick
        assert mark.beep_end_tick <= mark.tick
        if mark.kind is MarkKind.BEEP or mark.label is Label.RINGBACK:
            return
        if mark.kind is MarkKind.VERDICT:
            assert self.verdict is None
            assert mark.provisional == (mark.label is Label.HUMAN)
            self.verdict, self.closed = mark, not mark.provisional
        else:
            assert self.verdict is not None
            assert not self.closed
            assert not mark.provisional
            assert mark.tick - self.verdict.tick <= round(QUICK.revise_s / 0.02)
            self.closed = True


@settings(deadline=None, max_examples=40)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_random_bytes_and_random_rows_never_crash_or_stick(data: st.DataObject, seed: int) -> None:
    """Random octets, losses, joins, leaves and answers: every answered row says its verdict by its limit, in order."""
    rng = np.random.default_rng(seed)
    detector = Detector(data.draw(st.integers(1, 4)), QUICK)
    live: dict[int, Protocol] = {}
    ticks: dict[int, int] = {}
    limit = round((QUICK.limit_s + HEARD_OUT_S) / 0.02)
    for _ in range(data.draw(st.integers(1, 160))):
        for action in data.draw(st.lists(st.sampled_from(["join", "early", "leave", "answer"]), max_size=2)):
            if action in ("join", "early"):
                row = detector.join(early=action == "early")
                assert row not in live
                live[row], ticks[row] = Protocol(early=action == "early"), 0
            elif live:
                row = data.draw(st.sampled_from(sorted(live)))
                if action == "leave":
                    detector.leave(row)
                    del live[row], ticks[row]
                else:
                    detector.answered(row)
                    live[row], ticks[row] = Protocol(early=False), 0
        rows = np.array([row for row in live if rng.random() < 0.9], np.intp)
        octets = rng.integers(0, 256, (rows.size, 160), dtype=np.uint8)
        octets[rng.random(rows.size) < 0.3] = 0xFF
        octets[rng.random(rows.size) < 0.2] |= 0x70  # faint
        for mark in detector.step(g711.decode_pcmu(octets), rows, rng.random(rows.size) < 0.8):
            assert mark.tick == ticks[mark.row]
            live[mark.row].take(mark)
        for row in rows:
            ticks[int(row)] += 1
            assert live[int(row)].early or live[int(row)].verdict or ticks[int(row)] < limit
    assert detector.n_rows == len(live)


@settings(deadline=None, max_examples=25)
@given(
    parts=st.lists(
        st.tuples(
            st.sampled_from(["zero", "dc", "clip", "nyquist", "noise", "impulse", "tone"]), st.integers(1, 60)
        ),
        min_size=1,
        max_size=6,
    ),
    seed=st.integers(0, 1000),
)
def test_pathological_sound_gets_a_verdict(parts: list[tuple[str, int]], seed: int) -> None:
    """Digital silence, direct current, clipping, alternating extremes, impulses: always one verdict by the limit."""
    rng = np.random.default_rng(seed)
    makers = {
        "zero": np.zeros,
        "dc": lambda n: np.full(n, 20000.0),
        "clip": lambda n: np.sign(rng.standard_normal(n)) * 32767,
        "nyquist": lambda n: np.tile([32767.0, -32768.0], n // 2),
        "noise": lambda n: rng.standard_normal(n) * 3000,
        "impulse": lambda n: np.where(np.arange(n) % 801 == 0, 32767.0, 0.0),
        "tone": lambda n: 10000 * np.sin(np.arange(n) * rng.uniform(0.1, 3.0)),
    }
    sound = np.concatenate([makers[kind](160 * ticks) for kind, ticks in parts])
    marks = detect(np.clip(sound, -32768, 32767).astype(np.int16), tail_s=8.0)
    verdicts = [mark for mark in marks if mark.kind is MarkKind.VERDICT and mark.label is not Label.RINGBACK]
    assert len(verdicts) == 1
    assert verdicts[0].tick < 325 + 75
