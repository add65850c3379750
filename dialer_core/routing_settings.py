"""Settings of how people find agents: skills with levels and overflow, and the queue of those who call.

It owns the sections `[routing]` and `[inbound]` of a campaign's file; the choices themselves are `agents/routing.py`'s and `agents/blending.py`'s.
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


class InboundSettings(Section):
    """What becomes of those who call the campaign's numbers while nobody is free at once."""

    max_wait_s: Annotated[float, Field(ge=0, le=3600)] = 180.0
    """They wait for so long, then hear `inbound_prompt` and the call ends. 0: nobody waits."""
    music: str = "hold"
    """Prompt they hear over and over meanwhile."""
    promised_agent_s: Annotated[float, Field(ge=0, le=600)] = 20.0
    """Somebody who was promised an agent, or spoke with one last, is kept for that one for so long, while others are free."""
    share: Annotated[float, Field(gt=0, lt=1)] = 0.7
    """Of the agents who become free while somebody waits who has called, this share goes to callers, and the rest to the people that are dialed."""
    flow: str = ""
    """Flow of `flows/` that speaks to callers whose account is known, before it hands them to an agent or ends; empty: none."""
    flow_first: bool = False
    """It speaks to them before anybody is looked for; else only where no agent is free, after `flow_after_s`, or at once while nobody is at work."""
    flow_after_s: Annotated[float, Field(ge=0, le=3600)] = 20.0
    """They wait so long for an agent before."""
    callback_offer: str = ""
    """Prompt that says which digit asks to be called back; played once, to those who wait and while nobody is at work. Empty: not offered."""
    callback_digit: Annotated[str, Field(pattern=r"^[0-9*#]$")] = "1"
    """That digit. It is offered to callers whose number is known, as nobody else can be called back by the rules."""
    callback_taken: str = ""
    """Prompt that confirms it; empty: none."""
    callback_after_minutes: Annotated[float, Field(ge=0, le=10_080)] = 60.0
    """When the call-back is due; the calling window still decides."""
