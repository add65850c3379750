"""What a report is asked for: which days, of whose zone, kept apart by what, and only of what.

It owns the shape of that question and its translation to instants and hours. What is added up is the other modules'.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from typing import Literal, get_args

import msgspec

from dialer_core.errors import CommandRefusedError
from dialer_core.money import USUAL
from dialer_core.report_settings import ReportSettings
from dialer_core.store import portfolio_totals
from dialer_core.store.tx import Tx

By = Literal["campaign", "segment", "portfolio", "product", "agent", "day", "month", "hour"]
BY: tuple[By, ...] = get_args(By)
FILTERS = ("campaign", "segment", "portfolio", "product", "agent")
_COLUMN = {
    "campaign": "campaign_id",
    "segment": "segment",
    "portfolio": "portfolio",
    "product": "product",
    "agent": "agent_id",
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One question. Days are inclusive; None: from the first, until the last."""

    by: tuple[By, ...] = ()
    """Rows of their own for each of these; none: one row of all."""
    since: dt.date | None = None
    until: dt.date | None = None
    only: Mapping[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Values to keep, by one of `FILTERS`; an empty text keeps what has none."""
    settings: ReportSettings = msgspec.field(default_factory=ReportSettings)
    currency: str = ""
    """Of amounts; empty: the one that there is."""
    raw: bool = False
    """From the attempts themselves, not from what has been counted up: slow, for `dialer verify`."""

    @property
    def zone(self) -> zoneinfo.ZoneInfo:
        """Whose days and hours these are."""
        return zoneinfo.ZoneInfo(self.settings.zone)

    @property
    def since_utc(self) -> dt.datetime | None:
        """The first instant."""
        return None if self.since is None else self._midnight(self.since)

    @property
    def until_utc(self) -> dt.datetime | None:
        """The first instant that is no more of it."""
        return None if self.until is None else self._midnight(self.until + dt.timedelta(days=1))

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the filters by the store's names."""
        return {_COLUMN[name]: values for name, values in self.only.items()}

    @property
    def timed(self) -> bool:
        """Whether rows are kept apart by time."""
        return bool({"day", "month", "hour"} & set(self.by))

    def plain_keys(self) -> list[str]:
        """Return the store's names of what rows are kept apart by, time left out."""
        return [_COLUMN[name] for name in self.by if name in _COLUMN]

    def local(self, at: dt.datetime) -> dict[str, str]:
        """Return day, month and hour of an instant, as rows name them."""
        here = at.astimezone(self.zone)
        return {"day": here.date().isoformat(), "month": f"{here:%Y-%m}", "hour": f"{here:%H}"}

    def key(self, found: object, times: Mapping[str, str]) -> tuple[str, ...]:
        """Return the key of the row that something found belongs to."""
        return tuple(
            times[name] if name in times else (getattr(found, _COLUMN[name]) or "") for name in self.by
        )

    def in_currency(self, tx: Tx) -> str:
        """Return the currency of amounts.

        Raises
        ------
        CommandRefusedError
            There are several, and none was named: they are not added up.
        """
        if self.currency:
            return self.currency
        found = portfolio_totals.currencies(tx)
        if len(found) > 1:
            raise CommandRefusedError(f"promises and payments are in {', '.join(found)}: name one currency")
        return found[0] if found else USUAL

    def _midnight(self, day: dt.date) -> dt.datetime:
        return dt.datetime.combine(day, dt.time(), self.zone).astimezone(dt.UTC)
