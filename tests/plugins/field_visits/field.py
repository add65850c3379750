"""A store with four accounts at known places, and the plugin over it."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import Any

from dialer_core.clock import VirtualClock
from dialer_core.list_settings import PromiseSettings
from dialer_core.plugin_api import EngineHandle, Texts
from dialer_core.plugin_contacts import ContactRecords
from dialer_core.plugin_records import Records
from dialer_core.store.database import Database
from dialer_core.store.models import Base
from plugins.field_visits import HERE
from plugins.field_visits.results import Item, Results, Taken
from plugins.field_visits.settings import FieldVisitSettings
from plugins.field_visits.visits import Book, Visit
from tests.campaigns.lists import CAMPAIGN, NOON, Listed, put_lead, put_list_campaign, rows, settings_of
from tests.compliance.packs_for_tests import packaged

_ACCOUNT = Base.metadata.tables["account"]
DAY = NOON.date().isoformat()
SETTINGS: dict[str, Any] = {
    "campaign": CAMPAIGN,
    "visitors": {"vera": {"name": "Vera", "start": [19.40, -99.13]}, "bruno": {"start": [19.40, -99.13]}},
    "questions": [
        {"id": "knows", "kind": "yes_no", "label": {"es": "¿Reconoce?", "en": "Knows?"}, "required": True, "when": ["spoke"]},
        {"id": "house", "kind": "choice", "label": {"es": "Vivienda:", "en": "Home:"},
         "choices": [{"id": "own", "es": "propia", "en": "own"}, {"id": "rented", "es": "rentada", "en": "rented"}]},
        {"id": "people", "kind": "number", "label": {"es": "Personas:", "en": "People:"}},
    ],
}  # fmt: skip
PLACES = ((19.43, -99.13), (19.41, -99.13), (19.42, -99.13), None)


class Field:
    """A store, the clock of all, and who visits."""

    def __init__(self, database: Database, folder: Path, **settings: Any) -> None:
        self.database, self.clock, self.state_dir = database, VirtualClock(NOON), folder
        database.clock = self.clock
        campaign = settings_of(promises=PromiseSettings(first_within_days=10))
        self.engine = EngineHandle(
            port=None, tail=None, clock=self.clock, actor="plugin:field_visits",  # type: ignore[arg-type]
            records=Records(database, clock=self.clock, actor="plugin:field_visits"),
            contacts=ContactRecords(
                database, clock=self.clock, actor="plugin:field_visits", campaigns={CAMPAIGN: campaign}, packs={"mx": packaged("mx")},
                state_dir=folder,
            ),
        )  # fmt: skip
        self.its = FieldVisitSettings.model_validate(SETTINGS | settings)
        self.book = Book(self.engine, self.its)
        self.results = Results(self.engine, self.its, Texts(HERE / "texts.toml"))
        self.leads: list[Listed] = []
        with database.write() as tx:
            put_list_campaign(tx)
            for number, point in enumerate(PLACES):
                self.leads.append(put_lead(tx, [f"+52551234567{number}"]))
                said = {"domicilio": f"Calle {number}"}
                if point:
                    said |= {"latitud": str(point[0]), "longitud": str(point[1])}
                values = {
                    "attributes": said,
                    "balance_minor": 500_000,
                    "currency": "MXN",
                    "external_id": f"A{number}",
                }
                tx.execute(_ACCOUNT.update().where(_ACCOUNT.c.id == self.leads[-1].account).values(**values))

    async def given(self, number: int, visitor: str = "vera", day: str = DAY) -> Visit:
        """Hand an account over and give it to a visitor."""
        visit = await self.book.propose(self.leads[number].account, by="test")
        return await self.book.assign(visit, visitor, day)

    async def tell(self, visit: Visit, what: str, visitor: str = "vera", **more: Any) -> Taken:
        """Tell something of a visit, as a page would."""
        told = {
            "id": str(uuid.uuid4()),
            "visit": visit.id,
            "what": what,
            "at": self.clock.utc().isoformat(),
        } | more
        return await self.results.take(Item.model_validate(told), visitor)

    def at(self, latitude: float, longitude: float = -99.13, accuracy_m: float = 10, ago_s: float = 0) -> dict[str, Any]:  # fmt: skip
        """Return a position."""
        at = self.clock.utc() - dt.timedelta(seconds=ago_s)
        return {"latitude": latitude, "longitude": longitude, "accuracy_m": accuracy_m, "at": at.isoformat()}

    def table(self, name: str) -> list[dict[str, Any]]:
        """Return every row of a table."""
        with self.database.read() as tx:
            return rows(tx, name)
