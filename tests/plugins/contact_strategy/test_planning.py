"""When a strategy's steps are due, by the person's own clock, and who is in which arm."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest
from pydantic import ValidationError

from dialer_core.vocabulary import new_id
from plugins.contact_strategy.planning import arm_of, as_steps, name_of, plan, steps_of, volume
from plugins.contact_strategy.settings import ContactStrategySettings, StepSettings, StrategySettings

pytestmark = pytest.mark.unit

NOON = dt.datetime(2026, 3, 6, 18, 0, tzinfo=dt.UTC)
"""A Friday, noon in Mexico City."""
MEXICO, TIJUANA = "America/Mexico_City", "America/Tijuana"


def steps(*told: tuple[str, int, str]) -> list[StepSettings]:
    """Return steps of `do`, days and hour."""
    return [
        StepSettings(do=do, days=days, at=dt.time.fromisoformat(at) if at else None, template="t" if do == "message" else "")
        for do, days, at in told
    ]  # fmt: skip


def local(planned: list[object], zone: str) -> list[str]:
    """Return the times by a clock."""
    from zoneinfo import ZoneInfo

    return [one.at.astimezone(ZoneInfo(zone)).strftime("%a %d %H:%M") for one in planned]  # type: ignore[attr-defined]


def test_steps_come_at_their_hours() -> None:
    """At once, tomorrow at ten, the same day at four, three days later at the hour of the step before."""
    planned = plan(steps(("message", 0, ""), ("message", 1, "10:00"), ("call", 0, "16:00"), ("message", 3, "")), NOON, MEXICO)  # fmt: skip
    assert local(planned, MEXICO) == ["Fri 06 12:00", "Sat 07 10:00", "Sat 07 16:00", "Tue 10 16:00"]
    made = as_steps(planned, NOON)
    assert [step.after_s / 3600 for step in made] == [0, 22, 6, 72]
    assert made[0].data == {"template": "t", "given": {}}


def test_an_hour_that_has_passed_is_tomorrows() -> None:
    """Ten in the morning, asked for at noon, is tomorrow; where it is ten still, it is today."""
    asked = steps(("call", 0, "10:30"))
    assert local(plan(asked, NOON, MEXICO), MEXICO) == ["Sat 07 10:30"]
    assert local(plan(asked, NOON, TIJUANA), TIJUANA) == ["Fri 06 10:30"]


def test_the_clock_change_moves_no_hour() -> None:
    """Over the night on which Tijuana's clocks go forward, ten stays ten: the step comes an hour sooner."""
    planned = plan(steps(("call", 1, "10:00"), ("call", 1, "10:00")), NOON, TIJUANA)
    assert local(planned, TIJUANA) == ["Sat 07 10:00", "Sun 08 10:00"]
    assert as_steps(planned, NOON)[1].after_s == 23 * 3600


def test_arms_share_the_accounts() -> None:
    """Arms get their shares, each account always the same one, and another lot in another strategy."""
    rule = StrategySettings.model_validate(
        {
            "campaign": "c",
            "arms": {"a": {"share": 3, "steps": [{"do": "call"}]}, "b": {"steps": [{"do": "wait"}]}},
        }
    )
    accounts = [new_id() for _ in range(4000)]
    lots = [arm_of("x", rule, one) for one in accounts]
    assert lots == [arm_of("x", rule, one) for one in accounts]
    assert 0.72 < Counter(lots)["a"] / 4000 < 0.78
    assert sum(first != arm_of("y", rule, one) for first, one in zip(lots, accounts, strict=True)) > 1000
    assert steps_of(rule, "b")[0].do == "wait"
    assert name_of("x", "b") == "x.b"


def test_volume_counts_by_day() -> None:
    """Steps are counted by the day they fall on and by their template; waiting is nothing that is done."""
    planned = plan(steps(("message", 0, ""), ("wait", 1, ""), ("call", 1, "09:00")), NOON, MEXICO)
    found = volume({"one": planned, "two": planned}, MEXICO)
    assert found == {("2026-03-06", "t"): 2, ("2026-03-08", "call"): 2}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"campaign": "c"}, "give steps, or arms"),
        ({"campaign": "c", "steps": [{"do": "call"}], "arms": {"a": {"steps": [{"do": "call"}]}}}, "give steps, or arms"),
        ({"campaign": "c", "steps": [{"do": "message"}]}, "template: goes with do"),
        ({"campaign": "c", "steps": [{"do": "call", "template": "t"}]}, "template: goes with do"),
        ({"campaign": "c", "when": "someday", "steps": [{"do": "call"}]}, "listed"),
    ],
)  # fmt: skip
def test_a_wrong_rule_is_refused(told: dict[str, object], said: str) -> None:
    """What cannot be is told with what would be right."""
    with pytest.raises(ValidationError, match=said):
        StrategySettings.model_validate(told)


def test_a_zone_is_one() -> None:
    """A zone that does not exist is refused."""
    with pytest.raises(ValidationError, match="no time zone"):
        ContactStrategySettings(zone="Mexico/Nowhere")
