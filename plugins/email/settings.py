"""The settings of the plugin `email`: `plugins/email.toml`."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Address = Annotated[str, Field(pattern=r"^[^\s@<>]{1,64}@[A-Za-z0-9.-]{1,190}$")]
Security = Literal["starttls", "tls", "none"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Days = Literal["today", "yesterday", "last_7_days", "this_month", "last_month"]
Kind = Literal["summary", "outcomes", "dispositions", "reasons", "hours", "phones", "targets", "cdr"]
_FILTERS: Final = frozenset({"campaign", "segment", "portfolio", "product", "agent"})
BY: Final[Mapping[Kind, frozenset[str]]] = {
    "summary": _FILTERS | {"day", "month", "hour"},
    "outcomes": _FILTERS,
    "dispositions": _FILTERS,
    "reasons": _FILTERS,
    "hours": frozenset(),
    "phones": frozenset(),
    "targets": frozenset(),
    "cdr": frozenset(),
}
"""By what each report can be divided."""


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


class ScheduledReport(BaseModel):
    """`[[reports]]`: a report that goes out by itself, at a time of the company's clock (`reports.zone` of `dialer.toml`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$")]
    """By which it is known here and in its file's name."""
    report: Kind = "summary"
    """Which `dialer report`."""
    by: tuple[str, ...] = ()
    """A row for each, as `--by`."""
    days: Days = "yesterday"
    """Of which days, seen from the day it goes out."""
    campaigns: tuple[str, ...] = ()
    """Only these; by default all."""
    currency: Annotated[str, Field(pattern=r"^([A-Z]{3})?$")] = ""
    """Of amounts, where there are several."""
    at: dt.time
    """When, by the company's clock."""
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = get_args(Weekday)
    to: Annotated[tuple[Address, ...], Field(min_length=1, max_length=50)]
    format: Literal["csv", "json", "parquet"] = "csv"
    language: Literal["es", "en"] = "es"

    @model_validator(mode="after")
    def _possible(self) -> ScheduledReport:
        if wrong := sorted(set(self.by) - BY[self.report]):
            known = ", ".join(sorted(BY[self.report])) or "nothing"
            msg = f"{self.report} is given by {known}, not by {wrong[0]}"
            raise ValueError(msg)
        if self.at.tzinfo is not None:
            msg = "at is a time without a zone: it is that of reports.zone"
            raise ValueError(msg)
        if self.format == "parquet" and find_spec("pyarrow") is None:
            msg = "Parquet needs pip install 'marcador[parquet]'"
            raise ValueError(msg)
        return self


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
    reports: tuple[ScheduledReport, ...] = ()
    """Reports that go out by themselves."""

    @model_validator(mode="after")
    def _told_apart(self) -> EmailSettings:
        names = [one.name for one in self.reports]
        if twice := next((name for name in names if names.count(name) > 1), ""):
            msg = f"two reports are called {twice!r}"
            raise ValueError(msg)
        return self


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
