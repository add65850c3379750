"""The limits of what an agent may agree to, in the words they are refused with."""

import datetime as dt

import pytest

from dialer_core.errors import CommandRefusedError
from dialer_core.list_settings import PromiseSettings
from dialer_core.portfolio import promise_policy
from dialer_core.vocabulary import PromiseKind

pytestmark = pytest.mark.unit

TODAY = dt.date(2025, 3, 4)
POLICY = PromiseSettings.model_validate({"least_minor": 50_000, "most_discount": 0.25})


@pytest.mark.parametrize(
    ("kind", "minor", "currency", "said"),
    [
        (PromiseKind.AGREEMENT, 40_000, "MXN", "a payment is 500.00 at least"),
        (PromiseKind.AGREEMENT, 40_000, "CLP", "a payment is 500 at least"),
        (PromiseKind.AGREEMENT, 40_000, None, "a payment is 500.00 at least"),
        (PromiseKind.SETTLEMENT, 120_000_000, "CLP", "a settlement is 1,500,000 at least"),
        (PromiseKind.SETTLEMENT, 120_000_000, "MXN", "a settlement is 1,500,000.00 at least"),
    ],
)
def test_limits_are_written_in_the_currencys_own_units(
    kind: PromiseKind, minor: int, currency: str | None, said: str
) -> None:
    """A peso of Mexico is written with its cents, one of Chile has none."""
    with pytest.raises(CommandRefusedError, match=said.replace(".", r"\.") + "; a supervisor may"):
        promise_policy.check(POLICY, [(TODAY, minor)], kind, 200_000_000, currency, TODAY)
