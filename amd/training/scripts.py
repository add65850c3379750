"""What people and machines say: the lines of `scripts.csv`, with names, firms and numbers filled in.

Owns the texts and their split. A text belongs to one split for good, by its own spelling, so that no wording is both learned and
tested.
"""

from __future__ import annotations

import csv
import random
import re
import zlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

_ALTERNATIVES = re.compile(r"\[([^]]*)]")
SPLITS = ("train", "dev", "test")


@dataclass(frozen=True, slots=True)
class Script:
    """One line of `scripts.csv`."""

    kind: str
    language: str
    text: str

    @property
    def split(self) -> str:
        """The split the wording belongs to; lines with alternatives, the stock phrases, are for training."""
        return SPLITS[0] if "[" in self.text else split_of(f"{self.kind}{self.text}")


def split_of(name: str) -> str:
    """Return the split a speaker, voice or text belongs to: six tenths train, one tenth dev, three tenths test."""
    place = zlib.crc32(name.encode()) % 10
    return SPLITS[0] if place < 6 else SPLITS[1] if place < 7 else SPLITS[2]


@cache
def scripts() -> tuple[Script, ...]:
    """Return every line."""
    return tuple(Script(row["kind"], row["language"], row["text"]) for row in _rows("scripts.csv"))


@cache
def _fillers(slot: str, language: str) -> tuple[str, ...]:
    return tuple(
        row["text"] for row in _rows("fillers.csv") if row["slot"] == slot and row["language"] == language
    )


def spoken(script: Script, rng: random.Random) -> list[str]:
    """Return the phrases of a line; between two of them the speaker may pause.

    Of alternatives, written ``[one/another]``, one is taken, and slots such as ``{name}`` are filled.
    """
    text = _ALTERNATIVES.sub(lambda match: rng.choice(match[1].split("/")), script.text)
    for slot in ("name", "surname", "firm", "digits"):
        while f"{{{slot}}}" in text:
            text = text.replace(f"{{{slot}}}", rng.choice(_fillers(slot, script.language)), 1)
    return [phrase.strip() for phrase in text.split("|")]


def _rows(name: str) -> list[dict[str, str]]:
    with resources.files("amd.training").joinpath(name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
