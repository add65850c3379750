"""I17: no phone number and no name of the store in the event log, the gate's evidence, or a log file.

It owns the looking. Numbers are found as digits, whole or as the last ten, however they are punctuated; names
of two words and more, in any case and with any spacing. A name of one word would be found in ordinary words,
and a balance in any number: those are not looked for. What is found is never repeated: a violation names the
row or the line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

import msgspec

from dialer_core.errors import ImportFileError
from dialer_core.store import scan
from dialer_core.verify.report import Check, Invariant, Violation
from dialer_core.verify.subject import Subject

_NATIONAL_DIGITS = 10
# a run of digits with the punctuation that people put into numbers; no letters or other digits beside it
_NUMBER = re.compile(r"(?<![0-9A-Za-z.:-])\+?\(?\d(?:[\s().-]{0,2}\d){7,14}(?![0-9A-Za-z])")
_WORD = re.compile(r"\w+")


class Secrets:
    """Every number and name of a store, in the forms in which they are looked for."""

    def __init__(self, numbers: Iterable[str], names: Iterable[str]) -> None:
        self._whole = {_digits(number) for number in numbers}
        self._names = {words for name in names if len(words := _words(name)) > 1}

    @cached_property
    def _national(self) -> set[str]:
        return {number[-_NATIONAL_DIGITS:] for number in self._whole if len(number) >= _NATIONAL_DIGITS}

    @cached_property
    def _lengths(self) -> list[int]:
        return sorted({len(name) for name in self._names})

    def in_text(self, text: str) -> str | None:
        """Say what a text gives away: `a phone number`, `a name`, or None."""
        for match in _NUMBER.finditer(text):
            digits = _digits(match.group())
            if digits in self._whole or digits in self._national:
                return "a phone number"
        words = _words(text)
        for length in self._lengths:
            if any(words[begin : begin + length] in self._names for begin in range(len(words) - length + 1)):
                return "a name"
        return None

    def in_value(self, value: Any) -> str | None:
        """Say what a JSON value gives away, keys included; a bare number only where it is a whole E.164 number."""
        if isinstance(value, str):
            return self.in_text(value)
        if isinstance(value, dict):
            return next(
                (found for pair in value.items() for part in pair if (found := self.in_value(part))), None
            )
        if isinstance(value, list):
            return next((found for part in value if (found := self.in_value(part))), None)
        if isinstance(value, int) and not isinstance(value, bool) and str(value) in self._whole:
            return "a phone number"
        return None


def _digits(text: str) -> str:
    return "".join(re.findall(r"\d", text))


def _words(text: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().casefold()
    return tuple(_WORD.findall(plain))


def _secrets(subject: Subject) -> Secrets:
    names = [row.name for row in scan.rows(subject.tx, "person", "id", "name")]
    return Secrets((phone.e164 for phone in subject.phones.values()), names)


def in_the_store(subject: Subject) -> Iterator[Violation]:
    """I17: neither events nor evidence hold a number or a name."""
    secrets = _secrets(subject)
    for event in scan.rows(subject.tx, "event", "id", "name", "data", order_by=("node", "source", "seq")):
        if found := secrets.in_value(event.data) or secrets.in_text(event.name):
            yield Violation(Invariant.I17, "event", event.id, f"{event.name} holds {found}")
    for attempt in subject.attempts:
        if found := secrets.in_value(attempt.evidence):
            yield Violation(Invariant.I17, "attempt", attempt.id, f"its evidence holds {found}")


def in_the_logs(subject: Subject) -> Iterator[Violation]:
    """I17: no line of the log files holds a number or a name."""
    secrets = _secrets(subject)
    for path in subject.logs:
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    if found := secrets.in_value(_decoded(line)):
                        yield Violation(Invariant.I17, "log", f"{path}:{number}", f"the line holds {found}")
        except OSError as error:
            raise ImportFileError(
                f"{path}: cannot be read: {error.strerror}; give log files of the dialer"
            ) from error


def _decoded(line: str) -> Any:
    """Return a JSON line as its value, so that an escaped letter hides nothing; any other line as it is."""
    try:
        return msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line


CHECKS = (
    Check(Invariant.I17, "no number or name in the event log or in evidence", whole=in_the_store),
    Check(Invariant.I17, "no number or name in the log files", whole=in_the_logs, needs=("logs",)),
)
