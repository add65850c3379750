"""Single tones over time: runs of frames with one steady sinusoid, and the answer and information tones they make up.

Owns runs, the answer tone of fax and modem, and special information tones. Two-frequency and cadenced tones are in
`amd.progress`, recording beeps and the fax's calling tone in `amd.bursts`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from amd.labels import Label, Reason
from amd.rows import Field, Records
from amd.tonebank import ToneFrames

PURITY = 0.75
"""Least share of a frame in one main lobe for it to be tonal: a tone at 10 dB over white noise has 0.91."""
DRIFT_HZ = 10.0
"""Furthest a frame's frequency may be from the run's mean."""
SWELL_DB = 6.0
"""Furthest a frame's level may be from the run's."""

CED_HZ, CED_TOLERANCE_HZ, CED_TICKS = 2100.0, 25.0, 18
"""Answer tone of fax and modem: verdict after 0.36 s, short of the first phase reversal at 0.45 s."""
SIT_TOLERANCE_HZ = 18.0
SIT_MIN_TICKS = 7
"""Ticks of each of the first two information tones (274 to 380 ms nominal)."""
SIT_LAST_TICKS = 5
"""Ticks of the third after which the verdict is given."""
SIT_GAP_TICKS = 10
"""Longest gap between two of them."""

_LOW, _HIGH, _ITU = 0, 1, 2
_SIT_HZ = np.array([[913.8, 985.2, 950.0], [1370.6, 1428.5, 1400.0], [1776.7, 1776.7, 1800.0]], np.float32)
_SIT_REASON = np.full(
    (3, 3), Reason.SIT_ITU, np.uint8
)  # first, second; anything with an ITU tone in it counts as ITU
_SIT_REASON[_LOW, _LOW] = Reason.SIT_INTERCEPT
_SIT_REASON[_HIGH, _LOW] = Reason.SIT_VACANT
_SIT_REASON[_LOW, _HIGH] = Reason.SIT_REORDER
_SIT_REASON[_HIGH, _HIGH] = Reason.SIT_NO_CIRCUIT

NOTE_TICKS = 5
"""A run so long is a tone or a note; one of another frequency that begins so soon after it is of the same melody."""
EMPTY_DBFS = np.float32(-119.0)
"""A frame without any power says nothing: a run goes on over one of them, and ends at the second."""

ENDED = ("hz", "dbfs", "purity", "attack", "before_dbfs", "empty", "wander", "follows")
"""Measures of a run that are kept when it ends."""

FIELDS: list[Field] = [
    # the run under way: its length (0 between runs), mean frequency, level and purity, the part of a tick it began before its
    # first tonal frame, the level two ticks before that frame, where none of the tone can be, and 1 after an empty frame
    ("run_ticks", "i4", 0),
    ("run_hz", "f4", 0.0),
    ("run_dbfs", "f4", 0.0),
    ("run_purity", "f4", 0.0),
    ("run_attack", "f4", 0.0),
    ("run_before_dbfs", "f4", 0.0),
    ("run_empty", "f4", 0.0),
    (
        "run_wander",
        "f4",
        0.0,
    ),  # mean distance of its inner frames from the mean of those before them: `_wander`
    ("run_latest", "f4", 0.0),  # the same of its latest frame
    ("run_follows", "f4", 0.0),  # 1 where it follows one of another frequency
    ("note_ticks", "i4", 1000),  # ticks since a run of `NOTE_TICKS` and more, and its frequency
    ("note_hz", "f4", 0.0),
    # the run that ended on this tick: its length, 0 if none did, and the same measures
    ("ended_ticks", "i4", 0),
    *((f"ended_{name}", "f4", 0.0) for name in ENDED),
    ("last_dbfs", "f4", -np.inf),  # levels of the tick before and of the one before that
    ("before_dbfs", "f4", -np.inf),
    ("sit_stage", "u1", 0),  # information tones heard in order
    ("sit_kinds", "(2,)u1", 0),
    ("sit_wait", "i4", 0),  # ticks since the last of them
]


def update(
    records: Records, tones: ToneFrames, level_dbfs: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Advance the runs and recognise what they make up.

    Parameters
    ----------
    records : Records
        Rows, changed in place.
    tones : ToneFrames
        The bank's measures of this tick; purity 0 where it was not asked.
    level_dbfs : numpy.ndarray of float32, shape (n,)
        Levels of this tick.

    Returns
    -------
    label : numpy.ndarray of uint8, shape (n,)
        `Label.FAX` or `Label.SIT` where one was recognised on this tick; `Label.UNKNOWN` elsewhere.
    reason : numpy.ndarray of uint8, shape (n,)
        Its `Reason` there.

    References
    ----------
    ITU-T (2005), Recommendation T.30; ITU-T (1998), Recommendation E.180/Q.35; Telcordia (2000), GR-674.
    """
    _advance_runs(records, tones, level_dbfs)
    label, reason = np.zeros(level_dbfs.size, np.uint8), np.zeros(level_dbfs.size, np.uint8)
    run_ticks = records["run_ticks"]
    fax = (run_ticks == CED_TICKS) & (np.abs(records["run_hz"] - CED_HZ) <= CED_TOLERANCE_HZ)
    label[fax], reason[fax] = Label.FAX, Reason.FAX_CED
    _information_tones(records, label, reason)
    return label, reason


def _advance_runs(records: Records, tones: ToneFrames, level_dbfs: NDArray[np.float32]) -> None:
    run_ticks, run_hz, run_dbfs = records["run_ticks"], records["run_hz"], records["run_dbfs"]
    tonal = tones.purity >= PURITY
    more = (
        tonal
        & (run_ticks > 0)
        & (np.abs(tones.hz - run_hz) <= DRIFT_HZ)
        & (np.abs(level_dbfs - run_dbfs) <= SWELL_DB)
    )
    # a fading tone ends its run and begins none: its echo is not another tone
    fading = (run_ticks > 0) & (level_dbfs < run_dbfs - SWELL_DB)
    begins = tonal & ~more & ~fading
    empty = (run_ticks > 0) & (level_dbfs <= EMPTY_DBFS) & (records["run_empty"] == 0.0)
    records["ended_ticks"] = np.where(more | empty, 0, run_ticks)
    (ended,) = np.nonzero(records["ended_ticks"])
    for name in ENDED:
        records[f"ended_{name}"][ended] = records[f"run_{name}"][ended]
    note = records["ended_ticks"] >= NOTE_TICKS
    records["note_ticks"] = np.where(note, 0, records["note_ticks"] + 1)
    np.copyto(records["note_hz"], run_hz, where=note)
    (begun,) = np.nonzero(begins)
    (on,) = np.nonzero(more)
    run_ticks[~more & ~begins & ~empty] = 0
    if begun.size:
        # how much of the frame before already held the tone: its energy against this one's
        rise = np.minimum(records["last_dbfs"][begun] - level_dbfs[begun], 0.0) / 10.0
        records["run_attack"][begun] = 10.0**rise
        records["run_before_dbfs"][begun] = records["before_dbfs"][begun]
        run_ticks[begun] = 1
        run_hz[begun], run_dbfs[begun] = tones.hz[begun], level_dbfs[begun]
        records["run_purity"][begun] = tones.purity[begun]
        records["run_wander"][begun] = 0.0
        apart = np.abs(tones.hz[begun] - records["note_hz"][begun]) > 2.0 * DRIFT_HZ
        records["run_follows"][begun] = apart & (records["note_ticks"][begun] <= NOTE_TICKS)
    if on.size:
        run_ticks[on] += 1 + records["run_empty"][on].astype(np.int32)
        weight = np.float32(1.0) / run_ticks[on]
        # the second frame is held against one that may hold part of the tone, and the last, which may too, is never counted
        inner = np.maximum(run_ticks[on] - 3, 0)
        before = records["run_wander"][on]
        latest = records["run_latest"][on]
        records["run_wander"][on] = np.where(
            inner > 0, before + (latest - before) / np.maximum(inner, 1), 0.0
        )
        records["run_latest"][on] = _wander(tones.hz[on] - run_hz[on], level_dbfs[on] - run_dbfs[on])
        run_hz[on] += weight * (tones.hz[on] - run_hz[on])
        run_dbfs[on] += weight * (level_dbfs[on] - run_dbfs[on])
        records["run_purity"][on] += weight * (tones.purity[on] - records["run_purity"][on])
    records["run_empty"] = empty
    records["before_dbfs"] = records["last_dbfs"]
    records["last_dbfs"] = level_dbfs


def _wander(hz: NDArray[np.float32], level_db: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return how far a frame is from its run: dB, 2 Hz counting as one."""
    return np.asarray(np.abs(level_db) + np.float32(0.5) * np.abs(hz), np.float32)


def _information_tones(records: Records, label: NDArray[np.uint8], reason: NDArray[np.uint8]) -> None:
    run_ticks, stage, wait = records["run_ticks"], records["sit_stage"], records["sit_wait"]
    wait += 1
    stage[(stage > 0) & (wait > SIT_GAP_TICKS + SIT_MIN_TICKS)] = 0
    (running,) = np.nonzero(run_ticks >= SIT_LAST_TICKS)
    if running.size == 0:
        return
    # which of the three tones of each place is nearest, and whether it is near enough
    away = np.abs(_SIT_HZ[None, :, :] - records["run_hz"][running, None, None])
    kind, near = away.argmin(axis=2), away.min(axis=2) <= SIT_TOLERANCE_HZ
    at, ticks = stage[running], run_ticks[running]
    first = near[:, 0] & (ticks >= SIT_MIN_TICKS)
    second = near[:, 1] & (ticks >= SIT_MIN_TICKS) & (at >= 1)
    third = near[:, 2] & (at == 2)

    rows = running[first]
    stage[rows], wait[rows] = 1, 0
    records["sit_kinds"][rows, 0] = kind[first, 0]
    rows = running[second]
    stage[rows], wait[rows] = 2, 0
    records["sit_kinds"][rows, 1] = kind[second, 1]
    rows = running[third]
    kinds = records["sit_kinds"][rows]
    label[rows], reason[rows] = Label.SIT, _SIT_REASON[kinds[:, 0], kinds[:, 1]]
    stage[rows] = 0
