"""Why an account stands where it stands, in words: what of its own moves the probability, beside the list's middle.

It owns the words, in Spanish and English, and the way of asking: a group of columns is set to the list's middle, and what the log-odds lose or
gain is that group's doing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from plugins.prioritization.features import CATEGORIES, COLUMNS, GROUPS
from plugins.prioritization.history import F

_LEAST: Final = 0.05
"""Log-odds below which a group is no reason."""
WORDS: Final[dict[str, dict[str, str]]] = {
    "es": {
        "debt": "{days_past_due:.0f} días de mora",
        "payments": "pagos en 90 días: {payments_90d:.0f}; último hace {days_since_payment}",
        "promises": "promesas cumplidas: {kept:.0f}, rotas: {broken:.0f}",
        "contacts": "contactos: {contacts:.0f}; último hace {days_since_contact}",
        "calls": "llamadas en 7 días: {calls_7d:.0f}, en 30: {calls_30d:.0f}",
        "messages": "mensajes en 30 días: {messages_30d:.0f}; respuestas: {answers:.0f}",
        "phones": "teléfonos: {phones:.0f}, celulares: {mobiles:.0f}",
        "product": "producto y cartera",
        "hour": "la hora y el día",
        "never": "nunca", "days": "{:.0f} días", "up": "sube", "down": "baja",
    },
    "en": {
        "debt": "{days_past_due:.0f} days past due",
        "payments": "payments in 90 days: {payments_90d:.0f}; the last {days_since_payment} ago",
        "promises": "promises kept: {kept:.0f}, broken: {broken:.0f}",
        "contacts": "contacts: {contacts:.0f}; the last {days_since_contact} ago",
        "calls": "calls in 7 days: {calls_7d:.0f}, in 30: {calls_30d:.0f}",
        "messages": "messages in 30 days: {messages_30d:.0f}; answers: {answers:.0f}",
        "phones": "phones: {phones:.0f}, mobiles: {mobiles:.0f}",
        "product": "product and portfolio",
        "hour": "the hour and the day",
        "never": "never", "days": "{:.0f} days", "up": "raises", "down": "lowers",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Reason:
    """One thing that moves a probability."""

    group: str
    points: float
    """What the probability would be lower without it, in [-1, 1]."""
    text: str


def middle(rows: F) -> F:
    """Return a list's middle row, of shape (n_columns,): medians, and the most frequent word."""
    found = np.full(rows.shape[1], np.nan)
    for index, name in enumerate(COLUMNS):
        known = rows[np.isfinite(rows[:, index]), index]
        if not known.size:
            continue
        if name in CATEGORIES:
            values, often = np.unique(known, return_counts=True)
            found[index] = values[often.argmax()]
        elif known.size >= rows.shape[0] / 2:
            found[index] = np.median(known)
    return found


def explain(row: F, beside: F, predict: Callable[[F], F], language: str = "es", most: int = 4) -> list[Reason]:  # fmt: skip
    """Return what moves one row's probability most, the strongest first.

    Parameters
    ----------
    row, beside
        The account's and the list's middle, each of shape (n_columns,).
    predict
        The probability, of shape (n,), for rows of shape (n, n_columns).
    language
        `es` or `en`.
    most
        How many reasons.
    """
    without = np.repeat(row[None, :], len(GROUPS), axis=0)
    for place, columns in enumerate(GROUPS.values()):
        at = [COLUMNS.index(name) for name in columns]
        without[place, at] = beside[at]
    said = predict(np.vstack([row, without]))
    odds = np.log(said / (1 - said))
    weight = odds[0] - odds[1:]
    order = [place for place in np.argsort(-np.abs(weight)) if abs(weight[place]) >= _LEAST][:most]
    names = list(GROUPS)
    return [
        Reason(
            names[place],
            float(said[0] - said[1 + place]),
            _text(names[place], row, float(weight[place]), language),
        )
        for place in order
    ]


def _text(group: str, row: F, weight: float, language: str) -> str:
    words = WORDS[language if language in WORDS else "en"]
    held: dict[str, object] = {}
    for name, value in zip(COLUMNS, row, strict=True):
        if name.startswith("days_since"):
            held[name] = words["days"].format(value) if np.isfinite(value) else words["never"]
        else:
            held[name] = float(np.nan_to_num(value))
    return f"{words[group].format(**held)} ({words['up' if weight > 0 else 'down']})"
