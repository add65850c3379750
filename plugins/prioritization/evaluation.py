"""How good a probability is, on rows it was not learned from: how it ranks, how far its numbers can be believed, and for whom.

It owns the measures and the reading of any CSV with a target column, so that the learning can be judged on data of others.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from plugins.prioritization import learning
from plugins.prioritization.learning import F, Model, ModelError

TEST_SHARE = 0.3
_MOST_WORDS = 200
"""Different words of a column; rarer ones are one."""


@dataclass(frozen=True)
class Quality:
    """Measures on rows that were held out."""

    rows: int
    share: float
    """Of them, how many had it happen."""
    auc: float
    """P(a row where it happened is above one where it did not); 0.5 is chance."""
    average_precision: float
    brier: float
    brier_skill: float
    """Against saying the share for every row; 1 is perfect, 0 no better."""
    log_loss: float
    calibration_error: float
    """Mean distance between what was said and what happened, over ten equal groups."""
    ks: float
    """Largest distance between the two distributions."""
    lift_top_tenth: float
    """How many times the share happens among the tenth that is ranked first."""
    said: tuple[float, ...]
    """By tenth, the lowest first: mean of what was said,"""
    seen: tuple[float, ...]
    """and what happened."""
    gained: tuple[float, ...]
    """Share of all that happened which is in the first tenth, the first two, …"""


def measure(said: F, happened: NDArray[np.bool_]) -> Quality:
    """Return how good probabilities of shape (n,) are."""
    share = float(happened.mean())
    order = np.argsort(said, kind="stable")
    tenths = np.array_split(order, 10)
    means = tuple(float(said[one].mean()) for one in tenths)
    seen = tuple(float(happened[one].mean()) for one in tenths)
    brier = float(np.mean((said - happened) ** 2))
    falling = happened[order[::-1]].astype(np.float64)
    gained = np.cumsum(falling) / falling.sum()
    lost = np.cumsum(1 - falling) / (1 - falling).sum()
    steps = [min(int(np.ceil(falling.size * part / 10)), falling.size) for part in range(1, 11)]
    return Quality(
        rows=happened.size,
        share=share,
        auc=float(roc_auc_score(happened, said)),
        average_precision=float(average_precision_score(happened, said)),
        brier=brier,
        brier_skill=1 - brier / (share * (1 - share)),
        log_loss=float(log_loss(happened, np.clip(said, 1e-6, 1 - 1e-6))),
        calibration_error=float(np.average(np.abs(np.subtract(means, seen)), weights=[one.size for one in tenths])),
        ks=float(np.max(np.abs(gained - lost))),
        lift_top_tenth=seen[-1] / share,
        said=means,
        seen=seen,
        gained=tuple(float(gained[step - 1]) for step in steps),
    )  # fmt: skip


def out_of_time(
    rows: F, happened: NDArray[np.bool_], order: F, columns: Sequence[str], categories: Sequence[int]
) -> tuple[Quality, Model, F, NDArray[np.bool_]]:
    """Learn from the earlier rows, measure on the later ones; return the measures, the model, what it said of those and what happened.

    Raises
    ------
    ModelError
        There is too little, or it happened always or never.
    """
    by_time = np.argsort(order, kind="stable")
    cut = int((1 - TEST_SHARE) * by_time.size)
    early, late = by_time[:cut], by_time[cut:]
    if late.size < 20 or happened[late].all() or not happened[late].any():
        raise ModelError(f"{by_time.size} rows: too few, or it happened always or never among the later ones")
    model = learning.fit(rows[early], happened[early], order[early], columns, categories=categories)
    said = model.predict(rows[late])
    return measure(said, happened[late]), model, said, happened[late]


@dataclass(frozen=True)
class Table:
    """A CSV as rows to learn from."""

    rows: F
    happened: NDArray[np.bool_]
    order: F
    columns: tuple[str, ...]
    categories: tuple[int, ...]
    in_time: bool
    """The order is that of a column of times, and not drawn."""


def read_table(
    file: Path, target: str, *, positive: str | None = None, time: str | None = None, ignore: Sequence[str] = (), seed: int = 0
) -> Table:  # fmt: skip
    """Read a CSV with a header: columns of numbers as numbers, others as words.

    Parameters
    ----------
    file
        Comma, semicolon, tab or bar between cells.
    target
        Which column says whether it happened: two values.
    positive
        Which of them is yes; by default `1`, `yes`, `true`, `si`, `y`, or the rarer one.
    time
        Which column says when; by default the rows are in no order.
    ignore
        Columns that are not to be learned from.
    seed
        Of the order that is drawn where there is no time.

    Raises
    ------
    ModelError
        The file cannot be used; says why.
    """
    header, cells = _cells(file)
    for name in (target, *([time] if time else ()), *ignore):
        if name not in header:
            raise ModelError(f"{file}: there is no column {name!r}; there are: {', '.join(header)}")
    answers = [row[header.index(target)] for row in cells]
    happened = np.array([one == _yes(file, target, answers, positive) for one in answers])
    if time is None:
        order = np.random.default_rng(seed).permutation(len(cells)).astype(np.float64)
    else:
        order = np.array([_moment(file, time, row[header.index(time)]) for row in cells])
    left_out = {target, time, *ignore}
    names = [name for name in header if name not in left_out]
    read, categories = [], []
    for index, name in enumerate(names):
        values, is_words = _column([row[header.index(name)] for row in cells])
        read.append(values)
        if is_words:
            categories.append(index)
    if not read:
        raise ModelError(f"{file}: no column is left to learn from")
    return Table(np.column_stack(read), happened, order, tuple(names), tuple(categories), time is not None)


def _cells(file: Path) -> tuple[list[str], list[list[str]]]:
    raw = file.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t|", key=first.count)
    lines = [row for row in csv.reader(io.StringIO(text), delimiter=delimiter) if row]
    if len(lines) < 50:
        raise ModelError(f"{file}: {max(len(lines) - 1, 0)} rows are too few to learn from and to judge by")
    header = [name.strip() for name in lines[0]]
    if len(set(header)) != len(header):
        raise ModelError(f"{file}: two columns have the same name")
    for number, row in enumerate(lines[1:], 2):
        if len(row) != len(header):
            raise ModelError(f"{file}, row {number}: {len(row)} cells where the header has {len(header)}")
    return header, [[cell.strip() for cell in row] for row in lines[1:]]


def _yes(file: Path, target: str, answers: Sequence[str], positive: str | None) -> str:
    values = sorted(set(answers))
    if len(values) != 2:
        shown = ", ".join(map(repr, values[:5]))
        raise ModelError(f"{file}: {target} has {len(values)} values ({shown}), and not two")
    if positive is not None:
        if positive not in values:
            raise ModelError(f"{file}: {target} is never {positive!r}; it is {values[0]!r} or {values[1]!r}")
        return positive
    said = [one for one in values if one.casefold() in {"1", "1.0", "yes", "true", "si", "sí", "y", "t"}]
    return said[0] if len(said) == 1 else min(values, key=answers.count)


def _moment(file: Path, column: str, cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        pass
    try:
        at = dt.datetime.fromisoformat(cell)
    except ValueError:
        raise ModelError(f"{file}: {column}: {cell!r} is no time; write YYYY-MM-DD or a number") from None
    return (at if at.tzinfo else at.replace(tzinfo=dt.UTC)).timestamp()


def _column(cells: Sequence[str]) -> tuple[F, bool]:
    """Return a column's values, and whether they are codes of words."""
    values = np.full(len(cells), np.nan)
    numbers = words = 0
    for index, cell in enumerate(cells):
        if cell == "" or cell.casefold() in {"nan", "na", "null", "none", "?"}:
            continue
        try:
            values[index] = float(cell)
            numbers += 1
        except ValueError:
            words += 1
    if words <= 0.02 * (numbers + words):
        return np.where(np.isfinite(values), values, np.nan), False
    known, codes, often = np.unique(np.array(cells, str), return_inverse=True, return_counts=True)
    rank = np.empty(known.size, np.int64)
    rank[np.argsort(-often, kind="stable")] = np.arange(known.size)
    return np.minimum(rank[codes], _MOST_WORDS).astype(np.float64), True


def fairness(said: F, groups: Sequence[Any], top: float = 0.2) -> list[dict[str, float | str | int]]:
    """Return how often each group is among those ranked first, beside the group that is most often: below 0.8 asks for a look.

    Groups (a language, a region) are never learned from; this shows whether something that is speaks for them.
    """
    if not said.size:
        return []
    bar = np.quantile(said, 1 - top)
    names = np.array([str(one) if one else "unknown" for one in groups])
    found = [
        (str(name), int((names == name).sum()), float((said[names == name] >= bar).mean()), float(said[names == name].mean()))
        for name in np.unique(names)
    ]  # fmt: skip
    counted = [share for _, size, share, _ in found if size >= 100] or [share for _, _, share, _ in found]
    most = max(*counted, 1e-9)
    return [
        {"group": name, "accounts": size, "share_in_top": share, "beside_most": share / most, "mean": mean}
        for name, size, share, mean in found
    ]
