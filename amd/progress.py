"""Call-progress tones: ringing, busy and congestion, told by band and cadence.

Owns the table of cadences and the on-off history of each row. It does not need the exact frequency: within 380 to 500 Hz, and for
480 with 620 Hz, the rhythm decides.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amd.labels import Label
from amd.rows import Field, Records
from amd.tonebank import ToneFrames

QUIET, OTHER, BAND, PAIR = 0, 1, 2, 3
"""What a period holds: nothing, other sound, one or two frequencies within 380-500 Hz, 480 with 620 Hz."""


class Cadence(NamedTuple):
    """A tone as the last completed on and off periods say it.

    Attributes
    ----------
    label : Label
        What it means.
    countries : str
        Where.
    sound : int
        Its frequencies, `BAND` or `PAIR`.
    periods_s : tuple of float
        On, off, on, ... in seconds; it is recognised when the last of them ends.
    """

    label: Label
    countries: str
    sound: int
    periods_s: tuple[float, ...]


CADENCES = (
    Cadence(Label.BUSY, "US", PAIR, (0.5, 0.5, 0.5)),
    Cadence(Label.REORDER, "US", PAIR, (0.25, 0.25, 0.25, 0.25, 0.25)),
    # Spain's congestion begins like its busy tone and differs in the third pause: four periods on are needed
    Cadence(Label.BUSY, "ES", BAND, (0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2)),
    Cadence(Label.REORDER, "ES", BAND, (0.2, 0.2, 0.2, 0.2, 0.2, 0.6)),
    Cadence(Label.BUSY, "MX (busy and congestion alike)", BAND, (0.25, 0.25, 0.25, 0.25, 0.25)),
    Cadence(Label.BUSY, "UK", BAND, (0.375, 0.375, 0.375, 0.375)),
    Cadence(Label.BUSY, "VE, CL", BAND, (0.5, 0.5, 0.5)),
    Cadence(Label.REORDER, "UK", BAND, (0.4, 0.35, 0.225, 0.525)),
    Cadence(Label.RINGBACK, "UK", BAND, (0.4, 0.2, 0.4)),
    Cadence(Label.RINGBACK, "MX, BR, VE, CL", BAND, (1.0,)),
    Cadence(Label.RINGBACK, "ES", BAND, (1.5,)),
    Cadence(Label.RINGBACK, "US", BAND, (2.0,)),
)
"""Every tone recognised by cadence; the order is that of preference."""

BAND_SHARE = 0.75
"""Least share of the frame within 300-600 Hz."""
BAND_HZ = (375.0, 505.0)
"""Where the strongest sinusoid of such a frame lies."""
PAIR_SHARE = 0.7
"""Least share of the frame in 480 and 620 Hz together."""
FALL_DB = 6.0
"""A pause is this far below the tone."""
SMOOTHING = np.float32(0.2)
"""Share of a new level in that of the tone."""
STEADY_TICKS = 2
"""Ticks a change must last: single odd frames at the edges, and lost ones, change nothing."""
OTHER_TICKS = 4
"""Ticks of other sound after which the history is forgotten."""
TOLERANCE = 0.15
"""Relative error of a period that still fits, and at least `TOLERANCE_TICKS`."""
TOLERANCE_TICKS = 2.2

PERIODS = max(len(cadence.periods_s) for cadence in CADENCES)
_WANTED = np.zeros((len(CADENCES), PERIODS), np.float32)  # the last period in the last column
_SLACK = np.full((len(CADENCES), PERIODS), np.inf, np.float32)
for _row, _cadence in enumerate(CADENCES):
    _ticks = np.array(_cadence.periods_s, np.float32) / 0.02
    _WANTED[_row, -_ticks.size :] = _ticks
    _SLACK[_row, -_ticks.size :] = np.maximum(TOLERANCE * _ticks, TOLERANCE_TICKS)
_SOUND = np.array([cadence.sound for cadence in CADENCES])
_LENGTH = np.array([len(cadence.periods_s) for cadence in CADENCES])
_SHORTEST_ALONE = min(c.periods_s[0] for c in CADENCES if len(c.periods_s) == 1) / 0.02 * (1.0 - TOLERANCE)
_LABEL = np.array([cadence.label for cadence in CADENCES], np.uint8)

FIELDS: list[Field] = [
    ("cadence_now", "u1", OTHER),  # what the period under way holds
    ("cadence_ticks", "i4", 0),  # its length so far
    ("cadence_next", "u1", OTHER),  # what follows, until it has lasted STEADY_TICKS
    ("cadence_next_ticks", "i4", 0),
    ("cadence_sound", "u1", OTHER),  # of the last period on
    ("cadence_dbfs", "f4", 0.0),  # level of the tone
    ("cadence_periods", f"({PERIODS},)f4", 0.0),  # lengths of the last completed periods, on and off in turn
    ("cadence_n", "i4", 0),  # how many of them
]


def update(
    records: Records, tones: ToneFrames, level_dbfs: NDArray[np.float32], sounding: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """Advance the on-off history and compare it with the table.

    Parameters
    ----------
    records : Records
        Rows, changed in place.
    tones : ToneFrames
        The bank's measures of this tick.
    level_dbfs : numpy.ndarray of float32, shape (n,)
        Levels of this tick.
    sounding : numpy.ndarray of bool, shape (n,)
        False where the frame is at the line's noise floor.

    Returns
    -------
    numpy.ndarray of uint8, shape (n,)
        The label of the tone recognised on this tick; `Label.UNKNOWN` elsewhere.

    References
    ----------
    ITU-T (2010), "Various tones used in national networks", annex to Operational Bulletin 781.
    """
    sound = _classify(records, tones, level_dbfs, sounding)
    now, ticks = records["cadence_now"], records["cadence_ticks"]
    following, following_ticks = records["cadence_next"], records["cadence_next_ticks"]

    same = sound == now
    (on,) = np.nonzero(sound >= BAND)
    if on.size:
        tone = records["cadence_dbfs"]
        went_on = now[on] >= BAND
        tone[on] = np.where(went_on, tone[on] + SMOOTHING * (level_dbfs[on] - tone[on]), level_dbfs[on])
    # a glitch that did not last belongs to the period around it
    ticks += np.where(same, 1 + following_ticks, 0)
    following_ticks += 1
    following_ticks[same] = 0
    (other,) = np.nonzero(~same & (sound != following))
    following_ticks[other], following[other] = 1, sound[other]
    (back,) = np.nonzero(same & (following != now))
    following[back] = now[back]

    label = np.zeros(level_dbfs.size, np.uint8)
    (changed,) = np.nonzero(following_ticks >= np.where(sound == OTHER, OTHER_TICKS, STEADY_TICKS))
    if changed.size:
        _turn(records, changed, label)
    return label


def _classify(
    records: Records, tones: ToneFrames, level_dbfs: NDArray[np.float32], sounding: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    band = (tones.band >= BAND_SHARE) & (tones.hz >= BAND_HZ[0]) & (tones.hz <= BAND_HZ[1])
    sound = np.where(tones.pair >= PAIR_SHARE, PAIR, np.where(band, BAND, OTHER))
    # below a tone just heard, noise is a pause, however the floor stands
    heard = (records["cadence_n"] > 0) | (records["cadence_now"] >= BAND)
    paused = ~sounding | (heard & (level_dbfs < records["cadence_dbfs"] - FALL_DB))
    return np.where(paused, QUIET, sound).astype(np.uint8)


def _turn(records: Records, changed: NDArray[np.intp], label: NDArray[np.uint8]) -> None:
    was, becomes = records["cadence_now"][changed], records["cadence_next"][changed]
    n, sound = records["cadence_n"][changed], records["cadence_sound"][changed]
    lasted = records["cadence_ticks"][changed]
    records["cadence_now"][changed] = becomes
    records["cadence_ticks"][changed] = records["cadence_next_ticks"][changed]
    records["cadence_next_ticks"][changed] = 0

    # other sound, or a tone that turns into another without a pause or after one, starts a new history
    n[(becomes == OTHER) | ((was >= BAND) & (becomes >= BAND))] = 0
    n[(was == QUIET) & (becomes >= BAND) & (becomes != sound)] = 0
    on_ends = (was >= BAND) & (becomes == QUIET)
    # a history begins with a period on
    off_ends = (was == QUIET) & (becomes >= BAND) & (n > 0)
    records["cadence_n"][changed] = n + (on_ends | off_ends)
    (at,) = np.nonzero(on_ends | off_ends)
    if at.size == 0:
        return
    rows = changed[at]
    sound = np.where(on_ends[at], was[at], sound[at])
    periods = np.concatenate(
        [records["cadence_periods"][rows, 1:], lasted[at, None]], axis=1, dtype=np.float32
    )
    records["cadence_sound"][rows], records["cadence_periods"][rows] = sound, periods
    # a first period, if it is not as long as a ring, says nothing yet
    telling = (n[at] > 0) | (lasted[at] >= _SHORTEST_ALONE)
    if not telling.any():
        return
    at, rows, sound, periods = at[telling], rows[telling], sound[telling], periods[telling]
    fits = (np.abs(periods[:, None, :] - _WANTED) <= _SLACK).all(axis=2)
    fits &= (n[at, None] + 1 >= _LENGTH) & (sound[:, None] == _SOUND)
    # a pattern of odd length ends with a period on, one of even length with a pause
    fits &= (_LENGTH % 2 == 1) == on_ends[at, None]
    label[rows] = np.where(fits.any(axis=1), _LABEL[fits.argmax(axis=1)], Label.UNKNOWN)
