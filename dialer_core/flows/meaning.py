"""What is meant: whether a step tells of the debt, and which key a written answer stands for.

It owns these two questions; `interpreter.py` and whoever drives it ask them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from dialer_core.flows.fields import field_of
from dialer_core.flows.language import NEEDS_IDENTITY, Flow, Step, clips_in, fields_in


def is_sensitive(flow: Flow, step: Step) -> bool:
    """Return whether a step tells of the debt."""
    if step.sensitive or isinstance(step, NEEDS_IDENTITY):
        return True
    for text in step.text.values():
        if any((known := field_of(name)) is not None and known.sensitive for name in fields_in(text)):
            return True
        if any((mark := flow.clips.get(clip)) is not None and mark.sensitive for clip in clips_in(text)):
            return True
    return False


def meant(said: str, keys: set[str], words: Mapping[str, tuple[str, ...]]) -> str:
    """Return the key that was pressed, or that a written answer means; what was said where it means none."""
    plain = _plain(said)
    if plain in keys:
        return plain
    words_said = set(re.findall(r"\w+", plain))
    meant = {key for key, said_for in words.items() if words_said.intersection(map(_plain, said_for))}
    return meant.pop() if len(meant) == 1 else said


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold().strip(" .!")
