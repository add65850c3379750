"""One call that came in: where it is, as a table, and what is known of it. Pure.

It owns the table. What follows from a change is `inbound.py`'s.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from dialer_core.agents.state import Agent
from dialer_core.ipc.messages import Dialog, LegNegotiated
from dialer_core.store.callers import Caller
from dialer_core.vocabulary import CampaignId, LegId, WorkerId


class CallState(enum.StrEnum):
    """Where a call that came in is."""

    ANSWERING = "answering"
    """200 is on its way, and its ACK back."""
    QUEUED = "queued"
    """They wait for an agent, with music."""
    IN_FLOW = "in_flow"
    """The campaign's flow speaks to them."""
    BRIDGING = "bridging"
    """An agent is reserved."""
    TALKING = "talking"
    MESSAGE = "message"
    """Nobody is at work, they have waited for too long, or want to be called back: the last prompt plays."""
    ENDED = "ended"


class CallCue(enum.StrEnum):
    """What can happen to it."""

    ANSWERED = "answered"
    RESERVED = "reserved"
    """An agent is theirs."""
    BRIDGED = "bridged"
    LOST = "lost"
    """Their agent is gone, or could not be bridged."""
    TO_FLOW = "to_flow"
    WANTS_AGENT = "wants_agent"
    """They, or their flow, ask for an agent."""
    NOBODY = "nobody"
    """There will be no agent."""
    ENDED = "ended"


LATE = None
"""A legitimate race: ignored."""
_S, _C = CallState, CallCue
_CUES: Final = tuple(CallCue)
_ROWS: Final[dict[CallState, tuple[CallState | None, ...]]] = {
    # state       answered   reserved     bridged      lost       to flow      wants agent  nobody       ended
    _S.ANSWERING: (_S.QUEUED, _S.BRIDGING, LATE,       LATE,      LATE,        LATE,        _S.MESSAGE,  _S.ENDED),
    _S.QUEUED:    (LATE,      _S.BRIDGING, LATE,       LATE,      _S.IN_FLOW,  LATE,        _S.MESSAGE,  _S.ENDED),
    _S.IN_FLOW:   (LATE,      LATE,        LATE,       LATE,      LATE,        _S.QUEUED,   LATE,        _S.ENDED),
    _S.BRIDGING:  (LATE,      LATE,        _S.TALKING, _S.QUEUED, LATE,        LATE,        LATE,        _S.ENDED),
    _S.TALKING:   (LATE,      LATE,        LATE,       _S.QUEUED, LATE,        LATE,        LATE,        _S.ENDED),
    _S.MESSAGE:   (LATE,      LATE,        LATE,       LATE,      LATE,        LATE,        LATE,        _S.ENDED),
    _S.ENDED:     (LATE,      LATE,        LATE,       LATE,      LATE,        LATE,        LATE,        LATE),
}  # fmt: skip
TABLE: Final[dict[tuple[CallState, CallCue], CallState | None]] = {
    (state, cue): cell for state, row in _ROWS.items() for cue, cell in zip(_CUES, row, strict=True)
}
"""Every state and cue; there is no `bug` cell: whatever comes in which order, such a call can go on or end."""


@dataclass(slots=True)
class InboundCall:
    """One call that came in. Times are monotonic nanoseconds."""

    leg_id: LegId
    worker: WorkerId
    campaign_id: CampaignId
    trunk: str
    arrived_ns: int
    state: CallState = CallState.ANSWERING
    agent: Agent | None = None
    media_port: int = 0
    negotiated: LegNegotiated | None = None
    dialog: Dialog | None = None
    bridged_ns: int = 0
    number: str = ""
    """E.164, where they show one that is: it says by which rules they may be recorded."""
    known: bool = False
    """Their number has been looked up."""
    caller: Caller | None = None
    """Who they are, where somebody has that number."""
    flowed: bool = False
    """A flow has spoken to them: it does not begin again."""
    flow_ns: int = 0
    """Since when it speaks to them: that is no waiting."""
    identified: bool = False
    """In that flow they said, or showed, who they are."""
    served: bool = False
    """It has said or done what it is for."""
    queued_ns: int = 0
    """Since when they wait: a lost agent does not send them to the end."""
    music: bool = False
    speaking: bool = False
    """The offer to be called back is being told."""
    offered_ns: int = 0
    """When it was."""

    def apply(self, cue: CallCue) -> bool:
        """Take a cue; return whether it counted."""
        following = TABLE[self.state, cue]
        if following is not None:
            self.state = following
        return following is not None


def render_table() -> str:
    """Return the table of transitions in Markdown."""
    lines = ["| state | " + " | ".join(_CUES) + " |", "|---" * (len(_CUES) + 1) + "|"]
    lines += [
        f"| **{state}** | " + " | ".join(cell or "late" for cell in row) + " |"
        for state, row in _ROWS.items()
    ]
    return "\n".join(lines)
