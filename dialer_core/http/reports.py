"""Routes of reports and targets: the sheets of `reports/`, as a page or another system takes them. No personal data is in them."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from dialer_core.http.answers import Engine, Parts, answer, shape
from dialer_core.reports import targets
from dialer_core.reports.asked import Asked, By
from dialer_core.reports.breakdown import best_hours, breakdown
from dialer_core.reports.floor import AgentDay, floor
from dialer_core.reports.phones import phones
from dialer_core.reports.sheet import Sheet
from dialer_core.reports.summary import summary
from dialer_core.store.tx import Tx
from dialer_core.web.needs import needs
from dialer_core.web.principals import Scope

router = APIRouter(tags=["reports"])

FRESH = dt.timedelta(seconds=10)
"""How long the agents' day is: every screen asks for it."""
_Build = Callable[[Tx, Asked, dt.datetime], Sheet]
_REPORTS: dict[str, _Build] = {
    "summary": summary,
    "targets": targets.targets,
    "outcomes": lambda tx, asked, _now: breakdown(tx, asked, "outcome"),
    "dispositions": lambda tx, asked, _now: breakdown(tx, asked, "disposition"),
    "reasons": lambda tx, asked, _now: breakdown(tx, asked, "reason"),
    "hours": lambda tx, asked, _now: best_hours(tx, asked),
    "phones": lambda tx, asked, _now: phones(tx, asked),
}
Name = Literal["summary", "targets", "outcomes", "dispositions", "reasons", "hours", "phones"]
Values = Annotated[list[Annotated[str, Field(max_length=64)]], Query(max_length=50)]


@router.get(
    "/reports/{report}",
    dependencies=[needs(Scope.READ)],
    responses=shape(Sheet, "Columns with units, and rows in their order"),
)
async def get_report(
    report: Name,
    engine: Engine,
    parts: Parts,
    by: Annotated[list[By], Query(max_length=8)] = [],  # noqa: B006 - FastAPI copies it
    since: dt.date | None = None,
    until: dt.date | None = None,
    campaign: Values = [],  # noqa: B006 - as above
    segment: Values = [],  # noqa: B006 - as above
    portfolio: Values = [],  # noqa: B006 - as above
    product: Values = [],  # noqa: B006 - as above
    agent: Values = [],  # noqa: B006 - as above
    currency: Annotated[str, Query(max_length=3)] = "",
) -> Response:
    """A report, as `dialer report` makes it: days are inclusive, and those of `reports.zone`; amounts are in minor units."""
    given = {
        "campaign": campaign,
        "segment": segment,
        "portfolio": portfolio,
        "product": product,
        "agent": agent,
    }
    asked = Asked(
        by=tuple(dict.fromkeys(by)),
        since=since,
        until=until,
        only={name: tuple(values) for name, values in given.items() if values},
        settings=parts.settings.dialer.reports,
        currency=currency.upper(),
    )
    now = engine.now()

    def ask() -> Sheet:
        with parts.database.read() as tx:
            return _REPORTS[report](tx, asked, now)

    return answer(await asyncio.to_thread(ask))


@router.get(
    "/floor", dependencies=[needs(Scope.READ)], responses=shape(tuple[AgentDay, ...], "By agent's name")
)
async def get_floor(engine: Engine, parts: Parts, states: Annotated[bool, Query()] = True) -> Response:  # noqa: FBT002 - of the address
    """Every agent's day until now, over all campaigns: occupancy, conversations, contacts, promises, and, if wanted, the time in each state."""
    now, zone = engine.now(), parts.settings.dialer.reports.zone
    if parts.floor is None or now - parts.floor[0] > FRESH:
        parts.floor = now, await parts.read(lambda tx: floor(tx, zone, now))
    found = parts.floor[1]
    return answer(found if states else tuple(msgspec.structs.replace(one, states={}) for one in found))
