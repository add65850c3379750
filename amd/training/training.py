"""A training run from parts to a model and its report, and the evaluation of a model on parts of others.

Owns the order of things, the division of speakers and the numbers of calls. The same seed, parts and programs give the same model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from amd import DetectorConfig
from amd.model import Model
from amd.training import channel, espeak, evaluate, fit, observe, parts, probe
from amd.training.calls import simulate
from amd.training.parts import Part
from amd.training.scenes import Cast

SHARED = "amd"
"""Folder of the shared data that holds parts."""
NOT_SPOKEN = {"whole", "music"}
"""Kinds of parts that are no speaker's lines."""
DEV_SHARE, TEST_SHARE = 0.2, 0.3
"""Calls of the development and of the test split, as shares of those trained on."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run gives: the model, the figures on its own held-out calls, and what it was made from."""

    model: Model
    report: dict[str, object]
    sources: dict[str, object]


def gather(shared: Path, seed: int, tell: Tell, variants: Sequence[str] | None = None) -> list[Part]:
    """Return all parts there are here, and tell what is missing."""
    found: list[Part] = []
    if (manifest := shared / SHARED / "manifest.csv").is_file():
        found += parts.read_manifest(manifest)
    else:
        tell(f"{manifest} is not here: real voices are missing, synthetic ones alone are used")
    if espeak.available():
        found += espeak.read_scripts(seed, variants)
    else:
        tell("espeak-ng is not installed: Spanish short answers and business greetings are missing")
    return [part for part in found if part.kind not in NOT_SPOKEN]


def train(found: Sequence[Part], n_calls: int, seed: int, tell: Tell) -> Trained:
    """Fit the network on `n_calls` simulated calls, and measure the result on held-out speakers."""
    codecs = channel.available_codecs()
    if not codecs:
        tell("ffmpeg is not installed: lines have no codec but G.711")
    looks, machine = _looks([part for part in found if part.split == "train"], n_calls, seed + 1, codecs)
    dev_parts = [part for part in found if part.split == "dev"]
    dev, dev_machine = _looks(dev_parts, max(100, round(n_calls * DEV_SHARE)), seed + 2, codecs)
    tell(f"{machine.size} calls looked at for the network, {dev_machine.size} for its calibration")
    model = fit.fit(looks, machine, seed, dev=dev, dev_machine=dev_machine)
    test_parts = [part for part in found if part.split == "test"]
    tell("fitted; measuring on held-out speakers")
    report = measure(test_parts, max(100, round(n_calls * TEST_SHARE)), seed + 3, model, hard=False)
    report["channel_probe"] = probe.probe(dev_parts, seed + 4, codecs)
    return Trained(model, report, _sources(found) | {"codecs": codecs, "calls": n_calls, "seed": seed})


def measure(
    found: Sequence[Part],
    n_calls: int,
    seed: int,
    model: Model | None = None,
    *,
    config: DetectorConfig | None = None,
    hard: bool = True,
) -> dict[str, object]:
    """Return the report on simulated calls made of some parts, with the package's model where none is given."""
    calls = simulate(Cast(found), n_calls, seed, codecs=channel.available_codecs(), hard=hard)
    return evaluate.report(evaluate.outcomes(calls, config or DetectorConfig(), model, agents_seed=seed))


def _looks(
    found: Sequence[Part], n_calls: int, seed: int, codecs: tuple[str, ...]
) -> tuple[observe.Snapshots, NDArray[np.bool_]]:
    looks: list[observe.Snapshots] = []
    machine: list[bool] = []
    for batch in simulate(Cast(found), n_calls, seed, codecs=codecs):
        looks.append(observe.snapshots(batch, len(machine)))
        machine += [call.scene.label == "machine" for call in batch]
    return fit.looks_of(looks), np.array(machine)


def _sources(found: Iterable[Part]) -> dict[str, object]:
    return {
        split: dict(sorted(Counter(part.source for part in found if part.split == split).items()))
        for split in ("train", "dev", "test")
    }
