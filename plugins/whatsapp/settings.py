"""The settings of the plugin `whatsapp`: `plugins/whatsapp.toml`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class WhatsAppSettings(BaseModel):
    """`plugins/whatsapp.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(default="https://graph.facebook.com", pattern=r"^https?://[^\s/]+(:\d+)?$")
    """The provider's address."""
    version: str = Field(default="v23.0", pattern=r"^v\d+\.\d+$")
    """Of its interface."""
    phone_number_id: str = Field(pattern=r"^\d{1,32}$")
    """Our number, by the provider's id of it."""
    access_token_env: str = ""
    """Environment variable that holds the token of our system user."""
    access_token_file: Path | None = None
    """Or a file that holds it."""
    app_secret_env: str = ""
    """Environment variable that holds the app's secret, which signs what the provider tells us. Without it, no receipts and no answers."""
    app_secret_file: Path | None = None
    """Or a file that holds it."""
    verify_token_env: str = ""
    """Environment variable that holds the word by which the provider proves itself when it is given our address."""
    verify_token_file: Path | None = None
    """Or a file that holds it."""
    per_second: Annotated[float, Field(gt=0, le=1000)] = 80.0
    """Messages a second that the provider takes from us."""
    at_once: Annotated[int, Field(ge=1, le=200)] = 20
    """Requests under way at a time."""
