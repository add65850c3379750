"""Answering-machine detection: sound in, marks out, over all calls at once.

Owns everything that listens: G.711 tables, voice activity, tones, beeps, cadence, the decision. Pure: numpy only, no I/O, no
clock, nothing of the project's other packages. What a verdict leads to is the engine's business.
"""

from amd.config import DetectorConfig, Preset
from amd.detector import Detector
from amd.errors import AmdInputError
from amd.fingerprints import FingerprintIndex
from amd.labels import Label, MarkKind, Reason
from amd.marks import Evidence, Mark, Marks
from amd.offline import detect, detect_all
from amd.recogniser import Recogniser

__all__ = [
    "AmdInputError",
    "Detector",
    "DetectorConfig",
    "Evidence",
    "FingerprintIndex",
    "Label",
    "Mark",
    "MarkKind",
    "Marks",
    "Preset",
    "Reason",
    "Recogniser",
    "detect",
    "detect_all",
]
