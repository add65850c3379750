"""What is asked at the door: an answer held against its question, and said in words. It owns that; the questions' shape is `settings.py`'s."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

from plugins.field_visits.settings import Question

YES, NO = "yes", "no"
_YES_NO = {"es": {YES: "sí", NO: "no"}, "en": {YES: "yes", NO: "no"}}


def asked(questions: Sequence[Question], outcome: str) -> list[Question]:
    """Return what is asked after an outcome."""
    return [one for one in questions if not one.when or outcome in one.when]


def checked(
    questions: Sequence[Question], outcome: str, answers: Mapping[str, str]
) -> tuple[dict[str, str], bool]:
    """Return the answers as they are kept, and whether they are to these questions.

    Nothing is thrown away: the page may have been loaded before the questions were changed, and what was answered then was answered.
    """
    wanted = {one.id: one for one in asked(questions, outcome)}
    said = {name: text.strip() for name, text in answers.items() if text.strip()}
    fit = all(name in wanted and is_answer(wanted[name], text) for name, text in said.items())
    return said, fit and all(name in said for name, one in wanted.items() if one.required)


def is_answer(question: Question, text: str) -> bool:
    """Say whether a text answers a question."""
    match question.kind:
        case "yes_no":
            return text in (YES, NO)
        case "choice":
            return any(one.id == text for one in question.choices)
        case "number":
            return _is(float, text)
        case "day":
            return _is(dt.date.fromisoformat, text)
        case _:
            return True


def said_in_words(questions: Sequence[Question], answers: Mapping[str, str], language: str) -> list[str]:
    """Return a line for each answer, in the order of the questions; those to other questions by their names."""
    known = {one.id: one for one in questions}
    order = {name: place for place, name in enumerate(known)}
    lines = []
    for name in sorted(answers, key=lambda one: (order.get(one, len(order)), one)):
        text = answers[name]
        one = known.get(name)
        if one is not None and one.kind == "choice":
            text = next((getattr(choice, language) for choice in one.choices if choice.id == text), text)
        elif one is not None and one.kind == "yes_no":
            text = _YES_NO[language].get(text, text)
        label = one.label["es" if language == "es" else "en"] if one is not None else name
        lines.append(f"{label} {text}")
    return lines


def _is(read: object, text: str) -> bool:
    try:
        return callable(read) and read(text) == read(text)  # a number that is none is not itself
    except ValueError:
        return False
