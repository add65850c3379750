"""The best hour and channel of each account: drawn, not picked, so that what is little known is tried too.

It owns the counts and the draw (Thompson sampling over hour and channel): each account's own tries, beside what people of its kind answer at. A
cell with few tries has a wide belief, and now and then a high draw: so it is tried, and learned of.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from plugins.prioritization.history import CHANNELS, F, I

PRIOR: Final = 8.0
"""Tries that the belief of an account's kind counts for, beside the account's own."""
LEARNED_PRIOR: Final = 40.0
"""Tries that a learned probability counts for: it stands on thousands."""
KIND_PRIOR: Final = 40.0
"""Tries that the whole list's belief counts for within a kind."""
LIST_PRIOR: Final = 20.0
START: Final = {"voice": 0.2, "sms": 0.04, "whatsapp": 0.08, "email": 0.02}
"""Shares that answer, before anything is known."""


def counts(
    account: I, hour: I, channel: I, answered: NDArray[np.bool_], n_rows: int, hours: range
) -> tuple[F, F]:
    """Return tries and answers by row, hour and channel, each of shape (n_rows, n_hours, n_channels)."""
    known = (hour >= hours.start) & (hour < hours.stop) & (channel >= 0) & (account >= 0)
    shape = (n_rows, len(hours), len(CHANNELS))
    flat = np.ravel_multi_index((account[known], hour[known] - hours.start, channel[known]), shape)
    size = int(np.prod(shape))
    tried = np.bincount(flat, minlength=size).astype(np.float64).reshape(shape)
    heard = np.bincount(flat, weights=answered[known].astype(np.float64), minlength=size).reshape(shape)
    return np.asarray(tried, np.float64), np.asarray(heard, np.float64)


def believe(tried: F, heard: F) -> F:
    """Return the share that answers by kind, hour and channel, of shape (n_kinds, n_hours, n_channels), shrunk towards the list's and the start's."""
    start = np.array([START[name] for name in CHANNELS])
    of_channel = (heard.sum((0, 1)) + LIST_PRIOR * start) / (tried.sum((0, 1)) + LIST_PRIOR)
    of_hour = (heard.sum(0) + KIND_PRIOR * of_channel) / (tried.sum(0) + KIND_PRIOR)
    return np.asarray((heard + KIND_PRIOR * of_hour) / (tried + KIND_PRIOR), np.float64)


def draw(
    mean: F, strength: F, tried: F, heard: F, worth: F, cost: F, usable: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[I, I, F]:  # fmt: skip
    """Draw the best hour and channel of accounts.

    Parameters
    ----------
    mean
        Share of answers to expect of each account before its own tries, of shape (n, n_hours, n_channels): the learned probability, or what
        accounts of its kind answer at (`believe`).
    strength
        For how many tries that counts, by channel, of shape (n_channels,).
    tried, heard
        The accounts' own, of shape (n, n_hours, n_channels).
    worth
        What an answer by each channel is worth, of shape (n, n_channels).
    cost
        Of one try by each channel, of shape (n_channels,).
    usable
        Whether the account can be reached by each channel, of shape (n, n_channels).
    rng
        For the draws.

    Returns
    -------
    hour, channel
        Indices, each of shape (n,).
    answer
        The expected share of answers there, of shape (n,).
    """
    first = heard + strength * mean
    second = tried - heard + strength * (1 - mean)
    gain = rng.beta(first, second) * worth[:, None, :] - cost
    gain[~np.broadcast_to(usable[:, None, :], gain.shape)] = -np.inf
    best = gain.reshape(gain.shape[0], -1).argmax(1)
    hour, channel = np.divmod(best, gain.shape[2])
    rows = np.arange(best.size)
    answer = (first / (first + second))[rows, hour, channel]
    return hour, channel, answer
