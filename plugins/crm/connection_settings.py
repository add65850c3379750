"""How each kind of CRM is reached: `[connections.NAME]` of `plugins/crm.toml`. It owns the shapes; the kinds' own modules speak them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$")]
Dotted = Annotated[str, Field(pattern=r"^[^\s.]+(\.[^\s.]+)*$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Connection(_Part):
    timeout_s: Annotated[float, Field(ge=0.1, le=600)] = 30.0
    """An answer that has not come by then does not count."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 8
    """Requests under way at a time."""


class AuthSettings(_Part):
    """`[connections.NAME.auth]`: how a request shows who we are."""

    scheme: Literal["none", "basic", "bearer", "key"] = "none"
    user: str = ""
    """Of `basic`."""
    header: str = "X-API-Key"
    """Which header holds the key (`key`)."""
    secret_env: str = ""
    """Environment variable that holds password, token or key."""
    secret_file: Path | None = None
    """Or a file that holds it."""

    @model_validator(mode="after")
    def _whole(self) -> AuthSettings:
        if self.scheme != "none" and bool(self.secret_env) == bool(self.secret_file):
            msg = "give either secret_env or secret_file"
            raise ValueError(msg)
        if self.scheme == "basic" and not self.user:
            msg = "basic needs user"
            raise ValueError(msg)
        return self


class PagingSettings(_Part):
    """`[connections.NAME.paging]`: how a list comes in pages."""

    by: Literal["none", "page", "offset", "cursor", "link"] = "none"
    """Numbered from 1, by how many came before, by a word of the answer's, or by an address of the answer's."""
    size: Annotated[int, Field(ge=1, le=10_000)] = 200
    size_parameter: str = "limit"
    """Under which name the size is asked for; empty: it is not."""
    parameter: str = ""
    """Under which name the page, offset or cursor is; by default `page`, `offset`, `cursor`."""
    next: Dotted | None = None
    """Where in the answer the cursor or address of the next page stands; absent, null or empty: that was all."""
    total: Dotted | None = None
    """Where the answer says how many there are: fewer, and something was lost on the way."""

    @model_validator(mode="after")
    def _whole(self) -> PagingSettings:
        if self.by in {"cursor", "link"} and self.next is None:
            msg = f"by = {self.by!r} needs next: where in the answer the next page stands"
            raise ValueError(msg)
        return self


class RestSettings(_Connection):
    """`kind = "rest"`: any interface of JSON over HTTP."""

    kind: Literal["rest"]
    url: Url
    """What paths are added to."""
    auth: AuthSettings = AuthSettings()
    paging: PagingSettings = PagingSettings()
    records: str = ""
    """Where in an answer the list stands (`data.items`); empty: the answer is the list."""
    since_parameter: str = ""
    """Under which name the moment is given since which changes are asked for; empty: it cannot be."""
    check_path: str = ""
    """What `dialer crm check` asks for, to see whether we may."""


class SalesforceSettings(_Connection):
    """`kind = "salesforce"`: Salesforce's REST interface."""

    kind: Literal["salesforce"]
    login_url: Url = "https://login.salesforce.com"
    """Where a token is asked for; of a sandbox `https://test.salesforce.com`, or your domain."""
    flow: Literal["client_credentials", "jwt"] = "client_credentials"
    client_id: str = Field(min_length=1)
    """The connected app's consumer key."""
    client_secret_env: str = ""
    client_secret_file: Path | None = None
    user: str = ""
    """As whom (`jwt`)."""
    private_key_file: Path | None = None
    """The key whose certificate the connected app has (`jwt`), PEM."""
    version: str = Field(default="62.0", pattern=r"^\d{2,3}\.0$")
    """Of the interface."""

    @model_validator(mode="after")
    def _whole(self) -> SalesforceSettings:
        if self.flow == "jwt":
            if not self.user or self.private_key_file is None:
                msg = "jwt needs user and private_key_file"
                raise ValueError(msg)
        elif bool(self.client_secret_env) == bool(self.client_secret_file):
            msg = "give either client_secret_env or client_secret_file"
            raise ValueError(msg)
        return self


class SqlSettings(_Connection):
    """`kind = "sql"`: a database that SQLAlchemy reaches."""

    kind: Literal["sql"]
    url_env: str = ""
    """Environment variable that holds SQLAlchemy's URL: it has a password in it."""
    url_file: Path | None = None
    """Or a file that holds it."""
    page_rows: Annotated[int, Field(ge=1, le=10_000)] = 500

    @model_validator(mode="after")
    def _whole(self) -> SqlSettings:
        if bool(self.url_env) == bool(self.url_file):
            msg = "give either url_env or url_file"
            raise ValueError(msg)
        return self


class _Drop(_Connection):
    in_folder: str = ""
    """Where files come; what has been read goes into `done` under it."""
    out_folder: str = ""
    """Where ours are laid, each complete once it has its name."""
    settle_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """A file that was written to so lately is not whole yet."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    encoding: str = "utf-8-sig"
    page_rows: Annotated[int, Field(ge=1, le=10_000)] = 500


class FilesSettings(_Drop):
    """`kind = "files"`: CSV files in folders."""

    kind: Literal["files"]


class SftpSettings(_Drop):
    """`kind = "sftp"`: CSV files in folders of an SFTP server. Needs the extra `sftp`."""

    kind: Literal["sftp"]
    host: str = Field(min_length=1)
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: str = Field(min_length=1)
    known_hosts: Path
    """The server's key, as OpenSSH's `known_hosts` has it: nobody else is spoken with."""
    password_env: str = ""
    password_file: Path | None = None
    key_file: Path | None = None
    """Or a private key."""


class TrytonSettings(_Connection):
    """`kind = "tryton"`: a Tryton server, by its JSON-RPC."""

    kind: Literal["tryton"]
    url: Url
    """With the database: `https://erp.example.org/tryton/`."""
    user: str = Field(min_length=1)
    password_env: str = ""
    password_file: Path | None = None
    page_rows: Annotated[int, Field(ge=1, le=5_000)] = 200

    @model_validator(mode="after")
    def _whole(self) -> TrytonSettings:
        if bool(self.password_env) == bool(self.password_file):
            msg = "give either password_env or password_file"
            raise ValueError(msg)
        return self


Connection = Annotated[
    RestSettings | SalesforceSettings | SqlSettings | FilesSettings | SftpSettings | TrytonSettings, Field(discriminator="kind")
]  # fmt: skip
