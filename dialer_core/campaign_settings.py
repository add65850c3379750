"""The settings of a campaign: `campaigns/NAME.toml`.

It owns their shape. How the files are read and checked against each other is `settings.py`'s.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dialer_core.disposition_settings import REASONS, DispositionWords, Reasons
from dialer_core.list_settings import (
    AttemptLimits,
    HopperSettings,
    PreviewSettings,
    PromiseSettings,
    ScheduleSettings,
)
from dialer_core.routing_settings import InboundSettings, RoutingSettings
from dialer_core.setting_types import E164, Section
from dialer_core.vocabulary import AgentLeg, DetectionMode, Outcome, PacingMode
from dialer_core.voice_settings import RecordSettings


class RecycleRule(Section):
    """What becomes of a lead after an outcome."""

    after_minutes: Annotated[float, Field(ge=0, le=100_000)] = 60.0
    """Not dialed again before."""
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 6
    """Attempts with this outcome, then the lead is finished."""
    growth: Annotated[float, Field(ge=1, le=10)] = 1.0
    """Back-off: each time this outcome comes again for a lead, its pause is so many times as long."""
    longest_minutes: Annotated[float, Field(gt=0, le=100_000)] = 20_160.0
    """The longest that a growing pause becomes: two weeks."""
    next_number: bool = False
    """Go to the person's next number."""
    finish: bool = False
    """The lead is finished at once."""


class DetectionSettings(Section):
    """What a campaign does with verdicts, beside its mode `detection`."""

    cost_lost_person: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """What a person taken for a machine costs, in any unit; with the next three it sets the detector's thresholds. By default the mode's own."""
    cost_passed_machine: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """What a machine connected to an agent costs, in the same unit."""
    cost_delay_s: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """What a second of silence costs that a person hears after their greeting."""
    cost_told_person: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """What it costs to call a person a machine on the agent's screen, after a first verdict that connected them."""
    sample: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    """Share of machine verdicts connected anyway, while an agent is free, to learn how many people are lost; 0.01 to 0.02 is recommended."""
    screening_answer: str = "screening-es"
    """Prompt spoken to a phone's assistant that asks who is calling; empty: treated as a machine."""
    message: str = ""
    """Prompt left with a machine after its beep, where the rule pack's `[voicemail]` allows it; empty: none. Never one with details of a debt."""
    message_wait_s: Annotated[float, Field(ge=1, le=60)] = 45.0
    """Longest wait for the beep, or for the end of the greeting; then we hang up."""
    keep_clips: bool = False
    """Keep the first seconds of each answered call, encrypted, for retraining the detector; needs a key in `[clips]` of `dialer.toml`."""


class CampaignSettings(Section):
    """`campaigns/NAME.toml`."""

    creditor: str = ""
    """For whom we call; must be named before a real trunk is dialed."""
    rule_pack: str = ""
    """Name of the rule pack in `compliance/`; there is no default: it is a decision."""
    caller_id: E164 | None = None
    """Caller ID; by default the trunk's."""
    caller_ids: str = ""
    """Pool of `caller_ids.toml` from which each person's caller ID is taken, before `caller_id`."""
    trunks: Annotated[tuple[str, ...], Field(min_length=1)]
    """Trunks in order: the next is tried when one fails."""
    pacing: PacingMode = PacingMode.PROGRESSIVE
    """How many are placed: preview (each lead is shown to an agent first), progressive (1 per idle agent), ratio, erlang_c, predictive; agentless (by
    `flow` alone: lines and calls per second)."""
    ratio: Annotated[float, Field(ge=1.0, le=10.0)] = 1.5
    """Calls per idle agent in mode ratio."""
    abandonment_ceiling: Annotated[float, Field(gt=0, lt=0.2)] = 0.03
    """Share of live answers that may be abandoned; the rule pack's, where stricter."""
    ceiling_share: Annotated[float, Field(ge=0.1, le=1)] = 1.0
    """How much of the abandonment ceiling pacing may use: 0.5 dials ahead of the agents half as boldly."""
    detection: DetectionMode = DetectionMode.MONITOR
    """off, monitor (listen only), fast or strict."""
    machines: DetectionSettings = DetectionSettings()
    """What is done about machines, and what mistakes cost."""
    record: RecordSettings = RecordSettings()
    """Which conversations are recorded."""
    routing: RoutingSettings = RoutingSettings()
    """Which agents get its people."""
    inbound: InboundSettings = InboundSettings()
    """What becomes of those who call its numbers."""
    ring_limit_s: Annotated[float, Field(ge=2, le=120)] = 28.0
    """Ring time after which an attempt is cancelled."""
    agent_legs: AgentLeg = AgentLeg.NAILED_UP
    """Whether its agents' softphones stay up (`nailed_up`) or are called when a person is there (`per_conversation`, for softphones that answer by
    themselves: the person waits meanwhile). An agent of several campaigns stays up unless all of them say otherwise."""
    wrap_up_s: Annotated[float, Field(ge=0, le=3600)] = 20.0
    """After-call work, ended earlier by `ready` or a disposition."""
    flow: str = ""
    """Flow of `flows/` that speaks to live answers, at once and without an agent; empty: agents do."""
    abandonment_prompt: str = "abandonment-es"
    """Prompt played to a live answer without an agent in time."""
    inbound_prompt: str = "abandonment-es"
    """Prompt played to somebody who calls the campaign's number while nobody is at work, or has waited for too long; empty: none."""
    max_lines: Annotated[int, Field(ge=1)] | None = None
    """Lines this campaign may hold at most."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Share of a pool's attempts against other campaigns."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Against other campaigns of the same agents or trunks: while one of a higher priority has somebody to dial, those below it place nothing."""
    start: bool = True
    """Started when `dialer run` starts."""
    draft: bool = False
    """New to the store, it is a draft: it takes leads, and is not started before `dialer campaign release`."""
    recycle: dict[Outcome, RecycleRule] = Field(default_factory=dict)
    """Rules per outcome, over the built-in ones."""
    attempts: AttemptLimits = AttemptLimits()
    """How often a lead is tried."""
    hopper: HopperSettings = HopperSettings()
    """In which shares the list is dialed."""
    preview: PreviewSettings = PreviewSettings()
    """How long a lead is shown in mode preview."""
    promises: PromiseSettings = PromiseSettings()
    """What agents may agree to."""
    schedule: ScheduleSettings = ScheduleSettings()
    """On which days and hours it dials."""
    dispositions: DispositionWords = Field(default_factory=dict)
    """Words for agents, beside and over the built-in ones."""
    reasons: Reasons = Field(default_factory=lambda: dict(REASONS))
    """Reasons for non-payment that agents may give, each with its label."""
    failover: bool = True
    """Try the next trunk when one fails."""
