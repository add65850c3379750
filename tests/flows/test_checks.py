"""What makes a flow be refused, each with its line and reason; and that the packaged one is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from dialer_core.errors import ConfigError
from dialer_core.flows.reading import load_flow, read_flow

pytestmark = pytest.mark.unit

PACKAGED = Path("dialer_core/config_defaults/flows/recordatorio.toml")
GOOD = """\
languages = ["es"]
start = "hello"
at_limit = "bye"
[anytime]
9 = "stop"
[steps.hello]
do = "say"
text.es = "Mensaje automático."
next = "who"
[steps.who]
do = "verify"
text.es = "Si es {person.name}, oprima uno."
confirm = "1"
next = "balance"
on_timeout = "bye"
[steps.balance]
do = "payment_info"
text.es = "Debe {account.balance}."
next = "bye"
[steps.stop]
do = "opt_out"
text.es = "Listo."
next = "bye"
on_failed = "bye"
[steps.bye]
do = "end"
text.es = "Adiós."
"""


def refused(tmp_path: Path, text: str, prompts: set[str] | None = None) -> list[str]:
    """Return each refusal without the folder."""
    file = tmp_path / "flow.toml"
    file.write_text(text)
    _, problems = read_flow(file, prompts)
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in problems]


def test_the_packaged_flow_is_let_through() -> None:
    """What `dialer init` writes can be used as it is, in both languages."""
    flow = load_flow(PACKAGED)
    assert flow.languages == ("es", "en")


def test_a_flow_without_a_mistake_is_let_through(tmp_path: Path) -> None:
    """The flow that the cases below spoil has nothing wrong."""
    assert refused(tmp_path, GOOD) == []


REFUSALS = [
    ("[steps.hello]", "[steps.hello]\ncolour = 1", "flow.toml:7: step hello: colour: is not known here"),
    (
        'do = "say"',
        'do = "sing"',
        "flow.toml:7: step hello: do: there is no such kind of step; known are: agent, ",
    ),
    ('next = "who"', "", "flow.toml:6: step hello: next: is missing and has no default"),
    (
        'next = "who"',
        'next = "whom"',
        "flow.toml:9: step hello: next: there is no step 'whom'; known are: balance, bye, ",
    ),
    ('start = "hello"', 'start = "nobody"', "flow.toml:2: start: there is no step 'nobody'"),
    ('at_limit = "bye"', 'at_limit = "who"', "flow.toml:3: at_limit: step who does not end the flow"),
    (
        "{person.name}",
        "{person.nom}",
        "flow.toml:12: step who: text.es: there is no field {person.nom}; known are: ",
    ),
    ("{person.name}", "{person.name", "flow.toml:12: step who: text.es: has a brace without its partner"),
    (
        "{person.name}",
        "{promise.date}",
        "flow.toml:12: step who: text.es: {promise.date} is known in a promise step alone",
    ),
    (
        'text.es = "Adiós."',
        'text.en = "Bye."',
        "flow.toml:27: step bye: text.es: is missing: the flow speaks es",
    ),
    (
        'text.es = "Listo."',
        "",
        "flow.toml:20: step stop: text: is missing: a opt_out step has something to say",
    ),
    (
        'text.es = "Listo."',
        'text.es = [{ clip = "none" }]',
        "flow.toml:22: step stop: text.es: there is no prompt 'none'; put none.wav",
    ),
    (
        "Mensaje automático.",
        "Buenos días.",
        "flow.toml:8: step hello: text.es: is heard first, and does not say that it is automated",
    ),
    ('next = "balance"', 'next = "bye"', "flow.toml:16: step balance: no way from start leads here"),
    (
        "Mensaje automático.",
        "Mensaje automático de {creditor}.",
        "flow.toml:8: step hello: text.es: {creditor} is sensitive, and is said before the person is identified: hello",
    ),
    (
        "Mensaje automático.",
        "Mensaje automático sobre su deuda.",
        "flow.toml:8: step hello: text.es: 'deuda' tells of a debt, and is said before the person is identified: hello",
    ),
    (
        'on_timeout = "bye"',
        'on_timeout = "balance"',
        "flow.toml:16: step balance: a payment_info step is reached before the person is identified: hello -> who -> balance",
    ),
    (
        '9 = "stop"',
        '1 = "stop"',
        "flow.toml:10: step who: key 1 means stop at any time, and cannot mean something else here",
    ),
    ('9 = "stop"', "", "flow.toml:20: step stop: no way from start leads here"),
    (
        'do = "verify"',
        "do = 'verify'\nsensitive = true",
        "flow.toml:12: step who: sensitive: is reached before the person is identified",
    ),
    (
        'confirm = "1"',
        "",
        "flow.toml:10: step who: a verify step needs either confirm (a key) or field and digits",
    ),
    (
        'confirm = "1"',
        'field = "x.rfc"\ndigits = 4',
        "flow.toml:10: step who: asks for digits, which # ends, and key 9 means stop",
    ),
    (
        'do = "end"',
        "do = 'say'\nnext = 'hello'",
        "flow.toml:6: step hello: is a loop that goes on by itself, whoever listens: hello -> who -> ",
    ),
    (
        'languages = ["es"]',
        'languages = ["es", "fr"]',
        "flow.toml:1: languages.1: Input should be 'es' or 'en'",
    ),
    ("[steps.bye]", "[steps.bye", "flow.toml:25: (whole file): is not valid TOML"),
]


@pytest.mark.parametrize(
    ("old", "new", "told"), REFUSALS, ids=[told.split(": ", 1)[1][:60] for *_, told in REFUSALS]
)
def test_a_mistake_is_refused_with_line_and_reason(tmp_path: Path, old: str, new: str, told: str) -> None:
    """Each of these spoils the good flow in one place; the refusal names the line, the step and why."""
    assert GOOD.count(old) >= 1
    text = GOOD.replace(old, new, 1) if old != 'do = "end"' else GOOD.replace(old, new)
    problems = refused(tmp_path, text, prompts=set())
    assert any(problem.startswith(told) for problem in problems), problems


def test_a_loop_without_an_exit_is_refused(tmp_path: Path) -> None:
    """Two steps that only lead to each other, however often a key is pressed, keep somebody for ever."""
    text = GOOD.replace('next = "bye"\n[steps.stop]', 'next = "round"\n[steps.stop]').replace(
        "[steps.bye]",
        '[steps.round]\ndo = "ask"\ntext.es = "Uno."\nkeys = { 1 = "again" }\non_timeout = "again"\n'
        '[steps.again]\ndo = "ask"\ntext.es = "Dos."\nkeys = { 1 = "round" }\non_timeout = "round"\n[steps.bye]',
    )
    problems = refused(tmp_path, text)
    assert any("step round: is a loop without an exit" in problem for problem in problems), problems


def test_a_sensitive_clip_is_refused_before_identity(tmp_path: Path) -> None:
    """What a recording says cannot be read: its mark counts."""
    text = GOOD.replace(
        'text.es = "Mensaje automático."', 'text.es = ["Mensaje automático.", { clip = "debt" }]'
    )
    assert refused(tmp_path, text, {"debt"}) == []
    problems = refused(tmp_path, text + "[clips.debt]\nsensitive = true\n", {"debt"})
    assert problems == [
        "flow.toml:8: step hello: text.es: clip debt is sensitive, and is played before the person is identified: hello".replace(
            "is played", "is said"
        )
    ]


def test_a_refused_file_is_an_error_of_a_line_per_mistake(tmp_path: Path) -> None:
    """`load_flow` raises what `dialer flows check` prints."""
    file = tmp_path / "flow.toml"
    file.write_text(GOOD.replace('next = "who"', 'next = "whom"').replace("{person.name}", "{nobody}"))
    with pytest.raises(ConfigError) as error:
        load_flow(file)
    assert len(str(error.value).splitlines()) == 2


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"a" * 600_000, b"x = " + b"[" * 5000])
def test_garbage_is_told_and_not_raised(tmp_path: Path, content: bytes) -> None:
    """A file that is no flow at all gets a line too."""
    file = tmp_path / "flow.toml"
    file.write_bytes(content)
    flow, problems = read_flow(file)
    assert flow is None
    assert problems
