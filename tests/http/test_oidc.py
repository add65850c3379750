"""Logging in by an OpenID provider: a real one, as a process; and one of ours that lies in every way that must not be believed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from dialer_core.http import oidc
from dialer_core.http.oidc import Oidc, OidcError
from dialer_core.settings import DialerSettings
from dialer_core.store import access as rows
from dialer_core.web_settings import OidcSettings
from tests.host.running import RunningHost, free_port, running_host
from tests.http.browser import Browser, add_user
from tests.polling import wait_until

pytestmark = [pytest.mark.db, pytest.mark.timeout(60)]

CLIENT = "marcador"
BACK = "https://dialer.example.com/login/oidc/back"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """A provider as a process; return its address."""
    port = free_port()
    user = '{"sub": "1", "preferred_username": "maria", "email": "maria@example.com", "email_verified": true}'
    stranger = '{"sub": "2", "preferred_username": "nobody-here"}'
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), "--require-nonce", "true"]  # fmt: skip
    process = subprocess.Popen(
        [*command, "--user-claims", user, "--user-claims", stranger],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, "AUTHLIB_INSECURE_TRANSPORT": "1"},
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx2.get(f"{url}/jwks", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    wait_until(answers, 30, "the provider")
    yield url
    process.terminate()
    process.wait(10)


@pytest.fixture
async def host(provider: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningHost]:
    """A host that knows the provider, with a user of the name that it gives."""
    monkeypatch.setenv("OIDC_SECRET", "ours")
    port = free_port()
    its = {
        "issuer": provider, "client_id": CLIENT, "client_secret_env": "OIDC_SECRET", "redirect": f"http://127.0.0.1:{port}/login/oidc/back",
        "name": "Example",
    }  # fmt: skip
    async with running_host(tmp_path, http={"port": port, "oidc": its}) as running:
        await running.attached()
        add_user(running.database, "maria", "supervisor")
        yield running


async def _allowed(provider: str, asked: str, subject: str) -> str:
    """Press the provider's button as a person does; return where it sends the browser."""
    async with httpx2.AsyncClient(trust_env=False) as person:
        answer = await person.post(asked, data={"sub": subject})
    assert answer.status_code in (302, 303), answer.text
    assert asked.startswith(provider)
    return str(answer.headers["location"])


async def test_a_person_comes_in_by_a_real_provider(host: RunningHost, provider: str) -> None:
    """From our page to theirs and back, to where they wanted to go; the session is one like any other, with the role that we gave."""
    async with Browser(str(host.client.base_url)) as browser:
        page = (await browser.get("/login?next=/account")).text
        assert "Example" in page
        assert "/login/oidc?next=/account" in page
        sent = await browser.get("/login/oidc?next=/account")
        asked = {key: value[0] for key, value in parse_qs(urlsplit(sent.headers["location"]).query).items()}
        assert (asked["code_challenge_method"], asked["response_type"]) == ("S256", "code")
        assert len(asked["state"]) > 40
        back = await _allowed(provider, sent.headers["location"], "1")
        done = await browser.get(back)
        assert (done.status_code, done.headers["location"]) == (303, "/account")
        status = await browser.get("/api/v1/status", headers={"Accept": "application/json"})
        assert status.status_code == 200
        again = await browser.get(back)  # the same answer once more: this browser asked for nothing
        assert again.status_code == 401
    async with Browser(str(host.client.base_url)) as other:  # another browser that was given the address
        assert (await other.get(back)).status_code == 401
        assert (await other.get("/account")).status_code == 303


async def test_whom_the_provider_knows_and_we_do_not_stays_out(host: RunningHost, provider: str) -> None:
    """A name of nobody here, a user who was disabled, a person who said no: told, and no session begins."""
    with host.database.write() as tx:
        rows.set_active(tx, "maria", active=False)
    async with Browser(str(host.client.base_url)) as browser:
        for subject in ("2", "1"):
            sent = await browser.get("/login/oidc")
            answer = await browser.get(await _allowed(provider, sent.headers["location"], subject))
            assert answer.status_code == 401
            assert "no hay un usuario con ese nombre" in answer.text
        sent = await browser.get("/login/oidc")
        state = parse_qs(urlsplit(sent.headers["location"]).query)["state"][0]
        for query in (f"state={state}&error=access_denied", "state=other&code=x", "code=x", f"state={state}&code=wrong"):  # fmt: skip
            assert (await browser.get(f"/login/oidc/back?{query}")).status_code == 401, query
        assert (await browser.get("/account")).status_code == 303


class Liar:
    """A provider that signs what it is told to."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.asked = 0

    def token(self, header: dict[str, Any] | None = None, key: Any = None, **claims: Any) -> str:
        """Return a token that is right but for what is named; None leaves a claim out."""
        now = int(time.time())
        right = {
            "iss": self.issuer, "aud": CLIENT, "sub": "1", "exp": now + 300, "iat": now, "nonce": "n", "preferred_username": "maria",
        }  # fmt: skip
        told = {name: value for name, value in (right | claims).items() if value is not None}
        return jwt.encode(header or {"alg": "RS256", "kid": "one"}, told, key or self.key, algorithms=["RS256", "HS256"])  # fmt: skip

    async def configuration(self, _request: Request) -> JSONResponse:
        """Say who we are."""
        at = self.issuer
        return JSONResponse(
            {
                "issuer": at,
                "authorization_endpoint": f"{at}/a",
                "token_endpoint": f"{at}/t",
                "jwks_uri": f"{at}/k",
            }
        )

    async def keys(self, _request: Request) -> JSONResponse:
        """Say by which keys we sign."""
        self.asked += 1
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})


@asynccontextmanager
async def _lying() -> AsyncIterator[tuple[Liar, Oidc]]:
    import uvicorn

    port = free_port()
    liar = Liar(f"http://127.0.0.1:{port}")
    app = Starlette(
        routes=[Route("/.well-known/openid-configuration", liar.configuration), Route("/k", liar.keys)]
    )
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, lifespan="off", ws="none"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
            await asyncio.sleep(0.005)
    try:
        yield (
            liar,
            Oidc(OidcSettings(issuer=liar.issuer, client_id=CLIENT, redirect=BACK), "", "k" * 40),
        )
    finally:
        server.should_exit = True
        await serving


async def test_no_wrong_token_is_believed() -> None:
    """Another issuer, audience, nonce or party, over or from the future, unsigned, signed by another key or a known text: nobody comes in."""
    now = int(time.time())
    async with _lying() as (liar, ours):
        assert await ours.name_in(liar.token(), "n") == "maria"
        wrong: dict[str, str] = {
            "issuer": liar.token(iss="https://elsewhere.example"),
            "no issuer": liar.token(iss=None),
            "audience": liar.token(aud="another"),
            "two audiences": liar.token(aud=[CLIENT, "another"]),
            "authorised party": liar.token(azp="another"),
            "over": liar.token(exp=now - 3600),
            "no end": liar.token(exp=None),
            "from the future": liar.token(iat=now + 3600),
            "nonce": liar.token(nonce="another"),
            "no nonce": liar.token(nonce=None),
            "no name": liar.token(preferred_username=None),
            "a list for a name": liar.token(preferred_username=["maria"]),
            "another key": liar.token(key=RSAKey.generate_key(2048, {"kid": "one"})),
            "a shared secret": liar.token(
                header={"alg": "HS256", "kid": "one"}, key=OctKey.import_key(b"k" * 32)
            ),
            "unsigned": "eyJhbGciOiJub25lIn0." + liar.token().split(".")[1] + ".",
            "cut": liar.token()[:-10],
            "nothing": "",
        }
        for what, token in wrong.items():
            try:
                await ours.name_in(token, "n")
            except OidcError:
                continue
            pytest.fail(what)


async def test_new_keys_of_the_provider_are_fetched_when_they_are_named() -> None:
    """A provider that changes its keys locks nobody out, and one good token asks for no keys twice."""
    async with _lying() as (liar, ours):
        assert await ours.name_in(liar.token(), "n") == "maria"
        assert await ours.name_in(liar.token(), "n") == "maria"
        assert liar.asked == 1
        liar.key = RSAKey.generate_key(2048, {"kid": "two"})
        assert await ours.name_in(liar.token(header={"alg": "RS256", "kid": "two"}), "n") == "maria"
        assert liar.asked == 2


async def test_an_address_counts_where_the_provider_has_verified_it() -> None:
    """By e-mail, an unverified one is nobody's."""
    async with _lying() as (liar, _):
        ours = Oidc(OidcSettings(issuer=liar.issuer, client_id=CLIENT, redirect=BACK, claim="email"), "", "k" * 40)  # fmt: skip
        assert await ours.name_in(liar.token(email="m@example.com", email_verified=True), "n") == "m@example.com"  # fmt: skip
        for verified in (None, False, "true"):
            with pytest.raises(OidcError, match="not verified"):
                await ours.name_in(liar.token(email="m@example.com", email_verified=verified), "n")


async def test_a_provider_that_is_away_or_another_is_told(host: RunningHost, monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """The page says so and the password still works; a configuration of another issuer is none."""

    async def away(_self: Oidc, _method: str, _url: str, **_request: Any) -> dict[str, Any]:
        raise OidcError("the provider cannot be asked now")

    monkeypatch.setattr(oidc.Oidc, "_ask", away)
    async with Browser(str(host.client.base_url)) as browser:
        answer = await browser.get("/login/oidc")
        assert answer.status_code == 503
        assert "proveedor de identidad no responde" in answer.text
        assert (await browser.log_in("maria")).status_code == 303

    async def another(_self: Oidc, _method: str, _url: str, **_request: Any) -> dict[str, Any]:
        at = "https://elsewhere.example"
        return {"issuer": at, "authorization_endpoint": at, "token_endpoint": at, "jwks_uri": at}

    monkeypatch.setattr(oidc.Oidc, "_ask", another)
    ours = Oidc(OidcSettings(issuer="https://login.example.com", client_id=CLIENT, redirect=BACK), "", "k" * 40)  # fmt: skip
    with pytest.raises(OidcError, match="another issuer"):
        await ours.begin("/")


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://login.example.com"},
        {"issuer": "login.example.com"},
        {"redirect": "https://dialer.example.com/elsewhere"},
        {"client_id": ""},
        {"client_secret_env": "A", "client_secret_file": "b"},
    ],
)
def test_a_wrong_provider_is_refused_when_read(wrong: dict[str, str]) -> None:
    """In the clear beyond this machine, back to elsewhere, without a name, two secrets: not read."""
    its = {"issuer": "https://login.example.com", "client_id": CLIENT, "redirect": BACK} | wrong
    with pytest.raises(ValueError, match="oidc"):
        DialerSettings.model_validate({"http": {"oidc": its}})
