"""Logging in by an OpenID provider: the authorization code's flow with PKCE, state and nonce, and what an identity token must be.

It owns that a provider's word is checked before it is believed. Who may come in, and as what, is said by our own users: the provider gives a
name and nothing else. It owns neither sessions (`access.py`) nor pages (`login.py`).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import itsdangerous
import msgspec
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from dialer_core.errors import DialerError
from dialer_core.web_settings import OidcSettings

log = structlog.get_logger(__name__)

START, BACK = "/login/oidc", "/login/oidc/back"
COOKIE: Final = "marcador_oidc"
"""What a browser that was sent to the provider keeps meanwhile, signed."""
ASKED_LASTS_S: Final = 600
BELIEVED_S: Final = 3600.0
"""The provider's addresses and keys are read anew after so long; keys also when a token names one that we have not."""
TIMEOUT_S: Final = 10.0
ALGORITHMS: Final = ("RS256", "ES256", "PS256", "EdDSA", "RS384", "ES384", "RS512", "ES512")
"""By which identity tokens may be signed: never none, never a shared secret."""
LEEWAY_S: Final = 60
"""By which clocks may differ."""
SCOPES: Final = "openid profile email"


class OidcError(DialerError):
    """The provider cannot be asked, or what it says is not to be believed; the text says why, and nothing that was sent."""


class Asked(msgspec.Struct, frozen=True):
    """What was asked of the provider for one browser."""

    state: str
    nonce: str
    verifier: str
    after: str
    """Where in the screens they wanted to go."""


class _Provider(msgspec.Struct, frozen=True):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)


class Oidc:
    """One provider.

    Parameters
    ----------
    settings
        `[http.oidc]`.
    client_secret
        Ours there; empty: none.
    key
        Signs what browsers keep meanwhile.
    """

    def __init__(self, settings: OidcSettings, client_secret: str, key: str) -> None:
        self.settings = settings
        self._secret = client_secret
        self._signer = itsdangerous.TimestampSigner(key, salt="marcador oidc", digest_method=hashlib.sha256)
        self._provider: tuple[_Provider, float] | None = None
        self._keys: tuple[KeySet, float] | None = None

    async def begin(self, after: str) -> tuple[str, str]:
        """Return where to send a browser, and the cookie that it keeps meanwhile.

        Raises
        ------
        OidcError
            The provider cannot be asked.
        """
        provider = await self._discover()
        asked = Asked(secrets.token_urlsafe(32), secrets.token_urlsafe(32), secrets.token_urlsafe(48), after)
        challenge = _unpadded(hashlib.sha256(asked.verifier.encode()).digest())
        query = urlencode(
            {
                "response_type": "code", "client_id": self.settings.client_id, "redirect_uri": self.settings.redirect,
                "scope": SCOPES, "state": asked.state, "nonce": asked.nonce, "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )  # fmt: skip
        joint = "&" if "?" in provider.authorization_endpoint else "?"
        kept = _unpadded(msgspec.json.encode(asked))
        return f"{provider.authorization_endpoint}{joint}{query}", self._signer.sign(kept).decode()

    async def finish(self, cookie: str, query: Mapping[str, str]) -> tuple[str, str]:
        """Return the name of whoever the provider says has come back, and where they wanted to go.

        Raises
        ------
        OidcError
            They did not begin here, the provider refused them, or its token is not to be believed.
        """
        asked = self._asked(cookie)
        if not hmac.compare_digest(query.get("state", "").encode(), asked.state.encode()):
            raise OidcError("this log-in was not begun by this browser")
        provider = await self._discover()
        if query.get("iss", provider.issuer) != provider.issuer:
            raise OidcError("another provider answered")
        if query.get("error") or not query.get("code"):
            raise OidcError("the provider did not let them in")
        token = await self._exchange(provider, query["code"], asked.verifier)
        return await self.name_in(token, asked.nonce), asked.after

    async def name_in(self, token: str, nonce: str) -> str:
        """Return the user's name that an identity token gives.

        Raises
        ------
        OidcError
            It is forged, of another provider, for another client, too old, not for this log-in, or names nobody.
        """
        provider = await self._discover()
        client = self.settings.client_id
        claims = await self._verified(provider, token)
        registry = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_S,
            iss={"essential": True, "value": provider.issuer},
            aud={"essential": True, "value": client},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            registry.validate(claims)
        except JoseError as error:
            raise OidcError(f"the identity token is not for this log-in: {type(error).__name__}") from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", client if not several else None) != client:
            raise OidcError("the identity token is for another client")
        wanted = self.settings.claim
        name = claims.get(wanted)
        if wanted == "email" and claims.get("email_verified") is not True:
            raise OidcError("the provider has not verified this e-mail address")
        if not isinstance(name, str) or not name:
            raise OidcError(f"the identity token has no {wanted}")
        return name

    async def _verified(self, provider: _Provider, token: str) -> dict[str, Any]:
        for fresh in (False, True):  # a provider that has changed its keys names one that we have not
            try:
                return dict(
                    jwt.decode(token, await self._key_set(provider, fresh=fresh), list(ALGORITHMS)).claims
                )
            except (JoseError, ValueError) as error:
                if fresh:
                    raise OidcError(f"the identity token is not genuine: {type(error).__name__}") from error
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def _asked(self, cookie: str) -> Asked:
        try:
            kept = self._signer.unsign(cookie, max_age=ASKED_LASTS_S)
            return msgspec.json.decode(base64.urlsafe_b64decode(kept + b"=="), type=Asked)
        except (itsdangerous.BadData, ValueError, msgspec.DecodeError) as error:
            raise OidcError("this log-in was not begun by this browser, or too long ago") from error

    async def _exchange(self, provider: _Provider, code: str, verifier: str) -> str:
        sent = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": self.settings.redirect, "code_verifier": verifier,
        }  # fmt: skip
        basic = None
        if not self._secret:
            sent["client_id"] = self.settings.client_id
        elif "client_secret_basic" in provider.token_endpoint_auth_methods_supported:
            basic = httpx2.BasicAuth(self.settings.client_id, self._secret)
        else:
            sent |= {"client_id": self.settings.client_id, "client_secret": self._secret}
        told = await self._ask("POST", provider.token_endpoint, data=sent, auth=basic)
        token = told.get("id_token")
        if not isinstance(token, str):
            raise OidcError("the provider gave no identity token")
        return token

    async def _discover(self) -> _Provider:
        if self._provider and time.monotonic() < self._provider[1]:
            return self._provider[0]
        issuer = self.settings.issuer
        told = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        try:
            provider = msgspec.convert(told, _Provider)
        except msgspec.ValidationError as error:
            raise OidcError(f"the provider's configuration is none: {error}") from error
        if provider.issuer.rstrip("/") != issuer.rstrip("/"):
            raise OidcError("the provider's configuration names another issuer")
        self._provider = provider, time.monotonic() + BELIEVED_S
        return provider

    async def _key_set(self, provider: _Provider, *, fresh: bool) -> KeySet:
        if self._keys is None or fresh or time.monotonic() > self._keys[1]:
            told = await self._ask("GET", provider.jwks_uri)
            try:
                self._keys = KeySet.import_key_set(told), time.monotonic() + BELIEVED_S  # type: ignore[arg-type]
            except (JoseError, ValueError, KeyError) as error:
                raise OidcError("the provider's keys cannot be read") from error
        return self._keys[0]

    async def _ask(self, method: str, url: str, **request: Any) -> dict[str, Any]:
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT_S, trust_env=False) as client:
                answer = await client.request(method, url, **request)
            told = answer.raise_for_status().json()
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            log.warning("oidc_provider_away", error=type(error).__name__)
            raise OidcError("the provider cannot be asked now") from error
        if not isinstance(told, dict):
            raise OidcError("the provider's answer is none")
        return told


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
