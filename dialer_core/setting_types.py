"""What the settings of all files share: the base of their tables, and checked kinds of values.

It owns no setting.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _check_e164(number: str) -> str:
    if not (number.startswith("+") and number[1:].isdigit() and 7 <= len(number) - 1 <= 15):
        msg = "must be a number in E.164 form, such as +525512345678"
        raise ValueError(msg)
    return number


def _check_name(name: str) -> str:
    if not name or len(name) > 64 or not all(c.isalnum() or c in "-_." for c in name):
        msg = "names are 1 to 64 letters, digits, '-', '_' or '.'"
        raise ValueError(msg)
    return name


def _check_port_range(ports: str) -> str:
    low, _, high = ports.partition("-")
    if not (low.isdigit() and high.isdigit() and 1024 <= int(low) < int(high) <= 65535):
        msg = "must be a range of ports such as 20000-29999, within 1024-65535"
        raise ValueError(msg)
    return ports


def check_secret(variable: str, file: Path | None) -> None:
    """Refuse a secret that is named twice."""
    if variable and file:
        msg = "name the secret once: the variable (…_env) or the file (…_file), not both"
        raise ValueError(msg)


E164 = Annotated[str, AfterValidator(_check_e164)]
Name = Annotated[str, AfterValidator(_check_name)]
Port = Annotated[int, Field(ge=1, le=65535)]
PortRange = Annotated[str, AfterValidator(_check_port_range)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Codec = Literal["PCMU", "PCMA"]


class Section(BaseModel):
    """A table of a settings file: unknown keys are refused, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)
