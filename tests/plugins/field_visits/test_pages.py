"""The routes of visits: who may come in, what they see of it, what is refused."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from pathlib import Path
from typing import Any

import httpx2
import pytest

from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import create_app
from dialer_core.http.guard import HEADERS
from dialer_core.plugin_host import Plugin, PluginState
from dialer_core.settings import DialerSettings, Settings
from dialer_core.store import access as access_rows
from dialer_core.store.access import UserView
from plugins.field_visits import _Routes, routes_of
from tests.campaigns.lists import NOON
from tests.plugins.field_visits.field import Field

pytestmark = pytest.mark.db


class Screens:
    """The application with the plugin's routes, and its users."""

    def __init__(self, field: Field, folder: Path) -> None:
        dialer = DialerSettings.model_validate({"node": {"state_dir": str(folder)}})
        parts = ApiParts(
            engine=field.engine, database=field.database, plugins=list, settings=Settings(folder, dialer, {}, {}, {}), packs={}
        )  # fmt: skip
        self.access = Access(field.database, "t", "k")
        plugin = Plugin("field_visits", object())
        plugin.state = PluginState.RUNNING
        self.app = create_app(parts, self.access, [(plugin, routes_of(_Routes(field.engine, field.its)))])
        with field.database.write() as tx:
            for name, role in (
                ("vera", "visitor"),
                ("bruno", "visitor"),
                ("maria", "supervisor"),
                ("ana", "agent"),
            ):
                access_rows.add_user(
                    tx,
                    UserView(id=name, role=role, agent="ana" if role == "agent" else ""),
                    "x",
                    NOON,
                    actor="test",
                )

    def client(self, user: str) -> httpx2.AsyncClient:
        """Return the browser of somebody who has logged in."""
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(app=self.app), base_url="http://h", cookies={self.access.cookie: self.access.begin(user)}
        )  # fmt: skip


@pytest.fixture
def screens(field: Field, tmp_path: Path) -> Screens:
    """Return the application."""
    return Screens(field, tmp_path)


async def told(browser: httpx2.AsyncClient, *items: dict[str, Any]) -> httpx2.Response:
    """Tell something with the page's own token."""
    csrf = (await browser.get("/visits/day")).json()["csrf"]
    return await browser.post("/visits/told", json={"items": list(items)}, headers={"X-CSRF-Token": csrf})


async def test_a_visitor_sees_their_own_day_and_nothing_else(field: Field, screens: Screens) -> None:
    """Their stops with what is asked there; no plan, no status, no account, and nobody else's visits."""
    await field.given(0)
    await field.given(1, "bruno")
    async with screens.client("vera") as vera, screens.client("bruno") as bruno, screens.client("ana") as ana:
        day = (await vera.get("/visits/day")).json()
        assert [one["number"] for one in day["stops"]] == ["A0"]
        assert [one["number"] for one in (await bruno.get("/visits/day")).json()["stops"]] == ["A1"]
        assert [one["id"] for one in day["questions"]] == ["knows", "house", "people"]
        assert day["promise"]["first_within_days"] == 10
        for path in ("/visits/plan", "/api/v1/status", f"/api/v1/accounts/{field.leads[0].account}"):
            assert (await vera.get(path)).status_code == 403, path
        assert (await ana.get("/visits/day")).status_code == 403
        theirs = day["stops"][0]["visit"]["id"]
        item = {"id": str(uuid.uuid4()), "visit": theirs, "what": "begin", "at": NOON.isoformat()}
        assert (await told(bruno, item)).json()["results"][0]["why"] == "not_yours"


async def test_the_page_may_ask_where_it_is_and_no_other_may(screens: Screens) -> None:
    """Its headers are those of every page but for the place; the worker may serve it, and its files are kept."""
    async with screens.client("vera") as vera:
        page = await vera.get("/visits", headers={"accept": "text/html"})
        assert "geolocation=(self)" in page.headers["permissions-policy"]
        assert page.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
        assert 'data-user="vera"' in page.text
        worker = await vera.get("/visits/worker.js")
        assert worker.headers["service-worker-allowed"] == "/visits"
        assert worker.headers["content-type"].startswith("text/javascript")
        assert "geolocation=()" in worker.headers["permissions-policy"]


async def test_each_thing_is_answered(field: Field, screens: Screens) -> None:
    """Of several things told at once each has its answer; a session that is over, or another page's token, changes nothing."""
    visit = await field.given(0)
    begin = {"id": str(uuid.uuid4()), "visit": visit.id, "what": "begin", "at": NOON.isoformat()}
    lost = begin | {"id": str(uuid.uuid4()), "visit": str(uuid.uuid4())}
    async with screens.client("vera") as vera:
        results = (await told(vera, begin, lost, begin)).json()["results"]
        assert [(one["status"], one.get("why")) for one in results] == [
            ("taken", ""),
            ("refused", "unknown"),
            ("known", ""),
        ]
        assert (await told(vera, begin | {"outcome": "eaten"})).status_code == 422
        assert (await vera.post("/visits/told", json={"items": [begin]})).status_code == 403
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=screens.app), base_url="http://h"
    ) as nobody:
        assert (await nobody.get("/visits/day")).status_code == 401
        assert (
            await nobody.post("/visits/told", json={"items": [begin]}, headers={"Origin": "http://h"})
        ).status_code == 401


async def test_two_at_once(field: Field, screens: Screens) -> None:
    """The same end and three photos, told by two pages at once: one result, one note, three photos."""
    visit = await field.given(0)
    end = {
        "id": str(uuid.uuid4()),
        "visit": visit.id,
        "what": "end",
        "at": NOON.isoformat(),
        "outcome": "nobody",
    }
    async with screens.client("vera") as one, screens.client("vera") as two:
        csrf = [(await browser.get("/visits/day")).json()["csrf"] for browser in (one, two)]

        async def photo(browser: httpx2.AsyncClient, token: str, content: bytes) -> int:
            headers = {"X-CSRF-Token": token, "X-SHA256": hashlib.sha256(content).hexdigest()}
            answer = await browser.post(f"/visits/{visit.id}/photos/{uuid.UUID(bytes=content[-16:])}", content=content, headers=headers)  # fmt: skip
            return answer.status_code

        pictures = [b"\xff\xd8\xff" + bytes([number]) * 16 for number in range(3)]
        answers = await asyncio.gather(
            *(told(browser, end) for browser in (one, two)),
            *(
                photo(browser, token, picture)
                for browser, token in zip((one, two), csrf, strict=True)
                for picture in pictures
            ),
        )
    assert {answer if isinstance(answer, int) else answer.status_code for answer in answers} == {200}
    assert len(field.table("account_note")) == len(field.table("contact")) == 1
    assert len((await field.book.get(visit.id)).photos) == len(field.table("account_document")) == 3


async def test_the_plan(field: Field, screens: Screens) -> None:
    """A supervisor hands over, sees every visit with what is to be looked at, and takes one back."""
    async with screens.client("maria") as maria:
        csrf = (await maria.get("/visits/plan")).text.split('name="csrf" content="')[1].split('"')[0]
        headers = {"X-CSRF-Token": csrf}
        given = await maria.post("/visits/plan", json={"account": "A0", "visitor": "vera"}, headers=headers)
        assert (given.status_code, given.json()["state"], given.json()["by"]) == (
            200,
            "assigned",
            "user:maria",
        )
        for what, status in (
            ({"account": "B9"}, 404),
            ({"account": "A1", "visitor": "carla"}, 404),
            ({"account": "A1", "visitor": "vera", "day": "2020-01-01"}, 422),
        ):
            assert (await maria.post("/visits/plan", json=what, headers=headers)).status_code == status
        visit = await field.given(2)
        await field.tell(visit, "begin", position=field.at(19.5), offline=True)
        page = await maria.get("/visits/plan")
        assert page.text.count("<tr>") == 4
        assert "Lejos del domicilio" in page.text
        back = f"/visits/plan/{given.json()['id']}/take-back"
        assert (await maria.post(back, headers=headers)).json()["state"] == "cancelled"
        assert (await maria.post(back, headers=headers)).status_code == 409
