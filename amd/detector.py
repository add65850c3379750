"""The streaming detector: rows that join and leave, one call of `step` per 20 ms tick, state in arrays of one record per row.

Owns the wiring of front end, tones, rhythm and decision, and the life of a row.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd import bursts, cadence, decision, features, frames, model, progress, prosody, tones, turns, voice
from amd.config import DetectorConfig
from amd.errors import AmdInputError
from amd.frames import FrontEnd
from amd.labels import Label, MarkKind, Reason
from amd.marks import NO_MARKS, Evidence, Marks, join_marks
from amd.model import Model
from amd.rows import Field, Fresh, Records, RowStore
from amd.tonebank import FRAME

RUN_TICKS, BAND_TICKS = 3, 5
"""Ticks after which one steady sinusoid, or sound in the band of call-progress tones, is a tone and no voice."""
RUN_PURITY = 0.88
"""Least mean purity of that run: of a tone at 10 dB over white noise it is 0.91, of a steady vowel in a short "¿sí?" up to 0.87."""
NEARER_CONFIRM_TICKS = 4
"""Ticks of louder voice after which somebody nearer the phone speaks: a tone is known as one by then."""
SPOKEN_TICKS = 20
"""Ticks of speech after which ringing is somebody's voice, and a burst at 1100 Hz or in the band of ringing a beep."""
CONFIDENCE = {
    Reason.LIMIT: 0.5,
    Reason.NO_VOICE: 0.5,
    Reason.SHORT_GREETING: 0.9,
    Reason.LONG_GREETING: 0.95,
    Reason.RESUMED_SPEECH: 0.8,
    Reason.BEEP: 0.99,
    Reason.FAX_CED: 0.99,
    Reason.FAX_CNG: 0.9,
    Reason.SIT_INTERCEPT: 0.99,
    Reason.SIT_VACANT: 0.99,
    Reason.SIT_REORDER: 0.99,
    Reason.SIT_NO_CIRCUIT: 0.99,
    Reason.SIT_ITU: 0.99,
    Reason.TONE_CADENCE: 0.98,
    Reason.EARLY_SPEECH: 0.6,
    Reason.RECORDED_SPEECH: 0.97,
    Reason.STEADY_MUSIC: 0.9,
    Reason.FINGERPRINT: 0.99,
}
"""Confidence given with each reason. Of those in `_BY_ODDS` it is that of the odds, and this one only where the classifier has not looked."""
_CONFIDENCE = np.zeros(max(Reason) + 1, np.float32)
for _reason, _value in CONFIDENCE.items():
    _CONFIDENCE[_reason] = _value
_BY_ODDS = np.zeros(max(Reason) + 1, np.bool_)
_BY_ODDS[
    [Reason.SHORT_GREETING, Reason.LONG_GREETING, Reason.RESUMED_SPEECH, Reason.RECORDED_SPEECH, Reason.LIMIT]
] = True

_FIELDS: list[Field] = [
    ("tick", "i4", -1),
    ("sounded", "?", True),  # the tick before had information
    *frames.FIELDS,
    *decision.FIELDS,
    *cadence.FIELDS,
    *features.FIELDS,
    *prosody.FIELDS,
    *voice.FIELDS,
    *tones.FIELDS,
    *progress.FIELDS,
    *bursts.FIELDS,
    *turns.FIELDS,
]


class Detector:
    """Detection over many calls at once.

    Parameters
    ----------
    capacity : int
        Rows to reserve memory for, at least 1; more are added when needed.
    config : DetectorConfig, optional
        Thresholds of rows that join without their own.
    classifier : Model, optional
        The network to ask; the package's own when absent.

    Raises
    ------
    AmdInputError
        `capacity` is not positive.

    Notes
    -----
    A row that listens gets exactly one mark of kind `VERDICT` that is not ringback, within ``config.limit_s`` of its join or answer,
    or `amd.config.HEARD_OUT_S` later where somebody spoke. If that is provisional (a person), exactly one `REVISED` or `SETTLED`
    follows within ``config.revise_s``. Early-media rows have no limit and may never get a verdict. A `BEEP` may come at any time,
    also after the verdict, until the row leaves.

    Name every joined row in every tick, with ``valid`` False where no packet arrived: rows that are not named stand still.

    The process that listens should run with ``OPENBLAS_NUM_THREADS=1`` in its environment: at a thousand rows a second BLAS thread
    doubles the processor time and saves none.

    Examples
    --------
    >>> detector = Detector(capacity=100)
    >>> row = detector.join()
    >>> marks = detector.step(np.zeros((1, 160), np.int16), np.array([row]))
    >>> len(marks)
    0
    """

    def __init__(
        self, capacity: int, config: DetectorConfig | None = None, *, classifier: Model | None = None
    ) -> None:
        self._config = config or DetectorConfig()
        self._model = classifier or model.packaged()
        self._rows = RowStore(capacity, _FIELDS)
        self._config_of: dict[int, DetectorConfig] = {}
        self._made: dict[tuple[DetectorConfig, bool], Fresh] = {}
        self._front_end = FrontEnd()

    @property
    def capacity(self) -> int:  # numpydoc ignore=RT01
        """Number of rows there is memory for; grows when more join."""
        return self._rows.capacity

    @property
    def n_rows(self) -> int:  # numpydoc ignore=RT01
        """Number of rows that have joined and not left."""
        return self._rows.n_taken

    @property
    def row_bytes(self) -> int:  # numpydoc ignore=RT01
        """Memory of one row."""
        return self._rows.record_bytes

    def join(self, *, early: bool = False, config: DetectorConfig | None = None) -> int:
        """Take up a call.

        Parameters
        ----------
        early : bool, optional
            The call is not answered yet: only tones and announcements are told, without a limit, until `answered`.
        config : DetectorConfig, optional
            Thresholds of this row; the detector's own when absent.

        Returns
        -------
        int
            The call's row, to be named in `step`.
        """
        config = config or self._config
        row = self._rows.join(self._fresh(config, early=early))
        self._config_of[row] = config
        return row

    def _fresh(self, config: DetectorConfig, *, early: bool) -> Fresh:
        made = self._made.get((config, early))
        if made is None:
            made = self._made[config, early] = self._rows.fresh(early=early, **decision.thresholds(config))
        return made

    def leave(self, row: int) -> None:
        """Give a row up; its number may be handed out again.

        Parameters
        ----------
        row : int
            A row that has joined.

        Raises
        ------
        AmdInputError
            The row has not joined, or has left.
        """
        self._rows.leave(row)
        del self._config_of[row]

    def answered(self, row: int) -> None:
        """Begin again at tick 0 with a call that was answered; what was heard before is forgotten.

        Parameters
        ----------
        row : int
            A row that has joined, early or not.

        Raises
        ------
        AmdInputError
            The row has not joined, or has left.
        """
        self._rows.reset(row, self._fresh(self._config_of.get(row, self._config), early=False))

    def step(
        self,
        pcm: NDArray[np.int16],
        rows: NDArray[np.intp],
        valid: NDArray[np.bool_] | None = None,
        near_dbfs: NDArray[np.float32] | None = None,
    ) -> Marks:
        """Advance some rows by one tick.

        Parameters
        ----------
        pcm : numpy.ndarray of int16, shape (n, 160)
            20 ms at 8 kHz of each row; ignored where `valid` is False.
        rows : numpy.ndarray of intp, shape (n,)
            Rows that have joined, each at most once, in any order. Others stand still.
        valid : numpy.ndarray of bool, shape (n,), optional
            False where no packet arrived in time: time goes on, nothing is heard. All True when absent.
        near_dbfs : numpy.ndarray of float32, shape (n,), optional
            Level of what our own side, an agent or a prompt, said to each row meanwhile; minus infinity for nothing. Nobody speaks to
            anybody when absent.

        Returns
        -------
        Marks
            What was decided on this tick; empty most of the time.

        Raises
        ------
        AmdInputError
            An array has the wrong shape or type, or a row has not joined; no row has advanced.
        """
        rows = np.asarray(rows)
        if rows.ndim != 1 or (rows.size and rows.dtype.kind not in "iu"):
            raise AmdInputError("rows", "needs one dimension of integers")
        n = rows.shape[0]
        if pcm.dtype != np.int16 or pcm.shape != (n, FRAME):
            raise AmdInputError("pcm", f"needs int16 of shape ({n}, {FRAME}), one frame per row")
        if valid is not None and (valid.shape != (n,) or valid.dtype != np.bool_):
            raise AmdInputError("valid", f"needs bool of shape ({n},)")
        if near_dbfs is not None and (near_dbfs.shape != (n,) or near_dbfs.dtype != np.float32):
            raise AmdInputError("near_dbfs", f"needs float32 of shape ({n},)")
        if n == 0:
            return NO_MARKS
        places = self._rows.places(rows)
        if n < self._rows.n_taken:
            records = self._rows.take(places)
            marks = self._advance(records, rows, pcm, valid, near_dbfs)
            self._rows.put(places, records)
            return marks
        # every row is named: their memory is worked on as it lies, and the sound is put into its order
        in_order = np.arange(n)
        if (places == in_order).all():
            return self._advance(self._rows.all(), rows, pcm, valid, near_dbfs)
        order = np.empty(n, np.intp)
        order[places] = in_order
        valid = None if valid is None else valid[order]
        near_dbfs = None if near_dbfs is None else near_dbfs[order]
        marks = self._advance(self._rows.all(), rows[order], pcm.take(order, axis=0), valid, near_dbfs)
        return marks.ordered_by(rows)

    def evidence(self, rows: NDArray[np.intp]) -> Evidence:
        """Return what the detector holds of some rows after their latest tick.

        Parameters
        ----------
        rows : numpy.ndarray of intp, shape (n,)
            Rows that have joined, each at most once.

        Returns
        -------
        Evidence
            Level, floor, voice and the probability of a machine.

        Raises
        ------
        AmdInputError
            A row has not joined or is named twice.
        """
        records = self._rows.take(self._rows.places(np.asarray(rows)))
        floor = np.where(records["heard_ticks"] > 0, records["floor_dbfs"], np.float32(-np.inf))
        voice = records["voiced"] & (records["last_tone"] != records["tick"])
        # what is weighed against the costs: the classifier's odds and what the length adds
        probability = np.asarray(1.0 / (1.0 + np.exp(-decision.log_odds(records))), np.float32)
        return Evidence(records["heard_dbfs"].copy(), floor, voice, probability)

    def features(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return what the classifier would be shown of some rows after their latest tick.

        Parameters
        ----------
        rows : numpy.ndarray of intp, shape (n,)
            Rows that have joined, each at most once.

        Returns
        -------
        numpy.ndarray of float32, shape (n, n_features)
            In the order of `amd.features.NAMES`; NaN in rows that have not spoken.

        Raises
        ------
        AmdInputError
            A row has not joined or is named twice.
        """
        records = self._rows.take(self._rows.places(np.asarray(rows)))
        tick = np.ascontiguousarray(records["tick"])
        values = features.read(records, tick, decision.quiet_ticks(records, tick))
        values[records["onset"] < 0] = np.nan
        return values

    def _advance(
        self,
        records: Records,
        rows: NDArray[np.intp],
        pcm: NDArray[np.int16],
        valid: NDArray[np.bool_] | None,
        near_dbfs: NDArray[np.float32] | None,
    ) -> Marks:
        records["tick"] += 1
        tick = np.ascontiguousarray(records["tick"])
        heard = self._front_end.measure(records, pcm, valid)
        level = heard.level_dbfs
        speech_before = records["speech_ticks"] >= SPOKEN_TICKS
        tone_label, tone_reason = tones.update(records, heard.tones, level)
        progress_label = progress.update(records, heard.tones, level, heard.sounding)
        tonal = ((records["run_ticks"] >= RUN_TICKS) & (records["run_purity"] >= RUN_PURITY)) | (
            (records["cadence_now"] >= progress.BAND) & (records["cadence_ticks"] >= BAND_TICKS)
        )
        # a frame after nothing may hold only part of a tick's noise
        teaching = heard.informative & ~tonal & records["sounded"]
        records["sounded"] = heard.informative
        voiced = voice.update(records, level, heard.change_db, teaching)
        speaking = voiced & ~tonal
        _forget_talk_behind(records, tick, speaking)
        toning = voiced & tonal
        if toning.any():
            records["last_tone"][toning] = tick[toning]
        beep, calling = bursts.update(records, tick, level, speaking, speech_before)
        cadence.update(records, tick, speaking, heard.change_db)
        if near_dbfs is not None:
            turns.update(records, tick, near_dbfs, speaking)
        features.update(records)
        prosody.update(records, tick, level, heard.tones, heard.sound, speaking)

        self._judge(records, tick)

        tone_label[calling], tone_reason[calling] = Label.FAX, Reason.FAX_CNG
        paced = (progress_label != Label.UNKNOWN) & (tone_label == Label.UNKNOWN)
        tone_label[paced], tone_reason[paced] = progress_label[paced], Reason.TONE_CADENCE
        # ringing after someone spoke is their voice or their music, and a beep after a network tone is part of it
        tone_label[(tone_label == Label.RINGBACK) & speech_before] = Label.UNKNOWN
        beep &= ~(_NO_BEEP[records["label"]] | records["early"])
        outcome = decision.update(records, tick, decision.Heard(tone_label, tone_reason, beep))
        return _collect(records, rows, tick, beep, outcome)

    def _judge(self, records: Records, tick: NDArray[np.int32]) -> None:
        asked = (tick % model.EVERY_TICKS == model.EVERY_TICKS - 1) & (records["onset"] >= 0)
        (at,) = np.nonzero(asked & (records["state"] < decision.FINAL) & ~records["early"])
        if at.size:
            some, when = records.some(at), tick[at]
            values = features.read(some, when, decision.quiet_ticks(some, when))
            records["log_odds"][at] = self._model.log_odds(values)


_OF_SPEECH = [*cadence.FIELDS, *features.FIELDS, *prosody.FIELDS]


def _forget_talk_behind(records: Records, tick: NDArray[np.int32], speaking: NDArray[np.bool_]) -> None:
    # what was spoken before somebody nearer the phone began is none of theirs. A person's verdict stands on what it was given for
    nearer = speaking & (records["louder_ticks"] >= NEARER_CONFIRM_TICKS)
    (at,) = np.nonzero(nearer & (records["state"] != decision.PROVISIONAL))
    if at.size:
        for name, _, fresh in _OF_SPEECH:
            records[name][at] = fresh
        records["burst_voiced"][at] = NEARER_CONFIRM_TICKS - 1
        records["burst_start"][at] = tick[at] - NEARER_CONFIRM_TICKS + 1
        records["behind_dbfs"][at], records["louder_ticks"][at] = np.inf, 0


_NO_BEEP = np.zeros(max(Label) + 1, np.bool_)
_NO_BEEP[[Label.FAX, Label.SIT, Label.BUSY, Label.REORDER]] = True


def _collect(
    records: Records,
    rows: NDArray[np.intp],
    tick: NDArray[np.int32],
    beep: NDArray[np.bool_],
    outcome: decision.Outcome,
) -> Marks:
    parts = []
    if beep.any():
        (at,) = np.nonzero(beep)
        label, reason = records["label"][at], np.full(at.size, Reason.BEEP, np.uint8)
        kind, final = np.full(at.size, MarkKind.BEEP, np.uint8), np.zeros(at.size, np.bool_)
        parts.append(_marks(records, rows[at], tick[at], at, decision.Outcome(kind, label, reason, final)))
    if outcome.kind.any():
        (at,) = np.nonzero(outcome.kind)
        what = decision.Outcome(
            outcome.kind[at], outcome.label[at], outcome.reason[at], outcome.provisional[at]
        )
        parts.append(_marks(records, rows[at], tick[at], at, what))
    return join_marks(parts)


def _marks(
    records: Records,
    rows: NDArray[np.intp],
    tick: NDArray[np.int32],
    at: NDArray[np.intp],
    what: decision.Outcome,
) -> Marks:
    return Marks(
        row=rows.astype(np.intp),
        kind=what.kind,
        label=what.label,
        reason=what.reason,
        confidence=_confidence(what, records["log_odds"][at]),
        provisional=what.provisional,
        tick=tick,
        greeting_end_tick=records["last_speech"][at],
        beep_end_tick=records["beep_end"][at],
    )


def _confidence(what: decision.Outcome, odds: NDArray[np.float32]) -> NDArray[np.float32]:
    # the probability of the label that is told; of a verdict at the limit, of its being routed rightly, as a person
    odds = np.where(what.label == Label.MACHINE, odds, -odds)
    known = _BY_ODDS[what.reason] & ~np.isnan(odds)
    return np.where(known, 1.0 / (1.0 + np.exp(-odds)), _CONFIDENCE[what.reason]).astype(np.float32)
