"""Users and tokens over the API: an admin alone makes, changes and takes them back; secrets are shown once and kept as digests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from dialer_core.http import access as web_access
from dialer_core.store.models import Base
from tests.host.running import RunningHost, running_host
from tests.http.browser import Browser, add_user

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningHost]:
    """A running host with an admin and a supervisor, that asks the store anew after 50 ms."""
    monkeypatch.setattr(web_access, "BELIEVED_S", 0.05)
    async with running_host(tmp_path) as running:
        await running.attached()
        add_user(running.database, "rosa", "admin")
        add_user(running.database, "maria", "supervisor")
        yield running


async def test_an_admin_makes_a_user_who_logs_in(host: RunningHost) -> None:
    """With a password made and shown once; another role ends their session, as being disabled does; another password lets them in again."""
    url = str(host.client.base_url)
    async with Browser(url) as admin, Browser(url) as eva:
        await admin.log_in("rosa")
        made = (await admin.post("/api/v1/users", {"name": "eva", "role": "supervisor"})).json()
        assert (made["user"]["id"], made["user"]["role"]) == ("eva", "supervisor")
        assert (await eva.log_in("eva", made["password"])).status_code == 303
        assert (await eva.get("/api/v1/status")).status_code == 200
        assert (await eva.get("/api/v1/users", headers={"Accept": "*/*"})).status_code == 403
        assert (await admin.post("/api/v1/users/eva/role", {"role": "admin"})).json()["role"] == "admin"
        await asyncio.sleep(web_access.BELIEVED_S + 0.1)
        assert (await eva.get("/account")).status_code == 303
        await eva.log_in("eva", made["password"])
        assert (await eva.get("/api/v1/users", headers={"Accept": "*/*"})).status_code == 200
        assert (await admin.post("/api/v1/users/eva/disable")).status_code == 200
        await asyncio.sleep(web_access.BELIEVED_S + 0.1)
        assert (await eva.get("/account")).status_code == 303
        assert (await admin.post("/api/v1/users/eva/enable")).json()["active"] is True
        changed = (await admin.post("/api/v1/users/eva/password", {})).json()["password"]
        assert (await eva.log_in("eva", made["password"])).status_code == 401
        assert (await eva.log_in("eva", changed)).status_code == 303
        told = (await admin.get("/api/v1/users", headers={"Accept": "*/*"})).text
        assert changed not in told
        assert "argon2" not in told
    with host.database.read() as tx:
        table = Base.metadata.tables["audit"]
        done = {(row.actor, row.action) for row in tx.execute(table.select()) if "eva" in row.subject}
    assert {("user:rosa", f"user.{what}") for what in ("added", "role_changed", "disabled", "enabled", "password_changed")} <= done  # fmt: skip


async def test_a_token_has_its_scopes_until_it_is_revoked(host: RunningHost) -> None:
    """Shown once, kept as a digest, good for what it was made for and no longer than that."""
    async with Browser(str(host.client.base_url)) as admin:
        await admin.log_in("rosa")
        made = (await admin.post("/api/v1/tokens", {"name": "crm", "scopes": ["read"]})).json()
        program = httpx2.AsyncClient(
            base_url=admin.url, headers={"Authorization": f"Bearer {made['token']}"}, trust_env=False
        )
        async with program:
            assert (await program.get("/api/v1/status")).status_code == 200
            assert (await program.post("/api/v1/campaigns/cobranza/pause")).status_code == 403
            assert (await program.get("/api/v1/tokens")).status_code == 403
            assert (await admin.post("/api/v1/tokens/crm/revoke")).status_code == 200
            await asyncio.sleep(web_access.BELIEVED_S + 0.1)
            assert (await program.get("/api/v1/status")).status_code == 401
        told = (await admin.get("/api/v1/tokens", headers={"Accept": "*/*"})).text
        assert made["token"] not in told
        again = await admin.post("/api/v1/tokens", {"name": "crm", "scopes": ["read"]})
        assert again.status_code == 409


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("users", {"name": "x", "role": "agent"}, 422, "needs to know which agent"),
        ("users", {"name": "x", "role": "agent", "agent": "eva"}, 422, "agents.toml"),
        ("users", {"name": "x", "role": "supervisor", "extension": "e"}, 422, "extensions"),
        ("users", {"name": "a b", "role": "admin"}, 422, "is no name"),
        ("users", {"name": "x", "role": "king"}, 422, "role"),
        ("users", {"name": "x", "role": "admin", "language": "fr"}, 422, "language"),
        ("users", {"name": "x", "role": "admin", "password": "short"}, 422, "12 to 128"),
        ("users", {"name": "maria", "role": "admin"}, 409, "already"),
        ("users/nobody/disable", None, 404, "no such user"),
        ("users/rosa/disable", None, 409, "locks themselves out"),
        ("users/rosa/role", {"role": "supervisor"}, 409, "locks themselves out"),
        ("tokens", {"name": "x", "scopes": []}, 422, "scopes"),
        ("tokens", {"name": "x", "scopes": ["everything"]}, 422, "scopes"),
        ("tokens/nothing/revoke", None, 404, "no token"),
    ],
)
async def test_mistakes_are_told_and_nothing_is_made(
    host: RunningHost, path: str, body: dict[str, object] | None, status: int, says: str
) -> None:
    """What is wrong, in words; and no user or token more than before."""
    async with Browser(str(host.client.base_url)) as admin:
        await admin.log_in("rosa")
        answer = await admin.post(f"/api/v1/{path}", body)
        assert (answer.status_code, says in answer.text) == (status, True), answer.text
        users = (await admin.get("/api/v1/users", headers={"Accept": "*/*"})).json()
        assert {(one["id"], one["role"], one["active"]) for one in users} == {
            ("rosa", "admin", True),
            ("maria", "supervisor", True),
        }
        assert (await admin.get("/api/v1/tokens", headers={"Accept": "*/*"})).json() == []
