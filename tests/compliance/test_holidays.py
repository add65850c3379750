"""Holidays by rule: worked by hand from the calendar and from article 74 of Mexico's Ley Federal del Trabajo."""

import datetime as dt

import pytest
from pydantic import ValidationError

from dialer_core.compliance.calendar import HolidayRule, easter
from tests.compliance.packs_for_tests import packaged

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "day",
    ["1961-04-02", "2000-04-23", "2008-03-23", "2019-04-21", "2024-03-31", "2025-04-20", "2026-04-05", "2038-04-25", "2049-04-18"],
)  # fmt: skip
def test_easter(day: str) -> None:
    """Easter Sundays of the almanac, the earliest and the latest of the century among them."""
    date = dt.date.fromisoformat(day)
    assert easter(date.year) == date


@pytest.mark.parametrize(
    ("day", "holiday"),
    [
        ("2024-02-05", True),  # first Monday of February
        ("2025-02-03", True),
        ("2025-02-05", False),  # the date itself is a working day since 2006
        ("2024-03-18", True),  # third Monday of March
        ("2025-03-17", True),
        ("2025-03-21", False),
        ("2025-05-01", True),
        ("2024-09-16", True),
        ("2025-09-15", False),
        ("2024-11-18", True),  # third Monday of November
        ("2025-11-17", True),
        ("2025-11-20", False),
        ("2024-10-01", True),  # the Federal Executive changes, every six years
        ("2025-10-01", False),
        ("2030-10-01", True),
        ("2018-10-01", False),
        ("2025-12-25", True),
        ("2026-01-01", True),
        ("2025-12-24", False),
        ("2025-04-17", True),  # Maundy Thursday and Good Friday: banks close
        ("2025-04-18", True),
        ("2025-04-16", False),
        ("2025-12-12", True),
        ("2027-06-06", True),  # election day, listed
    ],
)
def test_holidays_of_mx(day: str, *, holiday: bool) -> None:
    """The pack `mx` knows the day as the statute, or the banks' calendar, has it."""
    assert (packaged("mx").holidays.name_of(dt.date.fromisoformat(day)) is not None) == holiday


@pytest.mark.parametrize(
    ("rule", "day"),
    [
        ({"month": 5, "weekday": "monday", "nth": -1}, "2025-05-26"),
        ({"month": 2, "weekday": "saturday", "nth": 5}, "2020-02-29"),
        ({"month": 2, "weekday": "saturday", "nth": 5}, None),
        ({"month": 2, "day": 29}, "2024-02-29"),
        ({"month": 2, "day": 29}, None),
        ({"easter_days": 60}, "2025-06-19"),
    ],
)
def test_kinds_of_rules(rule: dict[str, object], day: str | None) -> None:
    """Last weekday of a month, a fifth one that most years lack, a leap day, Corpus Christi."""
    made = HolidayRule.model_validate({"name": "day", "cite": ["test"], **rule})
    if day is None:
        assert made.in_year(2025) is None
    else:
        date = dt.date.fromisoformat(day)
        assert made.in_year(date.year) == date


@pytest.mark.parametrize(
    "rule",
    [{"month": 2}, {"month": 2, "day": 30}, {"month": 2, "weekday": "monday"}, {"month": 2, "day": 1, "nth": 1}, {},
     {"month": 2, "weekday": "monday", "nth": 0}],
)  # fmt: skip
def test_half_a_rule_is_refused(rule: dict[str, object]) -> None:
    """A rule that gives no day, or two, is refused when loaded."""
    with pytest.raises(ValidationError):
        HolidayRule.model_validate({"name": "day", "cite": ["test"], **rule})
