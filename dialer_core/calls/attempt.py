"""One attempt: its table of transitions and what the engine remembers of it while it lives.

It owns which cue leads from which state to which. It does nothing about a transition: sending, storing and routing are
`call_flow.py`'s. Every cell is a next state, LATE (a legitimate race: ignored and counted) or BUG (the attempt ends as `internal`).

The races it decides, by cell:

- A 200 that crosses our CANCEL (RELEASING, ANSWERED): late. The worker ends that call by itself.
- A bridge that crosses the deadline: the media plane decides. It says FALLBACK_STARTED before it refuses, so (BRIDGING, FALLBACK_STARTED)
  abandons and the refusal that follows is late; BRIDGED first means the fallback never starts.
- A hang-up that crosses anything: LEG_ENDED ends every state; what comes after is late.
- An agent lost while bridging or bridged: the customer waits again, with a new deadline.
- A beep that comes after our message has begun, or after its hang-up, is late; so is the end of a message that their hang-up cut off.
- A transfer is the agent's word and the extension's answer: whichever of them meets a hang-up late changes nothing any more.
- A flow that is not ready when somebody answers waits no longer than an agent may take: the fallback of the media plane ends that wait.
- A revision to `machine` while nobody is talking yet releases the call; while they talk it only tells.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from dialer_core.ipc.messages import Dialog, LegNegotiated
from dialer_core.vocabulary import (
    AccountId,
    AgentId,
    AttemptId,
    AttemptState,
    CampaignId,
    LeadId,
    LegId,
    Outcome,
    PersonId,
    PhoneId,
    TrunkId,
    Verdict,
    WorkerId,
)


class Cue(enum.StrEnum):
    """What can happen to an attempt."""

    PLACED = "placed"
    """The worker has been asked to send the INVITE."""
    SENT = "sent"
    RINGING = "ringing"
    EARLY_MEDIA = "early_media"
    ANSWERED = "answered"
    LIVE = "live"
    """A verdict (or the mode) routes it as a person."""
    NOT_LIVE = "not_live"
    """A verdict says machine, fax, tone …"""
    LEAVE_MESSAGE = "leave_message"
    """A machine, by its verdict or by its agent's, and the campaign leaves a message where its rules allow it."""
    SCREENED = "screened"
    """A phone's assistant asks who is calling: it is told, and the detector listens anew."""
    REVISED_NOT_LIVE = "revised_not_live"
    """A provisional person turned out to be none."""
    AGENT_RESERVED = "agent_reserved"
    BRIDGED = "bridged"
    BRIDGE_REFUSED = "bridge_refused"
    """Not because of the fallback: a leg is gone or busy."""
    AGENT_LOST = "agent_lost"
    HANDED_ON = "handed_on"
    """Their agent gives them to another agent, who is free."""
    TRANSFER = "transfer"
    """Their agent hands them to an extension and leaves; it is being called."""
    TRANSFER_ANSWERED = "transfer_answered"
    """The extension is there."""
    TRANSFER_FAILED = "transfer_failed"
    """It did not answer, or is gone."""
    TO_FLOW = "to_flow"
    """A verdict (or the mode) routes it as a person, and the campaign's flow speaks to them."""
    WANTS_AGENT = "wants_agent"
    """They, or their flow, ask for an agent."""
    FALLBACK_STARTED = "fallback_started"
    PROMPT_FINISHED = "prompt_finished"
    RELEASE = "release"
    """We want it ended: agent hung up, cancelled, released by the pacer, drained."""
    LEG_ENDED = "leg_ended"
    OVERDUE = "overdue"
    """It was in its state longer than the state's limit."""


class Cell(enum.Enum):
    """What a cell holds besides a next state."""

    LATE = "late"
    BUG = "bug"


LATE: Final = Cell.LATE
BUG: Final = Cell.BUG
S = AttemptState

_CUES: Final = (
    Cue.PLACED, Cue.SENT, Cue.RINGING, Cue.EARLY_MEDIA, Cue.ANSWERED, Cue.LIVE, Cue.NOT_LIVE, Cue.LEAVE_MESSAGE, Cue.SCREENED, Cue.REVISED_NOT_LIVE, Cue.AGENT_RESERVED,
    Cue.BRIDGED, Cue.BRIDGE_REFUSED, Cue.AGENT_LOST, Cue.FALLBACK_STARTED, Cue.PROMPT_FINISHED, Cue.RELEASE, Cue.LEG_ENDED, Cue.OVERDUE,
    Cue.HANDED_ON, Cue.TRANSFER, Cue.TRANSFER_ANSWERED, Cue.TRANSFER_FAILED, Cue.TO_FLOW, Cue.WANTS_AGENT,
)  # fmt: skip
_ROWS: Final[dict[AttemptState, tuple[AttemptState | Cell, ...]]] = {
    # state        placed     sent       ringing    early media    answered     live       not live     message            screened     revised      reserved    bridged    refused    agent lost fallback      prompt end  release      leg ended overdue   handed on   transfer        tr. answered   tr. failed  to flow  wants agent
    S.COMMITTED:  (S.PLACING, BUG,       BUG,       BUG,           BUG,         BUG,       BUG,         BUG,               BUG,         BUG,         BUG,        BUG,       BUG,       BUG,       BUG,          BUG,        S.ENDED,     S.ENDED,  S.ENDED,  BUG,        BUG,            BUG,           BUG,  BUG,       BUG),
    S.PLACING:    (BUG,       S.DIALING, S.RINGING, S.EARLY_MEDIA, S.LISTENING, BUG,       LATE,        BUG,               BUG,         BUG,         BUG,        BUG,       BUG,       BUG,       BUG,          LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  BUG,        BUG,            BUG,           BUG,  BUG,       BUG),
    S.DIALING:    (BUG,       LATE,      S.RINGING, S.EARLY_MEDIA, S.LISTENING, BUG,       LATE,        BUG,               BUG,         BUG,         BUG,        BUG,       BUG,       BUG,       BUG,          LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  BUG,        BUG,            BUG,           BUG,  BUG,       BUG),
    S.RINGING:    (BUG,       LATE,      LATE,      S.EARLY_MEDIA, S.LISTENING, BUG,       LATE,        BUG,               BUG,         BUG,         BUG,        BUG,       BUG,       BUG,       BUG,          LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  BUG,        BUG,            BUG,           BUG,  BUG,       BUG),
    S.EARLY_MEDIA:(BUG,       LATE,      LATE,      LATE,          S.LISTENING, BUG,       LATE,        BUG,               BUG,         BUG,         BUG,        BUG,       BUG,       BUG,       BUG,          LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  BUG,        BUG,            BUG,           BUG,  BUG,       BUG),
    S.LISTENING:  (BUG,       LATE,      LATE,      LATE,          LATE,        S.WAITING, S.RELEASING, S.LEAVING_MESSAGE, S.LISTENING, LATE,        BUG,        BUG,       BUG,       BUG,       S.ABANDONING, LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  BUG,        BUG,            BUG,           BUG,  S.IN_FLOW, BUG),
    S.WAITING:    (BUG,       LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        S.RELEASING, S.BRIDGING, LATE,      LATE,      LATE,      S.ABANDONING, LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  LATE,       LATE,           LATE,          LATE,  LATE,      LATE),
    S.BRIDGING:   (BUG,       LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        S.RELEASING, BUG,        S.BRIDGED, S.WAITING, S.WAITING, S.ABANDONING, LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  LATE,       LATE,           LATE,          LATE,  LATE,      LATE),
    S.BRIDGED:    (BUG,       LATE,      LATE,      LATE,          LATE,        LATE,      LATE, S.LEAVING_MESSAGE,              LATE,        LATE,        BUG,        LATE,      LATE,      S.WAITING, LATE,         LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  S.BRIDGING, S.TRANSFERRING, S.TRANSFERRED, LATE,  LATE,      LATE),
    S.TRANSFERRING: (BUG,     LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        LATE,        BUG,        LATE,      LATE,      LATE,      LATE,         LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  LATE,       LATE,           S.TRANSFERRED, S.WAITING,  LATE,      LATE),
    S.TRANSFERRED: (BUG,      LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        LATE,        BUG,        LATE,      LATE,      LATE,      LATE,         LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  LATE,       LATE,           LATE,          S.RELEASING,  LATE,      LATE),
    S.IN_FLOW:    (BUG,       LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        S.RELEASING, BUG,        LATE,      LATE,      LATE,      S.ABANDONING, LATE,       S.RELEASING, S.ENDED,  S.RELEASING,  LATE,       LATE,           LATE,          LATE,  LATE,      S.WAITING),
    S.LEAVING_MESSAGE: (BUG,  LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        LATE,        BUG,        BUG,       LATE,      LATE,      LATE,         S.RELEASING,S.RELEASING, S.ENDED,  S.RELEASING,  LATE,       LATE,           LATE,          LATE,  LATE,      LATE),
    S.ABANDONING: (BUG,       LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        S.RELEASING, BUG,        BUG,       LATE,      LATE,      LATE,         S.RELEASING,S.RELEASING, S.ENDED,  S.RELEASING,  LATE,       LATE,           LATE,          LATE,  LATE,      LATE),
    S.RELEASING:  (BUG,       LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        LATE,        BUG,        LATE,      LATE,      LATE,      LATE,         LATE,       LATE,        S.ENDED,  S.ENDED,  LATE,       LATE,           LATE,          LATE,  LATE,      LATE),
    S.ENDED:      (LATE,      LATE,      LATE,      LATE,          LATE,        LATE,      LATE,        LATE,              LATE,        LATE,        LATE,       LATE,      LATE,      LATE,      LATE,         LATE,       LATE,        LATE,     LATE,  LATE,       LATE,           LATE,          LATE,  LATE,      LATE),
}  # fmt: skip

TABLE: Final[dict[tuple[AttemptState, Cue], AttemptState | Cell]] = {
    (state, cue): cell for state, row in _ROWS.items() for cue, cell in zip(_CUES, row, strict=True)
}
"""Every state and cue. Rendered into the documentation."""

STATE_LIMIT_S: Final[dict[AttemptState, float]] = {
    S.COMMITTED: 10.0,
    S.PLACING: 10.0,
    S.LISTENING: 20.0,
    S.BRIDGING: 6.0,
    S.LEAVING_MESSAGE: 120.0,
    S.IN_FLOW: 1860.0,
    S.ABANDONING: 130.0,  # the longest prompt takes 120 s
    S.RELEASING: 10.0,
    S.BRIDGED: 4 * 3600.0,
    S.TRANSFERRING: 60.0,
    S.TRANSFERRED: 4 * 3600.0,
}
"""Longest stay in a state before OVERDUE (I6). DIALING, RINGING and EARLY_MEDIA share the ring limit plus `RING_MARGIN_S`; WAITING has the
profile's limit plus `WAIT_MARGIN_S`: the worker's and the media plane's own timers act first, these watch over them, and over a media plane that
is being replaced (`calls/sound.py`)."""
AGENT_RING_LIMIT_S: Final = 50.0
"""BRIDGING lasts so long at most while the agent's softphone is called for it."""
RING_MARGIN_S: Final = 15.0
WAIT_MARGIN_S: Final = 6.0

RINGING_STATES: Final = frozenset({S.COMMITTED, S.PLACING, S.DIALING, S.RINGING, S.EARLY_MEDIA})
"""Placed and not yet answered: what pacing calls ringing."""


@dataclass(slots=True)
class Attempt:
    """What the engine remembers of a live attempt. Times are monotonic nanoseconds, 0 where it has not happened."""

    id: AttemptId
    campaign_id: CampaignId
    lead_id: LeadId
    account_id: AccountId
    person_id: PersonId
    phone_id: PhoneId
    number: str = field(repr=False)
    trunk: TrunkId
    pool: str
    leg_id: LegId
    retry_of: AttemptId | None = None
    language: str = "es"
    region: str | None = None
    """Of the person, where it is known."""
    caller_id: str | None = None
    """The number shown, where it comes from a pool."""
    for_agent: AgentId | None = None
    """The agent they were promised, by a call-back or by the promise they made with: theirs to take where they can."""
    previewed: bool = False
    """That agent was shown the lead and waits for this call."""
    personal: bool = False
    """A call-back made because that agent is free: the next person they get should be this one."""
    propensity: float | None = None
    """Probability that it is answered live, where somebody scores the list; None: as the pool has learned."""
    state: AttemptState = AttemptState.COMMITTED
    entered_ns: int = 0
    worker: WorkerId | None = None
    placements: int = 0
    """Workers asked so far: one that is full refuses before any INVITE leaves."""
    placed_ns: int = 0
    """When the last `Place` was given to its worker."""
    call_id: str = ""
    agent_id: AgentId | None = None
    """The agent reserved or bridged now."""
    last_agent_id: AgentId | None = None
    verdict: Verdict | None = None
    early_verdict: Verdict | None = None
    live: bool = False
    """Routed as a person."""
    abandoned: bool = False
    identified: bool = False
    """In its flow they said, or showed, who they are."""
    served: bool = False
    """Its flow has said or done what it is for."""
    screened: bool = False
    """A phone's assistant asked who is calling, and was told."""
    message_ns: int = 0
    """When our message to a machine began."""
    sampled: bool = False
    """A machine by its verdict, connected to an agent anyway, to learn how often that is wrong."""
    ringing_seen: bool = False
    cut_off: bool = False
    """A process of ours died under it: whatever it had come to, it was not its people who ended it."""
    crossed: bool = False
    """A 200 crossed our CANCEL."""
    release_outcome: Outcome | None = None
    """The outcome to store when the release we asked for has ended the leg."""
    negotiated: LegNegotiated | None = None
    dialog: Dialog | None = None
    media_port: int = 0
    committed_ns: int = 0
    sent_ns: int = 0
    ringing_ns: int = 0
    answered_ns: int = 0
    verdict_ns: int = 0
    greeting_end_ns: int = 0
    waiting_since_ns: int = 0
    wait_until_ns: int = 0
    """When the media plane gives up waiting for an agent. A reservation that comes to nothing does not move it."""
    bridging_limit_s: float = 0.0
    """Longest stay in BRIDGING, where that is not `STATE_LIMIT_S`: an agent's softphone, or a PBX's queue, is being called."""
    bridged_ns: int = 0
    abandoned_ns: int = 0
    talk_ns: int = 0
    """Time bridged so far, over all agents."""
    bridge_began_ns: int = 0
    """When the bridge that stands now began."""
    ended_ns: int = 0
    """When its leg ended, by its worker's word: a new engine may hear of it seconds later."""

    def end_ns(self, now_ns: int) -> int:
        """Return when it ended: not later than now, and not before anything else that happened to it (two processes told)."""
        happened = (
            self.sent_ns,
            self.ringing_ns,
            self.answered_ns,
            self.verdict_ns,
            self.bridge_began_ns,
            self.abandoned_ns,
        )
        return max(self.ended_ns, *happened) if self.ended_ns else now_ns

    def next_state(self, cue: Cue) -> AttemptState | Cell:
        """Look the cell up; changes nothing."""
        return TABLE[self.state, cue]


def render_table() -> str:
    """Return the table of transitions in Markdown: one row per state, one column per cue."""
    lines = ["| state | " + " | ".join(_CUES) + " |", "|---" * (len(_CUES) + 1) + "|"]
    lines += [
        f"| **{state}** | " + " | ".join(cell.value for cell in row) + " |" for state, row in _ROWS.items()
    ]
    return "\n".join(lines)
