"""The channel probe: whether what is heard before anybody speaks tells people's calls from machines'.

Owns the check that nobody can cheat: what it measures should be at chance, an area under the curve of 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from amd.training.calls import Call, simulate
from amd.training.parts import Part
from amd.training.scenes import Cast

CALLS = 900
LEAST_FRAMES, BEFORE_S = 5, 0.06
"""Frames a call needs before the first word to be looked at, and how long before it they end. Later frames are no line's alone: room and
codec keep some of the speech in them, and recordings speak more."""


def probe(found: Sequence[Part], seed: int, codecs: tuple[str, ...]) -> dict[str, float]:
    """Return the area under the curve that a classifier of the spectra before the first word reaches on calls it was not fitted on.

    The interval is that of chance for so many calls.
    """
    spectra: list[np.ndarray] = []
    machines: list[bool] = []
    for batch in simulate(Cast(found), CALLS, seed, codecs=codecs):
        for call in batch:
            spectrum = _spectrum_before(call)
            if spectrum is not None:
                spectra.append(spectrum)
                machines.append(call.scene.label == "machine")
    values, machine = np.stack(spectra), np.array(machines)
    half = len(values) // 2
    scaler = StandardScaler().fit(values[:half])
    fitted = LogisticRegression(C=0.1, max_iter=500).fit(scaler.transform(values[:half]), machine[:half])
    area = roc_auc_score(machine[half:], fitted.decision_function(scaler.transform(values[half:])))
    n_people, n_machines = int((~machine[half:]).sum()), int(machine[half:].sum())
    spread = np.sqrt((n_people + n_machines + 1) / (12 * n_people * n_machines))
    return {"area": round(float(area), 3), "chance_within": round(float(1.96 * spread), 3), "calls": half}


def _spectrum_before(call: Call) -> np.ndarray | None:
    frames = call.frames[: max(round((call.scene.onset_s - BEFORE_S) * 50), 0)].astype(np.float32)
    frames = frames[frames.var(axis=1) > 0]
    if len(frames) < LEAST_FRAMES:
        return None
    spectrum = np.square(np.abs(np.fft.rfft(frames * np.hanning(160), axis=1)))[:, :80]
    bands = spectrum.mean(axis=0).reshape(20, 4).sum(axis=1)
    return np.asarray(np.log(bands + 1.0))
