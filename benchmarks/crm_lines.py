"""The lines of `benchmarks.channels` about a CRM: accounts in, what happens out, over HTTP and SQLite.

The CRM is a web server in a process of its own: it gives accounts in pages and counts what it is told, by our id.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.message_lines import Line, far_end, line_of, told_of
from dialer_core.clock import SystemClock
from dialer_core.event_tail import EventTail
from dialer_core.plugin_api import AccountId, EngineHandle
from dialer_core.plugin_records import Records
from dialer_core.portfolio import promises
from dialer_core.store.database import Database, open_database
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import CampaignId, PromiseKind
from plugins.crm.connector import Connector
from plugins.crm.incoming import Incoming
from plugins.crm.outgoing import Teller
from plugins.crm.settings import CrmSettings, settings_of
from plugins.crm.syncing import Syncing
from tests.campaigns.lists import CAMPAIGN, put_list_campaign

_PAGE: Final = 500
_AT_ONCE: Final = 500
_MAPPING: Final = """
begin = "start"
batch = 500
[connections.crm]
kind = "rest"
url = "http://127.0.0.1:%d"
records = "data"
at_once = 16
auth = { scheme = "bearer", secret_env = "MARCADOR_BENCH_CRM" }
paging = { by = "offset", size = 500, total = "total" }
[accounts.cartera]
connection = "crm"
campaign = "%s"
source = "accounts"
where = "number=%d"
key = "number"
modified = "changed"
fields = { external_id = "number", person_id = "person", name = "name", phone = "phone", balance = "owed", due_date = "due" }
attributes = { sucursal = "branch" }
[out.promesas]
connection = "crm"
what = "promise"
target = "promises/{id}"
headers.Idempotency-Key = "{key}"
fields = { account = "{account}", amount = "{amount}", due = "{last_due}", status = "{state}" }
"""


def crm_in(number: int) -> Line:
    """Say how fast accounts come in from an interface of JSON, 500 in a page, until they stand on a campaign's list; a second reading adds none."""

    async def work(engine: EngineHandle, its: CrmSettings, crm: Connector) -> tuple[float, int, Counter[str]]:
        reader = Incoming(engine, "cartera", its.accounts["cartera"], crm)
        began = time.monotonic()
        new = (await reader.pull()).new
        seconds = time.monotonic() - began
        again = (await reader.pull(whole=True)).new
        came = Counter({f"A{nth}": 1 for nth in range(new)}) + Counter({f"A{nth}": 1 for nth in range(again)})
        return seconds, new, came

    with far_end(_crm) as (port, _):
        seconds, new, came = _with_plugin(port, number, work, lambda _: None)
    return line_of("crm_in", number, new, seconds, came)


def crm_out(number: int) -> Line:
    """Say how fast promises go from the event log to an interface of JSON, one request each, until its answers are kept with the cursor."""

    async def work(engine: EngineHandle, its: CrmSettings, crm: Connector) -> tuple[float, int, Counter[str]]:
        await Incoming(engine, "cartera", its.accounts["cartera"], crm).pull()
        known = list((await engine.accounts.find([f"A{nth}" for nth in range(number)])).values())
        due = [(dt.datetime.now(dt.UTC).date() + dt.timedelta(days=5), 50_000)]
        now = engine.now()

        def promise(tx: Tx, some: list[AccountId]) -> None:
            for account in some:
                promises.make(tx, account_id=account, instalments=due, kind=PromiseKind.AGREEMENT, now=now)

        for first in range(0, len(known), _AT_ONCE):
            with database[0].write() as tx:
                promise(tx, known[first : first + _AT_ONCE])
        began = time.monotonic()
        written = (await Teller(engine, "crm", its, crm).push(patience=3)).written
        return time.monotonic() - began, written, Counter()

    database: list[Database] = []
    with far_end(_crm) as (port, report):
        seconds, written, _ = _with_plugin(port, number, work, database.append)
        came = report()
    return line_of("crm_out", number, written, seconds, came)


def _with_plugin(
    port: int,
    number: int,
    work: Callable[[EngineHandle, CrmSettings, Connector], Awaitable[Any]],
    tell: Callable[[Database], None],
) -> Any:
    os.environ["MARCADOR_BENCH_CRM"] = "nobody's"

    async def run(engine: EngineHandle) -> Any:
        its = settings_of(engine)
        async with Syncing(engine, its).connection("crm") as crm:
            return await work(engine, its, crm)

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "plugins").mkdir()
        (folder / "plugins" / "crm.toml").write_text(_MAPPING % (port, CampaignId(CAMPAIGN), number))
        database = open_database(f"sqlite:///{folder / 'store.db'}", node="node1", boot_id="boot-1")
        database.migrate()
        tell(database)
        with database.write() as tx:
            put_list_campaign(tx)
        clock = SystemClock()
        engine = EngineHandle(
            port=None, tail=EventTail(database), clock=clock, actor="plugin:crm", directory=folder,  # type: ignore[arg-type]
            records=Records(database, clock=clock, actor="plugin:crm"),
        )  # fmt: skip
        try:
            return asyncio.run(run(engine))
        finally:
            database.dispose()


def _crm(port: int, pipe: Connection) -> None:
    """Serve `GET /accounts?number=N&offset=M` and take `PUT /promises/ID`."""
    came: Counter[str] = Counter()

    async def accounts(request: Request) -> Response:
        number, first = int(request.query_params["number"]), int(request.query_params.get("offset", 0))
        data = [
            {"number": f"A{nth}", "person": f"P{nth}", "name": f"Ana Núñez {nth}", "phone": f"55{nth:08d}"}
            | {"owed": 1500.5, "due": "2026-01-31", "branch": "Norte", "changed": "2026-03-01T10:00:00Z"}
            for nth in range(first, min(number, first + _PAGE))
        ]
        return JSONResponse({"data": data, "total": number})

    async def take(request: Request) -> Response:
        json.loads(await request.body())
        came[request.path_params["id"]] += 1
        return JSONResponse({})

    async def serve() -> None:
        routes = [Route("/accounts", accounts), Route("/promises/{id}", take, methods=["PUT"])]
        app = Starlette(routes=routes)
        server = uvicorn.Server(
            uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, lifespan="off", ws="none")
        )
        running = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
            await asyncio.sleep(0.01)
        await told_of(pipe, came)
        await running

    asyncio.run(serve())
