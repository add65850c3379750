"""Scripts of simulated people: what they say, when, and what they want to hear first. TOML, checked when read.

It owns the language of these files. Who speaks them is `debtor.py`'s, the score `score.py`'s.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, model_validator

from dialer_core.errors import ConfigError
from dialer_core.setting_types import Section
from dialer_core.toml_files import explain, read_toml

Text = Annotated[str, Field(min_length=1, max_length=400)]


class Mark(enum.StrEnum):
    """What the agent marks while they talk, as on the desk."""

    IDENTITY = "identity"
    """They have made sure to whom they speak."""
    DEBT = "debt"
    """They have named the debt."""
    PROMISE = "promise"
    """They have written the promise down."""


class Turn(Section):
    """One thing that the person says."""

    say: Text
    """Their words."""
    needs: Mark | None = None
    """Said only once the agent has marked this; before, they say `instead`, again and again."""
    instead: str = Field(default="", max_length=400)
    """What they say until then."""

    @model_validator(mode="after")
    def _both(self) -> Turn:
        if (self.needs is None) != (not self.instead):
            msg = "needs and instead go together: what must be marked, and what they say until it is"
            raise ValueError(msg)
        return self


class Script(Section):
    """One simulated person."""

    title: str
    """What is practised, for people."""
    language: Literal["es", "en"]
    turns: Annotated[tuple[Turn, ...], Field(min_length=2, max_length=40)]
    """In order: the first when they pick up, each other one when the agent has spoken and paused. After the last they hang up."""
    silence: Text
    """What they say when the agent is silent for `patience_s`; the third time they hang up instead."""
    patience_s: Annotated[float, Field(ge=2, le=60)] = 6.0
    pause_s: Annotated[float, Field(ge=0.3, le=5)] = 0.9
    """A pause of the agent's for so long is taken for the end of what they say."""
    disposition: str
    """What the conversation is, rightly said."""
    promises: bool = False
    """They promise to pay: it must be written down."""


def read_script(file: Path) -> Script:
    """Read a script; raises `ConfigError` saying where and what would be right."""
    try:
        return Script.model_validate(read_toml(file))
    except ValidationError as error:
        raise ConfigError(explain(file, error)) from None
