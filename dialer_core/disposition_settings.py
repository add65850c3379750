"""The words by which a campaign's agents say what a conversation was, and why people do not pay, as a campaign's file may write them.

It owns their shape and the check of the tree they make: every word stands under another, down to one of `vocabulary.Disposition`. What
follows from a word is `campaigns/dispositions.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from dialer_core.setting_types import Section
from dialer_core.vocabulary import Channel, Disposition, RestrictionKind, RestrictionScope

_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
BUILT_IN = frozenset(word.value for word in Disposition)
_NO_WORDS_UNDER = (Disposition.MACHINE, Disposition.OTHER)
_WITH_RESTRICTION = (
    Disposition.WRONG_NUMBER,
    Disposition.DISPUTES,
    Disposition.DECEASED,
    Disposition.DO_NOT_CALL,
)

REASONS: dict[str, str] = {
    "unemployed": "Lost their work",
    "income_lower": "Earns less",
    "illness": "Illness or an accident",
    "family": "An expense of the family",
    "over_indebted": "Too many debts",
    "forgot": "Forgot the date",
    "no_statement": "Had no statement or could not pay where they tried",
    "disagrees": "Does not agree with the amount",
    "unwilling": "Does not want to pay",
    "unknown": "Would not say",
}
"""Reasons for non-payment where a campaign names none of its own."""


class DispositionSettings(Section):
    """One word, of the campaign's own or one of the built-in ones. What is not said is as it is with the word above."""

    under: str | None = None
    """The word it is a kind of; needed for a word of your own, not given for a built-in one."""
    label: str = ""
    """As the agent's screen shows it; by default the word itself."""
    again_after_minutes: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """The lead is dialed again after this."""
    finish: bool | None = None
    """The lead is finished under the word."""
    restriction: RestrictionKind | None = None
    """A restriction that follows, such as `attorney` or `hardship`."""
    scope: RestrictionScope | None = None
    """On whom or what: person, account, number, phone; by default the person."""
    channel: Channel | None = None
    """Only for this channel; by default every one."""
    needs_reason: bool | None = None
    """The agent must give a reason for non-payment with it."""
    hidden: bool = False
    """Agents may not use it."""

    @model_validator(mode="after")
    def _makes_sense(self) -> DispositionSettings:
        if self.finish and self.again_after_minutes is not None:
            msg = "finish = true and again_after_minutes exclude each other"
            raise ValueError(msg)
        if self.restriction is None and (self.scope is not None or self.channel is not None):
            msg = "scope and channel belong to a restriction; name it, too"
            raise ValueError(msg)
        return self


def _check_tree(words: Mapping[str, DispositionSettings]) -> Mapping[str, DispositionSettings]:
    for name, word in words.items():
        if not _WORD.fullmatch(name):
            msg = f"{name!r}: a word is up to 32 of a-z, 0-9 and _, beginning with a letter"
            raise ValueError(msg)
        if name in BUILT_IN:
            _check_built_in(name, word)
        elif word.under is None:
            msg = f"{name}: needs `under`, the word it is a kind of: one of {', '.join(Disposition)}, or another of yours"
            raise ValueError(msg)
        root_of(words, name)
    return words


def _check_built_in(name: str, word: DispositionSettings) -> None:
    if word.under is not None or word.restriction is not None:
        msg = f"{name}: is built in; its place and its restriction stay (a word of your own under it may have others)"
        raise ValueError(msg)
    if name in _WITH_RESTRICTION and (word.finish is not None or word.again_after_minutes is not None):
        msg = f"{name}: is built in with a restriction, which says what follows"
        raise ValueError(msg)


def root_of(words: Mapping[str, DispositionSettings], name: str) -> Disposition:
    """Return the built-in word that a word stands under, or is.

    Raises
    ------
    ValueError
        It stands under nothing known, under itself, or where nothing may stand.
    """
    path = [name]
    while path[-1] not in BUILT_IN:
        above = words[path[-1]].under if path[-1] in words else None
        if above is None:
            msg = f"{path[-2] if len(path) > 1 else name}: under {path[-1]!r}, which is no word; built in are {', '.join(Disposition)}"
            raise ValueError(msg)
        if above in path:
            msg = f"{name}: stands under itself ({' under '.join([*path, above])})"
            raise ValueError(msg)
        if above in _NO_WORDS_UNDER:
            msg = f"{path[-1]}: nothing stands under {above!r}, which the abandonment ledger counts by that very word"
            raise ValueError(msg)
        path.append(above)
    return Disposition(path[-1])


def _check_reasons(reasons: Mapping[str, str]) -> Mapping[str, str]:
    for name in reasons:
        if not _WORD.fullmatch(name):
            msg = f"{name!r}: a reason is up to 32 of a-z, 0-9 and _, beginning with a letter"
            raise ValueError(msg)
    return reasons


DispositionWords = Annotated[dict[str, DispositionSettings], AfterValidator(_check_tree)]
Reasons = Annotated[dict[str, str], AfterValidator(_check_reasons)]
