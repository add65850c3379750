"""The flow language: the kinds of steps, what each needs, and what a prompt is made of.

It owns the shapes. A file becomes a `Flow` in `reading.py`, is refused or let through by `checks.py`, and walked by `interpreter.py`.
Every step has a name and says what it does by `do`; all but the last ones of a conversation name the step that follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dialer_core.vocabulary import Disposition

KEYS: Final = frozenset("0123456789*#")
"""What can be pressed."""
FIELD: Final = re.compile(r"\{([^{}]*)\}")
"""A field in a text."""
LONGEST_TEXT: Final = 1000
MOST_STEPS: Final = 200

StepName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Language = Literal["es", "en"]
Key = Annotated[str, Field(pattern=r"^[0-9*#]$")]
Spoken = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Clip(_Part):
    """A recorded prompt in a text: `{ clip = "greeting-es" }`; its id is its file's name in the folder of prompts."""

    clip: Annotated[str, Field(min_length=1, max_length=64)]


Text = Spoken | tuple[Spoken | Clip, ...]
"""What is said: a text with `{fields}`, or several texts and clips one after another."""
Texts = dict[Language, Text]


class _Step(_Part):
    """What all steps have."""

    text: Texts = {}
    """What is said, by language."""
    sensitive: bool = False
    """It speaks of the debt although none of its fields does: a clip, or a text in plain words."""

    def targets(self) -> Iterator[tuple[str, str, bool]]:
        """Yield each step that may follow: the setting that names it, its name, and whether it follows without a word of the person."""
        for setting in ("next", "on_timeout", "on_wrong", "on_failed", "on_declined", "otherwise"):
            name = getattr(self, setting, None)
            if name:
                yield (
                    setting,
                    name,
                    not (setting == "on_declined" or (setting == "next" and isinstance(self, Asking))),
                )
        for key, name in getattr(self, "keys", {}).items():
            yield f"keys.{key}", name, False
        for number, case in enumerate(getattr(self, "cases", ())):
            yield f"cases.{number}", case.next, True


class Asking(_Step):
    """A step that waits for keys, or for an answer by message."""

    timeout_s: Annotated[float, Field(ge=1, le=60)] = 6.0
    """From the prompt's end to the first key."""
    tries: Annotated[int, Field(ge=1, le=5)] = 3
    """So often it is said, when nothing or something wrong is pressed."""
    barge_in: bool = True
    """A key cuts the prompt off."""
    on_timeout: StepName
    """Where it goes when nothing has been pressed for the last time."""
    on_wrong: StepName | None = None
    """Where it goes after the last wrong key; by default as after nothing."""


class Say(_Step):
    """Say something, and go on."""

    do: Literal["say"]
    next: StepName


class Play(_Step):
    """Play a recorded prompt, and go on."""

    do: Literal["play"]
    clip: dict[Language, Annotated[str, Field(min_length=1, max_length=64)]]
    """Its id, by language."""
    next: StepName

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, raw: object) -> object:
        """Make its clips its text: from here on they are played like any other."""
        if isinstance(raw, dict) and isinstance(raw.get("clip"), dict) and "text" not in raw:
            return {**raw, "text": {language: ({"clip": clip},) for language, clip in raw["clip"].items()}}
        return raw


class Ask(Asking):
    """A menu: one key, and each leads somewhere."""

    do: Literal["ask"]
    keys: Annotated[dict[Key, StepName], Field(min_length=1)]
    words: dict[Key, tuple[str, ...]] = {}
    """For conversations by message: words that mean a key."""
    buttons: Annotated[
        dict[Key, dict[Language, Annotated[str, Field(min_length=1, max_length=20)]]], Field(max_length=3)
    ] = {}
    """For channels that have buttons (WhatsApp): what stands on the button of a key; three at most."""


class Gather(Asking):
    """Several keys, kept under a name that `match` can read."""

    do: Literal["gather"]
    into: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
    digits: Annotated[int, Field(ge=1, le=20)]
    """So many at most; `#` ends fewer."""
    at_least: Annotated[int, Field(ge=1, le=20)] = 1
    key_timeout_s: Annotated[float, Field(ge=0.5, le=20)] = 3.0
    """Longest pause between two keys."""
    next: StepName


class Case(_Part):
    """One case of a `match`."""

    equals: str | int | None = None
    """The value is this."""
    at_least: int | None = None
    """The value is a number and not less."""
    below: int | None = None
    """The value is a number and less."""
    next: StepName

    @model_validator(mode="after")
    def _says_something(self) -> Case:
        if self.equals is None and self.at_least is None and self.below is None:
            msg = "a case needs equals, at_least or below"
            raise ValueError(msg)
        return self


class Match(_Step):
    """Choose by a value: a field, or what was gathered. Nothing is said."""

    do: Literal["match"]
    field: str
    """A field, or the name that a `gather` keeps."""
    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=20)]
    otherwise: StepName
    """Where none of the cases fits, or there is no value."""


class Lookup(_Step):
    """Read the account again: it may have been paid meanwhile."""

    do: Literal["lookup"]
    next: StepName
    on_failed: StepName
    """It could not be read in time."""


class Verify(Asking):
    """Find out whether this is the person: by a key that says so, or by digits that they alone know."""

    do: Literal["verify"]
    confirm: Key | None = None
    """The key by which they say that they are the person."""
    keys: dict[Key, StepName] = {}
    """Other keys: that they are not, say."""
    words: dict[Key, tuple[str, ...]] = {}
    """For conversations by message: words that mean a key."""
    field: str = ""
    """Or: the field whose last digits they press."""
    digits: Annotated[int, Field(ge=0, le=12)] = 0
    """How many of them."""
    key_timeout_s: Annotated[float, Field(ge=0.5, le=20)] = 3.0
    next: StepName
    """The person is identified from here on."""

    @model_validator(mode="after")
    def _one_way(self) -> Verify:
        if bool(self.confirm) == bool(self.field):
            msg = "a verify step needs either confirm (a key) or field and digits"
            raise ValueError(msg)
        if self.field and not self.digits:
            msg = "field needs digits: how many of its last ones are asked for"
            raise ValueError(msg)
        if self.field and self.keys:
            msg = "keys go with confirm; where digits are asked for, every key is a digit"
            raise ValueError(msg)
        if self.confirm in self.keys:
            msg = f"key {self.confirm} is confirm, and cannot lead elsewhere too"
            raise ValueError(msg)
        return self


class Promise(Asking):
    """Offer terms, and write the promise down when they agree."""

    do: Literal["promise"]
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of the balance."""
    in_days: Annotated[int, Field(ge=0, le=60)]
    """Until when it is to be paid, from the day of the call."""
    confirm: Key = "1"
    """The key by which they agree."""
    decline: Key = "2"
    """The key by which they do not."""
    next: StepName
    on_declined: StepName
    on_failed: StepName
    """It could not be written down; nothing was promised."""


class PaymentInfo(_Step):
    """Say what is owed and how to pay: always sensitive."""

    do: Literal["payment_info"]
    next: StepName


class Statement(_Step):
    """Ask for a statement to be sent, and say so."""

    do: Literal["statement"]
    next: StepName
    on_failed: StepName


class OptOut(_Step):
    """Call them no more: the restriction is in force before its text is said."""

    do: Literal["opt_out"]
    next: StepName
    on_failed: StepName
    """It could not be stored: it must not be confirmed."""


class Callback(_Step):
    """Have them called later, and say so."""

    do: Literal["callback"]
    in_minutes: Annotated[int, Field(ge=5, le=60 * 24 * 30)]
    next: StepName
    on_failed: StepName


class Evidence(_Step):
    """They say that they have paid: ask them to send what shows it, once it is noted that they were asked."""

    do: Literal["evidence"]
    next: StepName
    on_failed: StepName


class ToAgent(_Step):
    """Say something, and let them wait for an agent as any live answer does."""

    do: Literal["agent"]


class End(_Step):
    """Say something, and hang up."""

    do: Literal["end"]
    done: bool | None = None
    """Nothing more is wanted of this lead; by default where the person was identified."""
    disposition: Disposition | None = None
    """What it was, as an agent would say it: third_party, wrong_number."""


Step = Annotated[
    Say
    | Play
    | Ask
    | Gather
    | Match
    | Lookup
    | Verify
    | Promise
    | PaymentInfo
    | Statement
    | OptOut
    | Callback
    | Evidence
    | ToAgent
    | End,
    Field(discriminator="do"),
]
LAST: Final = (ToAgent, End)
"""Steps after which the flow is over."""
AFTER_EFFECT: Final = (Statement, OptOut, Callback, Evidence)
"""Steps whose text is said when what they do is done."""
NEEDS_IDENTITY: Final = (Promise, PaymentInfo, Statement, Lookup)
"""Steps that nobody reaches who is not identified."""


class ClipMark(_Part):
    """`[clips.ID]`: what a recorded prompt says, which nobody can read in it."""

    sensitive: bool = False
    """It speaks of the debt."""
    automated: bool = False
    """It says that an automatic system speaks."""


class Flow(_Part):
    """One file."""

    title: str = ""
    """For people."""
    start: StepName
    languages: Annotated[tuple[Language, ...], Field(min_length=1)]
    """Every text is in all of them; who speaks none of them hears the first."""
    limit_s: Annotated[float, Field(ge=10, le=1800)] = 300.0
    """Longest a conversation with it lasts; then its last words are said."""
    waits_hours: Annotated[float, Field(ge=0.1, le=168)] = 24.0
    """In a conversation by message: so long an answer is waited for; then it is over, and nothing more is written."""
    most_steps: Annotated[int, Field(ge=5, le=1000)] = 60
    """As many steps are taken at most."""
    at_limit: StepName
    """The step, of kind `end` or `agent`, that follows when either is reached."""
    wrong: Texts = {}
    """Said before a prompt is repeated because of a wrong key."""
    anytime: dict[Key, StepName] = {}
    """Keys that lead somewhere at every step: opting out, an agent."""
    clips: dict[str, ClipMark] = {}
    steps: Annotated[dict[StepName, Step], Field(min_length=1, max_length=MOST_STEPS)]


def parts_of(text: Text) -> tuple[Spoken | Clip, ...]:
    """Return a text's parts, one after another."""
    return (text,) if isinstance(text, str) else text


def fields_in(text: Text) -> list[str]:
    """Return the fields of a text, in order."""
    return [name for part in parts_of(text) if isinstance(part, str) for name in FIELD.findall(part)]


def clips_in(text: Text) -> list[str]:
    """Return the clips of a text, in order."""
    return [part.clip for part in parts_of(text) if isinstance(part, Clip)]
