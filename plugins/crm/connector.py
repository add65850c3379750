"""What every kind of CRM is to the rest of the plugin: pages of records in, records of ours out, and the ways in which that fails.

    CrmError (DialerError)
    ├── AwayError       nothing was taken: unreachable, too busy, half an answer; the same again later
    │   └── LoginError  it does not let us in; the same again later, once somebody has mended it
    ├── StaleError      reading cannot go on from where it was, and begins anew
    └── MappingError    it says that what we ask for is wrong; somebody must change the mapping

It owns these and no kind's protocol.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from dialer_core.plugin_api import DialerError
from plugins.crm.settings import AccountsSettings, OutSettings


class CrmError(DialerError):
    """Something about a CRM that can be told in one line."""


class AwayError(CrmError):
    """It cannot be spoken with now."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class LoginError(AwayError):
    """It does not let us in."""


class StaleError(CrmError):
    """Where reading was to go on, it cannot any more: it begins anew."""


class MappingError(CrmError):
    """It knows no such object, field or path."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, in the order in which they came."""

    records: list[dict[str, Any]]
    resume: str | None
    """With which reading goes on behind this page, also after a restart; None: this was the last."""
    once_kept: Callable[[], Awaitable[None]] | None = None
    """What is to be done there once everything of the page is kept here: a file is moved aside."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record of ours for one target."""

    name: str
    """Of the `[out]` table."""
    its: OutSettings
    id: str
    """Our id of it: told twice, it is there once."""
    key: str
    """Of what is told: an event's id."""
    target: str
    fields: dict[str, Any]
    """Theirs, as the mapping fills them: dates, times and decimals are Python's."""
    places: dict[str, Any]
    """What `find` and headers are filled with."""


@dataclass(frozen=True, slots=True)
class Written:
    """What has become of one record."""

    state: Literal["ok", "refused", "failed", "later"]
    """`refused`: it will not be taken another time either. `failed`: the CRM's own fault, or nobody can say; the same again later. `later`: it was
    not taken now, and nothing speaks against it."""
    reason: str = ""
    retry_after_s: float | None = None


OK = Written("ok")


class Connector(Protocol):
    """A CRM."""

    async def check(self) -> None:
        """Log in. Raises `CrmError`."""

    async def fields_of(self, source: str) -> set[str] | None:
        """Return which fields an object has; None: it cannot be known. Raises `CrmError`: there is no such object."""

    def read(self, its: AccountsSettings, since: Any, resume: str | None) -> AsyncGenerator[Page, None]:
        """Yield pages of what was changed since a moment (None: all), from behind `resume` on.

        Raises
        ------
        AwayError
            What came until now is whole; what comes next is not there now.
        MappingError
            It does not understand what we ask.
        """

    async def write(self, batch: Sequence[Outgoing]) -> list[Written]:
        """Write records of ours, each once however often it is asked for; return what became of each, in order.

        Raises
        ------
        AwayError
            Nothing can be said of any of them.
        """

    async def close(self) -> None:
        """Close what is open."""
