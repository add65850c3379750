"""Fitting the classifier: looks at simulated calls in, `amd.model.Model` out.

Owns the weights of looks, the network's shape and its calibration. Where the looks come from is `observe.py`'s business.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from amd.features import NAMES
from amd.model import LARGEST_SPREADS, Model
from amd.training.observe import Snapshots

HIDDEN = (16, 8)
LOOK_QUIET_S = 1.4
"""Looks at a longer quiet teach nothing: by then a person's verdict has been given."""
LATER_WEIGHT = 0.5
"""Weight of all looks after a call's first long quiet, against those before."""
PENALTY = 1.0
EPOCHS = 10


def look_weights(looks: Snapshots) -> NDArray[np.float64]:
    """Return the weight of each look: calls count alike, and what comes after their first long quiet counts less."""
    quiet = np.exp(looks.features[:, NAMES.index("quiet_s")]) - 0.1
    order = np.lexsort((looks.tick, looks.call))
    long_quiet = (quiet >= LOOK_QUIET_S)[order].astype(np.int64)
    call = looks.call[order]
    begins = np.concatenate([[True], call[1:] != call[:-1]])
    seen = np.cumsum(long_quiet)
    before = np.maximum.accumulate(np.where(begins, seen - long_quiet, 0))
    later = np.empty(call.size, np.bool_)
    later[order] = seen - before > 0
    weights = np.zeros(call.size)
    useful = quiet < LOOK_QUIET_S
    for part, worth in ((useful & ~later, 1.0), (useful & later, LATER_WEIGHT)):
        counts = np.bincount(looks.call[part], minlength=int(looks.call.max()) + 1)
        weights[part] = worth / np.sqrt(counts[looks.call[part]])
    return weights


def fit(
    looks: Snapshots,
    machine: NDArray[np.bool_],
    seed: int,
    *,
    dev: Snapshots,
    dev_machine: NDArray[np.bool_],
) -> Model:
    """Fit the network that decides, and calibrate it.

    Parameters
    ----------
    looks, dev : Snapshots
        Looks at training and at development calls.
    machine, dev_machine : numpy.ndarray of bool, shape (n_calls,)
        True where a recording answers, by number of the call.
    seed : int
        Of the first weights and the order of looks.
    """
    weights = look_weights(looks)
    used = weights > 0
    values, target = looks.features[used], machine[looks.call[used]]
    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-3)
    scaled = np.clip((values - mean) / spread, -LARGEST_SPREADS, LARGEST_SPREADS)
    network = MLPClassifier(
        HIDDEN,
        alpha=PENALTY,
        batch_size=512,
        learning_rate_init=2e-3,
        max_iter=EPOCHS,
        tol=0.0,
        n_iter_no_change=EPOCHS,
        random_state=seed,
    )
    network.fit(scaled.astype(np.float32), target, sample_weight=_balanced(weights[used], target))
    layers = [array for pair in zip(network.coefs_, network.intercepts_, strict=True) for array in pair]
    arrays = (mean, 1.0 / spread, *layers, (1.0, 0.0))
    plain = Model._make(np.asarray(array, np.float32) for array in arrays)
    return plain._replace(calibration=_calibration(plain, dev, dev_machine))


def _balanced(weights: NDArray[np.float64], target: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights under which both sides count alike, whatever their share of the calls, one on average."""
    weights = weights.copy()
    for side in (False, True):
        weights[target == side] *= 0.5 * weights.size / weights[target == side].sum()
    return weights


def _calibration(model: Model, dev: Snapshots, machine: NDArray[np.bool_]) -> NDArray[np.float32]:
    # Platt's scaling on the development calls, again with both sides counting alike
    weights = look_weights(dev)
    used = weights > 0
    odds, target = model.log_odds(dev.features[used]), machine[dev.call[used]]
    weights = _balanced(weights[used], target)
    scaling = LogisticRegression(C=1e6).fit(odds[:, None], target, sample_weight=weights)
    return np.array([scaling.coef_[0, 0], scaling.intercept_[0]], np.float32)


def looks_of(parts: Sequence[Snapshots]) -> Snapshots:
    """Return several batches of looks as one."""
    return Snapshots(*(np.concatenate([getattr(part, name) for part in parts]) for name in Snapshots._fields))
