"""From a campaign's history to its list in order: who is worth how much, by which channel and at what hour.

It owns what is learned (a contact, a payment) and what an account is worth. The file of a run is `runs.py`'s. Expected value is

    amount * share of it that is paid when anything is * P(payment within `pay_days` of a call) - cost of the call

and the order of the moment takes P(contact) at this hour in proportion to the best hour's: who is rather at home in the evening comes in the
evening.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from plugins.prioritization import hours as hour_choice
from plugins.prioritization import learning
from plugins.prioritization.features import CATEGORIES, COLUMNS, build
from plugins.prioritization.history import CHANNELS, DAY_S, F, History, I, local_times
from plugins.prioritization.learning import Model, ModelError
from plugins.prioritization.runs import Scores
from plugins.prioritization.settings import PrioritizationSettings

WHAT: Final = ("contact", "pay")
_AT_ONCE: Final = 100_000
_LEVELS: Final = 1_000
"""Priorities are ranks in so many steps: an order that has hardly changed writes few leads anew."""
_SHARE_START: Final = 0.3
"""Share of a balance that is paid when anything is, before any payment is known, with the weight of so many payments:"""
_SHARE_WEIGHT: Final = 20.0
_KIND_EDGES: Final = (30, 60, 90, 180)
"""Days past due at which another kind of account begins, for hours and channels."""


@dataclass(frozen=True)
class Rows:
    """What a probability is learned from, in the order of time."""

    rows: F
    happened: NDArray[np.bool_]
    at_s: F


def rows_of(what: str, history: History, settings: PrioritizationSettings) -> Rows:
    """Return the calls of a history and what came of each: an answer by a person, or a payment within `pay_days`."""
    tries = history.tries
    used = tries.channel == 0
    if what == "pay":
        used &= tries.at_s < history.now_s - settings.pay_days * DAY_S  # of later ones it is not known yet
    latest = np.flatnonzero(used)
    if (
        latest.size > learning.MOST_ROWS
    ):  # no more are learned from: the rest of ten million need not be described
        latest = latest[np.argpartition(tries.at_s[latest], -learning.MOST_ROWS)[-learning.MOST_ROWS :]]
    account, at_s = tries.account[latest], tries.at_s[latest]
    rows = build(history, account, at_s, tries.hour[latest], tries.weekday[latest])
    # the store knows today's days past due alone: of who has paid since they are few, and would tell so of the past
    rows[:, COLUMNS.index("days_past_due")] = np.nan
    paid = history.payments.within(account, at_s, settings.pay_days * DAY_S) > 0
    happened = paid if what == "pay" else tries.answered[latest]
    order = np.argsort(at_s, kind="stable")
    return Rows(rows[order], happened[order], at_s[order])


def enough(known: Rows, settings: PrioritizationSettings) -> str:
    """Return why a model cannot be learned from rows yet; empty: it can."""
    yes = int(known.happened.sum())
    no = known.happened.size - yes
    if known.happened.size < settings.least_tries:
        return f"{known.happened.size} tries, {settings.least_tries} are needed"
    if min(yes, no) < settings.least_of_each:
        return f"{yes} led to it and {no} did not; {settings.least_of_each} of each are needed"
    return ""


def train(known: Rows) -> Model:
    """Learn a probability from its rows. Raises `ModelError`."""
    return learning.fit(
        known.rows, known.happened, known.at_s, COLUMNS, categories=[COLUMNS.index(name) for name in CATEGORIES]
    )  # fmt: skip


def model_file(folder: Path, campaign: str, what: str) -> Path:
    """Return where a campaign's model lies."""
    return folder / f"{campaign}.{what}.skops"


def models(folder: Path, campaign: str) -> dict[str, Model]:
    """Return the models that a campaign has; one whose columns are not those of today is left out, like one that cannot be read."""
    found = {}
    for what in WHAT:
        try:
            model = Model.load(model_file(folder, campaign, what))
        except ModelError:
            continue
        if model.columns == COLUMNS:
            found[what] = model
    return found


def predict(what: str, model: Model | None, rows: F) -> F:
    """Return a probability for rows: the model's, or the rule score's where there is none."""
    return learning.rule(what, rows, COLUMNS) if model is None else model.predict(rows)


def score(
    history: History,
    found: Mapping[str, Model],
    settings: PrioritizationSettings,
    *,
    usable: Mapping[str, bool],
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Scores:
    """Score every account of a history that may still be tried.

    Parameters
    ----------
    history, settings
        Of one campaign.
    found
        Its models, by `WHAT`; the rule score stands in for one that is not there.
    usable
        Which channels may be chosen at all.
    seed
        Of the draws of hour and channel.
    progress
        Called with how many accounts of how many are done.
    """
    rng = np.random.default_rng(seed)
    open_ones = np.flatnonzero(history.open)
    hours = range(settings.first_hour, settings.last_hour + 1)
    tries = history.tries
    kind = _kind(history)
    n_kinds = len(_KIND_EDGES) + 1
    belief = hour_choice.believe(
        *hour_choice.counts(np.where(tries.account >= 0, kind[tries.account], -1) if tries.account.size else tries.account,
                            tries.hour, tries.channel, tries.answered, n_kinds, hours)
    )  # fmt: skip
    by_account = np.argsort(tries.account, kind="stable")
    bounds = np.searchsorted(tries.account[by_account], np.arange(history.ids.size + 1))
    told = history.balance[np.isfinite(history.balance)]
    balance = np.where(np.isfinite(history.balance), history.balance, np.median(told) if told.size else 1.0)
    share = paid_share(history, settings)
    worth = _worth(history, settings)
    cost = np.array([getattr(settings.costs, name) for name in CHANNELS])
    strength = np.full(len(CHANNELS), hour_choice.PRIOR)
    if "contact" in found:
        strength[0] = hour_choice.LEARNED_PRIOR
    may = np.flatnonzero([usable.get(name, False) for name in CHANNELS])
    parts: list[tuple[NDArray[np.generic], ...]] = []
    for begin in range(0, open_ones.size, _AT_ONCE):
        account = open_ones[begin : begin + _AT_ONCE]
        at_s = np.full(account.size, history.now_s)
        _, weekday = local_times(at_s, history.zone[account], history.zones, settings.zone)
        rows = build(history, account, at_s, np.zeros(account.size, np.int64), weekday)
        contact = _by_hour(rows, found.get("contact"), hours)
        rows[:, COLUMNS.index("hour")] = hours.start + contact.argmax(1)
        pay = predict("pay", found.get("pay"), rows)
        own = by_account[bounds[account[0]] : bounds[account[-1] + 1]]
        mine = np.searchsorted(account, tries.account[own])
        mine = np.where(account[np.minimum(mine, account.size - 1)] == tries.account[own], mine, -1)
        tried, heard = hour_choice.counts(
            mine, tries.hour[own], tries.channel[own], tries.answered[own], account.size, hours
        )
        amount = np.maximum(balance[account], 0.0) * share
        reach = np.column_stack([np.ones(account.size, bool)] + [history.phones[account] > 0] * 2 + [np.ones(account.size, bool)])  # fmt: skip
        mean = belief[kind[account]]
        if "contact" in found:
            mean[:, :, 0] = contact
        hour, place, answer = hour_choice.draw(
            mean[:, :, may], strength[may], tried[:, :, may], heard[:, :, may], (amount * pay)[:, None] * worth[may], cost[may],
            reach[:, may], rng,
        )  # fmt: skip
        channel = may[place]
        parts.append((
            contact.astype(np.float32), pay.astype(np.float32), amount * pay - cost[0], (hour + hours.start).astype(np.int8),
            channel.astype(np.int8), answer.astype(np.float32),
        ))  # fmt: skip
        if progress is not None:
            progress(begin + account.size, open_ones.size)
    types = (np.float32, np.float64, np.int8, np.int8, np.float32)
    empty = (np.empty((0, len(hours)), np.float32), *(np.empty(0, one) for one in types))
    joined = [np.concatenate(held) for held in zip(*(parts or [empty]), strict=True)]
    names = ("contact", "pay", "value", "hour", "channel", "answer")
    columns: dict[str, NDArray[Any]] = dict(zip(names, joined, strict=True))
    return Scores(history.ids[open_ones], **columns, first_hour=settings.first_hour, made_s=history.now_s)


def _by_hour(rows: F, model: Model | None, hours: range) -> F:
    """Return P(contact) by hour, of shape (n, n_hours). Asked every other hour and drawn straight between: half the work of the night."""
    asked = sorted({*range(hours.start, hours.stop, 2), hours.stop - 1})
    said = {}
    for hour in asked:
        rows[:, COLUMNS.index("hour")] = hour
        said[hour] = predict("contact", model, rows)
    return np.column_stack(
        [said[one] if one in said else (said[one - 1] + said[one + 1]) / 2 for one in hours]
    )


def paid_share(history: History, settings: PrioritizationSettings) -> float:
    """Return which share of a balance is paid within `pay_days` of a call, when anything is; shrunk towards a start."""
    known = history.tries.channel == 0
    account, at_s = history.tries.account[known], history.tries.at_s[known]
    paid = history.paid.within(account, at_s, settings.pay_days * DAY_S)
    owed = history.balance[account] + history.paid.within(account, at_s, 10_000 * DAY_S)
    told = (paid > 0) & (owed > 0)
    shares = np.minimum(paid[told] / owed[told], 1.0)
    return float((shares.sum() + _SHARE_WEIGHT * _SHARE_START) / (shares.size + _SHARE_WEIGHT))


def priorities(scores: Scores, history: History, settings: PrioritizationSettings) -> F:
    """Return the order of this moment as priorities, 0 to 100 in `_LEVELS` steps, of shape (n,)."""
    if not scores.ids.size:
        return np.empty(0)
    account = np.flatnonzero(history.open)
    hour, _ = local_times(np.full(account.size, history.now_s), history.zone[account], history.zones, settings.zone)  # fmt: skip
    place = np.clip(hour - scores.first_hour, 0, scores.contact.shape[1] - 1)
    now = scores.contact[np.arange(account.size), place]
    best = np.maximum(scores.contact.max(1), 1e-6)
    cost = settings.costs.voice
    worth = (scores.value + cost) * now / best - cost
    ranks = worth.argsort(kind="stable").argsort(kind="stable")
    return np.asarray(np.floor(ranks * _LEVELS / account.size) * (100.0 / _LEVELS), np.float64)


def propensities(scores: Scores) -> NDArray[np.float32]:
    """Return the probabilities of a contact by every hour of the day, of shape (n, 24); NaN outside the hours that are scored."""
    found = np.full((scores.ids.size, 24), np.nan, np.float32)
    found[:, scores.first_hour : scores.first_hour + scores.contact.shape[1]] = scores.contact
    return found


def _kind(history: History) -> I:
    return np.searchsorted(np.array(_KIND_EDGES), np.nan_to_num(history.days_past_due)).astype(np.int64)


def _worth(history: History, settings: PrioritizationSettings) -> F:
    """Return what an answer by each channel is worth beside a call's, by what was paid after such answers; of shape (n_channels,)."""
    tries = history.tries
    paid = history.payments.within(tries.account, tries.at_s, settings.pay_days * DAY_S) > 0
    shares = np.array([
        (float((paid & tries.answered & (tries.channel == place)).sum()) + 4 * 0.25) / (float((tries.answered & (tries.channel == place)).sum()) + 4)
        for place in range(len(CHANNELS))
    ])  # fmt: skip
    answer_rate = max(float(tries.answered[tries.channel == 0].mean()) if (tries.channel == 0).any() else 0.2, 0.02)  # fmt: skip
    # P(payment) is per call; per answered call it is so much more, and an answer by another channel is worth that in proportion
    return np.asarray(shares / max(shares[0], 1e-6) / answer_rate, np.float64)
