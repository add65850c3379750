"""Who may ask: users by cookie, programs by token; what is forged, expired, of another site or too slow is refused."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import structlog

from dialer_core.http import access as web_access
from dialer_core.http import events, guard
from dialer_core.http.access import digest_of, new_token
from dialer_core.http.login import AT_ONCE
from dialer_core.log_setup import configure_logging
from dialer_core.store import access as rows
from dialer_core.store.models import Base
from dialer_core.web import streams
from dialer_core.web.login_limits import FREE_TRIES
from tests.host.running import RunningHost, running_host
from tests.http.browser import PASSWORD, Browser, add_user

NO_ID = "0198c0de-0000-7000-8000-00000000000f"
pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningHost]:
    """A running host with one user of each role, that asks the store anew after 50 ms."""
    monkeypatch.setattr(web_access, "BELIEVED_S", 0.05)
    async with running_host(tmp_path) as running:
        await running.attached()
        add_user(running.database, "root", "admin")
        add_user(running.database, "maria", "supervisor")
        add_user(running.database, "ana", "agent", agent="ana")
        yield running


def _browser(host: RunningHost) -> Browser:
    return Browser(str(host.client.base_url))


async def test_a_user_logs_in_and_out(host: RunningHost) -> None:
    """A right password gives a cookie that scripts cannot read and other sites cannot send; after the log-out it opens nothing."""
    async with _browser(host) as browser:
        before = await browser.get("/account")
        assert (before.status_code, before.headers["location"]) == (303, "/login?next=%2Faccount")
        assert "<form" in (await browser.get("/login")).text
        answer = await browser.log_in("maria")
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        stolen = browser.client.cookies["marcador_session"]
        assert (await browser.get("/api/v1/status")).status_code == 200
        assert (await browser.post("/logout")).status_code == 204
        browser.client.cookies.set("marcador_session", stolen)
        assert (
            await browser.get("/api/v1/status", headers={"Accept": "application/json"})
        ).status_code == 401


async def test_a_wrong_password_is_one_answer(host: RunningHost) -> None:
    """Whoever it is, known or not: 401, the same words, nothing of what was typed unescaped, no cookie."""
    async with _browser(host) as browser:
        for user in ("maria", "nobody", "", "' OR 1=1 --", "m" * 5000, "<script>alert(1)</script>"):
            answer = await browser.log_in(user, "wrong password here")
            assert answer.status_code == 401
            assert "Usuario o contraseña incorrectos" in answer.text
            assert "<script>alert" not in answer.text
            assert "set-cookie" not in answer.headers


async def test_guessing_is_slowed_down(host: RunningHost) -> None:
    """After some wrong passwords of one user even the right one waits, and others are not kept out by it."""
    async with _browser(host) as browser:
        for _ in range(FREE_TRIES):
            assert (await browser.log_in("maria", "wrong password")).status_code == 401
        held = await browser.log_in("maria")
        assert held.status_code == 429
        assert 0 < int(held.headers["retry-after"]) <= 60
        assert (await browser.log_in("root")).status_code == 303


async def test_a_forged_cookie_is_nobody(host: RunningHost) -> None:
    """A cookie that this node has not signed as it stands opens nothing and is looked up nowhere."""
    async with _browser(host) as browser:
        await browser.log_in("maria")
        value, _, signature = browser.client.cookies["marcador_session"].rpartition(".")
    other_key = web_access.Access(host.database, "t" * 40, "another key")
    for forged in (
        other_key._signer.sign(value).decode(),
        value,
        f"{value[::-1]}.{signature}",
        f"{value}.{signature[:-1]}",
        "",
        "\u00f1.\u00f1",
    ):
        async with httpx2.AsyncClient(base_url=host.client.base_url, trust_env=False) as client:
            headers = {b"Cookie": f"marcador_session={forged}".encode()}
            assert (await client.get("/api/v1/status", headers=headers)).status_code == 401, forged


async def test_an_expired_session_is_over(host: RunningHost) -> None:
    """Past its end, or unused for long, a session opens nothing, though its cookie is well signed."""
    for column, ago in (("until_utc", dt.timedelta(seconds=1)), ("seen_at_utc", dt.timedelta(hours=2))):
        async with _browser(host) as browser:
            await browser.log_in("maria")
            secret = browser.client.cookies["marcador_session"].rpartition(".")[0]
            table = Base.metadata.tables["web_session"]
            with host.database.write() as tx:
                past = tx.utc() - ago
                tx.execute(table.update().where(table.c.digest == digest_of(secret)).values({column: past}))
            await asyncio.sleep(web_access.BELIEVED_S + 0.1)
            assert (await browser.get("/account")).status_code == 303, column


async def test_a_disabled_user_and_a_revoked_token_are_out(host: RunningHost) -> None:
    """Within the time for which an answer of the store is believed, sessions and tokens that were taken back open nothing."""
    token = new_token()
    with host.database.write() as tx:
        rows.add_token(tx, "crm", digest_of(token), ["read"], tx.utc())
    headers = {"Authorization": f"Bearer {token}"}
    async with _browser(host) as browser:
        await browser.log_in("maria")
        assert (await host.client.get("/api/v1/status", headers=headers)).status_code == 200
        assert (await host.client.post("/api/v1/agents/ana/login", headers=headers)).status_code == 403
        with host.database.write() as tx:
            assert rows.set_active(tx, "maria", active=False)
            assert rows.revoke_token(tx, "crm")
        await asyncio.sleep(web_access.BELIEVED_S + 0.1)
        assert (await browser.get("/account")).status_code == 303
        assert (await host.client.get("/api/v1/status", headers=headers)).status_code == 401
        assert (await browser.log_in("maria")).status_code == 401


async def test_another_site_changes_nothing(host: RunningHost) -> None:
    """A change that does not carry its page's token, or comes from elsewhere, is 403, and the engine hears nothing."""
    async with _browser(host) as browser:
        await browser.log_in("maria")
        for headers in (
            {"X-CSRF-Token": ""},
            {"X-CSRF-Token": "0" * 64},
            {"Origin": "https://elsewhere.example"},
            {"Origin": "null"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
        ):
            answer = await browser.post("/api/v1/campaigns/cobranza/pause", {"reason": "x"}, **headers)
            assert answer.status_code == 403, headers
            assert answer.json()["type"] == "urn:marcador:problem:forged"
        assert not any(command.name == "campaigns.pause" for command in host.engine.commands)
        assert (await browser.post("/api/v1/campaigns/cobranza/pause", {"reason": "x"})).status_code == 200


async def test_another_site_logs_nobody_in_and_sends_nobody_away(host: RunningHost) -> None:
    """A log-in from a foreign page is refused; where it leads afterwards may only be a path of this server."""
    async with _browser(host) as browser:
        for headers in ({"Origin": "https://elsewhere.example"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await browser.log_in("maria", **headers)).status_code == 403
        for after in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
            browser.client.cookies.clear()
            assert "evil" not in (await browser.get("/login", params={"next": after})).text
            sent = {"user": "maria", "password": PASSWORD, "next": after}
            answer = await browser.client.post("/login", data=sent, headers={"Origin": browser.url})
            assert answer.headers["location"] == "/", after


FOR_AGENTS_TOO = {
    "/api/v1/campaigns/{campaign}/day",
    "/api/v1/campaigns/{campaign}/dispositions",
    "/api/v1/calls/{attempt}/hangup",
}
"""Routes that look at whose conversation it is themselves, or show an agent only what is theirs."""


async def test_an_agent_sees_their_desk_only(host: RunningHost) -> None:
    """With an agent's log-in every route of the API is 403, of other agents and of accounts they do not talk about too; their own are not."""
    document = (await host.client.get("/api/v1/openapi.json")).json()
    async with _browser(host) as browser:
        await browser.log_in("ana")
        for path, operations in document["paths"].items():
            if path in FOR_AGENTS_TOO:
                continue
            address = (
                path.replace("{account}", NO_ID).replace("{agent}", "luis").replace("{", "").replace("}", "")
            )
            for method in operations:
                get = method == "get"
                answer = await (
                    browser.get(address, headers={"Accept": "*/*"})
                    if get
                    else browser.send(method, address, {})
                )
                assert answer.status_code == 403, (method, path, answer.text)
        assert (await browser.post(f"/api/v1/calls/{NO_ID}/hangup")).status_code == 403
        assert (await browser.post("/api/v1/agents/ana/ready")).status_code == 200
        assert (await browser.get("/api/v1/agents/ana", headers={"Accept": "*/*"})).json()["id"] == "ana"


async def test_every_answer_is_hardened(host: RunningHost) -> None:
    """Pages, errors, redirects and data: no framing, no sniffing, no script but our files', nothing kept by caches."""
    async with _browser(host) as browser:
        await browser.log_in("maria")
        for path in ("/login", "/", "/account", "/nothing", "/api/v1/status", "/assets/marcador.css"):
            answer = await browser.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert ("no-store" in answer.headers["cache-control"]) == ("assets" not in path)


async def test_an_error_is_a_page_for_people(host: RunningHost) -> None:
    """An address that is none, and a page that is not theirs: told in words on a page, with its status and the way back."""
    async with _browser(host) as browser:
        await browser.log_in("ana")
        for path, status, words in (
            ("/nothing", 404, "Esta página no existe"),
            ("/api/v1/users", 403, "no puede ver esta página"),
        ):
            answer = await browser.get(path)
            assert (answer.status_code, words in answer.text, 'href="/"' in answer.text) == (
                status,
                True,
                True,
            )


async def test_changes_are_accounted_for(host: RunningHost) -> None:
    """Each change, by a browser or by a program, is in the audit with who made it; what was refused is not called done."""
    async with _browser(host) as browser:
        await browser.log_in("maria")
        await browser.post("/api/v1/campaigns/cobranza/pause", {"reason": "lunch"})
        await browser.post(
            "/api/v1/campaigns/cobranza/pause", {"reason": "x"}, Origin="https://elsewhere.example"
        )
        await host.client.post("/api/v1/agents/ana/ready")
    with host.database.read() as tx:
        table = Base.metadata.tables["audit"]
        found = [(r.actor, r.action, r.subject) for r in tx.execute(table.select().order_by(table.c.seq))]
    assert found[-3:] == [
        ("user:maria", "session.began", "user maria"),
        ("user:maria", "web.pause_campaign", "campaign cobranza"),
        ("api:local", "web.ready_agent", "agent ana"),
    ]


async def test_a_slow_body_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sends half a body and then nothing is answered 408 and let go."""
    monkeypatch.setattr(
        guard.Guard.__init__, "__kwdefaults__", {"max_body_bytes": 1 << 20, "body_pause_s": 0.3}
    )
    async with running_host(tmp_path) as host:
        port = host.settings.dialer.http.port
        token = host.client.headers["Authorization"]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /api/v1/agents/ana/pause HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Length: 100\r\n"
        writer.write(f"{head}Content-Type: application/json\r\n\r\n{{".encode())
        line = await asyncio.wait_for(reader.readline(), 10)
        writer.close()
    assert b"408" in line


async def test_passwords_are_in_no_log_and_no_table(host: RunningHost) -> None:
    """What was typed as a password, right or wrong, stands in no log line; sessions and tokens are kept as digests."""
    stream = io.StringIO()
    configure_logging(level="debug", log_format="json", process="host", stream=stream)
    try:
        async with _browser(host) as browser:
            await browser.log_in("maria", "wrong secret phrase")
            await browser.log_in("maria")
            secret = browser.client.cookies["marcador_session"].rpartition(".")[0]
    finally:
        structlog.reset_defaults()
    for private in (PASSWORD, "wrong secret phrase", secret):
        assert private not in stream.getvalue()
    with host.database.read() as tx:
        kept = [
            tuple(row)
            for name in ("web_user", "web_session")
            for row in tx.execute(Base.metadata.tables[name].select())
        ]
    assert PASSWORD not in str(kept)
    assert secret not in str(kept)
    assert "argon2id" in str(kept)


async def test_a_user_changes_their_own_password(host: RunningHost) -> None:
    """With the present one; every session of theirs ends. A short or guessable one is refused and says why."""

    async def change(browser: Browser, present: str, new: str) -> int:
        sent = {"X-CSRF-Token": browser.csrf, "Origin": browser.url}
        answer = await browser.client.post(
            "/account/password", data={"present": present, "new": new}, headers=sent
        )
        return answer.status_code

    async with _browser(host) as browser:
        await browser.log_in("maria")
        assert await change(browser, PASSWORD, "short") == 422
        assert await change(browser, PASSWORD, "maria123456maria") == 422
        assert await change(browser, "not the present one", "a new and long one") == 422
        assert await change(browser, PASSWORD, "a new and long one") == 204
        assert (await browser.get("/account")).status_code == 303
        assert (await browser.log_in("maria")).status_code == 401
        assert (await browser.log_in("maria", "a new and long one")).status_code == 303


async def test_guesses_sent_at_once_are_counted_too(host: RunningHost) -> None:
    """A dozen wrong passwords of one user sent side by side: no more are looked at than one after another, or two at a time, would be."""
    async with _browser(host) as browser:
        answers = await asyncio.gather(*(browser.log_in("maria", f"wrong password {n}") for n in range(12)))
    told = sorted(one.status_code for one in answers)
    assert set(told) == {401, 429}
    assert FREE_TRIES <= told.count(401) < FREE_TRIES + AT_ONCE


async def test_a_stream_of_events_ends_with_the_right_to_it(
    host: RunningHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who is disabled hears no more of what happens, though their stream was open before."""
    monkeypatch.setattr(streams, "ASK_AGAIN_S", 0.0)
    monkeypatch.setattr(events, "PING_S", 0.05)
    async with _browser(host) as browser:
        await browser.log_in("maria")
        headers = {"Accept": "text/event-stream"}
        async with (
            asyncio.timeout(10),
            browser.client.stream("GET", "/api/v1/events", headers=headers) as stream,
        ):
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith(":")
            with host.database.write() as tx:
                rows.set_active(tx, "maria", active=False)
            assert not [line async for line in lines if line and not line.startswith(":")]
