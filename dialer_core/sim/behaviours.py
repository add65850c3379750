"""What each called number does: the table of behaviours, as data, and the plan that one call follows.

Owns the table, the choice of a row by the last two digits of the called number, and the random numbers of a
call, which depend on the seed and the called number alone, so that a run can be repeated. Owns no sound and
no signalling.

`true_class` and `expected_outcome` are what a perfect dialer would find: `dialer demo` compares its own
verdicts and outcomes with them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

from dialer_core.sim.g711 import Law

if TYPE_CHECKING:
    from collections.abc import Sequence


class TrueClass(StrEnum):
    """What is really at the other end."""

    HUMAN = "human"
    MACHINE = "machine"
    FAX = "fax"
    SIT = "sit"
    ANNOUNCEMENT = "announcement"
    NONE = "none"
    """Nothing is heard: never answered, or answered without a sound."""


class Ending(StrEnum):
    """How the call goes on after the ring time."""

    PERSON = "person"
    """Answered; after the greeting a person waits for an agent, talks and hangs up."""
    PLAYS_OUT = "plays_out"
    """Answered; everything is played, then `quiet_s` of silence, then BYE."""
    EARLY_THEN_REJECT = "early_then_reject"
    """183 with SDP; everything is played, then the final code."""
    REJECT = "reject"
    RINGS_OUT = "rings_out"
    """180 until the caller cancels; 408 after `RING_LIMIT_S`."""
    HANGS_UP = "hangs_up"
    """Answered, and BYE within 300 ms of the ACK."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Silence of a length drawn for each call."""

    min_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class Speech:
    """One clip of the group, drawn for each call."""

    group: str


@dataclass(frozen=True, slots=True)
class Tones:
    """A named tone sequence of `voices.TONE_SEQUENCES`, one of several drawn for each call."""

    names: tuple[str, ...]


Sound = Pause | Speech | Tones


@dataclass(frozen=True, slots=True)
class Press:
    """A key pressed once the greeting is over."""

    key: str
    after_s: float
    """From the end of the greeting, or from the key before."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row of the table."""

    name: str
    suffixes: range
    true_class: TrueClass
    ending: Ending
    expected_outcome: str
    description: str
    plays: tuple[Sound, ...] = ()
    final_code: int = 200
    q850_cause: int | None = None
    """Sent in a Reason header with the final code (RFC 3326)."""
    ring_s: tuple[float, float] = (0.5, 3.0)
    quiet_s: float = 20.0
    """Silence after the last sound, before this end hangs up by itself (`PLAYS_OUT`)."""
    presses: tuple[Press, ...] = ()
    """What a person does on the keypad (`people.py`)."""
    talk_s: tuple[float, float] | None = None
    """Instead of the run's, how long this person talks."""


RING_LIMIT_S = 120.0
HANG_UP_S = (0.05, 0.25)

_PICK_UP = Pause(0.15, 0.5)
_SIT = Tones(("sit_itu", "sit_ic", "sit_ro", "sit_vc"))

BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        "short_hello", range(14), TrueClass.HUMAN, Ending.PERSON, "answered_human",
        "“¿Bueno?”, “¿Sí?”, “Hello?”",
        (_PICK_UP, Speech("hello")),
    ),
    Behaviour(
        "business_greeting", range(14, 23), TrueClass.HUMAN, Ending.PERSON, "answered_human",
        "a business's greeting of about 3 s",
        (_PICK_UP, Speech("business")),
    ),
    Behaviour(
        "slow_hello", range(23, 32), TrueClass.HUMAN, Ending.PERSON, "answered_human",
        "1.2-2 s of silence, then a short hello",
        (Pause(1.2, 2.0), Speech("hello")),
    ),
    Behaviour(
        "two_phrase_hello", range(32, 42), TrueClass.HUMAN, Ending.PERSON, "answered_human",
        "“¿Bueno? … ¿quién habla?”, 0.5-0.8 s apart",
        (_PICK_UP, Speech("hello"), Pause(0.5, 0.8), Speech("who")),
    ),
    Behaviour(
        "voicemail", range(42, 52), TrueClass.MACHINE, Ending.PLAYS_OUT, "machine",
        "a greeting of 6 s or more, a beep of 1000 Hz and 0.5 s, silence",
        (Pause(0.2, 0.6), Speech("voicemail"), Pause(0.3, 0.8), Tones(("beep",))),
    ),
    Behaviour(
        "voicemail_pausing", range(52, 58), TrueClass.MACHINE, Ending.PLAYS_OUT, "machine",
        "a phrase of about 1.5 s, a pause of about 1.5 s, more speech, a beep, silence",
        (
            *(Pause(0.2, 0.6), Speech("voicemail_first"), Pause(1.4, 1.6)),
            *(Speech("voicemail_rest"), Pause(0.3, 0.8), Tones(("beep",))),
        ),
    ),
    Behaviour(
        "fax", range(58, 61), TrueClass.FAX, Ending.PLAYS_OUT, "fax",
        "CED: 2100 Hz for 3 s, then V.21 flags",
        (Pause(0.4, 1.2), Tones(("ced",)), Pause(0.08, 0.08), Tones(("v21_flags",))),
    ),
    Behaviour(
        "answered_sit", range(61, 65), TrueClass.SIT, Ending.PLAYS_OUT, "sit",
        "answered: SIT of the ITU or of the US, then an announcement",
        (Pause(0.1, 0.3), _SIT, Pause(0.1, 0.3), Speech("announcement")),
    ),
    Behaviour(
        "early_announcement", range(65, 70), TrueClass.ANNOUNCEMENT, Ending.EARLY_THEN_REJECT, "not_found",
        "183 with SDP: SIT and an announcement as early media, then 404",
        (Pause(0.1, 0.3), _SIT, Pause(0.1, 0.3), Speech("announcement")),
        final_code=404, q850_cause=1, ring_s=(0.1, 0.3),
    ),
    Behaviour(
        "busy", range(70, 77), TrueClass.NONE, Ending.REJECT, "busy",
        "rings, then 486", final_code=486, q850_cause=17, ring_s=(0.2, 1.0),
    ),
    Behaviour(
        "unavailable", range(77, 81), TrueClass.NONE, Ending.REJECT, "temporarily_unavailable",
        "rings, then 480", final_code=480, q850_cause=18,
    ),
    Behaviour(
        "declined", range(81, 84), TrueClass.NONE, Ending.REJECT, "declined",
        "rings, then 603", final_code=603, q850_cause=21,
    ),
    Behaviour(
        "no_circuit", range(84, 87), TrueClass.NONE, Ending.REJECT, "service_unavailable",
        "503 without ringing", final_code=503, q850_cause=34, ring_s=(0.0, 0.2),
    ),
    Behaviour(
        "rings_out", range(87, 94), TrueClass.NONE, Ending.RINGS_OUT, "no_answer",
        "180 until the caller cancels", final_code=487,
    ),
    Behaviour(
        "hangs_up", range(94, 97), TrueClass.NONE, Ending.HANGS_UP, "hung_up_early",
        "answers and hangs up within 300 ms of the ACK",
    ),
    Behaviour(
        "silent", range(97, 100), TrueClass.NONE, Ending.PLAYS_OUT, "silence",
        "answers, says nothing, and hangs up after 8.5 s", quiet_s=8.5,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class PersonTimes:
    """Times that a run may change, in seconds; ranges are drawn from for each call."""

    talk_s: tuple[float, float] = (3.0, 6.0)
    reply_s: tuple[float, float] = (0.3, 0.7)
    """From hearing the agent to the first own sound."""
    patience_s: float = 10.0
    """How long a person waits for an agent after the greeting."""


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Everything that is drawn for one call. The sounds are named, not rendered (`voices.py` renders them)."""

    behaviour: Behaviour
    law: Law
    """The codec that the carrier prefers for this number: PCMU for even suffixes, PCMA for odd ones."""
    ring_s: float
    talk_s: float
    reply_s: float
    patience_s: float
    hang_up_s: float
    pauses_s: tuple[float, ...]
    """One for each sound of the row; 0 where the sound is no pause."""
    choices: tuple[float, ...]
    """One number in [0, 1) for each sound of the row, by which a clip of a group is chosen."""


@cache
def _by_suffix() -> dict[int, Behaviour]:
    return {suffix: row for row in BEHAVIOURS for suffix in row.suffixes}


def suffix_of(number: str) -> int:
    """The last two digits of a called number (0 where it has none, as for a test of the trunk)."""
    digits = [c for c in number if c.isdigit()][-2:]
    return int("".join(digits) or 0)


def behaviour_for(number: str) -> Behaviour:
    """The row that the number's last two digits choose."""
    return _by_suffix()[suffix_of(number)]


def plan_call(number: str, seed: int, times: PersonTimes, behaviour: Behaviour | None = None) -> CallPlan:
    """The plan of one call; equal seeds and numbers give equal plans.

    Parameters
    ----------
    number
        The called number as in the request URI.
    seed
        The run's seed.
    times
        Ranges for people.
    behaviour
        Row to follow instead of the one that the suffix chooses.
    """
    row = behaviour or behaviour_for(number)
    rng = random.Random(f"{seed}:{number}")
    return CallPlan(
        behaviour=row,
        law=Law.PCMU if suffix_of(number) % 2 == 0 else Law.PCMA,
        ring_s=rng.uniform(*row.ring_s),
        talk_s=rng.uniform(*(row.talk_s or times.talk_s)),
        reply_s=rng.uniform(*times.reply_s),
        patience_s=times.patience_s,
        hang_up_s=rng.uniform(*HANG_UP_S),
        pauses_s=tuple(rng.uniform(s.min_s, s.max_s) if isinstance(s, Pause) else 0.0 for s in row.plays),
        choices=tuple(rng.random() for _ in row.plays),
    )


def behaviour_table_markdown(rows: Sequence[Behaviour] = BEHAVIOURS) -> str:
    """The table for the documentation, one line a row."""
    lines = [
        "| last two digits | behaviour | what happens | rings (s) | true class | final code | expected outcome |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        suffixes = f"{row.suffixes[0]:02d}-{row.suffixes[-1]:02d}"
        low, high = row.ring_s
        ring = "until CANCEL" if row.ending is Ending.RINGS_OUT else f"{low:g}-{high:g}"
        cells = (suffixes, f"`{row.name}`", row.description, ring, row.true_class, row.final_code)
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} | `{row.expected_outcome}` |")
    return "\n".join(lines)
