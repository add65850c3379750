"""What the engine says of itself at one moment: the answer to `status`, the same for CLI, API and plugins.

It owns the shape only; `engine.py` fills it. No personal data: ids and numbers.
"""

from __future__ import annotations

import msgspec


class ShownView(msgspec.Struct, frozen=True, kw_only=True):
    """The lead that an agent is shown before it is dialed."""

    lead: str
    account: str
    campaign: str
    seconds_left: float | None
    """None: they have said yes, and it is being dialed."""
    attempt: str | None
    then: str
    """What happens when the time is over: `skip` or `dial`."""


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    """One agent now."""

    id: str
    name: str
    state: str
    reason: str
    seconds_in_state: float
    leg_up: bool
    """The softphone's leg is up."""
    attempt_id: str | None = None
    """Of the person they talk to, or whose talk they wrap up."""
    last_attempt_id: str | None = None
    """That one, or the last before it."""
    campaign: str | None = None
    campaigns: tuple[str, ...] = ()
    """Those they work for."""
    conversations: int = 0
    """Since the engine started."""
    talk: str = ""
    """While they talk: together, held, calling, consulting or three_way."""
    muted: bool = False
    third: str = ""
    """The extension or agent beside them and their customer."""
    recording: str = ""
    """`on` or `pause` while their conversation is recorded."""
    wrap_up_s: float | None = None
    """How long their wrap-up lasts in all, while they are in it."""
    supervised: str = ""
    """How a supervisor is with them: listen, whisper or barge."""
    after: str = ""
    """What they have asked for after this conversation: pause or logout."""
    after_reason: str = ""
    shown: ShownView | None = None
    """Of an agent in mode preview."""


class CampaignView(msgspec.Struct, frozen=True, kw_only=True):
    """One campaign now; totals since the engine started, the ledger over the profile's window."""

    id: str
    state: str
    reason: str
    """Why it is paused, empty, or waiting (`trunk down`, `no agents`, `nothing dialable: …`)."""
    pacing: str
    detection: str
    attempts: int
    dialing: int
    """INVITE sent or ringing."""
    listening: int
    waiting: int
    talking: int
    live_answers: int
    abandoned: int
    outcomes: dict[str, int]
    ledger_live: int
    ledger_abandoned: int
    abandonment_ceiling: float
    """What the law or the campaign allows, whichever is stricter."""
    last_decision: str
    """The pacer's last decision in words."""
    people_lost: float | None = None
    """Estimated share of people taken for machines; missing while agents have heard nothing that says."""
    people_lost_low: float = 0.0
    people_lost_high: float = 1.0
    machines_passed: float | None = None
    """Estimated share of machines connected to agents."""
    machines_passed_low: float = 0.0
    machines_passed_high: float = 1.0
    ceiling_share: float = 1.0
    """How much of the ceiling pacing may use."""
    ratio: float = 1.0
    """Calls per idle agent, in mode ratio."""
    steered: bool = False
    """Mode, ratio or share are not what the campaign's file says: a supervisor has set them."""


class TrunkView(msgspec.Struct, frozen=True, kw_only=True):
    """One trunk now."""

    id: str
    state: str
    reason: str
    lines: int
    lines_used: int
    calls_per_second: float


class WorkerView(msgspec.Struct, frozen=True, kw_only=True):
    """One line worker now."""

    id: str
    attached: bool
    slots_used: int
    capacity: int
    rss_mb: float
    draining: bool = False
    """It takes nothing new and leaves when its last call has ended."""


class MediaView(msgspec.Struct, frozen=True, kw_only=True):
    """The media plane at its last report, a second ago at most; packets are counted since it started."""

    legs: int
    listening: int
    """Legs that the detector hears."""
    bridged_pairs: int
    tick_lag_ms: float
    """How late the worst 20 ms of that second began; over 20 is heard."""
    rss_mb: float
    rx_packets: int
    rx_lost: int
    rx_overrun: int
    """Thrown away by the kernel because they were not read in time."""
    tx_packets: int
    tx_failed: int


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The engine at one moment."""

    node: str
    at_utc: str
    uptime_s: float
    draining: bool
    store_healthy: bool
    media_attached: bool
    loop_lag_ms_p99: float
    """Lateness of the engine's loop over the last 20 s."""
    campaigns: tuple[CampaignView, ...]
    agents: tuple[AgentView, ...]
    trunks: tuple[TrunkView, ...]
    workers: tuple[WorkerView, ...]
    loop_lag_ms_p50: float = 0.0
    loop_lag_ms_max: float = 0.0
    command_to_wire_ms_p95: float = 0.0
    """From the engine's command to the INVITE on the wire, over the last 1,000."""
    brake: str = ""
    """Why pacing is held to one call per idle agent; empty while it is not."""
    held: str = ""
    """Why nothing new is placed at all: the store or a process of ours does not keep up; empty while all do."""
    store_backlog: int = 0
    """Units that wait for the database."""
    media: MediaView | None = None
    """None until its first report."""


class CallView(msgspec.Struct, frozen=True, kw_only=True):
    """One live attempt."""

    attempt_id: str
    campaign: str
    state: str
    trunk: str
    seconds: float
    agent: str | None = None
