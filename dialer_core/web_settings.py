"""`[http]`, `[http.oidc]`, `[webhooks]`, `[links]` and `[push.NAME]` of `dialer.toml`: what is served over HTTP, who may come in, and whom we tell.

It owns these sections' shape. What they do is `http/`'s, `webhooks.py`'s in it, and `pushing.py`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from dialer_core.setting_types import Port, Section, check_secret


class OidcSettings(Section):
    """`[http.oidc]`: people may log in by an OpenID provider of yours, beside their password here; users and roles stay ours."""

    issuer: str = Field(pattern=r"^https?://[^\s?#]+$")
    """The provider: `https://login.example.com/realms/floor`; its `/.well-known/openid-configuration` is read. Without TLS only on this machine."""
    client_id: Annotated[str, Field(min_length=1, max_length=200)]
    """What the provider calls us."""
    client_secret_env: str = ""
    """Environment variable that holds our secret there."""
    client_secret_file: Path | None = None
    """Or a file that holds it; neither: a client without a secret, by PKCE alone."""
    redirect: str = Field(pattern=r"^https?://[^\s?#]+/login/oidc/back$")
    """Where the provider sends browsers back: this server's address as they see it, and `/login/oidc/back`."""
    claim: str = "preferred_username"
    """Which claim of the provider's is a user's name here; `email` counts only where the provider has verified it."""
    name: str = "OpenID"
    """What stands on the button."""

    @model_validator(mode="after")
    def _safe(self) -> OidcSettings:
        check_secret(self.client_secret_env, self.client_secret_file)
        host = self.issuer.removeprefix("http://").partition("/")[0].partition(":")[0]
        if self.issuer.startswith("http://") and host not in ("127.0.0.1", "localhost"):
            msg = "issuer: a provider on another machine needs https://"
            raise ValueError(msg)
        return self


class HttpSettings(Section):
    """`[http]`: the API."""

    bind: str = "127.0.0.1"
    """Address of the API; keep it on loopback unless a TLS proxy stands in front."""
    port: Port = 8088
    """Port of the API."""
    token_file: Path = Path("api.token")
    """File with the API's bearer token, made at the first run; relative to `state_dir`."""
    behind_tls: bool = False
    """Browsers come by a TLS proxy on this machine alone: cookies are sent over TLS only, and the proxy's `X-Forwarded-For` is believed."""
    oidc: OidcSettings | None = None
    """By which OpenID provider people may log in; left out: by password alone."""


class WebhookSettings(Section):
    """`[webhooks]`: what may be reached from outside: providers of messages on `/hooks/PLUGIN`, links to documents on `/d/`, nothing else.

    Put a TLS proxy in front.
    """

    enabled: bool = False
    """Listen at all."""
    bind: str = "127.0.0.1"
    """Address; loopback unless a proxy is elsewhere."""
    port: Port = 8089
    """Its port."""
    behind_tls: bool = False
    """Requests come by a TLS proxy on this machine alone: its `X-Forwarded-For` says who opens links, each of whom may try so often."""


class LinkKey(Section):
    """`[[links.keys]]`: a key that signs links to documents. The first signs; the others open what they signed before, until you take them away."""

    id: str = Field(pattern=r"^[a-z0-9]{1,8}$")
    """Stands in the links: `2026a`."""
    secret_env: str = ""
    """Environment variable that holds it: 32 characters or more (`openssl rand -base64 32`)."""
    secret_file: Path | None = None
    """Or a file that holds it."""

    @model_validator(mode="after")
    def _secret(self) -> LinkKey:
        check_secret(self.secret_env, self.secret_file)
        if not (self.secret_env or self.secret_file):
            msg = "needs a secret: set secret_env (a variable's name) or secret_file"
            raise ValueError(msg)
        return self


class LinkSettings(Section):
    """`[links]`: links to documents that messages carry (`docs/messages.md`), opened on the listener of `[webhooks]`."""

    base_url: str = Field(default="", pattern=r"^(https?://[^\s?#@]+)?$")
    """This listener as debtors reach it, by your proxy: `https://docs.example.com`. The shorter, the shorter the texts."""
    keys: tuple[LinkKey, ...] = ()
    """At least one; change them now and then: put the new one first."""

    @model_validator(mode="after")
    def _both(self) -> LinkSettings:
        if bool(self.base_url) != bool(self.keys):
            msg = "needs both base_url and a key ([[links.keys]])"
            raise ValueError(msg)
        if len({one.id for one in self.keys}) != len(self.keys):
            msg = "keys: two have the same id"
            raise ValueError(msg)
        return self


class PushSettings(Section):
    """`[push.NAME]`: a system of yours that is told what happens: events of the log, in order, signed, until it has them."""

    url: str = Field(pattern=r"^https?://[^\s@#]+$")
    """Where they are posted to."""
    events: tuple[str, ...] = ()
    """Only these; empty: all."""
    secret_env: str = ""
    """Environment variable that holds the secret by which each request is signed."""
    secret_file: Path | None = None
    """Or a file that holds it."""
    private: bool = False
    """It may be on this machine or in a private network, and without TLS; otherwise such an address is refused, wherever its name leads."""
    tries: Annotated[int, Field(ge=1, le=100)] = 10
    """So often what was not taken is sent, each time after a longer pause; then it is put aside among the dead letters, and the next goes on."""

    @field_validator("events")
    @classmethod
    def _names(cls, events: tuple[str, ...]) -> tuple[str, ...]:
        if strange := [name for name in events if not name.replace(".", "").replace("_", "").isalpha()]:
            msg = f"{strange[0]!r} is no event's name; docs/events.md lists them"
            raise ValueError(msg)
        return events

    @model_validator(mode="after")
    def _signed(self) -> PushSettings:
        check_secret(self.secret_env, self.secret_file)
        if not (self.secret_env or self.secret_file):
            msg = "needs a secret: set secret_env (a variable's name) or secret_file"
            raise ValueError(msg)
        if self.url.startswith("http://") and not self.private:
            msg = "url: needs https://, unless private = true says that it is on this machine or in a network of yours"
            raise ValueError(msg)
        return self
