"""A flow for people: its steps as a list, and as a drawing in Mermaid, which web pages and editors show.

It owns the layout alone.
"""

from __future__ import annotations

from dialer_core.flows.language import LAST, Clip, Flow, Text, parts_of
from dialer_core.flows.meaning import is_sensitive


def rows(flow: Flow) -> list[tuple[str, str, str, str]]:
    """Return a row per step: its name, what it does, where it leads, what it says in the flow's first language."""
    language = flow.languages[0]
    return [
        (
            name + (" (start)" if name == flow.start else ""),
            step.do + (", sensitive" if is_sensitive(flow, step) else ""),
            ", ".join(f"{setting.removeprefix('keys.')}: {target}" for setting, target, _ in step.targets()),
            in_words(step.text[language]) if language in step.text else "",
        )
        for name, step in flow.steps.items()
    ]


def in_words(text: Text) -> str:
    """Return a text in one line, clips by their name."""
    return " ".join(f"[{part.clip}]" if isinstance(part, Clip) else part for part in parts_of(text))


def drawing(flow: Flow) -> str:
    """Return the flow as a Mermaid flowchart: steps of the debt are hexagons, last ones rounded."""
    lines = ["flowchart TD"]
    for name, step in flow.steps.items():
        label = f"{name}<br/>{step.do}"
        left, right = (
            ("{{", "}}")
            if is_sensitive(flow, step)
            else ("([", "])")
            if isinstance(step, LAST)
            else ("[", "]")
        )
        lines.append(f'    {_id(name)}{left}"{label}"{right}')
    for name, step in flow.steps.items():
        lines += [
            f'    {_id(name)} -->|"{setting.removeprefix("keys.")}"| {_id(target)}'
            for setting, target, _ in step.targets()
        ]
    anytime = sorted(flow.anytime.items())
    if anytime:
        lines.append('    anytime(("at any time"))')
        lines += [f'    anytime -->|"{key}"| {_id(target)}' for key, target in anytime]
    return "\n".join(lines)


def _id(name: str) -> str:
    return f"s_{name}"  # `end` alone is a word of Mermaid's
