"""The settings of the plugin `prioritization`: `plugins/prioritization.toml`."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from dialer_core.plugin_api import EngineHandle

PLUGIN = "prioritization"
Share = Annotated[float, Field(ge=0, le=1)]
Cost = Annotated[float, Field(ge=0, le=1e6)]


class Costs(BaseModel):
    """What one try costs, in the currency of the accounts: 0.35 is 35 cents."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    voice: Cost = 1.5
    sms: Cost = 0.5
    whatsapp: Cost = 0.8
    email: Cost = 0.02


class PrioritizationSettings(BaseModel):
    """`plugins/prioritization.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    campaigns: tuple[str, ...] = ()
    """Whose lists are put in order; by default every campaign's."""
    train_at: dt.time = dt.time(4, 30)
    """When models are trained anew, each morning, by `zone`."""
    order_every_minutes: Annotated[int, Field(ge=5, le=1440)] = 60
    """How often lists are put in order during the day, by what has happened since and by the hour."""
    zone: str = "America/Mexico_City"
    """IANA zone of `train_at`, and of accounts whose numbers' zones are unknown."""
    history_days: Annotated[int, Field(ge=14, le=1000)] = 180
    """How far back is learned from."""
    pay_days: Annotated[int, Field(ge=1, le=90)] = 14
    """A payment within so many days of a try counts as its."""
    least_tries: Annotated[int, Field(ge=100)] = 2_000
    """Tries that a model is learned from; below, the rule score is used."""
    least_of_each: Annotated[int, Field(ge=20)] = 150
    """Of these, so many that led to a contact (a payment) and so many that did not."""
    first_hour: Annotated[int, Field(ge=0, le=23)] = 7
    """The first hour of the callee that may be the best."""
    last_hour: Annotated[int, Field(ge=0, le=23)] = 21
    """The last one."""
    costs: Costs = Costs()


def settings_of(engine: EngineHandle) -> PrioritizationSettings:
    """Return the plugin's settings; without a file, the defaults. Raises `ConfigError`."""
    if not (engine.config_directory / "plugins" / f"{PLUGIN}.toml").exists():
        return PrioritizationSettings()
    return engine.settings(PrioritizationSettings)
