"""The words of verdicts: complete, documented, and stable in code."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import amd
from amd import AmdInputError, Label, MarkKind, Marks, Reason, detect
from amd.detector import CONFIDENCE
from amd.marks import NO_MARKS, join_marks

pytestmark = pytest.mark.unit


def test_labels_are_those_of_the_design() -> None:
    """Every label that events and `dialer amd classify` may carry, and no other."""
    words = "human machine screening ivr fax sit busy reorder ringback announcement music silence unknown"
    assert {label.word for label in Label} == set(words.split())


def test_codes_never_change() -> None:
    """Codes are stored and sent: these are final, new ones come after them."""
    assert [label.word for label in sorted(Label)] == [
        "unknown", "human", "machine", "screening", "ivr", "fax", "sit", "busy", "reorder", "ringback",
        "announcement", "music", "silence",
    ]  # fmt: skip
    assert [kind.name for kind in sorted(MarkKind)] == ["VERDICT", "REVISED", "BEEP", "SETTLED"]
    assert sorted(MarkKind) == [1, 2, 3, 4]
    assert [reason.word for reason in sorted(Reason)] == [
        "limit", "no_voice", "short_greeting", "long_greeting", "resumed_speech", "beep", "fax_ced", "fax_cng",
        "sit_intercept", "sit_vacant", "sit_reorder", "sit_no_circuit", "sit_itu", "tone_cadence", "early_speech",
        "recorded_speech", "steady_music", "fingerprint",
    ]  # fmt: skip


def test_every_reason_has_a_confidence() -> None:
    """No reason is given without a confidence in (0, 1)."""
    assert set(CONFIDENCE) == set(Reason)
    assert all(0.0 < value < 1.0 for value in CONFIDENCE.values())


def test_marks_join_in_order_and_iterate_as_scalars() -> None:
    """Joining keeps order and types; an empty tick is one shared, empty object."""
    one = Marks(
        *(np.array([value], dtype) for value, dtype in zip(
            (7, 1, 1, 2, 0.9, True, 40, 30, -1), (column.dtype for column in (getattr(NO_MARKS, name) for name in Marks.__slots__)), strict=True,
        ))
    )  # fmt: skip
    joined = join_marks([one, one])
    assert [(mark.row, mark.label, mark.provisional) for mark in joined] == [(7, Label.HUMAN, True)] * 2
    assert all(getattr(joined, name).dtype == getattr(one, name).dtype for name in Marks.__slots__)
    assert join_marks([]) is NO_MARKS
    assert len(NO_MARKS) == 0
    assert list(NO_MARKS) == []


def test_offline_takes_any_length_and_refuses_other_sound() -> None:
    """An empty recording hears nothing; floats, two channels and negative tails raise by name."""
    assert detect(np.zeros(0, np.int16)) == []
    assert detect(np.zeros(1, np.int16), tail_s=7.0)[0].tick == 324
    for pcm in (np.zeros(8000), np.zeros((2, 8000), np.int16)):
        with pytest.raises(AmdInputError, match="pcm"):
            detect(pcm)
    for tail_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(AmdInputError, match="tail_s"):
            detect(np.zeros(0, np.int16), tail_s=tail_s)


def test_listening_imports_no_training_library() -> None:
    """Importing amd loads numpy and no librosa, scikit-learn, scipy or soundfile."""
    script = "import sys, amd; print(sorted({'librosa', 'sklearn', 'scipy', 'soundfile', 'dialer_core'} & set(sys.modules)))"
    root = Path(amd.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
