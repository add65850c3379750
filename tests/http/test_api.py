"""`/api/v1`: who may ask, what is answered, and how every error looks."""

from __future__ import annotations

import io
import json
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import APIRouter
from fastapi.routing import iter_route_contexts

from dialer_core.http.access import Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import CORE_ROUTERS, create_app
from dialer_core.http.guard import MAX_BODY_BYTES
from dialer_core.log_setup import configure_logging
from dialer_core.plugin_host import Plugin, PluginState
from dialer_core.web.principals import Principal, Scope
from tests.host.running import running_host
from tests.host.scripted_engine import SNAPSHOT

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

ATTEMPT = "0198c0de-0000-7000-8000-000000000001"


def _refusing(command: Any) -> tuple[Any, str, str]:
    kind = command.args.get("reason") or "refused"
    return None, f"no: {command.name}", kind


async def test_nothing_is_served_to_somebody_unknown(tmp_path: Path) -> None:
    """Every route, the OpenAPI document and plugins' routes included, and every unknown path answers 401 to who shows no token."""
    async with running_host(tmp_path, plugins=("metrics",)) as running:
        paths = set((await running.client.get("/api/v1/openapi.json")).json()["paths"])
        assert "/metrics" in paths
        anonymous = httpx2.AsyncClient(base_url=running.client.base_url, trust_env=False)
        async with anonymous:
            for path in (*paths, "/api/v1/openapi.json", "/", "/nothing/here", "/docs"):
                for method in ("GET", "POST"):
                    answer = await anonymous.request(method, path.replace("{", "").replace("}", ""))
                    assert answer.status_code == 401, path
                    assert answer.headers["www-authenticate"].startswith("Bearer")
                    assert answer.json()["type"] == "urn:marcador:problem:unauthenticated"
            for wrong in ("Bearer", "Bearer x", "Basic eDp5", "bearer " + "x" * 43):
                answer = await anonymous.get("/api/v1/status", headers={"Authorization": wrong})
                assert answer.status_code == 401


async def test_reads_give_the_engines_own_views(tmp_path: Path) -> None:
    """Status, lists and single things are the engine's snapshot, unchanged; what is not there is 404."""
    async with running_host(tmp_path) as running:
        await running.attached()
        get = running.client.get
        status = (await get("/api/v1/status")).json()
        assert status["node"] == SNAPSHOT.node
        assert (await get("/api/v1/campaigns")).json() == status["campaigns"]
        assert (await get("/api/v1/campaigns/cobranza")).json() == status["campaigns"][0]
        assert [agent["id"] for agent in (await get("/api/v1/agents")).json()] == ["ana", "luis"]
        assert (await get("/api/v1/agents/luis")).json()["reason"] == "lunch"
        assert (await get("/api/v1/calls")).json()[0]["attempt_id"] == ATTEMPT
        for missing in ("campaigns/x", "agents/x", "nothing"):
            problem = (await get(f"/api/v1/{missing}")).json()
            assert problem["type"] == "urn:marcador:problem:unknown"


@pytest.mark.parametrize(
    ("path", "body", "name", "args"),
    [
        ("campaigns/c/start", None, "campaigns.start", {"campaign": "c", "reason": ""}),
        ("campaigns/c/stop", {"reason": "x"}, "campaigns.stop", {"campaign": "c", "reason": "x"}),
        ("agents/ana/login", None, "agents.login", {"agent": "ana", "reason": ""}),
        ("agents/ana/ready", {}, "agents.ready", {"agent": "ana", "reason": ""}),
        ("agents/ana/pause", {"reason": "lunch"}, "agents.pause", {"agent": "ana", "reason": "lunch"}),
        ("agents/ana/finishing", None, "agents.finishing", {"agent": "ana", "reason": ""}),
        ("agents/ana/logout", None, "agents.logout", {"agent": "ana", "reason": ""}),
        (
            "agents/ana/disposition",
            {"disposition": "promise"},
            "attempts.disposition",
            {"agent": "ana", "disposition": "promise"},
        ),
        (
            f"attempts/{ATTEMPT}/disposition",
            {"agent": "ana", "disposition": "promise"},
            "attempts.disposition",
            {"agent": "ana", "disposition": "promise", "attempt": ATTEMPT},
        ),
        (f"calls/{ATTEMPT}/hangup", None, "calls.hangup", {"attempt": ATTEMPT}),
    ],
)
async def test_each_command_is_one_command_of_the_engine(
    tmp_path: Path, path: str, body: object, name: str, args: dict[str, str]
) -> None:
    """A POST becomes the engine's command with these arguments; one without a result answers an empty object."""
    async with running_host(tmp_path) as running:
        await running.attached()
        answer = (
            await running.client.post(f"/api/v1/{path}", json=body)
            if body is not None
            else await running.client.post(f"/api/v1/{path}")
        )
        assert (answer.status_code, answer.json()) == (200, {})
        assert (running.engine.commands[-1].name, running.engine.commands[-1].args) == (name, args)


@pytest.mark.parametrize(
    ("kind", "status"), [("refused", 409), ("unknown", 404), ("invalid", 422), ("internal", 500)]
)
async def test_each_refusal_of_the_engine_has_its_status(tmp_path: Path, kind: str, status: int) -> None:
    """The engine's words reach the client as a problem document of the kind it named."""
    async with running_host(tmp_path, script=_refusing) as running:
        await running.attached()
        answer = await running.client.post("/api/v1/campaigns/c/pause", json={"reason": kind})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json() == {
            "type": f"urn:marcador:problem:{kind}",
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": "no: campaigns.pause",
        }


@pytest.mark.parametrize(
    ("method", "path", "sent", "status"),
    [
        ("POST", "agents/ana/pause", {"json": {}}, 422),
        ("POST", "agents/ana/pause", {"json": {"reason": "+52 55 1234 5678", "extra": 1}}, 422),
        (
            "POST",
            "agents/ana/pause",
            {"content": b"{nonsense", "headers": {"Content-Type": "application/json"}},
            422,
        ),
        ("POST", "agents/ana/disposition", {"json": {"disposition": "Not A Name!"}}, 422),
        ("POST", "calls/not-an-id/hangup", {}, 422),
        ("GET", "events?cursor=nonsense", {}, 422),
        ("GET", "events?names=attempt.teleported", {}, 422),
        ("GET", "events?limit=100000", {}, 422),
        ("DELETE", "status", {}, 405),
    ],
)
async def test_bad_requests_are_problems_that_do_not_repeat_what_was_sent(
    tmp_path: Path, method: str, path: str, sent: dict[str, Any], status: int
) -> None:
    """Every mistake of a client is a problem document that says what is wrong and quotes no value."""
    async with running_host(tmp_path) as running:
        await running.attached()
        answer = await running.client.request(method, f"/api/v1/{path}", **sent)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["detail"]
        assert "1234" not in answer.text
        assert "teleported" not in answer.text
        assert running.engine.commands == [] or running.engine.commands[-1].name == "status"


async def test_large_bodies_are_refused_with_and_without_a_length(tmp_path: Path) -> None:
    """A body over the limit is 413, declared or counted as it comes, and reaches nobody."""
    async with running_host(tmp_path) as running:
        await running.attached()

        async def endless() -> Any:
            for _ in range(MAX_BODY_BYTES // 65_536 + 2):
                yield b"x" * 65_536

        for content in (b"x" * (MAX_BODY_BYTES + 1), endless()):
            answer = await running.client.post(
                "/api/v1/agents/ana/pause", content=content, headers={"Content-Type": "application/json"}
            )
            assert answer.status_code == 413
        assert running.engine.commands[-1].name == "status"


async def test_the_openapi_document_describes_every_answer(tmp_path: Path) -> None:
    """Every operation names its scope, the shape of its answer and that of its errors; every reference resolves."""
    async with running_host(tmp_path) as running:
        document = (await running.client.get("/api/v1/openapi.json")).json()
    references = {part.split('"')[0] for part in json.dumps(document).split("#/components/schemas/")[1:]}
    assert references <= document["components"]["schemas"].keys()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["security"][0]["HTTPBearer"], path
            content = operation["responses"]["200"]["content"]
            files = {"audio/ogg", "application/octet-stream"}
            assert files & content.keys() or content["application/json"]["schema"], path
            assert "application/problem+json" in operation["responses"]["default"]["content"], path


def test_every_core_route_needs_a_scope() -> None:
    """No route of the core is without a scope, so that tokens with fewer scopes can come without a review of all routes."""
    for router in CORE_ROUTERS:
        for route in iter_route_contexts(router.routes):
            assert route.dependencies, route.path


async def test_a_token_without_the_scope_is_refused(tmp_path: Path) -> None:
    """A principal that may only read gets 403 for a command, and the engine gets nothing."""

    class Readers(Access):
        async def of_token(self, presented: str) -> Principal | None:
            del presented
            return Principal("reader", frozenset({Scope.READ}))

    async with running_host(tmp_path) as running:
        await running.attached()
        app = create_app(_parts(_handle_of(running), running.database), Readers(running.database, "t", "k"))
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://t", headers={"Authorization": "Bearer t"}
        ) as client:
            refused = await client.post("/api/v1/agents/ana/login")
            allowed = await client.get("/api/v1/events")
        assert refused.status_code == 403
        assert "scope control" in refused.json()["detail"]
        assert allowed.status_code == 200
        assert all(command.name == "status" for command in running.engine.commands)


def _parts(engine: Any = None, database: Any = None) -> ApiParts:
    return ApiParts(engine=engine, database=database, plugins=list, settings=None, packs={})  # type: ignore[arg-type]


def _handle_of(running: Any) -> Any:
    from dialer_core.clock import SystemClock
    from dialer_core.event_tail import EventTail
    from dialer_core.plugin_api import EngineHandle

    class Nowhere:
        async def command(self, name: str, args: dict[str, Any], *, actor: str) -> Any:
            raise AssertionError(name, args, actor)

    return EngineHandle(port=Nowhere(), tail=EventTail(running.database), clock=SystemClock(), actor="test")


@pytest.mark.parametrize("path", ["/api/v1/status", "/mine"])
def test_a_plugin_cannot_take_a_route(path: str) -> None:
    """A path of the core, or of an earlier plugin, disables the plugin that wants it."""
    routers = []
    for _ in range(2):
        router = APIRouter()
        router.add_api_route(path, lambda: None)
        routers.append(router)
    first, second = Plugin("first", ""), Plugin("second", "")
    create_app(_parts(), Access(None, "t", "k"), [(first, routers[0]), (second, routers[1])])  # type: ignore[arg-type]
    assert second.state is PluginState.DISABLED
    assert f"GET {path} is taken" in second.reason
    assert (first.state is PluginState.DISABLED) == (path == "/api/v1/status")


def test_a_plugin_that_returns_no_router_is_disabled() -> None:
    """Whatever else a plugin returns as routes is told in its state."""
    plugin = Plugin("odd", "")
    create_app(_parts(), Access(None, "t", "k"), [(plugin, "routes")])  # type: ignore[arg-type]
    assert "returned a str" in plugin.reason


async def test_a_route_that_raises_is_a_problem_without_its_text() -> None:
    """An unexpected error of a plugin's route is a 500; neither it nor the log has the error's text, even at debug."""
    stream = io.StringIO()
    configure_logging(level="debug", log_format="json", process="host", stream=stream)

    text = "Juan {} 500".format("owes")  # not on the line that the trace shows

    def broken() -> None:
        raise KeyError(text)

    router = APIRouter()
    router.add_api_route("/broken", broken)
    app = create_app(_parts(), Access(None, "t", "k"), [(Plugin("p", ""), router)])  # type: ignore[arg-type]
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://t", headers={"Authorization": "Bearer t"}
    ) as client:
        answer = await client.get("/broken")
    assert answer.status_code == 500
    structlog.reset_defaults()
    assert "KeyError at test_api.py" in stream.getvalue()
    assert "Juan" not in answer.text + stream.getvalue()
