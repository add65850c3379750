"""The settings of the plugin `sms`: `plugins/sms.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SmsSettings(BaseModel):
    """`plugins/sms.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
    def _one_sender(self) -> SmsSettings:
        if bool(self.sender) == bool(self.messaging_service_sid):
            msg = "give either sender or messaging_service_sid"
            raise ValueError(msg)
        if bool(self.auth_token_env) == bool(self.auth_token_file):
            msg = "give either auth_token_env or auth_token_file"
            raise ValueError(msg)
        return self
