"""`dialer doctor --load` climbs to what is carried, and says what gave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dialer_core.commands import load_test
from dialer_core.commands.load_test import LoadStep, find_safe_lines


class _Machine:
    """Carries so many lines and no more."""

    def __init__(self, lines: int) -> None:
        self._lines = lines

    async def carry(self, lines: int, seconds: float) -> LoadStep:
        """Judge at once."""
        assert seconds > 0
        carried = lines <= self._lines
        return LoadStep(
            lines=lines, carried=carried, why="" if carried else "late sound", media_cpu=0.1, far_ends_cpu=0.1, worst_tick_ms=1.0, lost=0
        )  # fmt: skip


def _climb(carries: int, most: int = 2000) -> list[LoadStep]:
    told: list[LoadStep] = []
    tell: Callable[[LoadStep], None] = told.append
    steps = asyncio.run(load_test._climb(_Machine(carries), most, 1e9, tell))  # type: ignore[arg-type]
    assert told == steps
    return steps


@pytest.mark.unit
@pytest.mark.parametrize("carries", [1, 39, 40, 41, 333, 640, 1999])
def test_the_climb_ends_near_what_is_carried(carries: int) -> None:
    """Within a tenth of the truth, or one line, in a dozen steps; the least that failed is over what was carried."""
    steps = _climb(carries)
    good = max((step.lines for step in steps if step.carried), default=0)
    bad = min(step.lines for step in steps if not step.carried)
    assert good <= carries < bad
    assert bad - good <= max(1, bad / 10)
    assert len(steps) <= 12


@pytest.mark.unit
def test_a_machine_without_an_end_is_loaded_to_the_most() -> None:
    """What is never too much ends at the most that is asked for, which is carried."""
    steps = _climb(10_000, most=1500)
    assert steps[-1].lines == 1500
    assert all(step.carried for step in steps)


@pytest.mark.bench
@pytest.mark.timeout(120)
def test_this_machine_is_really_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A media plane, line workers and far ends of their own run; the answer follows from the steps."""
    monkeypatch.setattr(load_test, "MOST_LINES", 80)
    report = find_safe_lines(8.0)
    assert report.steps
    assert all(step.media_cpu > 0 and step.far_ends_cpu > 0 for step in report.steps)
    carried = max((step.lines for step in report.steps if step.carried), default=0)
    assert report.lines_safe == int(carried * load_test.SAFE_SHARE)
    assert report.words == f"{report.lines_safe} lines safe: limit is {report.limit}"
    assert report.worker_mb > 1
    assert report.worker_calls >= 1
