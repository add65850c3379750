"""One call that came in: where it is, as a table, and what is known of it. Pure.

It owns the table. What follows from a change is `inbound.py`'s.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from dialer_core.agents.state import Agent
from dialer_core.ipc.messages import Dialog, LegNegotiated
from dialer_core.vocabulary import CampaignId, LegId, WorkerId


class CallState(enum.StrEnum):
    """Where a call that came in is."""

    ANSWERING = "answering"
    """200 is on its way, and its ACK back."""
    BRIDGING = "bridging"
    """An agent is reserved."""
    TALKING = "talking"
    MESSAGE = "message"
    """Nobody is free: the message plays."""
    ENDED = "ended"


class CallCue(enum.StrEnum):
    """What can happen to it."""

    ANSWERED = "answered"
    RESERVED = "reserved"
    """An agent is theirs."""
    BRIDGED = "bridged"
    NOBODY = "nobody"
    """There is no agent, or none any more."""
    ENDED = "ended"


LATE = None
"""A legitimate race: ignored."""
_S, _C = CallState, CallCue
_CUES: Final = tuple(CallCue)
_ROWS: Final[dict[CallState, tuple[CallState | None, ...]]] = {
    # state       answered      reserved     bridged      nobody       ended
    _S.ANSWERING: (_S.ANSWERING, _S.BRIDGING, LATE,       _S.MESSAGE,  _S.ENDED),
    _S.BRIDGING:  (LATE,         _S.BRIDGING, _S.TALKING, _S.MESSAGE,  _S.ENDED),
    _S.TALKING:   (LATE,         _S.BRIDGING, LATE,       _S.MESSAGE,  _S.ENDED),
    _S.MESSAGE:   (LATE,         LATE,        LATE,       LATE,        _S.ENDED),
    _S.ENDED:     (LATE,         LATE,        LATE,       LATE,        LATE),
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
