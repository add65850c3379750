"""The sequential decision: from the rhythm of speech, tones and time to a verdict, and from a verdict to its revision.

Owns the states of a row and the rules between them. It hears nothing itself.

    LISTENING ──► FINAL          machine, fax, sit, busy, reorder, announcement (early media), silence or unknown at the limit
        └──────► PROVISIONAL     human
                     ├──► FINAL  machine or a tone after all (revised)
                     └──► FINAL  the window is over (settled)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amd.config import DetectorConfig
from amd.frames import TICK_S
from amd.labels import Label, MarkKind, Reason
from amd.rows import Field, Records

LISTENING, PROVISIONAL, FINAL = 0, 1, 2

SHORT_TICKS = 50
"""Up to this greeting length the shorter pause ends it: 1 s."""
RESUMED_TICKS = 45
"""Speech that resumed after a phrase and goes on this long is a recording: 0.9 s."""
RESUMED_SHORT_TICKS = 120
"""The same after a short hello, since people say "hello? who is calling?" into a silence: 2.4 s."""
PHRASE_TICKS = 55
"""From this length on, the first utterance is a phrase and no short hello: 1.1 s."""
EARLY_SPEECH_TICKS = 60
"""Speech before the answer that makes an announcement: 1.2 s."""

FIELDS: list[Field] = [
    ("state", "u1", LISTENING),
    ("early", "?", False),
    ("label", "u1", Label.UNKNOWN),
    ("ringback", "?", False),  # reported
    ("last_tone", "i4", -1),  # last tick of any tone
    ("verdict_tick", "i4", -1),
    ("greeting_ticks", "i4", 0),  # greeting length at a person's verdict
    ("pause_ticks", "f4", 0.0),
    ("long_pause_ticks", "f4", 0.0),
    ("longest_ticks", "i4", 0),
    ("limit_ticks", "i4", 0),
    ("revise_ticks", "i4", 0),
]


def thresholds(config: DetectorConfig) -> dict[str, object]:
    """Return a configuration as the fields of a row.

    Parameters
    ----------
    config : DetectorConfig
        Thresholds in seconds.

    Returns
    -------
    dict of str to object
        Fields of `FIELDS`, in ticks.
    """
    return {
        "pause_ticks": config.pause_s / TICK_S,
        "long_pause_ticks": config.long_pause_s / TICK_S,
        "longest_ticks": round(config.longest_greeting_s / TICK_S),
        "limit_ticks": round(config.limit_s / TICK_S),
        "revise_ticks": round(config.revise_s / TICK_S),
    }


def quiet_ticks(records: Records, tick: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return how long it has been quiet.

    Parameters
    ----------
    records : numpy.ndarray, structured, shape (n,)
        Rows.
    tick : numpy.ndarray of int32, shape (n,)
        Row-local tick.

    Returns
    -------
    numpy.ndarray of int32, shape (n,)
        Ticks since the last speech or tone; 0 while there is voice, since a sound under way may become speech.
    """
    quiet = tick - np.maximum(records["last_speech"], records["last_tone"])
    return np.where(records["voice_tick"] == tick, 0, quiet)


class Heard(NamedTuple):
    """What the listeners recognised on this tick, one element per row."""

    tone_label: NDArray[np.uint8]
    """`Label.FAX`, `SIT`, `BUSY`, `REORDER` or `RINGBACK`; `UNKNOWN` for none."""
    tone_reason: NDArray[np.uint8]
    beep: NDArray[np.bool_]


class Outcome(NamedTuple):
    """Marks to report on this tick, one element per row; kind 0 for none."""

    kind: NDArray[np.uint8]
    label: NDArray[np.uint8]
    reason: NDArray[np.uint8]
    provisional: NDArray[np.bool_]


def update(records: Records, tick: NDArray[np.int32], heard: Heard) -> Outcome:
    """Advance the decision by one tick.

    Parameters
    ----------
    records : numpy.ndarray, structured, shape (n,)
        Rows, changed in place, after `amd.cadence.update` of the same tick.
    tick : numpy.ndarray of int32, shape (n,)
        Row-local tick.
    heard : Heard
        Tones and beeps of this tick.

    Returns
    -------
    Outcome
        Verdicts, revisions and settlements.
    """
    state, early = records["state"], records["early"]
    onset, last, since = records["onset"], records["last_speech"], records["verdict_tick"]
    listening, provisional = state == LISTENING, state == PROVISIONAL
    answered = listening & ~early
    spoken = onset >= 0
    length = np.where(spoken, last - onset + 1, 0)
    quiet = quiet_ticks(records, tick)

    label = heard.tone_label.copy()
    label[label == Label.RINGBACK] = _NOTHING
    reason = np.where(label != _NOTHING, heard.tone_reason, _UNDECIDED)

    def decide(where: NDArray[np.bool_], to: int, why: int) -> None:  # numpydoc ignore=GL08
        # the first rule that applies has the word
        if where.any():
            where = where & (reason == _UNDECIDED)
            label[where], reason[where] = to, why

    decide(heard.beep & (spoken | provisional) & ~early, Label.MACHINE, Reason.BEEP)
    run = last - records["segment_start"] + 1
    enough = np.where(records["greeting_ticks"] >= PHRASE_TICKS, RESUMED_TICKS, RESUMED_SHORT_TICKS)
    resumed = provisional & (records["segment_start"] > since)
    decide(resumed & (run >= enough), Label.MACHINE, Reason.RESUMED_SPEECH)
    longest = records["longest_ticks"]
    decide(answered & (length >= longest), Label.MACHINE, Reason.LONG_GREETING)
    # the pause that ends a greeting grows with its length, from 1 s to the longest a person's may be
    grown = np.maximum(length - SHORT_TICKS, 0) / np.maximum(longest - SHORT_TICKS, 1)
    pause = records["pause_ticks"] + grown * (records["long_pause_ticks"] - records["pause_ticks"])
    decide(answered & spoken & (quiet >= pause), Label.HUMAN, Reason.SHORT_GREETING)
    limit = answered & (tick + 1 >= records["limit_ticks"])
    decide(limit & spoken, Label.UNKNOWN, Reason.LIMIT)
    decide(limit & ~spoken, Label.SILENCE, Reason.NO_VOICE)
    early_speech = listening & early & (records["speech_ticks"] >= EARLY_SPEECH_TICKS)
    decide(early_speech, Label.ANNOUNCEMENT, Reason.EARLY_SPEECH)

    decided = reason != _UNDECIDED
    first, revised = listening & decided, provisional & decided
    settled = provisional & ~decided & (tick - since >= records["revise_ticks"])
    person = first & (label == Label.HUMAN)
    kind = np.zeros(tick.size, np.uint8)
    changes = first | revised | settled
    if changes.any():
        kind[first], kind[revised], kind[settled] = MarkKind.VERDICT, MarkKind.REVISED, MarkKind.SETTLED
        label[settled], reason[settled] = Label.HUMAN, Reason.SHORT_GREETING
        records["verdict_tick"][first], records["greeting_ticks"][first] = tick[first], length[first]
        records["label"][changes] = label[changes]
        records["state"][changes] = np.where(person[changes], PROVISIONAL, FINAL)

    # ringing decides nothing: it is said once, and the row listens on
    ringing = listening & ~decided & (heard.tone_label == Label.RINGBACK) & ~records["ringback"]
    if ringing.any():
        kind[ringing], label[ringing], reason[ringing] = MarkKind.VERDICT, Label.RINGBACK, Reason.TONE_CADENCE
        records["ringback"][ringing] = True
    return Outcome(kind, label, reason, person | ringing)


_NOTHING = int(Label.UNKNOWN)
_UNDECIDED = np.uint8(255)
