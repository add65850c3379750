"""Hazards from counts: events over exposure in bins, what is under way censored, and the chances that follow.

Owns the arithmetic. What is counted, and which priors stand beside it, is `pacing.learned`'s.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pacing.interface import FloatArray

Bins = NDArray[np.intp]


def binned(values_s: FloatArray, bin_s: float, bins: int) -> tuple[FloatArray, FloatArray]:
    """Count by bin what is under way.

    Parameters
    ----------
    values_s : numpy.ndarray of float64
        Ages in seconds.
    bin_s : float
        Width of a bin.
    bins : int
        How many; the last takes all that is older.

    Returns
    -------
    tuple of numpy.ndarray of float64, shape (bins,)
        How many are in each bin, and the sum of the parts of it they have been through.
    """
    place = np.minimum(values_s / bin_s, bins - 1e-9)
    index = place.astype(np.intp)
    part = np.asarray(np.bincount(index, weights=place - index, minlength=bins), dtype=np.float64)
    return np.bincount(index, minlength=bins).astype(np.float64), part


def from_here(counts: FloatArray) -> FloatArray:
    """Sum each bin and all after it.

    Parameters
    ----------
    counts : numpy.ndarray of float64, shape (bins,)
        By bin.

    Returns
    -------
    numpy.ndarray of float64, shape (bins,)
        Those who came to each bin.
    """
    return np.cumsum(counts[::-1])[::-1]


def lognormal(x: FloatArray, mean: float, cv: float) -> FloatArray:
    """Cumulative distribution function of a lognormal law by mean and coefficient of variation.

    Parameters
    ----------
    x : numpy.ndarray of float64
        Where, at least 0.
    mean, cv : float
        Of the law, over 0.

    Returns
    -------
    numpy.ndarray of float64
        Probabilities.
    """
    variance = math.log1p(cv * cv)
    with np.errstate(divide="ignore"):
        return np.asarray(
            special.ndtr((np.log(x / mean) + 0.5 * variance) / math.sqrt(variance)), dtype=np.float64
        )


def groups(bins: int, single: int, growth: float) -> Bins:
    """Return groups of bins that share a hazard: singles first, then ever wider.

    Parameters
    ----------
    bins, single : int
        How many there are, and how many stand alone.
    growth : float
        Width of a group over that of the one before.

    Returns
    -------
    numpy.ndarray of intp
        Where each begins.
    """
    starts, at, width = [], 0, 1.0
    while at < bins:
        starts.append(at)
        if at >= single:
            width *= growth
        at += int(width)
    return np.array(starts, dtype=np.intp)


def hazard(
    ended: FloatArray,
    left: FloatArray,
    elapsed_s: FloatArray,
    bin_s: float,
    shared: Bins,
    prior: tuple[float, float, float],
) -> FloatArray:
    """Return the cumulative hazard added in each bin.

    Parameters
    ----------
    ended, left : numpy.ndarray of float64, shape (bins,)
        Durations that ended in each bin, and that went out of sight there (censored).
    elapsed_s : numpy.ndarray of float64
        What is under way (censored).
    bin_s : float
        Width of a bin in seconds.
    shared : numpy.ndarray of intp
        `groups` of bins.
    prior : tuple of (float, float, float)
        Mean and coefficient of variation of a lognormal law, and its weight in durations; its shape is stretched to the mean seen.

    Returns
    -------
    numpy.ndarray of float64, shape (bins,)
        Hazards; the last goes on for ever.
    """
    prior_s, prior_cv, weight = prior
    under_way, part = binned(elapsed_s, bin_s, ended.size)
    gone = ended + left
    time_s = float((gone * (np.arange(ended.size) + 0.5)).sum()) * bin_s + float(elapsed_s.sum())
    mean_s = (time_s + weight * prior_s) / (float(ended.sum()) + weight)
    cdf = lognormal(bin_s * np.arange(ended.size + 1, dtype=np.float64), mean_s, prior_cv)
    prior_ended = weight * np.diff(cdf)
    prior_here = weight * (1.0 - 0.5 * (cdf[1:] + cdf[:-1]))
    exposure = from_here(gone + under_way) - 0.5 * gone - (under_way - part) + prior_here
    sizes = np.diff(np.append(shared, ended.size))
    rates = np.add.reduceat(ended + prior_ended, shared) / np.maximum(np.add.reduceat(exposure, shared), 1e-9)
    return np.repeat(rates, sizes)


def accumulated(hazards: FloatArray) -> FloatArray:
    """Return the cumulative hazard at the edges of the bins.

    Parameters
    ----------
    hazards : numpy.ndarray of float64, shape (bins,)
        As `hazard` returns.

    Returns
    -------
    numpy.ndarray of float64, shape (bins + 1,)
        From 0.
    """
    return np.concatenate(([0.0], np.cumsum(hazards)))


def level(cumulative: FloatArray, at_bin: FloatArray) -> FloatArray:
    """Return the cumulative hazard at a fractional bin; beyond the last bin its hazard goes on.

    Parameters
    ----------
    cumulative : numpy.ndarray of float64, shape (bins + 1,)
        As `accumulated` returns.
    at_bin : numpy.ndarray of float64
        Where.

    Returns
    -------
    numpy.ndarray of float64
        One for each.
    """
    last = cumulative.size - 1
    inside = np.interp(at_bin, np.arange(cumulative.size), cumulative)
    return np.asarray(
        inside + np.maximum(at_bin - last, 0.0) * (cumulative[last] - cumulative[last - 1]), dtype=np.float64
    )


def ahead(cumulative: FloatArray, by_bins: FloatArray) -> FloatArray:
    """Return the cumulative hazard so many bins after each bin's middle.

    Parameters
    ----------
    cumulative : numpy.ndarray of float64, shape (bins + 1,)
        As `accumulated` returns.
    by_bins : numpy.ndarray of float64, shape (n,)
        How far, at least 0.

    Returns
    -------
    numpy.ndarray of float64, shape (n, bins)
        A row for each.
    """
    at = by_bins + 0.5
    whole = at.astype(np.intp)
    part = (at - whole)[:, None]
    longer = int(whole.max()) + 1
    more = cumulative[-1] + (cumulative[-1] - cumulative[-2]) * np.arange(1, longer + 1)
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate((cumulative, more)), cumulative.size - 1
    )
    return np.asarray((1.0 - part) * windows[whole] + part * windows[whole + 1])


def within(cumulative: FloatArray, by_bins: FloatArray) -> FloatArray:
    """Return the chance that what has come to each bin's middle ends within so many bins.

    Parameters
    ----------
    cumulative : numpy.ndarray of float64, shape (bins + 1,)
        As `accumulated` returns.
    by_bins : numpy.ndarray of float64, shape (n,)
        How far, at least 0.

    Returns
    -------
    numpy.ndarray of float64, shape (bins, n)
        Probabilities.
    """
    return np.asarray(-np.expm1(ahead(cumulative, np.zeros(1)) - ahead(cumulative, by_bins)).T)
