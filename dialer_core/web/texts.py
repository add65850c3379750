"""Texts of the screens in Spanish and English: a catalogue per part, each text in both languages or an error at the start.

It owns reading and choosing. The words stand in `texts.toml` beside the templates.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request

from dialer_core.errors import ConfigError

LANGUAGES = ("es", "en")
COOKIE = "marcador_language"


class Texts:
    """A catalogue: `table.key` to the words in each language."""

    def __init__(self, *files: Path) -> None:
        self._words: dict[str, Mapping[str, str]] = {}
        for file in files:
            self._words |= dict(_flat(tomllib.loads(file.read_text(encoding="utf-8")), "", file))

    def __contains__(self, key: str) -> bool:
        return key in self._words

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._words))

    def get(self, language: str, key: str, **values: object) -> str:
        """Return a text with its values put in; KeyError where there is none of this key."""
        text = self._words[key][language]
        return text.format(**values) if values else text

    def table(self, language: str, name: str) -> dict[str, str]:
        """Return every text below a table, by what follows its name: for scripts."""
        start = f"{name}."
        return {
            key.removeprefix(start): words[language]
            for key, words in self._words.items()
            if key.startswith(start)
        }


def _flat(table: Mapping[str, Any], path: str, file: Path) -> Iterator[tuple[str, Mapping[str, str]]]:
    for key, value in table.items():
        here = f"{path}{key}"
        if (
            isinstance(value, Mapping)
            and set(value) == set(LANGUAGES)
            and all(isinstance(v, str) for v in value.values())
        ):
            yield here, value
        elif isinstance(value, Mapping) and not set(value) & set(LANGUAGES):
            yield from _flat(value, f"{here}.", file)
        else:
            raise ConfigError(f"{file}: {here}: needs a text in each of: {', '.join(LANGUAGES)}")


def language_of(request: Request) -> str:
    """Return the language of whoever asks: what they chose, what their user says, what their browser says, Spanish."""
    principal = getattr(request.state, "principal", None)
    chosen = (request.cookies.get(COOKIE, ""), principal.language if principal else "")
    for language in chosen:
        if language in LANGUAGES:
            return language
    for part in request.headers.get("accept-language", "").split(","):
        language = part.strip()[:2].lower()
        if language in LANGUAGES:
            return language
    return LANGUAGES[0]
