"""The settings of the plugin `email`: `plugins/email.toml`."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Address = Annotated[str, Field(pattern=r"^[^\s@<>]{1,64}@[A-Za-z0-9.-]{1,190}$")]
Security = Literal["starttls", "tls", "none"]


class _Server(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(min_length=1, max_length=255)
    security: Security = "starttls"
    """`starttls`, `tls` from the first byte, or `none`: only to this machine. Certificates are checked."""
    ca_file: Path | None = None
    """Who signed the certificate, where the system does not know them."""
    user: str = ""
    password_env: str = ""
    """Environment variable that holds the password."""
    password_file: Path | None = None
    """Or a file that holds it."""

    @model_validator(mode="after")
    def _encrypted(self) -> _Server:
        if self.security == "none" and not _is_here(self.host):
            msg = f"security = 'none' is for this machine; {self.host} is another"
            raise ValueError(msg)
        if bool(self.user) != (bool(self.password_env) != bool(self.password_file)):
            msg = "give user and either password_env or password_file, or none of them"
            raise ValueError(msg)
        return self


class SmtpSettings(_Server):
    """`[smtp]`: who takes what we send."""

    port: Annotated[int, Field(ge=1, le=65535)] = 587


class ImapSettings(_Server):
    """`[imap]`: the mailbox to which replies and bounces come. Without it nothing comes in."""

    port: Annotated[int, Field(ge=1, le=65535)] = 143
    folder: str = "INBOX"
    every_s: Annotated[float, Field(ge=0.1, le=3600)] = 20.0
    """How often it is looked into."""


class EmailSettings(BaseModel):
    """`plugins/email.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sender: Address
    """From whom."""
    sender_name: str = Field(default="", max_length=80, pattern=r"^[^\r\n]*$")
    """As people see it."""
    reply_to: Address | None = None
    """Where replies go; by default to the sender: the mailbox of `[imap]`."""
    smtp: SmtpSettings
    imap: ImapSettings | None = None
    per_second: Annotated[float, Field(gt=0, le=1000)] = 10.0
    """Messages a second that the server takes from us."""
    at_once: Annotated[int, Field(ge=1, le=50)] = 5
    """Connections at a time."""


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
