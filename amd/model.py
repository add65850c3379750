"""The classifier: a small network that tells from a call's features how likely a recording speaks.

Owns the weights file and the forward pass. How it is trained is `amd.training`'s business, what follows from its odds
`amd.decision`'s. The model card is `MODEL_CARD.md` beside this file.
"""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from amd import features
from amd.errors import AmdInputError

FILE = "model.npz"
EVERY_TICKS = 5
"""Ticks from one judgement of a row to the next: 100 ms."""
LARGEST_LOG_ODDS = np.float32(12.0)
LARGEST_SPREADS = np.float32(6.0)
"""A feature further from the mean of the training calls than so many standard deviations is taken to be there."""


class Model(NamedTuple):
    """A network with two hidden layers; inputs are scaled by the mean and the spread of the training calls.

    Attributes
    ----------
    mean, scale : numpy.ndarray of float32, shape (n_features,)
        Of each feature; `scale` is 1 over the standard deviation.
    first, second, last : numpy.ndarray of float32
        Weights of the layers, shapes (n_features, a), (a, b), (b, 1).
    first_bias, second_bias, last_bias : numpy.ndarray of float32
        Their biases.
    calibration : numpy.ndarray of float32, shape (2,)
        Factor and addend that make the output a log odds on the development calls.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    first: NDArray[np.float32]
    first_bias: NDArray[np.float32]
    second: NDArray[np.float32]
    second_bias: NDArray[np.float32]
    last: NDArray[np.float32]
    last_bias: NDArray[np.float32]
    calibration: NDArray[np.float32]

    def log_odds(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return how likely a recording speaks.

        Parameters
        ----------
        values : numpy.ndarray of float32, shape (n, n_features)
            Features in the order of `amd.features.NAMES`.

        Returns
        -------
        numpy.ndarray of float32, shape (n,)
            Natural logarithm of the odds of a machine against a person, both being equally frequent.
        """
        scaled = values - self.mean
        scaled *= self.scale
        np.maximum(scaled, -LARGEST_SPREADS, out=scaled)
        np.minimum(scaled, LARGEST_SPREADS, out=scaled)
        first = scaled @ self.first
        first += self.first_bias
        second = np.maximum(first, 0.0, out=first) @ self.second
        second += self.second_bias
        output = (np.maximum(second, 0.0, out=second) @ self.last + self.last_bias)[:, 0]
        odds: NDArray[np.float32] = self.calibration[0] * output + self.calibration[1]
        np.maximum(odds, -LARGEST_LOG_ODDS, out=odds)
        np.minimum(odds, LARGEST_LOG_ODDS, out=odds)
        return odds


@cache
def packaged() -> Model:
    """Return the model that comes with the package, read once.

    Returns
    -------
    Model
        The network of `FILE`.
    """
    with resources.files("amd").joinpath(FILE).open("rb") as file:
        return load(file)


def load(file: IO[bytes]) -> Model:
    """Read a model.

    Parameters
    ----------
    file : binary file
        A file `save` wrote.

    Returns
    -------
    Model
        The network.

    Raises
    ------
    AmdInputError
        The file holds no model, or one of other features.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            names = [str(name) for name in stored["features"]]
            arrays: dict[str, Any] = {name: stored[name].astype(np.float32) for name in Model._fields}
    except (KeyError, ValueError, OSError) as error:
        raise AmdInputError("model", f"holds no model: {error}") from error
    if tuple(names) != features.NAMES:
        raise AmdInputError("model", "was trained on other features than this detector has")
    return Model(**arrays)


def save(model: Model, file: IO[bytes]) -> None:
    """Write a model, to be read by `load`.

    Parameters
    ----------
    model : Model
        The network.
    file : binary file
        Where to.
    """
    np.savez(file, features=np.array(features.NAMES), **model._asdict())
