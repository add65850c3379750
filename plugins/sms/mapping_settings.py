"""`provider = "http"` in `plugins/sms.toml`: how a provider's HTTP interface is spoken, said in the file instead of in code.

It owns the shape and what is wrong with it. What follows from it on the wire is `http_mapping.py`'s.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PLACES: Final = ("to", "digits", "text", "id", "secret")
"""What a request may hold: the number with its plus sign, the number without, the text, our id of the message, the provider's secret."""
PLACE: Final = re.compile(r"\{([a-z]+)\}")
Path_ = Annotated[str, Field(pattern=r"^[A-Za-z0-9_\-]+(\.[A-Za-z0-9_\-]+)*$")]
"""Where a value stands: `data.0.id`; the names of fields and the numbers of items."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def places_in(what: Any) -> set[str]:
    """Return the places of a text, or of every text in tables and lists."""
    if isinstance(what, dict):
        return set().union(*map(places_in, what.values()))
    if isinstance(what, list | tuple):
        return set().union(*map(places_in, what))
    return set(PLACE.findall(what)) if isinstance(what, str) else set()


class RequestSettings(_Part):
    """`[request]`: one message. `{to}`, `{digits}`, `{text}`, `{id}` and `{secret}` stand for what they say."""

    method: Literal["POST", "GET", "PUT"] = "POST"
    url: str = Field(pattern=r"^https?://[^\s]+$")
    query: dict[str, str] = Field(default_factory=dict)
    form: dict[str, str] = Field(default_factory=dict)
    json_: dict[str, Any] = Field(default_factory=dict, alias="json")
    headers: dict[str, str] = Field(default_factory=dict)
    secret_env: str = ""
    """Environment variable that holds what `{secret}` stands for."""
    secret_file: Path | None = None
    """Or a file that holds it."""

    @field_validator("query", "form", "json_", "headers")
    @classmethod
    def _known(cls, table: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(places_in(table) - set(PLACES)):
            msg = (
                f"{{{unknown[0]}}} stands for nothing; there are {', '.join(f'{{{one}}}' for one in PLACES)}"
            )
            raise ValueError(msg)
        return table

    @model_validator(mode="after")
    def _says_something(self) -> RequestSettings:
        if places_in(self.url):
            msg = "url: put what changes into query, form or json"
            raise ValueError(msg)
        said = places_in([self.query, self.form, self.json_])
        if self.form and self.json_:
            msg = "give either form or json"
            raise ValueError(msg)
        if "text" not in said or not {"to", "digits"} & said:
            msg = "query, form or json must hold {text}, and {to} or {digits}"
            raise ValueError(msg)
        if "secret" in places_in(self.url):
            msg = "the secret belongs into headers, form, json or query"
            raise ValueError(msg)
        return self


class AnswerSettings(_Part):
    """`[answer]`: what the provider says to it."""

    id: Path_ | None = None
    """Where its id stands in the JSON answer. Without: the provider names ours (`{id}`) in its receipts."""
    status: Path_ | None = None
    """Where it says in words, with a 2xx, whether it took the message."""
    taken: tuple[str, ...] = ()
    """Those words."""
    code: Path_ | None = None
    """Where its code of an error stands."""
    busy: tuple[str, ...] = ()
    """Codes, or words of `status`, by which it did not take the message now."""
    refused: tuple[str, ...] = ()
    """Codes, or words of `status`, by which it never takes it."""

    @model_validator(mode="after")
    def _whole(self) -> AnswerSettings:
        if bool(self.status) != bool(self.taken):
            msg = "status and taken go together"
            raise ValueError(msg)
        return self


class ReceiptSettings(_Part):
    """`[receipts]`: how it tells of the end, to `/hooks/sms`."""

    id: Path_
    status: Path_
    delivered: Annotated[tuple[str, ...], Field(min_length=1)]
    failed: Annotated[tuple[str, ...], Field(min_length=1)]
    """Every other word is a state on the way."""
    code: Path_ | None = None


class InboundSettings(_Part):
    """`[inbound]`: how it tells what people write, to `/hooks/sms`."""

    id: Path_
    sender: Path_
    text: Path_


class SignatureSettings(_Part):
    """`[signature]`: how it proves that it is the provider. Without it there is no `/hooks/sms`."""

    scheme: Literal["hmac", "token"]
    """`hmac`: a keyed digest of the body; `token`: a secret word."""
    header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    """The header that holds it."""
    field: str = ""
    """A token's place where it is no header: a field of the query or form."""
    algorithm: Literal["sha256", "sha1", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    prefix: str = ""
    """What stands before the digest: `sha256=`."""
    timestamp_header: str = Field(default="", pattern=r"^[A-Za-z0-9-]*$")
    """Where the time stands, in seconds: it and a dot are signed before the body, and an old request is refused."""
    tolerance_s: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    secret_env: str = ""
    """Environment variable that holds the key, or the word."""
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _whole(self) -> SignatureSettings:
        if bool(self.secret_env) == bool(self.secret_file):
            msg = "give either secret_env or secret_file"
            raise ValueError(msg)
        if self.scheme == "hmac" and (not self.header or self.field):
            msg = "an hmac stands in a header"
            raise ValueError(msg)
        if self.scheme == "token" and bool(self.header) == bool(self.field):
            msg = "give the token's header or its field"
            raise ValueError(msg)
        return self


class MappedSettings(_Part):
    """`provider = "http"`: any HTTP interface, by a mapping."""

    provider: Literal["http"]
    request: RequestSettings
    answer: AnswerSettings = AnswerSettings()
    each: Path_ | None = None
    """Where the list of what a webhook tells stands, where it tells of several at once."""
    receipts: ReceiptSettings | None = None
    inbound: InboundSettings | None = None
    signature: SignatureSettings | None = None
    per_second: Annotated[float, Field(gt=0, le=10_000)] = 10.0
    """Messages a second that the provider takes from us."""
    at_once: Annotated[int, Field(ge=1, le=200)] = 10
    """Requests under way at a time."""

    @model_validator(mode="after")
    def _told_by_somebody(self) -> MappedSettings:
        if (self.receipts or self.inbound) and self.signature is None:
            msg = "receipts and inbound need [signature]: anybody could tell them"
            raise ValueError(msg)
        if self.answer.id is None and self.receipts and "id" not in places_in(
            [self.request.query, self.request.form, self.request.json_, self.request.headers]
        ):  # fmt: skip
            msg = "without answer.id the request must hold {id}, which receipts name"
            raise ValueError(msg)
        return self
