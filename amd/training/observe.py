"""Simulated calls through the detector: their features for training, their marks for evaluation.

Owns the streaming of a batch of calls, tick by tick as on a real line. What is learned of it is `fit.py`'s business, what is counted
`evaluate.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amd import Detector, DetectorConfig, Label, Mark, MarkKind, g711
from amd.features import NAMES
from amd.model import EVERY_TICKS, Model
from amd.training.agents import Agent
from amd.training.calls import Call

LIVE = {Label.HUMAN, Label.SILENCE, Label.UNKNOWN}
"""Labels that are routed as a person."""

UNDECIDED = DetectorConfig(
    cost_lost_person=1e6,
    cost_delay_s=1e-6,
    longest_pause_s=60.0,
    longest_greeting_s=60.0,
    limit_s=60.0,
)
"""Costs at which nothing but tones is ever decided."""


UNLEARNED = Model(
    mean=np.zeros(len(NAMES), np.float32),
    scale=np.ones(len(NAMES), np.float32),
    first=np.zeros((len(NAMES), 1), np.float32),
    first_bias=np.zeros(1, np.float32),
    second=np.zeros((1, 1), np.float32),
    second_bias=np.zeros(1, np.float32),
    last=np.zeros((1, 1), np.float32),
    last_bias=np.zeros(1, np.float32),
    calibration=np.array([1.0, 0.0], np.float32),
)
"""A classifier that knows nothing: to look at calls with, whatever the package's own is."""


class Snapshots(NamedTuple):
    """What the classifier is shown of some calls, one row a look.

    Attributes
    ----------
    features : numpy.ndarray of float32, shape (n, n_features)
        In the order of `amd.features.NAMES`.
    call : numpy.ndarray of int32, shape (n,)
        Number of the call.
    tick : numpy.ndarray of int32, shape (n,)
        When it was looked at.
    """

    features: NDArray[np.float32]
    call: NDArray[np.int32]
    tick: NDArray[np.int32]


def snapshots(calls: Sequence[Call], first_call: int = 0) -> Snapshots:
    """Return every look the classifier has at some calls, from their first speech on."""
    detector = Detector(len(calls), UNDECIDED, classifier=UNLEARNED)
    rows = np.array([detector.join() for _ in calls])
    frames, arrived = _stacked(calls)
    features, call, ticks = [], [], []
    for tick in range(frames.shape[1]):
        detector.step(np.ascontiguousarray(frames[:, tick]), rows, arrived[:, tick])
        if tick % EVERY_TICKS == EVERY_TICKS - 1:
            values = detector.features(rows)
            (spoken,) = np.nonzero(~np.isnan(values[:, 0]))
            features.append(values[spoken])
            call.append(spoken + first_call)
            ticks.append(np.full(spoken.size, tick))
    return Snapshots(
        np.concatenate(features).reshape(-1, len(NAMES)),
        np.concatenate(call).astype(np.int32),
        np.concatenate(ticks).astype(np.int32),
    )


def marks(
    calls: Sequence[Call],
    config: DetectorConfig,
    classifier: Model | None = None,
    *,
    agents_seed: int | None = None,
) -> list[list[Mark]]:
    """Return what the detector says of each call, as it would in a campaign.

    With `agents_seed`, an agent speaks to whoever is taken for a person, and the detector is told; without, it knows nothing of our side.
    """
    detector = Detector(len(calls), config, classifier=classifier)
    rows = np.array([detector.join() for _ in calls])
    frames, arrived = _stacked(calls)
    said: list[list[Mark]] = [[] for _ in calls]
    agents: list[Agent] = []
    if agents_seed is not None:
        seeds = np.random.SeedSequence(agents_seed).spawn(len(calls))
        agents = [
            Agent(call.scene, np.random.default_rng(one)) for call, one in zip(calls, seeds, strict=True)
        ]
    talking: dict[int, Agent] = {}
    for tick in range(frames.shape[1]):
        pcm, near = np.ascontiguousarray(frames[:, tick]), None
        if agents:
            near = np.full(len(calls), -np.inf, np.float32)
            for row, agent in talking.items():
                near[row] = agent.level(tick)
                if (echo := agent.echo(tick)) is not None and arrived[row, tick]:
                    pcm[row] = g711.decode_pcmu(
                        g711.encode_pcmu(np.clip(pcm[row] + echo, -32768, 32767).astype(np.int16))
                    )
        for mark in detector.step(pcm, rows, arrived[:, tick], near):
            said[mark.row].append(mark)
            if agents and mark.kind is MarkKind.VERDICT and mark.label in LIVE:
                talking[mark.row] = agents[mark.row]
                agents[mark.row].connect(tick)
    return said


def _stacked(calls: Sequence[Call]) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    return np.stack([call.frames for call in calls]), np.stack([call.arrived for call in calls])
