"""`[reports]` of `dialer.toml`: whose days the figures are of, and what calls and agents cost.

It owns that section's shape. What is made of it is `reports/`'s.
"""

from __future__ import annotations

import zoneinfo
from typing import Annotated

from pydantic import Field, field_validator

from dialer_core.setting_types import Section

Price = Annotated[float, Field(ge=0, le=1_000_000)]


class ReportSettings(Section):
    """`[reports]`: figures of days and hours, and prices. Prices are in the currency's main unit, pesos and not cents."""

    zone: str = "America/Mexico_City"
    """Whose days and hours a report is of."""
    minute_price: Price | None = None
    """What the carrier charges for a minute of an answered call."""
    attempt_price: Price | None = None
    """What it charges for an attempt, where it does."""
    agent_hour_price: Price | None = None
    """What an hour of an agent costs who is logged in."""

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            zoneinfo.ZoneInfo(zone)
        except (
            zoneinfo.ZoneInfoNotFoundError,
            ValueError,
            OSError,
        ):  # the last: `America` is a folder of zones
            msg = "write an IANA zone such as America/Tijuana"
            raise ValueError(msg) from None
        return zone

    @property
    def priced(self) -> bool:
        """Whether any price is known."""
        return any(
            price is not None for price in (self.minute_price, self.attempt_price, self.agent_hour_price)
        )
