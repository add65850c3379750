"""`dialer pacing`: simulated shifts, staffing, a recorded day's laws, and what is said of wrong options."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dialer_core.commands.cli import main
from dialer_core.commands.pacing_replay import measure
from dialer_core.errors import DialerError
from dialer_core.settings import load_settings
from dialer_core.store.database import open_database
from dialer_core.store.recorded_days import DayAttempt, DayInterval

pytestmark = pytest.mark.sim

NINE = dt.datetime(2026, 11, 20, 15, tzinfo=dt.UTC)


def invoke(*arguments: str) -> tuple[int, str, str]:
    """Run a command line; return status, output and errors."""
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.stdout, result.stderr


def test_a_shift_is_simulated_and_drawn(tmp_path: Path) -> None:
    """The same seeds give the same shift; its numbers are shares, and the picture is a PNG."""
    picture = tmp_path / "shift.png"
    command = (
        "pacing",
        "simulate",
        "--agents",
        "4",
        "--hours",
        "0.3",
        "--seeds",
        "2",
        "--out",
        str(picture),
        "--json",
    )
    status, said, _ = invoke(*command)
    assert status == 0
    report = json.loads(said)
    assert 0.3 < report["occupancy"] < report["clairvoyant"] <= 1.0
    assert report["shifts"] == 2
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(invoke(*command)[1]) == report


def test_policies_are_compared_side_by_side() -> None:
    """One row a policy, one column a team; progressive abandons nobody."""
    status, said, _ = invoke(
        "pacing", "compare", "--agents", "3", "--mode", "progressive", "--mode", "issabel", "--hours", "0.2", "--seeds", "1", "--json"
    )  # fmt: skip
    assert status == 0
    reports = {report["policy"]: report for report in json.loads(said)}
    assert set(reports) == {"progressive", "issabel"}
    assert reports["progressive"]["abandoned"] == 0.0


def test_a_level_that_would_say_nothing_is_refused() -> None:
    """A level with a mode that has none is a usage error that names those that have, not ignored."""
    status, _, said = invoke("pacing", "simulate", "--agents", "3", "--mode", "progressive", "--level", "2")
    assert status == 2
    assert "progressive" in said
    assert "ratio, vicidial_ratio" in said


def test_explaining_nothing_says_so(tmp_path: Path) -> None:
    """Of a campaign there is not, the answer names those there are; of one that has not dialed, that nothing is recorded."""
    assert invoke("init", str(tmp_path))[0] == 0
    database = open_database(load_settings(tmp_path).store_url, node="n1")
    database.migrate()
    database.dispose()
    status, said, error = invoke("pacing", "explain", "--campaign", "nobody", "--config", str(tmp_path))
    assert (status, said) == (2, "")
    assert "nobody" in error
    (name,) = load_settings(tmp_path).campaigns
    assert name in error
    status, said, error = invoke("pacing", "explain", "--campaign", name, "--config", str(tmp_path))
    assert (status, said) == (0, "")
    assert f"no decision of campaign {name} is recorded" in error


def test_staffing_carries_the_list() -> None:
    """The team that is named can do what the list needs, and one agent fewer could not at full occupancy less a whole agent's work."""
    status, said, _ = invoke(
        "pacing", "staff", "--accounts", "400", "--attempts", "3", "--days", "2", "--hours", "8", "--json"
    )
    assert status == 0
    answer = json.loads(said)
    assert answer["attempts_per_hour_possible"] >= answer["attempts_per_hour_needed"] == 75.0
    assert answer["agents"] >= answer["load_erlangs"]
    assert answer["lines"] > answer["agents"]


@pytest.mark.parametrize(
    ("law", "said"), [("live_share=2", "live_share"), ("nonsense=1", "names are"), ("lines", "NAME=VALUE")]
)
def test_a_wrong_law_is_named(law: str, said: str) -> None:
    """A law that no shift can have is refused in one line that names it."""
    status, _, errors = invoke("pacing", "simulate", "--agents", "3", "--law", law)
    assert status == 2
    assert said in errors
    assert errors.count("\n") == 1


def test_a_recorded_day_has_its_laws() -> None:
    """Live share, ringing, conversations, wrap-up, the team and its occupancy are those of the rows."""
    attempts = [
        DayAttempt(
            at_utc=NINE + dt.timedelta(seconds=30 * k), outcome="connected" if k % 4 == 0 else "no_answer", live=k % 4 == 0,
            abandoned=k == 40, answered=k % 4 == 0, rang_s=8.0 if k % 4 == 0 else 28.0, waited_s=0.2,
        )
        for k in range(240)
    ]  # fmt: skip
    intervals = []
    for agent in ("a1", "a2"):
        at = NINE
        for state, seconds in [("talking", 90.0), ("wrap_up", 10.0), ("ready", 20.0)] * 60:
            intervals.append(DayInterval(agent, state, at, at + dt.timedelta(seconds=seconds)))
            at += dt.timedelta(seconds=seconds)
    day = measure(attempts, sorted(intervals, key=lambda one: one.from_utc), ring_timeout_s=28.0)
    assert day.shift.agents == 2
    assert day.shift.hours == pytest.approx(2.0)
    assert day.shift.live_share == pytest.approx(0.25)
    assert (day.shift.talk_mean_s, day.shift.wrapup_mean_s, day.shift.ring_mean_s) == (90.0, 10.0, 8.0)
    assert day.occupancy == pytest.approx(100 / 120)
    assert day.abandoned == pytest.approx(1 / 60)


def test_a_day_without_calls_has_no_laws() -> None:
    """A day on which next to nothing happened is refused, with what it takes."""
    with pytest.raises(DialerError, match="20 of each"):
        measure([], [], ring_timeout_s=28.0)
