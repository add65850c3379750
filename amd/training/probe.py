"""The channel probe: whether frames without speech alone tell people's calls from machines'.

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

CALLS = 600
QUIET_SHARE = 0.2
"""The quietest fifth of a call's frames are taken to hold no speech."""


def probe(found: Sequence[Part], seed: int, codecs: tuple[str, ...]) -> dict[str, float]:
    """Return the area under the curve that a classifier of the quiet frames' spectra reaches on calls it was not fitted on.

    The interval is that of chance for so many calls.
    """
    calls: list[Call] = []
    for batch in simulate(Cast(found), CALLS, seed, codecs=codecs):
        calls += batch
    values = np.stack([_quiet_spectrum(call) for call in calls])
    machine = np.array([call.scene.label == "machine" for call in calls])
    half = len(calls) // 2
    scaler = StandardScaler().fit(values[:half])
    fitted = LogisticRegression(C=0.1, max_iter=500).fit(scaler.transform(values[:half]), machine[:half])
    area = roc_auc_score(machine[half:], fitted.decision_function(scaler.transform(values[half:])))
    n_people, n_machines = int((~machine[half:]).sum()), int(machine[half:].sum())
    spread = np.sqrt((n_people + n_machines + 1) / (12 * n_people * n_machines))
    return {"area": round(float(area), 3), "chance_within": round(float(1.96 * spread), 3), "calls": half}


def _quiet_spectrum(call: Call) -> np.ndarray:
    frames = call.frames.astype(np.float32)
    power = frames.var(axis=1)
    sounding = np.flatnonzero(power > 0)
    if sounding.size < 10:
        return np.zeros(20)
    quiet = sounding[np.argsort(power[sounding])[: max(5, round(QUIET_SHARE * sounding.size))]]
    spectrum = np.square(np.abs(np.fft.rfft(frames[quiet] * np.hanning(160), axis=1)))[:, :80]
    bands = spectrum.mean(axis=0).reshape(20, 4).sum(axis=1)
    return np.asarray(np.log(bands + 1.0))
