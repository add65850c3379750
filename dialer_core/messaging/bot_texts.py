"""What a flow writes: its steps' texts with amounts and days as people read them.

It owns the writing and which flows can be written at all. What is said aloud is `flows/spoken.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dialer_core.errors import ConfigError
from dialer_core.flows.fields import Kind, field_of
from dialer_core.flows.interpreter import Value
from dialer_core.flows.language import FIELD, Clip, Flow, Text, clips_in, parts_of
from dialer_core.flows.reading import flow_files, load_flow
from dialer_core.messaging.fields import day, money
from dialer_core.messaging.templates import Template, load_template
from dialer_core.money import USUAL


def load_bots(folder: Path, templates: Mapping[str, Template]) -> dict[str, Flow]:
    """Return the flows that templates name, checked.

    Raises
    ------
    ConfigError
        One is missing or wrong, or has recorded prompts, which nobody can read.
    """
    files = flow_files(folder)
    found: dict[str, Flow] = {}
    for template in templates.values():
        name = template.flow
        if not name or name in found:
            continue
        if name not in files:
            known = ", ".join(files) or "none"
            raise ConfigError(
                f"template {template.name!r}: flow: {name!r} is not in {folder}; known are: {known}"
            )
        flow = load_flow(files[name])
        if clip := next(_clips(flow), None):
            raise ConfigError(
                f"{files[name]}: clip {clip!r} cannot be written; a flow that answers messages has texts"
            )
        found[name] = flow
    return found


def load_usable(
    templates: Path, flows: Path
) -> tuple[dict[str, Template], dict[str, Flow], list[ConfigError]]:
    """Return the templates and flows that are right, and what is wrong with the others: for a host, which goes on without those."""
    found: dict[str, Template] = {}
    bots: dict[str, Flow] = {}
    wrong: list[ConfigError] = []
    for file in sorted(templates.glob("*.toml")):
        try:
            template = load_template(file)
            found[file.stem] = template
            bots |= load_bots(flows, {file.stem: template})
        except ConfigError as error:  # without its flow, a template's answers wait for an agent
            wrong.append(error)
    return found, bots, wrong


def written(text: Text, values: Mapping[str, Value], language: str) -> str | None:
    """Return a text with every field written; None: one has no value."""
    currency = str(values.get("account.currency") or USUAL)
    said = " ".join(part for part in parts_of(text) if not isinstance(part, Clip))
    missing = False

    def fill(match: object) -> str:
        nonlocal missing
        name = match[1]  # type: ignore[index]
        field, value = field_of(name), values.get(name)
        if field is None or value is None or value == "":
            missing = True
            return ""
        if field.kind is Kind.MONEY:
            return money(int(value), currency) or ""
        if field.kind is Kind.DATE:
            return day(value, language) or ""
        return str(value)

    whole = FIELD.sub(fill, said)
    return None if missing else whole


def together(texts: Sequence[str]) -> str:
    """Return what is said one after another as one message."""
    return "\n".join(texts)


def _clips(flow: Flow) -> Iterator[str]:
    for step in flow.steps.values():
        for text in step.text.values():
            yield from clips_in(text)
