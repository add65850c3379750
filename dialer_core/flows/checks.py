"""What a flow must not do, however well it is shaped: leak a debt, run in circles, promise a step or a clip that there is not.

It owns these checks. Each finding names the key it is about; `reading.py` adds the line.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from dialer_core.flows.fields import FIELDS, PROMISE_FIELDS, Kind, field_of
from dialer_core.flows.language import (
    FIELD,
    KEYS,
    LAST,
    NEEDS_IDENTITY,
    Flow,
    Gather,
    Match,
    OptOut,
    Promise,
    Step,
    Text,
    Verify,
    clips_in,
    fields_in,
    parts_of,
)


class Finding(NamedTuple):
    """Something wrong."""

    path: tuple[str, ...]
    """The key: `("steps", "hello", "next")`."""
    reason: str


_DEBT: Final = {
    "es": re.compile(
        r"\b(deud\w*|adeud\w*|saldos?|moros\w*|mora|cobr(?:o|os|ar|anza|ador\w*)|vencid\w*|impag\w*|atrasad\w*|pagar|pagos?|préstamos?|prestamos?|"
        r"créditos?|creditos?)\b",
        re.IGNORECASE,
    ),
    "en": re.compile(
        r"\b(debt\w*|owe[sd]?|owing|balances?|overdue|past due|delinquen\w*|collect(?:ion|or)s?|arrears|pay(?:ments?|ing)?|loans?|credit)\b",
        re.IGNORECASE,
    ),
}
"""Words that tell a stranger of a debt."""
_AUTOMATED: Final = {
    "es": re.compile(r"\b(autom[aá]tic\w*|automatizad\w*|grabad[oa]|robot)\b", re.IGNORECASE),
    "en": re.compile(r"\b(automat\w*|recorded|robot)\b", re.IGNORECASE),
}
"""Words by which a voice says what it is."""
_SAYS_NOTHING: Final = ("match", "lookup")
_MUST_SPEAK: Final = (
    "say",
    "play",
    "ask",
    "gather",
    "verify",
    "promise",
    "payment_info",
    "statement",
    "opt_out",
    "callback",
    "evidence",
)


def check(flow: Flow, prompts: Collection[str] | None = None) -> Iterator[Finding]:
    """Yield everything wrong with a flow; nothing: it may be used.

    Parameters
    ----------
    flow
        As it was read.
    prompts
        Ids of the recorded prompts there are; None: clips are not looked for.
    """
    wiring = list(_targets(flow))
    yield from wiring
    yield from _texts(flow, prompts)
    yield from _keys(flow)
    yield from _values(flow)
    if not wiring:  # the rest follows the steps' wires
        yield from _graph(flow)
        yield from _identity(flow)
        yield from _honesty(flow)


def _targets(flow: Flow) -> Iterator[Finding]:
    def known(path: tuple[str, ...], name: str) -> Iterator[Finding]:
        if name not in flow.steps:
            yield Finding(path, f"there is no step {name!r}; known are: {', '.join(sorted(flow.steps))}")

    yield from known(("start",), flow.start)
    yield from known(("at_limit",), flow.at_limit)
    for key, name in flow.anytime.items():
        yield from known(("anytime", key), name)
    for step_name, step in flow.steps.items():
        for setting, name, _ in step.targets():
            yield from known(("steps", step_name, *setting.split(".")), name)


def _texts(flow: Flow, prompts: Collection[str] | None) -> Iterator[Finding]:
    for name, step in flow.steps.items():
        path: tuple[str, ...] = ("steps", name, "text")
        if step.do in _SAYS_NOTHING and step.text:
            yield Finding(path, f"a {step.do} step says nothing; say it in a step of its own")
        if step.do in _MUST_SPEAK and not step.text:
            yield Finding(path, f"is missing: a {step.do} step has something to say")
        elif step.text:
            for language in flow.languages:
                if language not in step.text:
                    yield Finding(
                        (*path, language), f"is missing: the flow speaks {', '.join(flow.languages)}"
                    )
        for language, text in step.text.items():
            yield from _text((*path, language), text, step, prompts)
    for language, text in flow.wrong.items():
        here = ("wrong", language)
        yield from _text(here, text, None, prompts)
        yield from _leaks(flow, here, language, text, "and this is said to anybody")


def _text(
    path: tuple[str, ...], text: Text, step: Step | None, prompts: Collection[str] | None
) -> Iterator[Finding]:
    if not parts_of(text):
        yield Finding(path, "is empty")
    for field in fields_in(text):
        yield from _field(path, field, step)
    for part in parts_of(text):
        if isinstance(part, str) and {"{", "}"} & set(FIELD.sub("", part)):
            yield Finding(path, "has a brace without its partner; a field is written {person.name}")
    for clip in clips_in(text) if prompts is not None else ():
        if prompts is not None and clip not in prompts:
            yield Finding(
                path,
                f"there is no prompt {clip!r}; put {clip}.wav into the folder of prompts (media.prompts_dir)",
            )


def _field(path: tuple[str, ...], field: str, step: Step | None) -> Iterator[Finding]:
    if field_of(field) is None:
        yield Finding(
            path, f"there is no field {{{field}}}; known are: {', '.join(sorted(FIELDS))} and x.NAME"
        )
    elif field in PROMISE_FIELDS and not isinstance(step, Promise):
        yield Finding(path, f"{{{field}}} is known in a promise step alone")


def _keys(flow: Flow) -> Iterator[Finding]:
    for name, step in flow.steps.items():
        used = set(getattr(step, "keys", {}))
        if isinstance(step, Verify) and step.confirm:
            used.add(step.confirm)
        if isinstance(step, Promise):
            used |= {step.confirm, step.decline}
            if step.confirm == step.decline:
                yield Finding(
                    ("steps", name, "decline"), f"key {step.decline} is confirm, and cannot decline too"
                )
        if isinstance(step, Gather) or (isinstance(step, Verify) and step.field):
            taken = sorted(set(flow.anytime) & (KEYS - {"*"}))
            if taken:
                yield Finding(
                    ("steps", name),
                    f"asks for digits, which # ends, and key {taken[0]} means {flow.anytime[taken[0]]} at any time; give that key *",
                )
        for key in sorted(used & set(flow.anytime)):
            yield Finding(
                ("steps", name),
                f"key {key} means {flow.anytime[key]} at any time, and cannot mean something else here",
            )
        for setting in ("words", "buttons"):
            for key in getattr(step, setting, {}):
                if key not in used:
                    yield Finding(
                        ("steps", name, setting, key),
                        f"{setting} for key {key}, which the step does not have",
                    )


def _values(flow: Flow) -> Iterator[Finding]:
    last = flow.steps.get(flow.at_limit)
    if last is not None and not isinstance(last, LAST):
        yield Finding(
            ("at_limit",), f"step {flow.at_limit} does not end the flow; name one of kind end or agent"
        )
    gathered = {step.into for step in flow.steps.values() if isinstance(step, Gather)}
    for name, step in flow.steps.items():
        if isinstance(step, Match):
            field = field_of(step.field)
            if field is None and step.field not in gathered:
                yield Finding(
                    ("steps", name, "field"), f"{step.field!r} is no field, and no gather step keeps it"
                )
            elif (
                field is not None
                and field.kind is Kind.TEXT
                and any(case.at_least is not None or case.below is not None for case in step.cases)
            ):
                yield Finding(
                    ("steps", name, "cases"), f"{step.field} is a text: at_least and below need a number"
                )
        elif isinstance(step, Verify) and step.field and field_of(step.field) is None:
            yield Finding(
                ("steps", name, "field"),
                f"there is no field {step.field}; known are: {', '.join(sorted(FIELDS))} and x.NAME",
            )


def _graph(flow: Flow) -> Iterator[Finding]:
    """Steps that nobody reaches, steps without a way out, and circles that nobody has to take part in."""
    reached = {name for name, _ in _states(flow)}
    for name in flow.steps:
        if name not in reached:
            yield Finding(("steps", name), "no way from start leads here")
    ends = {name for name, step in flow.steps.items() if isinstance(step, LAST)}
    follows = {name: {target for _, target, _ in step.targets()} for name, step in flow.steps.items()}
    grew = True
    while grew:
        more = {name for name, targets in follows.items() if name not in ends and targets & ends}
        ends, grew = ends | more, bool(more)
    for name in flow.steps:
        if name in reached and name not in ends:
            yield Finding(("steps", name), "is a loop without an exit: no way from here ends the flow")
    yield from _circles(flow, reached)


def _circles(flow: Flow, reached: Collection[str]) -> Iterator[Finding]:
    by_itself = {
        name: [target for _, target, alone in step.targets() if alone] for name, step in flow.steps.items()
    }
    told: set[frozenset[str]] = set()
    for first in flow.steps:
        if first not in reached:
            continue
        came_from: dict[str, str] = {}
        queue = deque(by_itself[first])
        for target in by_itself[first]:
            came_from.setdefault(target, first)
        while queue:
            name = queue.popleft()
            if name == first:
                circle = [first]
                while (before := came_from[circle[-1]]) != first:
                    circle.append(before)
                if frozenset(circle) not in told:
                    told.add(frozenset(circle))
                    way = " -> ".join([first, *reversed(circle[1:]), first])
                    yield Finding(
                        ("steps", first), f"is a loop that goes on by itself, whoever listens: {way}"
                    )
                break
            for target in by_itself[name]:
                if target not in came_from:
                    came_from[target] = name
                    queue.append(target)


def _states(flow: Flow) -> dict[tuple[str, bool], tuple[str, bool] | None]:
    """Return every (step, identified) that can come to be, each with the one before it on a shortest way."""
    begin = (flow.start, False)
    seen: dict[tuple[str, bool], tuple[str, bool] | None] = {begin: None}
    queue = deque([begin])
    while queue:
        name, identified = at = queue.popleft()
        step = flow.steps[name]
        following = [
            (target, identified or (isinstance(step, Verify) and setting == "next"))
            for setting, target, _ in step.targets()
        ]
        if not isinstance(step, LAST):
            following += [(target, identified) for target in (*flow.anytime.values(), flow.at_limit)]
        for state in following:
            if state not in seen:
                seen[state] = at
                queue.append(state)
    return seen


def _identity(flow: Flow) -> Iterator[Finding]:
    """I19: nothing of a debt before the person is identified, on whatever way."""
    states = _states(flow)
    for name, step in flow.steps.items():
        if (name, False) not in states:
            continue
        way = " -> ".join(_way(states, (name, False)))
        if isinstance(step, NEEDS_IDENTITY):
            yield Finding(
                ("steps", name), f"a {step.do} step is reached before the person is identified: {way}"
            )
            continue
        if step.sensitive:
            yield Finding(("steps", name, "sensitive"), f"is reached before the person is identified: {way}")
        for language, text in step.text.items():
            said = f"and is said before the person is identified: {way}"
            yield from _leaks(flow, ("steps", name, "text", language), language, text, said)


def _leaks(flow: Flow, path: tuple[str, ...], language: str, text: Text, why: str) -> Iterator[Finding]:
    """Whatever in a text tells of a debt."""
    for field in fields_in(text):
        known = field_of(field)
        if known is not None and known.sensitive:
            yield Finding(path, f"{{{field}}} is sensitive, {why}")
    for clip in clips_in(text):
        if (mark := flow.clips.get(clip)) is not None and mark.sensitive:
            yield Finding(path, f"clip {clip} is sensitive, {why}")
    for part in parts_of(text):
        if isinstance(part, str) and (word := _DEBT[language].search(FIELD.sub(" ", part))):
            yield Finding(path, f"{word.group()!r} tells of a debt, {why}")


def _way(states: dict[tuple[str, bool], tuple[str, bool] | None], at: tuple[str, bool]) -> list[str]:
    way: list[str] = []
    here: tuple[str, bool] | None = at
    while here is not None:
        way.append(here[0])
        here = states[here]
    return way[::-1]


def _honesty(flow: Flow) -> Iterator[Finding]:
    """What is heard first says that it is automated; and somewhere they can say that they want no more calls."""
    queue, seen = deque([flow.start]), {flow.start}
    while queue:
        name = queue.popleft()
        step = flow.steps[name]
        if not step.text:
            for _, target, _ in step.targets():
                if target not in seen:
                    seen.add(target)
                    queue.append(target)
            continue
        for language, text in step.text.items():
            marked = any(flow.clips[clip].automated for clip in clips_in(text) if clip in flow.clips)
            said = any(isinstance(part, str) and _AUTOMATED[language].search(part) for part in parts_of(text))
            if not marked and not said:
                yield Finding(
                    ("steps", name, "text", language),
                    "is heard first, and does not say that it is automated; say so, or mark its clip: [clips.ID] automated = true",
                )
    reached = {name for name, _ in _states(flow)}
    if not any(isinstance(flow.steps[name], OptOut) for name in reached):
        yield Finding(
            ("steps",), "nowhere can they say that they want no more calls; add a step of kind opt_out"
        )
