"""What the pacing interface accepts and refuses, and that it stays pure."""

import ast
from pathlib import Path

import numpy as np
import pytest

import pacing
from pacing import PacerConfig, PacingInputError, Snapshot

pytestmark = pytest.mark.unit

NAN = float("nan")
GOOD = {"now_s": 0.0, "idle": 2, "waiting": 1, "lines_free": 5, "live_total": 3}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("now_s", NAN),
        ("idle", -1),
        ("idle", 1.5),
        ("waiting", -1),
        ("lines_free", -3),
        ("lines_free", "many"),
        ("live_total", -1),
        ("abandoned_total", 4),
        ("abandoned_total", -1),
        ("talk_elapsed_s", [1.0, -0.1]),
        ("talk_elapsed_s", [NAN]),
        ("wrapup_elapsed_s", [[1.0]]),
        ("ring_age_s", [float("inf")]),
        ("ring_age_s", ["young"]),
        ("listening_age_s", [-1e-9]),
        ("waiting_left_s", [1.0, 2.0]),
        ("waiting_left_s", [NAN]),
        ("ring_propensity", [0.5]),
        ("next_propensity", [1.5]),
        ("next_propensity", [NAN]),
        ("events", [(1.0,)]),
        ("events", [(9.0, 1.0)]),
        ("events", [(1.5, 1.0)]),
        ("events", [(1.0, -1.0)]),
        ("events", [(1.0, NAN)]),
        ("events", ["x"]),
    ],
)
def test_a_snapshot_field_that_cannot_be_is_refused_by_name(field: str, value: object) -> None:
    """Negative, NaN, misshaped or impossible fields raise a ValueError that names the field."""
    with pytest.raises(PacingInputError) as refusal:
        Snapshot(**(GOOD | {field: value}))
    assert refusal.value.field == field
    assert str(refusal.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mode", "adaptive"),
        ("mode", ""),
        ("abandonment_ceiling", 0.0),
        ("abandonment_ceiling", 1.1),
        ("abandonment_ceiling", NAN),
        ("agent_wait_s", -1.0),
        ("ring_timeout_s", 0.0),
        ("min_ring_s", 29.0),
        ("ratio", 0.0),
        ("ratio", 50.0),
        ("erlang_wait_s", -2.0),
        ("erlang_target", 1.0),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    """A setting outside its range raises a ValueError that names it."""
    with pytest.raises(PacingInputError) as refusal:
        PacerConfig(**{field: value})
    assert refusal.value.field == field


def test_a_snapshot_takes_what_engines_have() -> None:
    """Lists, arrays, numpy integers and empty events are all accepted and mean the same."""
    lists = Snapshot(now_s=1, idle=2, waiting=0, lines_free=3, ring_age_s=[1, 2], events=[])
    arrays = Snapshot(
        now_s=np.float64(1),
        idle=np.int64(2),
        waiting=np.int32(0),
        lines_free=np.uint8(3),
        ring_age_s=np.array([1.0, 2.0]),
        events=np.empty((0, 2)),
    )
    assert lists.in_flight == arrays.in_flight == 2
    assert lists.agents == arrays.agents == 2
    assert np.shape(lists.events) == np.shape(arrays.events) == (0, 2)


def test_the_documented_names_are_exported() -> None:
    """Programs that drive the pacer import these names from `pacing`; they stay."""
    assert {"Pacer", "PacerConfig", "Snapshot", "Decision"} <= set(pacing.__all__)
    assert all(hasattr(pacing, name) for name in pacing.__all__)


def test_the_package_reads_no_clock_no_randomness_and_no_files() -> None:
    """No module of `pacing` imports time, random numbers, files, or anything of the other packages; the simulator is random by seed."""
    simulator = {"baselines.py", "scenario.py", "shift_core.py", "shift_state.py", "simulator.py"}
    allowed = {
        "__future__",
        "collections",
        "dataclasses",
        "enum",
        "functools",
        "math",
        "numpy",
        "operator",
        "pacing",
        "scipy",
        "typing",
    }
    for path in Path(pacing.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            extra = {"numba"} if path.name in simulator else set()
            assert {module.split(".")[0] for module in modules} <= allowed | extra, path.name
            if path.name not in simulator:
                assert not (isinstance(node, ast.Attribute) and node.attr == "random"), path.name
