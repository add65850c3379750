"""Amounts as people read them."""

import pytest

from dialer_core.money import written

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1_250_050, "MXN", "12,500.50"),
        (1_250_000, "CLP", "12,500"),
        (1_250_050, "CLP", "12,500.50"),
        (0, "JPY", "0"),
        (5, None, "0.05"),
        (-100, "PYG", "-1"),
    ],
)
def test_cents_stand_where_a_currency_has_them(minor: int, currency: str | None, text: str) -> None:
    """A peso of Chile has none, and hundredths that are there all the same are not hidden."""
    assert written(minor, currency) == text
