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

from amd import music, turns
from amd.config import HEARD_OUT_S, DetectorConfig
from amd.frames import TICK_S
from amd.labels import Label, MarkKind, Reason
from amd.rows import Field, Readable, Records

LISTENING, PROVISIONAL, FINAL = 0, 1, 2

PERSON_TICKS = 19
"""Quiet after which a greeting may be over: 0.38 s. Shorter gaps are between words, of people and of recordings alike."""
VOICE_TICKS = 4
"""How long after any voice, however short, a greeting is not over."""
WORD_QUIET_TICKS = 100
"""Quiet after a sound too short and steady to be told from noise, a "¿sí?" on a bad line, from which it is taken for a word: 2 s."""
WORD_DB = 12.0
"""And how far above the line's noise it must have been, by what is known of it then."""
MACHINE_TICKS = 45
"""Speech from which it may be a recording's: 0.9 s. Nobody can tell from less."""
LENGTH_ODDS = np.float32(0.75 * TICK_S)
"""Log odds that each further tick adds to the classifier's: 0.75 a second. Of the greetings people give, each second longer leaves half."""
LONG_ODDS = np.float32(1.0)
"""Log odds asked for from the longest greeting on: a hello with talk behind it is as long, and its rhythm another."""
RESUMED_TICKS = 30
"""Speech that resumed after a person's verdict is judged from this length on: 0.6 s. Who says hello again says less."""
PHRASE_TICKS = 30
"""A greeting so long may be a recording's first phrase: 0.6 s. What follows a shorter one is a reply."""
CONTINUED_TICKS, CONTINUED_GAP_TICKS = 150, 35
"""A greeting that was taken for over and went on to 3 s, without a pause of over 0.7 s, is no hello."""
RESUMED_AFTER_TICKS = (55, 125)
"""Pauses after which a recording resumes: 1.1 to 2.5 s. After shorter ones people go on too, after longer ones they answer an agent."""
OVER_AFTER_TICKS = 40
"""The shortest of those pauses where what resumes goes on over our own voice: 0.8 s."""
TURN_ODDS = np.float32(2.5)
"""Log odds that talking over our own voice adds, and waiting for its end takes: two people who speak at once stop within half a second."""
CONTINUED_ODDS = np.float32(2.0)
"""Log odds asked for then: a business's greeting may pause and go on too."""
HEARD_OUT_TICKS = round(HEARD_OUT_S / TICK_S)
EARLY_SPEECH_TICKS = 60
"""Speech before the answer that makes an announcement: 1.2 s."""
MUSIC_TICKS, EARLY_MUSIC_TICKS = 200, 150
"""Sound after which it is told to be music by itself: 4 s, by when a person has stopped for breath, and 3 s before the answer. What is
told to be a recording before that may be music, too."""

FIELDS: list[Field] = [
    ("state", "u1", LISTENING),
    ("early", "?", False),
    ("label", "u1", Label.UNKNOWN),
    ("ringback", "?", False),  # reported
    ("last_tone", "i4", -1),  # last tick of any tone
    ("verdict_tick", "i4", -1),
    ("log_odds", "f4", np.nan),  # of a machine, at the latest look of the classifier
    ("machine_odds", "f4", 0.0),  # logarithms of the odds at which a verdict is given
    ("person_odds", "f4", 0.0),
    ("revise_odds", "f4", 0.0),
    ("greeting_ticks", "i4", 0),  # greeting length at a person's verdict
    ("longest_pause_ticks", "i4", 0),
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
        "machine_odds": config.machine_log_odds,
        "person_odds": config.person_log_odds,
        "revise_odds": config.revise_log_odds,
        "longest_pause_ticks": round(config.longest_pause_s / TICK_S),
        "longest_ticks": round(config.longest_greeting_s / TICK_S),
        "limit_ticks": round(config.limit_s / TICK_S),
        "revise_ticks": round(config.revise_s / TICK_S),
    }


def quiet_ticks(records: Readable, tick: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return how long it has been quiet.

    Parameters
    ----------
    records : Readable
        Rows.
    tick : numpy.ndarray of int32, shape (n,)
        Row-local tick.

    Returns
    -------
    numpy.ndarray of int32, shape (n,)
        Ticks since the last speech, syllable or tone; 0 while there is voice or just was, since a sound under way may become speech.
    """
    quiet = tick - np.maximum(
        np.maximum(records["last_speech"], records["last_syllable"]), records["last_tone"]
    )
    since_voice = tick - records["voice_tick"]
    return np.asarray(np.where(since_voice < VOICE_TICKS, np.minimum(quiet, since_voice), quiet), np.int32)


def log_odds(records: Records) -> NDArray[np.float32]:
    """Return what speaks for a recording: the classifier's log odds, and what the greeting's length adds.

    Parameters
    ----------
    records : Records
        Rows.

    Returns
    -------
    numpy.ndarray of float32, shape (n,)
        NaN where the classifier has not looked yet.
    """
    length = records["last_speech"] - records["onset"] + 1
    added = np.where(
        records["state"] != PROVISIONAL, LENGTH_ODDS * np.maximum(length - MACHINE_TICKS, 0), 0.0
    )
    return np.asarray(records["log_odds"] + added, np.float32)


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
    records : Records
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
    # the classifier has the word where it has looked; where it says nothing (NaN), no comparison is true
    odds = records["log_odds"]
    went_on = provisional & (last > since)
    if went_on.any():
        decide(went_on & _a_recording_resumed(records, length), Label.MACHINE, Reason.RESUMED_SPEECH)
    going_on = answered & (records["prosody_n"] >= MUSIC_TICKS)
    if going_on.any():
        decide(_playing(records, going_on, MUSIC_TICKS), Label.MUSIC, Reason.STEADY_MUSIC)
    recorded = answered & (length >= MACHINE_TICKS) & (log_odds(records) >= records["machine_odds"])
    decide(recorded, Label.MACHINE, Reason.RECORDED_SPEECH)
    long = answered & (length >= records["longest_ticks"]) & ~(odds < LONG_ODDS)
    decide(long, Label.MACHINE, Reason.LONG_GREETING)
    over = (quiet >= PERSON_TICKS) & (odds <= records["person_odds"])
    over |= quiet >= records["longest_pause_ticks"]
    decide(answered & spoken & over, Label.HUMAN, Reason.SHORT_GREETING)
    decide(answered & ~spoken & _single_word(records, quiet), Label.HUMAN, Reason.SHORT_GREETING)
    limit = answered & (tick + 1 >= records["limit_ticks"])
    heard_out = answered & (tick + 1 >= records["limit_ticks"] + HEARD_OUT_TICKS)
    decide(heard_out & spoken, Label.UNKNOWN, Reason.LIMIT)
    decide(limit & ~spoken, Label.SILENCE, Reason.NO_VOICE)
    before = listening & early & (records["speech_ticks"] >= EARLY_SPEECH_TICKS)
    if before.any():
        playing = _playing(records, before, EARLY_SPEECH_TICKS // 2)
        decide(playing & (records["prosody_n"] >= EARLY_MUSIC_TICKS), Label.MUSIC, Reason.STEADY_MUSIC)
        # music instead of ringing is waited for: it becomes sure a little later
        decide(before & ~playing, Label.ANNOUNCEMENT, Reason.EARLY_SPEECH)
    by_length = _BY_LENGTH[reason]
    if by_length.any():
        playing = _playing(records, by_length, music.LEAST_TICKS)
        label[playing], reason[playing] = Label.MUSIC, Reason.STEADY_MUSIC
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


def _a_recording_resumed(records: Records, length: NDArray[np.int32]) -> NDArray[np.bool_]:
    run = records["last_speech"] - records["segment_start"] + 1
    gap, odds = records["gap_last"], records["log_odds"]
    over, waited = turns.heard(records, run)
    paused = (gap >= RESUMED_AFTER_TICKS[0]) & (gap <= RESUMED_AFTER_TICKS[1])
    paused |= over & (gap >= OVER_AFTER_TICKS)
    weighed = odds + np.where(over, TURN_ODDS, np.where(waited, -TURN_ODDS, np.float32(0.0)))
    recording = paused & (weighed >= records["revise_odds"]) & (records["greeting_ticks"] >= PHRASE_TICKS)
    resumed = (records["segment_start"] > records["verdict_tick"]) & (run >= RESUMED_TICKS)
    continued = (records["gap_longest"] <= CONTINUED_GAP_TICKS) & (length >= CONTINUED_TICKS)
    machine: NDArray[np.bool_] = (resumed & (recording | (odds >= records["machine_odds"]))) | (
        continued & (odds >= CONTINUED_ODDS)
    )
    return machine


def _playing(records: Records, asked: NDArray[np.bool_], least_ticks: int) -> NDArray[np.bool_]:
    (at,) = np.nonzero(asked)
    playing = np.zeros_like(asked)
    playing[at] = music.like(records.some(at), least_ticks)
    return playing


def _single_word(records: Records, quiet: NDArray[np.int32]) -> NDArray[np.bool_]:
    word = records["word"] & (quiet >= WORD_QUIET_TICKS)
    if word.any():
        clear = records["loudest_dbfs"] - np.maximum(records["floor_dbfs"], -90.0) >= WORD_DB
        # a line that sends nothing else has no noise to rise above
        word &= clear | (records["heard_ticks"] < WORD_QUIET_TICKS // 2)
    return word


_NOTHING = int(Label.UNKNOWN)
_UNDECIDED = np.uint8(255)
_BY_LENGTH = np.zeros(256, np.bool_)
_BY_LENGTH[[Reason.RECORDED_SPEECH, Reason.LONG_GREETING, Reason.RESUMED_SPEECH]] = True
