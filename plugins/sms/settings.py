"""The settings of the plugin `sms`: `plugins/sms.toml`, by the kind of provider.

It owns their shapes. What each means for the wire is `twilio.py`'s, `smpp.py`'s and `http_mapping.py`'s.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from plugins.sms.mapping_settings import MappedSettings


class _Provider(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TwilioSettings(_Provider):
    """`provider = "twilio"`: an interface shaped like Twilio's."""

    provider: Literal["twilio"]
    base_url: str = Field(default="https://api.twilio.com", pattern=r"^https?://[^\s/]+(:\d+)?$")
    """The provider's address."""
    account_sid: str = Field(pattern=r"^[A-Za-z0-9]{2,64}$")
    """Our account with the provider."""
    auth_token_env: str = ""
    """Environment variable that holds the account's token: it signs our requests and theirs."""
    auth_token_file: Path | None = None
    """Or a file that holds it."""
    sender: str = ""
    """Number or name we send from."""
    messaging_service_sid: str = ""
    """Or the provider's pool of numbers."""
    public_url: str = Field(default="", pattern=r"^(https?://[^\s]+/hooks/sms)?$")
    """Where the provider reaches `/hooks/sms`, as it writes it: part of the signature. Empty: no receipts, no answers."""
    per_second: Annotated[float, Field(gt=0, le=1000)] = 10.0
    """Messages a second that the provider takes from us."""
    at_once: Annotated[int, Field(ge=1, le=200)] = 10
    """Requests under way at a time."""

    @model_validator(mode="after")
    def _one_sender(self) -> TwilioSettings:
        if bool(self.sender) == bool(self.messaging_service_sid):
            msg = "give either sender or messaging_service_sid"
            raise ValueError(msg)
        if bool(self.auth_token_env) == bool(self.auth_token_file):
            msg = "give either auth_token_env or auth_token_file"
            raise ValueError(msg)
        return self


class BindSettings(_Provider):
    """`[[binds]]`: one session with the message centre."""

    host: str = Field(min_length=1, max_length=255)
    port: Annotated[int, Field(ge=1, le=65535)] = 2775
    tls: bool = False
    """Encrypted, the centre's certificate checked."""
    tls_name: str = ""
    """The name in its certificate, where it is not `host`."""
    ca_file: Path | None = None
    """Who signed it, where the system does not know them."""


class SmppSettings(_Provider):
    """`provider = "smpp"`: a message centre by SMPP 3.4."""

    provider: Literal["smpp"]
    binds: Annotated[tuple[BindSettings, ...], Field(min_length=1, max_length=16)]
    """Sessions with one account of one centre; a message goes by the one with the fewest under way."""
    system_id: str = Field(min_length=1, max_length=15)
    """Our account with the centre."""
    password_env: str = ""
    """Environment variable that holds its password, of at most 8 characters."""
    password_file: Path | None = None
    """Or a file that holds it."""
    system_type: str = Field(default="", max_length=12)
    source: str = Field(min_length=1, max_length=20)
    """What we send from: a number with its plus sign, a short code or a name."""
    source_ton: Annotated[int, Field(ge=0, le=6)] | None = None
    """Type of `source`, where the centre wants another than what it looks like: 1 international, 3 short code, 5 name."""
    source_npi: Annotated[int, Field(ge=0, le=18)] | None = None
    receipts: bool = True
    """Ask for delivery receipts."""
    receipt_ids: Literal["as_is", "hex_to_decimal", "decimal_to_hex"] = "as_is"
    """How an id in a receipt becomes the one that the centre answered with."""
    validity_hours: Annotated[int, Field(ge=0, le=720)] = 0
    """How long the centre tries to deliver; 0: as it likes."""
    window: Annotated[int, Field(ge=1, le=200)] = 20
    """Messages under way on each bind at a time."""
    per_second: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    """Messages a second that the centre takes from us."""
    enquire_link_s: Annotated[float, Field(ge=0.1, le=600)] = 30.0
    """A centre that has been silent so long is asked whether it is there."""
    response_limit_s: Annotated[float, Field(ge=0.1, le=14)] = 10.0
    """A centre that has not answered within this has not."""

    @model_validator(mode="after")
    def _one_password(self) -> SmppSettings:
        if bool(self.password_env) == bool(self.password_file):
            msg = "give either password_env or password_file"
            raise ValueError(msg)
        return self

    @property
    def source_type(self) -> tuple[int, int]:
        """Type and numbering plan of `source`."""
        if self.source.startswith("+"):
            looks = (1, 1)
        elif self.source.isdigit():
            looks = (3, 0) if len(self.source) <= 8 else (1, 1)
        else:
            looks = (5, 0)
        ton = looks[0] if self.source_ton is None else self.source_ton
        return ton, looks[1] if self.source_npi is None else self.source_npi


class SmsSettings(
    RootModel[Annotated[TwilioSettings | SmppSettings | MappedSettings, Field(discriminator="provider")]]
):
    """`plugins/sms.toml`."""
