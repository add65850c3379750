"""`dialer amd`: the table of everything about answering-machine detection. The bodies are in `amd_*.py` beside it."""

from __future__ import annotations

import click

from dialer_core.commands.invocation import example
from dialer_core.commands.lazy_group import LazyGroup, Table

TABLE: Table = {
    "classify": ("amd_classify:classify", "Say of recordings what is at the other end, as in a call."),
    "learn-announcement": (
        "amd_learn:learn_announcement",
        "Learn recordings that are always the same: announcements, assistants, menus.",
    ),
    "quality": (
        "amd_quality:quality",
        "Show how many people detection loses, and how many machines it passes.",
    ),
    "export": ("amd_export:export", "Decrypt the clips that campaigns kept, labelled with what they were."),
    "train": ("amd_train:train", "Fit the detector's network anew on simulated calls."),
    "evaluate": ("amd_train:evaluate", "Measure the detector on simulated calls made of a manifest's parts."),
    "explain": ("amd_explain:explain", "Draw a recording and why it was judged as it was."),
}
"""Command: where it is, and what `dialer amd --help` says of it."""


@click.group(cls=LazyGroup, table=TABLE, epilog=example("dialer amd classify recordings/ --json"))
def amd() -> None:
    """Answering-machine detection: judge recordings, show why, measure how well it does."""
