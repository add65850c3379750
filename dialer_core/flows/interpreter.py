"""Walks a flow: what happens to a conversation comes in as cues, what is to be done goes out as actions. Pure: no clock, no I/O.

It owns the conversation's place in its flow, who is identified, and how often something was asked. Playing, sending, timing and storing are
done by whoever drives it: `calls/flow_calls.py` for calls, `dialer flows try` at a terminal, bots for messages. One who drives it feeds what
it did with each action back: `SPOKEN` when a prompt is over, `TIMEOUT` when a `Listen` has run out, `DONE` or `FAILED` after a `Work`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from typing import Final

import msgspec

from dialer_core.flows.language import (
    AFTER_EFFECT,
    LAST,
    NEEDS_IDENTITY,
    Ask,
    Asking,
    Callback,
    End,
    Evidence,
    Flow,
    Gather,
    Language,
    Lookup,
    Match,
    OptOut,
    Promise,
    Statement,
    Step,
    Verify,
)
from dialer_core.flows.meaning import is_sensitive, meant
from dialer_core.vocabulary import Disposition

Value = str | int | None
Values = Mapping[str, Value]
"""Raw values by field."""


class Phase(enum.StrEnum):
    """What a conversation waits for."""

    NEW = "new"
    """Not begun."""
    SPEAKING = "speaking"
    """The step's prompt is being heard."""
    LISTENING = "listening"
    """The prompt is over; a key is awaited."""
    WORKING = "working"
    """Something is being stored or looked up."""
    OVER = "over"
    """Handed to an agent, or finished."""


class Cue(enum.StrEnum):
    """What can happen to a conversation."""

    BEGIN = "begin"
    SPOKEN = "spoken"
    """The prompt is over, or could not be played."""
    KEY = "key"
    """Something was pressed, or written."""
    TIMEOUT = "timeout"
    """Nothing was, in time."""
    DONE = "done"
    """What was to be stored or looked up is."""
    FAILED = "failed"
    """It could not be."""
    LIMIT = "limit"
    """The conversation has lasted as long as it may."""


class Cell(enum.Enum):
    """What is done about a cue."""

    ENTER = "enter"
    """Take the first step."""
    GO_ON = "go_on"
    """Listen, or take the next step, by the step's kind."""
    HEAR = "hear"
    """See what the key means here."""
    AGAIN = "again"
    """Ask again, or give up."""
    STORED = "stored"
    """Say so, or take the next step."""
    FAIL = "fail"
    """Take the step for failures."""
    CLOSE = "close"
    """Take the step for limits; the second time finish."""
    LATE = "late"
    """A legitimate race: ignored."""
    BUG = "bug"
    """Cannot happen."""


_C = Cell
_ROWS: Final[dict[Phase, tuple[Cell, ...]]] = {
    # phase            begin     spoken     key      timeout   done       failed   limit
    Phase.NEW:       (_C.ENTER, _C.BUG,    _C.LATE, _C.BUG,   _C.BUG,    _C.BUG,  _C.LATE),
    Phase.SPEAKING:  (_C.BUG,   _C.GO_ON,  _C.HEAR, _C.LATE,  _C.LATE,   _C.LATE, _C.CLOSE),
    Phase.LISTENING: (_C.BUG,   _C.LATE,   _C.HEAR, _C.AGAIN, _C.LATE,   _C.LATE, _C.CLOSE),
    Phase.WORKING:   (_C.BUG,   _C.LATE,   _C.HEAR, _C.LATE,  _C.STORED, _C.FAIL, _C.CLOSE),
    Phase.OVER:      (_C.LATE,  _C.LATE,   _C.LATE, _C.LATE,  _C.LATE,   _C.LATE, _C.LATE),
}  # fmt: skip
TABLE: Final = {
    (phase, cue): cell for phase, row in _ROWS.items() for cue, cell in zip(Cue, row, strict=True)
}
"""Every phase and cue. Rendered into the documentation."""


class Work(enum.StrEnum):
    """What has to be done outside before the conversation goes on."""

    OPT_OUT = "opt_out"
    PROMISE = "promise"
    STATEMENT = "statement"
    CALLBACK = "callback"
    EVIDENCE = "evidence"
    LOOKUP = "lookup"


class Action(msgspec.Struct, frozen=True, tag=True):
    """Base: `turn` numbers the actions; what comes back about an older one is not told to the conversation any more."""

    turn: int


class Entered(Action, frozen=True, tag=True):
    """A step has been taken. Before anything of it is heard."""

    step: str
    sensitive: bool


class Identified(Action, frozen=True, tag=True):
    """The person has said or shown who they are, at this step."""

    step: str
    by: str
    """`confirmation` or `digits`."""


class Speak(Action, frozen=True, tag=True):
    """Say a step's text, `wrong` before it if a wrong key was pressed; answered by SPOKEN."""

    step: str
    wrong: bool = False


class Quiet(Action, frozen=True, tag=True):
    """Cut the prompt off: a key was pressed."""


class Listen(Action, frozen=True, tag=True):
    """Wait for a key; answered by KEY or, after so long, TIMEOUT."""

    timeout_s: float


class DoWork(Action, frozen=True, tag=True):
    """Store or look something up; answered by DONE or FAILED."""

    work: Work
    step: str


class HandOver(Action, frozen=True, tag=True):
    """They want an agent. The flow is over."""

    step: str


class Finish(Action, frozen=True, tag=True):
    """Hang up. The flow is over."""

    step: str
    done: bool
    """Nothing more is wanted of this lead."""
    disposition: Disposition | None


class Place(msgspec.Struct, frozen=True):
    """Where a conversation is; of what was said in it, only what a `gather` keeps."""

    phase: Phase
    step: str
    turn: int
    identified: bool
    steps: int
    ignored: int
    tries: int
    keys: str
    closing: bool
    gathered: dict[str, Value]


class Conversation:
    """One conversation in a flow.

    Parameters
    ----------
    flow
        Checked.
    language
        The person's; the flow's first where it does not speak it.
    values
        By field, as far as they are known.
    """

    def __init__(self, flow: Flow, language: str, values: Values) -> None:
        self.flow = flow
        self.language: Language = next((one for one in flow.languages if one == language), flow.languages[0])
        self.values: dict[str, Value] = dict(values)
        self.phase = Phase.NEW
        self.step = flow.start
        self.turn = 0
        self.identified = False
        self.steps = 0
        """Steps taken."""
        self.ignored = 0
        """Keys that meant nothing where they were pressed."""
        self._tries = 0
        self._keys = ""
        self._closing = False

    def place(self) -> Place:
        """Return where it is, for a conversation that lasts longer than its process."""
        kept = {name: self.values[name] for name in self._gathered() if name in self.values}
        return Place(
            self.phase, self.step, self.turn, self.identified, self.steps, self.ignored, self._tries, self._keys, self._closing, kept
        )  # fmt: skip

    def go_on_from(self, place: Place) -> bool:
        """Go on where it was; False: the flow has no such step any more, and nothing changed."""
        if place.step not in self.flow.steps:
            return False
        self.phase, self.step, self.turn, self.identified = (
            place.phase,
            place.step,
            place.turn,
            place.identified,
        )
        self.steps, self.ignored, self._tries = place.steps, place.ignored, place.tries
        self._keys, self._closing = place.keys, place.closing
        self.values.update({name: place.gathered[name] for name in self._gathered() & place.gathered.keys()})
        return True

    def _gathered(self) -> set[str]:
        return {step.into for step in self.flow.steps.values() if isinstance(step, Gather)}

    @property
    def misses(self) -> int:
        """Answers that meant nothing: at this step, and anywhere."""
        return self._tries + self.ignored

    @property
    def now(self) -> Step:
        """The step it is at."""
        return self.flow.steps[self.step]

    def apply(self, cue: Cue, key: str = "") -> list[Action]:
        """Feed a cue; return what is to be done, in order.

        Parameters
        ----------
        cue
            What happened.
        key
            With KEY: what was pressed, or what was written.

        Raises
        ------
        ValueError
            A `bug` cell: whoever drives it is wrong.
        """
        cell = TABLE[self.phase, cue]
        match cell:
            case Cell.BUG:
                raise ValueError(f"{cue} in phase {self.phase}")
            case Cell.LATE:
                return []
            case Cell.ENTER:
                return self._enter(self.flow.start)
            case Cell.GO_ON:
                return self._spoken()
            case Cell.HEAR:
                return self._heard(key)
            case Cell.AGAIN:
                return self._timed_out()
            case Cell.STORED:
                return self._stored()
            case Cell.FAIL:
                return self._enter(getattr(self.now, "on_failed", self.flow.at_limit))
            case _:
                return self._close()

    # --- steps ---------------------------------------------------------------------------------------------------------

    def _enter(self, name: str) -> list[Action]:
        """Take a step, and those after it that say nothing."""
        actions: list[Action] = []
        while True:
            self.steps += 1
            if self.steps > self.flow.most_steps and not self._closing:
                name, self._closing = self.flow.at_limit, True
            self.step, self._tries, self._keys = name, 0, ""
            step = self.now
            actions.append(Entered(self._next_turn(), name, is_sensitive(self.flow, step)))
            if isinstance(step, NEEDS_IDENTITY) and not self.identified:  # the checks refuse such a flow
                raise ValueError(f"step {name} is reached before the person is identified")
            if not isinstance(step, Match):
                return [*actions, *self._begin(step)]
            name = self._chosen(step)

    def _begin(self, step: Step) -> list[Action]:
        if isinstance(step, Lookup):
            return self._work(Work.LOOKUP)
        if isinstance(step, AFTER_EFFECT):
            kinds = {
                OptOut: Work.OPT_OUT,
                Statement: Work.STATEMENT,
                Callback: Work.CALLBACK,
                Evidence: Work.EVIDENCE,
            }
            return self._work(kinds[type(step)])
        if not step.text:  # only the last ones may be without
            return self._last()
        return self._speak()

    def _work(self, work: Work) -> list[Action]:
        self.phase = Phase.WORKING
        return [DoWork(self._next_turn(), work, self.step)]

    def _speak(self, *, wrong: bool = False) -> list[Action]:
        self.phase = Phase.SPEAKING
        return [Speak(self._next_turn(), self.step, wrong and bool(self.flow.wrong.get(self.language)))]

    def _spoken(self) -> list[Action]:
        step = self.now
        if isinstance(step, LAST):
            return self._last()
        if isinstance(step, Asking):
            self.phase = Phase.LISTENING
            pause_s = getattr(step, "key_timeout_s", step.timeout_s) if self._keys else step.timeout_s
            return [Listen(self._next_turn(), pause_s)]
        return self._enter(step.next)  # type: ignore[union-attr]  # all others have one

    def _last(self) -> list[Action]:
        self.phase = Phase.OVER
        step = self.now
        if isinstance(step, End):
            done = self.identified if step.done is None else step.done
            return [Finish(self._next_turn(), self.step, done, step.disposition)]
        return [HandOver(self._next_turn(), self.step)]

    def _stored(self) -> list[Action]:
        step = self.now
        if isinstance(step, AFTER_EFFECT):
            return self._speak()
        return self._enter(step.next)  # type: ignore[union-attr]  # Lookup and Promise have one

    def _close(self) -> list[Action]:
        if self._closing:
            self.phase = Phase.OVER
            return [Finish(self._next_turn(), self.step, self.identified, None)]
        self._closing = True
        return [Quiet(self._next_turn()), *self._enter(self.flow.at_limit)]

    def _chosen(self, step: Match) -> str:
        value = self.values.get(step.field)
        number = (
            value
            if isinstance(value, int)
            else int(value)
            if isinstance(value, str) and value.isdecimal()
            else None
        )
        for case in step.cases:
            fits = (
                (case.equals is None or (value is not None and str(case.equals) == str(value)))
                and (case.at_least is None or (number is not None and number >= case.at_least))
                and (case.below is None or (number is not None and number < case.below))
            )
            if fits:
                return case.next
        return step.otherwise

    # --- keys ----------------------------------------------------------------------------------------------------------

    def _heard(self, key: str) -> list[Action]:
        step = self.now
        if (
            (target := self.flow.anytime.get(key)) is not None
            and target != self.step
            and not self._is_storing()
        ):
            return [Quiet(self._next_turn()), *self._enter(target)]
        asks = isinstance(step, Asking) and self.phase is not Phase.WORKING
        if not asks or (self.phase is Phase.SPEAKING and not step.barge_in):  # type: ignore[union-attr]  # asked just now
            self.ignored += 1
            return []
        return [Quiet(self._next_turn()), *self._answered(step, key)]

    def _is_storing(self) -> bool:
        """Whether something is being stored: its end is waited for, or nobody knows what they agreed to."""
        return self.phase is Phase.WORKING and not isinstance(self.now, Lookup)

    def _answered(self, step: Step, key: str) -> list[Action]:
        match step:
            case Ask():
                target = step.keys.get(meant(key, set(step.keys), step.words))
                return self._enter(target) if target else self._wrong()
            case Promise():
                said = meant(key, {step.confirm, step.decline}, {})
                if said == step.confirm:
                    return self._work(Work.PROMISE)
                return self._enter(step.on_declined) if said == step.decline else self._wrong()
            case Verify(confirm=None):
                return self._collect(key, step.digits, step.digits, step.key_timeout_s)
            case Verify():
                said = meant(key, {step.confirm or "", *step.keys}, step.words)
                if said == step.confirm:
                    return self._is_them("confirmation")
                target = step.keys.get(said)
                return self._enter(target) if target else self._wrong()
            case Gather():
                return self._collect(key, step.digits, step.at_least, step.key_timeout_s)
            case _:
                return []

    def _collect(self, key: str, most: int, least: int, pause_s: float) -> list[Action]:
        pressed = [one for one in key if one.isdecimal()]
        self._keys = (self._keys + "".join(pressed))[:most]
        if len(self._keys) == most or ("#" in key and len(self._keys) >= least):
            return self._collected()
        if key and not pressed:  # a star, or the end too early
            return self._wrong()
        self.phase = Phase.LISTENING
        return [Listen(self._next_turn(), pause_s)]

    def _collected(self) -> list[Action]:
        step, keys = self.now, self._keys
        if isinstance(step, Gather):
            self.values[step.into] = keys
            return self._enter(step.next)
        assert isinstance(step, Verify)  # noqa: S101 - the two that collect
        known = "".join(re.findall(r"\d", str(self.values.get(step.field) or "")))
        if len(known) >= step.digits and known[-step.digits :] == keys:
            return self._is_them("digits")
        return self._wrong()

    def _is_them(self, by: str) -> list[Action]:
        step = self.now
        assert isinstance(step, Verify)  # noqa: S101 - called for it alone
        self.identified = True
        return [Identified(self._next_turn(), self.step, by), *self._enter(step.next)]

    def _wrong(self) -> list[Action]:
        return self._once_more(wrong=True)

    def _timed_out(self) -> list[Action]:
        step = self.now
        if isinstance(step, Gather) and len(self._keys) >= step.at_least:
            return self._collected()
        return self._once_more(wrong=bool(self._keys))

    def _once_more(self, *, wrong: bool) -> list[Action]:
        step = self.now
        assert isinstance(step, Asking)  # noqa: S101 - only such a step listens
        self._tries, self._keys = self._tries + 1, ""
        if self._tries < step.tries:
            return self._speak(wrong=wrong)
        return self._enter((step.on_wrong if wrong else None) or step.on_timeout)

    def _next_turn(self) -> int:
        self.turn += 1
        return self.turn


def render_table() -> str:
    """Return the table in Markdown: one row per phase, one column per cue."""
    lines = ["| phase | " + " | ".join(Cue) + " |", "|---" * (len(Cue) + 1) + "|"]
    lines += [
        f"| **{phase}** | " + " | ".join(cell.value for cell in row) + " |" for phase, row in _ROWS.items()
    ]
    return "\n".join(lines)
