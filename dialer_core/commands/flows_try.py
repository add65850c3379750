"""`dialer flows try`: a flow walked in the terminal, with a made-up person. What is stored in a call is only said here."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import click

from dialer_core.commands.invocation import Invocation, example, printing
from dialer_core.flows.interpreter import (
    Action,
    Conversation,
    Cue,
    DoWork,
    Entered,
    Finish,
    HandOver,
    Identified,
    Listen,
    Speak,
    Value,
)
from dialer_core.flows.language import Promise, Text
from dialer_core.flows.picture import in_words
from dialer_core.flows.reading import load_flow
from dialer_core.flows.spoken import rendered

_MADE_UP: dict[str, Value] = {
    "person.name": "Juan Pérez",
    "caller_id": "+525512345678",
    "creditor": "Financiera Ejemplo",
    "account.number": "40012345",
    "account.product": "tarjeta",
    "account.balance": 120050,
    "account.currency": "MXN",
    "account.days_past_due": 34,
}
_NOTHING, _HANG_UP = ("", "-"), "!"


@click.command(
    name="try",
    epilog=example(
        "dialer flows try recordatorio.toml", "printf '1\\n1\\n#\\n' | dialer flows try recordatorio.toml"
    ),
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--language", default="es", show_default=True, help="The person's language.")
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="FIELD=VALUE",
    help="A field's value, such as person.name=Ana; amounts in cents.",
)
@click.option("--failing", is_flag=True, help="Nothing can be stored: what would be heard then.")
@printing
def try_(call: Invocation, file: Path, language: str, given: tuple[str, ...], *, failing: bool) -> None:
    """Walk a flow as a caller would: type the keys, an empty line (or -) for waiting, ! to hang up.

    The person is made up. Nothing is stored, and nobody is called.
    """
    flow = load_flow(file)
    values = _values(given)
    conversation = Conversation(flow, language, values)
    told: list[dict[str, object]] = []

    def tell(kind: str, text: str) -> None:
        told.append({kind: text})
        call.say(f"{kind:>9}  {text}")

    actions = conversation.apply(Cue.BEGIN)
    while actions:
        actions = _do(conversation, actions, tell, failing=failing)
    call.give(told)


def _do(
    conversation: Conversation, actions: list[Action], tell: Callable[[str, str], None], *, failing: bool
) -> list[Action]:
    """Do what a call would; return what follows."""
    following: list[Action] = []
    for action in actions:
        match action:
            case Entered(step=step, sensitive=sensitive):
                tell(
                    "step", f"{step} ({conversation.flow.steps[step].do}{', sensitive' if sensitive else ''})"
                )
            case Identified(by=by):
                tell("identity", f"confirmed by {by}")
            case Speak(step=step, wrong=wrong):
                if wrong:
                    tell("says", _words(conversation, conversation.flow.wrong[conversation.language], {}))
                tell(
                    "says",
                    _words(
                        conversation,
                        conversation.flow.steps[step].text[conversation.language],
                        conversation.values,
                    ),
                )
                following = conversation.apply(Cue.SPOKEN)
            case Listen(timeout_s=timeout_s):
                key = _key(timeout_s)
                if key == _HANG_UP:
                    tell("ended", "they hung up")
                    return []
                following = (
                    conversation.apply(Cue.TIMEOUT) if key in _NOTHING else conversation.apply(Cue.KEY, key)
                )
            case DoWork(work=work):
                tell("stores", f"{work}{': could not be stored' if failing else ''}")
                following = conversation.apply(Cue.FAILED if failing else Cue.DONE)
            case HandOver():
                tell("ended", "waits for an agent")
            case Finish(done=done, disposition=disposition):
                tell(
                    "ended",
                    f"we hang up: {'done' if done else 'not done'}{f', {disposition}' if disposition else ''}",
                )
            case _:
                pass
    return following


def _key(timeout_s: float) -> str:
    try:
        return str(input(f"     keys? (in a call: within {timeout_s:g} s) ")).strip()
    except EOFError:
        return _HANG_UP


def _words(conversation: Conversation, text: Text, values: dict[str, Value]) -> str:
    promise = conversation.now
    if isinstance(promise, Promise):
        balance = values.get("account.balance")
        day = dt.date.today() + dt.timedelta(days=promise.in_days)  # noqa: DTZ011 - the terminal's own day
        values = {
            **values,
            "promise.amount": int((int(balance or 0)) * promise.share),
            "promise.date": day.isoformat(),
        }
    parts = rendered(text, values, conversation.language)
    if parts is None:
        return f"(a field has no value; it would be left out) {in_words(text)}"
    return in_words(tuple(parts)) if parts else ""


def _values(given: tuple[str, ...]) -> dict[str, Value]:
    today = dt.date.today()  # noqa: DTZ011 - the terminal's own day
    values: dict[str, Value] = {
        **_MADE_UP,
        "today": today.isoformat(),
        "account.due_date": (today - dt.timedelta(days=34)).isoformat(),
    }
    for one in given:
        name, equals, value = one.partition("=")
        if not equals:
            raise click.BadParameter(
                f"{one!r}: write FIELD=VALUE, such as person.name=Ana", param_hint="--set"
            )
        values[name] = (
            int(value)
            if value.lstrip("-").isdecimal() and name in ("account.balance", "account.days_past_due")
            else value
        )
    return values
