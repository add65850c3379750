"""Learning a probability from rows, calibrated on rows the trees have not seen: boosted trees and a logistic regression, weighed together.

It owns fitting, the file of a model, and nothing of what the columns mean. Files are skops', which hold no code: a model is loaded as data.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from dialer_core.plugin_api import DialerError

F = NDArray[np.float64]
_TRUSTED: Final = (
    "sklearn.", "numpy.", "scipy.", "builtins.", "functools.partial",
)  # fmt: skip
_EDGE: Final = 1e-6
MOST_ROWS: Final = 400_000
"""Rows that are learned from: the latest. More change nothing that can be measured, and cost minutes."""


class ModelError(DialerError):
    """A model cannot be learned or loaded; the message says why."""


@dataclass(frozen=True)
class Model:
    """A learned probability.

    Attributes
    ----------
    trees, linear
        Fitted classifiers of the same columns.
    weights
        Intercept, weight of the trees' log-odds and of the linear ones: fitted on rows that neither has seen, which is what calibrates it.
    columns
        Names, in order.
    """

    trees: Any
    linear: Any
    weights: tuple[float, float, float]
    columns: tuple[str, ...]
    rows: int
    share: float
    """Of those rows, how many had it happen."""

    def predict(self, rows: F) -> F:
        """Return the probability for rows of shape (n, n_columns), of shape (n,)."""
        found = np.empty(rows.shape[0])
        for begin in range(0, rows.shape[0], 200_000):
            part = rows[begin : begin + 200_000]
            given = _log_odds(self.trees, part), _log_odds(self.linear, part)
            found[begin : begin + part.shape[0]] = _mixed(self.weights, *given)
        return found

    def save(self, file: Path) -> None:
        """Write the model, in place of another."""
        made = file.with_suffix(".new")
        told = {"weights": list(self.weights), "columns": list(self.columns), "rows": self.rows, "share": self.share}  # fmt: skip
        skops.io.dump({"trees": self.trees, "linear": self.linear, "told": json.dumps(told)}, made)
        made.replace(file)

    @classmethod
    def load(cls, file: Path) -> Model:
        """Read a model.

        Raises
        ------
        ModelError
            There is none, or the file holds something else.
        """
        if not file.exists():
            raise ModelError(f"{file}: there is no model yet; 'dialer score train' makes it")
        unknown: list[str] = []
        try:
            unknown = skops.io.get_untrusted_types(file=file)
            held = {} if _foreign(unknown) else skops.io.load(file, trusted=unknown)
            told = json.loads(held["told"])
        except Exception as error:
            foreign = f"it holds {_foreign(unknown)}" if _foreign(unknown) else type(error).__name__
            raise ModelError(f"{file}: is no model of ours ({foreign}); train it anew") from error
        first, second, third = map(float, told["weights"])
        return cls(
            trees=held["trees"],
            linear=held["linear"],
            weights=(first, second, third),
            columns=tuple(told["columns"]),
            rows=told["rows"],
            share=told["share"],
        )


def _foreign(types: Sequence[str]) -> str:
    """Return a type that no model of ours has; empty: there is none."""
    return next((one for one in types if not one.startswith(_TRUSTED)), "")


def fit(
    rows: F, happened: NDArray[np.bool_], order: F, columns: Sequence[str], *, categories: Sequence[int] = (), seed: int = 0
) -> Model:  # fmt: skip
    """Learn a probability.

    Parameters
    ----------
    rows
        Of shape (n, n_columns); NaN: not known.
    happened
        Whether it did, of shape (n,).
    order
        The moment of each row, of shape (n,): the last fifth, which the classifiers do not see, weighs and calibrates them. Rows without an
        order of time may be given random ones.
    columns
        Names.
    categories
        Which columns are codes of words and not amounts.
    seed
        Of whatever is drawn.

    Raises
    ------
    ModelError
        It happened always or never, early or late.
    """
    latest = np.argsort(order, kind="stable")[-MOST_ROWS:]
    rows, happened = rows[latest], happened[latest]
    cut = int(0.8 * len(latest))
    rows[:, ~np.isfinite(rows[:cut]).any(axis=0)] = (
        0.0  # of what was never known nothing is learned; the trees want a value
    )
    early, late = slice(0, cut), slice(cut, None)
    for part in (happened[early], happened[late]):
        if part.size == 0 or part.all() or not part.any():
            raise ModelError(
                "there is nothing to learn: among the earlier or the later rows it happened always, or never"
            )
    trees = HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=150,
        max_leaf_nodes=15,
        min_samples_leaf=max(20, cut // 2_000),
        l2_regularization=1.0,
        early_stopping=True,
        validation_fraction=0.15,
        n_iter_no_change=10,
        categorical_features=list(categories) or None,
        random_state=seed,
    )
    linear = make_pipeline(
        ColumnTransformer([
            ("words", OneHotEncoder(max_categories=30, handle_unknown="infrequent_if_exist", sparse_output=False), list(categories)),
            (
                "amounts",
                make_pipeline(SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True), StandardScaler()),
                [index for index in range(rows.shape[1]) if index not in set(categories)],
            ),
        ]),
        LogisticRegression(C=0.3, max_iter=300),
    )  # fmt: skip
    with threadpool_limits(limits=1):  # calls come first on this machine
        trees.fit(rows[early], happened[early])
        linear.fit(rows[early], happened[early])
        weights = _weigh(_log_odds(trees, rows[late]), _log_odds(linear, rows[late]), happened[late])
    return Model(trees, linear, weights, tuple(columns), len(latest), float(happened.mean()))


def _weigh(trees: F, linear: F, happened: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Return intercept and weights by which the two log-odds together are calibrated; none is below zero."""
    both = np.column_stack([trees, linear])
    found = LogisticRegression(C=10.0, max_iter=300).fit(both, happened)
    first, second = found.coef_[0]
    if first < 0 or second < 0:  # one speaks against the other: it says nothing new
        alone = 0 if first > second else 1
        single = LogisticRegression(C=10.0, max_iter=300).fit(both[:, [alone]], happened)
        first, second = (single.coef_[0][0], 0.0) if alone == 0 else (0.0, single.coef_[0][0])
        return float(single.intercept_[0]), float(first), float(second)
    return float(found.intercept_[0]), float(first), float(second)


def _log_odds(classifier: Any, rows: F) -> F:
    given = np.clip(classifier.predict_proba(rows)[:, 1], _EDGE, 1 - _EDGE)
    return np.asarray(np.log(given / (1 - given)), np.float64)


def _mixed(weights: tuple[float, float, float], trees: F, linear: F) -> F:
    return np.asarray(
        1.0 / (1.0 + np.exp(-(weights[0] + weights[1] * trees + weights[2] * linear))), np.float64
    )


RULE: Final[Mapping[str, tuple[tuple[str, float, float], ...]]] = {
    "contact": (
        ("contact_rate", 2.2, 1.0),
        ("mobiles", 0.25, 2.0),
        ("calls_7d", -0.12, 10.0),
        ("days_past_due", -0.003, 360.0),
        ("answers", 0.5, 2.0),
    ),
    "pay": (
        ("days_past_due", -0.012, 180.0),
        ("payments_90d", 0.6, 3.0),
        ("kept", 0.9, 2.0),
        ("broken", -0.45, 3.0),
        ("contacts_30d", 0.25, 2.0),
        ("answers", 0.4, 2.0),
        ("paid_share", 1.0, 1.0),
    ),
}
"""The rule score: column, what one of it adds to the log-odds, and up to how many count."""
RULE_BASE: Final[Mapping[str, float]] = {"contact": -1.6, "pay": -2.2}


def rule(what: str, rows: F, columns: Sequence[str]) -> F:
    """Return the rule score's probability for rows, of shape (n,): what is used until there is enough to learn from."""
    total = np.full(rows.shape[0], RULE_BASE[what])
    for name, weight, most in RULE[what]:
        total += weight * np.clip(np.nan_to_num(rows[:, list(columns).index(name)]), 0, most)
    return np.asarray(1.0 / (1.0 + np.exp(-total)), np.float64)
