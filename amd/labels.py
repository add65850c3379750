"""The words a verdict is made of: labels, reasons, and the kinds of mark.

Owns their names and integer codes. Codes are stored and travel in arrays and messages: they never change, new ones are added
at the end. What each label leads to is the engine's business.
"""

from __future__ import annotations

from enum import IntEnum


class Label(IntEnum):
    """What is at the other end of a call. `label.word` is its public spelling."""

    UNKNOWN = 0
    """Something was heard and nothing decided by the limit: routed as a person, marked."""
    HUMAN = 1
    """A person."""
    MACHINE = 2
    """A voicemail or answering machine."""
    SCREENING = 3
    """A phone's assistant asking who is calling."""
    IVR = 4
    """A menu or switchboard that waits for digits."""
    FAX = 5
    """A fax machine or modem (CED or CNG)."""
    SIT = 6
    """Special information tones: the number cannot be reached as dialed."""
    BUSY = 7
    """Busy tone."""
    REORDER = 8
    """Congestion (fast busy) tone."""
    RINGBACK = 9
    """Ringing tone: somewhere a phone still rings. Decides nothing and is reported at most once."""
    ANNOUNCEMENT = 10
    """A carrier's recorded announcement."""
    MUSIC = 11
    """Music on hold."""
    SILENCE = 12
    """Nobody said anything by the limit: routed as a person, marked."""

    @property
    def word(self) -> str:  # numpydoc ignore=RT01
        """The label as events, the store and `dialer amd classify` spell it."""
        return self.name.lower()


class Reason(IntEnum):
    """Why a label was given. `reason.word` is its public spelling."""

    LIMIT = 0
    """The time limit came first."""
    NO_VOICE = 1
    """Nothing but silence or steady noise up to the limit."""
    SHORT_GREETING = 2
    """A short utterance, then quiet: a person waiting for an answer."""
    LONG_GREETING = 3
    """Speech went on longer than people greet."""
    RESUMED_SPEECH = 4
    """Speech resumed after a person's verdict, the way recorded greetings do."""
    BEEP = 5
    """A recording beep after speech."""
    FAX_CED = 6
    """Answer tone of a fax or modem, 2100 Hz."""
    FAX_CNG = 7
    """Calling tone of a fax, 1100 Hz."""
    SIT_INTERCEPT = 8
    """SIT low-low-high: number changed or disconnected."""
    SIT_VACANT = 9
    """SIT high-low-high: vacant code."""
    SIT_REORDER = 10
    """SIT low-high-high: reorder."""
    SIT_NO_CIRCUIT = 11
    """SIT high-high-high: no circuit."""
    SIT_ITU = 12
    """ITU special information tone 950, 1400, 1800 Hz."""
    TONE_CADENCE = 13
    """A call-progress tone with a known frequency and cadence."""
    EARLY_SPEECH = 14
    """Speech before the call was answered."""
    RECORDED_SPEECH = 15
    """Rhythm and melody of the speech are a recording's, beyond the odds the costs ask for."""
    STEADY_MUSIC = 16
    """Sound that neither pauses nor moves as speech does."""
    FINGERPRINT = 17
    """A known recording, recognised by its landmarks."""

    @property
    def word(self) -> str:  # numpydoc ignore=RT01
        """The reason as events and the store spell it."""
        return self.name.lower()


class MarkKind(IntEnum):
    """What a mark says about its row."""

    VERDICT = 1
    """What is at the other end. Final unless `provisional`."""
    REVISED = 2
    """The provisional verdict was wrong; this label replaces it, for good."""
    BEEP = 3
    """A recording beep ended; says nothing about the label by itself."""
    SETTLED = 4
    """The provisional verdict stands: the revision window is over and no further verdict will come."""
