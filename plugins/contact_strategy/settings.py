"""The rules: `plugins/contact_strategy.toml`."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dialer_core.plugin_api import EngineHandle

PLUGIN = "contact_strategy"
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
"""A strategy's or an arm's."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        msg = f"{name!r} is no time zone; write one such as America/Mexico_City"
        raise ValueError(msg) from None
    return name


class _Rule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StepSettings(_Rule):
    """`[[strategies.NAME.steps]]`: one thing that is done."""

    do: Annotated[str, Field(min_length=1, max_length=64)]
    """`message`, `call`, `wait`, or what another plugin does in a step."""
    days: Annotated[int, Field(ge=0, le=365)] = 0
    """Days after the step before it, by the calendar; the first: after the beginning."""
    at: dt.time | None = None
    """Local time of the person; by default at once, or at the hour of the step before."""
    template: str = ""
    """Of a `message`: a file of `templates/`."""
    given: dict[str, str] = {}
    """What the template's `[given]` names."""
    only_if: str = ""
    """An expression in the language of segments, asked when the step is due: where it names the account no more, the step is passed over."""
    data: dict[str, Any] = {}
    """What another plugin's step needs."""

    @model_validator(mode="after")
    def _complete(self) -> StepSettings:
        if (self.do == "message") != bool(self.template):
            msg = 'template: goes with do = "message", which must have one'
            raise ValueError(msg)
        return self


class ArmSettings(_Rule):
    """`[strategies.NAME.arms.ARM]`: other steps for a share of the accounts, to see which do better."""

    share: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Weight beside the other arms'."""
    steps: Annotated[tuple[StepSettings, ...], Field(min_length=1, max_length=100)]


class StrategySettings(_Rule):
    """`[strategies.NAME]`: for whom, when it begins, and its steps."""

    campaign: str
    """Whose list, and whose rules the messages go by."""
    when: Literal["listed", "promise_broken", "paid"] = "listed"
    """What begins it: being on the list (and named by `where`), a promise that was broken, a payment that left something owed."""
    where: str = ""
    """Which accounts, in the language of segments; by default all."""
    again_after_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """The same account gets it again after so many days at the earliest."""
    steps: Annotated[tuple[StepSettings, ...], Field(max_length=100)] = ()
    arms: dict[Name, ArmSettings] = {}

    @model_validator(mode="after")
    def _one_way(self) -> StrategySettings:
        if bool(self.steps) == bool(self.arms):
            msg = "give steps, or arms that have them"
            raise ValueError(msg)
        return self


class ReminderSettings(_Rule):
    """`[[reminders]]`: a message before the day of a promised payment."""

    days_before: Annotated[int, Field(ge=0, le=30)] = 1
    at: dt.time = dt.time(10)
    """Local time of `zone`."""
    template: Annotated[str, Field(min_length=1)]
    """A template that may speak of the promise (`promise_amount`, `promise_date`)."""


class ContactStrategySettings(_Rule):
    """`plugins/contact_strategy.toml`."""

    zone: Annotated[str, AfterValidator(_known_zone)] = "America/Mexico_City"
    """IANA zone of days, and of people whose numbers' zones are unknown."""
    look_every_minutes: Annotated[int, Field(ge=1, le=1440)] = 10
    """How often lists are looked through for accounts whose strategy begins."""
    most_a_look: Annotated[int, Field(ge=1, le=1_000_000)] = 20_000
    """Strategies begun at one look: a mistake in a rule does not write to a whole portfolio at once."""
    strategies: dict[Name, StrategySettings] = {}
    """In order: an account gets the first that names it, and no second while one runs."""
    reminders: tuple[ReminderSettings, ...] = ()


def settings_of(engine: EngineHandle) -> ContactStrategySettings:
    """Return the rules; without a file there are none. Raises `ConfigError`."""
    if not (engine.config_directory / "plugins" / f"{PLUGIN}.toml").exists():
        return ContactStrategySettings()
    return engine.settings(ContactStrategySettings)
