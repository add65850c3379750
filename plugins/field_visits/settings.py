"""`plugins/field_visits.toml`: whose rules hold, who visits, what is asked at the door. It owns that file's shape, checked when it is loaded."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from dialer_core.plugin_api import EngineHandle
from plugins.field_visits.states import OUTCOMES

PLUGIN: Final = "field_visits"
LANGUAGES: Final = ("es", "en")
Words = dict[Literal["es", "en"], Annotated[str, Field(min_length=1, max_length=300)]]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Visitor(_Section):
    """`[visitors.NAME]`: somebody who visits; NAME is the user by which they log in (`dialer users add NAME --role visitor`)."""

    name: str = ""
    """As others read it; by default the user's."""
    start: Annotated[tuple[float, float], Field(min_length=2, max_length=2)]
    """Latitude and longitude of where their day begins, in degrees."""

    @field_validator("start")
    @classmethod
    def _on_earth(cls, start: tuple[float, float]) -> tuple[float, float]:
        if not (-90 <= start[0] <= 90 and -180 <= start[1] <= 180):
            msg = "latitude -90 to 90, then longitude -180 to 180"
            raise ValueError(msg)
        return start


class Choice(_Section):
    """One answer of a question of the kind `choice`."""

    id: str = Field(pattern=r"^[a-z0-9_]{1,32}$")
    es: str
    en: str


class Question(_Section):
    """`[[questions]]`: what is asked at the door."""

    id: str = Field(pattern=r"^[a-z0-9_]{1,32}$")
    kind: Literal["text", "yes_no", "choice", "number", "day"]
    label: Words
    choices: tuple[Choice, ...] = ()
    required: bool = False
    when: tuple[str, ...] = ()
    """Only after these outcomes; empty: after each."""

    @model_validator(mode="after")
    def _whole(self) -> Question:
        if missing := [one for one in LANGUAGES if one not in self.label]:
            msg = f"label: needs a text in {missing[0]!r} too"
            raise ValueError(msg)
        if (self.kind == "choice") != bool(self.choices):
            msg = "choices go with the kind choice, and that kind needs two at least"
            raise ValueError(msg)
        if self.kind == "choice" and (len(self.choices) < 2 or len({one.id for one in self.choices}) < len(self.choices)):  # fmt: skip
            msg = "choices: two at least, each with an id of its own"
            raise ValueError(msg)
        return self


class FieldVisitSettings(_Section):
    """All of `plugins/field_visits.toml`."""

    campaign: str
    """Whose rule pack, and whose policy for promises, visits go by."""
    zone: str = "America/Mexico_City"
    """In which visitors' days are."""
    language: Literal["es", "en"] = "es"
    """Of what is written into the history."""
    latitude: str = "latitud"
    """The account's attribute with the address' latitude, in degrees."""
    longitude: str = "longitud"
    address: str = "domicilio"
    """The attribute that people read."""
    near_m: Annotated[float, Field(ge=10, le=10_000)] = 150.0
    """Further from the address than this, beyond what the position may be wrong by, a visit is marked."""
    accurate_m: Annotated[float, Field(ge=5, le=10_000)] = 100.0
    """A position less exact than this is marked."""
    fresh_s: Annotated[float, Field(ge=10, le=86_400)] = 300.0
    """One taken longer before or after is marked."""
    most_photos: Annotated[int, Field(ge=0, le=20)] = 4
    """Of one visit."""
    visitors: dict[str, Visitor] = Field(default_factory=dict)
    questions: tuple[Question, ...] = ()

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            msg = "not a time zone; write one such as America/Mexico_City"
            raise ValueError(msg) from error
        return zone

    @model_validator(mode="after")
    def _apart(self) -> FieldVisitSettings:
        ids = [one.id for one in self.questions]
        if twice := [one for one in ids if ids.count(one) > 1]:
            msg = f"questions: two have the id {twice[0]!r}"
            raise ValueError(msg)
        for one in self.questions:
            if strange := [name for name in one.when if name not in OUTCOMES]:
                msg = f"questions: {one.id}: when: {strange[0]!r} is no outcome; there are {', '.join(OUTCOMES)}"
                raise ValueError(msg)
        return self


def settings_of(engine: EngineHandle) -> FieldVisitSettings:
    """Return the settings; ConfigError says where they are wrong and what would be right."""
    return engine.settings(FieldVisitSettings)
