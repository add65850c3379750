"""Settings of how people find agents: skills with levels, overflow, and who is asked for by name.

It owns the section `[routing]` of a campaign's file; the choice itself is `agents/routing.py`'s.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from dialer_core.setting_types import Name, Section

Level = Annotated[int, Field(ge=1, le=10)]
"""How well somebody can do something: 10 is best."""


class RoutingSettings(Section):
    """Which of the campaign's agents get its people, and who first."""

    skills: dict[Name, Level] = Field(default_factory=dict)
    """Skills asked for, with the lowest level that will do: `{ legal = 3 }`. The best goes first; of equals, the longest idle."""
    overflow_s: Annotated[float, Field(ge=0, le=3600)] | None = None
    """After so long without anybody skilled, `overflow_skills` will do; a live answer waits for the rule pack's limit at most. Left out: never."""
    overflow_skills: dict[Name, Level] = Field(default_factory=dict)
    """What is asked for then; empty: any of the campaign's agents."""

    @model_validator(mode="after")
    def _wider(self) -> RoutingSettings:
        narrower = [name for name, level in self.overflow_skills.items() if level > self.skills.get(name, 0)]
        if narrower:
            msg = (
                f"overflow_skills must ask for less than skills, and asks for more of: {', '.join(narrower)}"
            )
            raise ValueError(msg)
        if self.overflow_skills and self.overflow_s is None:
            msg = "overflow_skills without overflow_s: say after how many seconds"
            raise ValueError(msg)
        return self
