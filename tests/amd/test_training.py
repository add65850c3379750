"""A tiny training run from parts made here: it runs, its model tells made people from made recordings, and the same seed gives it again."""

from dataclasses import replace

import numpy as np
import pytest

from amd.training import calls, fit, observe
from amd.training.parts import Part
from amd.training.scenes import PEOPLE, Cast
from tests.amd.sounds import speech

pytestmark = [
    pytest.mark.unit,
    # twenty calls do not converge, nor need they
    pytest.mark.filterwarnings("ignore:Stochastic Optimizer"),
]


def parts() -> list[Part]:
    """Return four made speakers, each with a word, a question and a recording."""
    rng = np.random.default_rng(3)
    lengths = {"hello": (0.5,), "who": (1.2,), "business": (2.2,), "voicemail": (2.4, 2.8)}
    first = Part("hello", "", "es", "made", "train", ())
    return [
        replace(
            first,
            kind=kind,
            speaker=f"speaker {k}",
            phrases=tuple(speech(s, rng).astype(np.float32) for s in seconds),
        )
        for k in range(4)
        for kind, seconds in lengths.items()
    ]


def looks(seed: int) -> tuple[observe.Snapshots, np.ndarray]:
    """Return the looks at twenty calls, and which are recordings'."""
    (batch,) = calls.simulate(Cast(parts()), 20, seed)
    return observe.snapshots(batch), np.array([call.scene.label == "machine" for call in batch])


def test_a_tiny_run_learns_and_is_repeated_by_its_seed() -> None:
    """Twenty calls teach to rank long recordings over short answers, and the same seed gives the same weights."""
    (seen, machine), (dev, dev_machine) = looks(1), looks(2)
    model = fit.fit(seen, machine, 5, dev=dev, dev_machine=dev_machine)
    odds = model.log_odds(dev.features)
    assert odds[dev_machine[dev.call]].mean() > odds[~dev_machine[dev.call]].mean()
    again = fit.fit(seen, machine, 5, dev=dev, dev_machine=dev_machine)
    assert all(np.array_equal(one, other) for one, other in zip(model, again, strict=True))


def test_the_shares_of_people_are_shares() -> None:
    """How people answer adds up to all of them."""
    assert sum(PEOPLE.values()) == pytest.approx(1.0)
