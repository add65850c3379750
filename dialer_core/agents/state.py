"""One agent: the table of transitions and what the engine remembers.

It owns which cue leads where, and that every change closes one interval and opens the next at the same instant (I8: the change itself is
told to a callback that stores it). It owns no legs (`softphones.py`) and no choice among agents (`roster.py`).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from dialer_core.agent_settings import AgentSettings
from dialer_core.vocabulary import AgentId, AgentState, AttemptId, CampaignId, LegId


class AgentCue(enum.StrEnum):
    """What can happen to an agent."""

    LOGIN = "login"
    LEG_UP = "leg_up"
    """The softphone has answered."""
    LEG_LOST = "leg_lost"
    """The softphone's leg is gone or has gone silent."""
    NO_ANSWER = "no_answer"
    """Called for this conversation, the softphone has not answered."""
    READY = "ready"
    PAUSE = "pause"
    LOGOUT = "logout"
    RESERVE = "reserve"
    """A person is being given to them."""
    BRIDGED = "bridged"
    UNRESERVE = "unreserve"
    """The reservation came to nothing: the person hung up, or the bridge was refused."""
    CALL_ENDED = "call_ended"
    WRAP_UP_OVER = "wrap_up_over"
    """By time, by `ready`, or by the disposition."""


class AgentCell(enum.Enum):
    """What a cell holds besides a next state."""

    LATE = "late"
    """A legitimate race: ignored."""
    REFUSED = "refused"
    """A command that makes no sense now: told to whoever gave it."""
    AFTER = "after"
    """Remembered, and done when the conversation (and wrap-up) is over."""
    BUG = "bug"


S = AgentState
_LATE: Final = AgentCell.LATE
_NO: Final = AgentCell.REFUSED
_AFTER: Final = AgentCell.AFTER
_BUG: Final = AgentCell.BUG
_CUES: Final = tuple(AgentCue)
_ROWS: Final[dict[AgentState, tuple[AgentState | AgentCell, ...]]] = {
    # state         login     leg up   leg lost  no answer ready    pause     logout        reserve     bridged    unreserve  call ended wrap-up over
    S.LOGGED_OUT: (S.PAUSED, _LATE,   _LATE,    _LATE,    _NO,     _NO,      _NO,          _BUG,       _LATE,     _LATE,     _LATE,     _LATE),
    S.PAUSED:     (_NO,      S.READY, S.PAUSED, _LATE,    S.READY, S.PAUSED, S.LOGGED_OUT, _BUG,       _LATE,     _LATE,     _LATE,     _LATE),
    S.READY:      (_NO,      _LATE,   S.PAUSED, _LATE,    _NO,     S.PAUSED, S.LOGGED_OUT, S.RESERVED, _BUG,      _LATE,     _LATE,     _LATE),
    S.RESERVED:   (_NO,      _LATE,   S.PAUSED, S.PAUSED, _NO,     _AFTER,   _AFTER,       _BUG,       S.TALKING, S.READY,   S.READY,   _LATE),
    S.TALKING:    (_NO,      _LATE,   S.PAUSED, _LATE,    _AFTER,  _AFTER,   _AFTER,       _BUG,       _LATE,     _LATE,     S.WRAP_UP, _LATE),
    S.WRAP_UP:    (_NO,      _LATE,   S.PAUSED, _LATE,    S.READY, S.PAUSED, S.LOGGED_OUT, _BUG,       _LATE,     _LATE,     _LATE,     S.READY),
}  # fmt: skip
TABLE: Final[dict[tuple[AgentState, AgentCue], AgentState | AgentCell]] = {
    (state, cue): cell for state, row in _ROWS.items() for cue, cell in zip(_CUES, row, strict=True)
}
"""Every state and cue. LEG_UP in PAUSED becomes READY only if the agent was to be ready; a remembered pause or log-out turns the READY at the
end of a conversation into that. Rendered into the documentation."""


@dataclass(slots=True)
class Agent:
    """What the engine remembers of an agent. Times are monotonic nanoseconds."""

    id: AgentId
    settings: AgentSettings
    campaigns: frozenset[CampaignId]
    """Whose people they may be given at once: those they work for and whose skills they have. Pacing counts them for these."""
    per_conversation: bool = False
    """Their softphone is called for each conversation; without one they have no leg."""
    ring_s: float = 0.0
    """How long that softphone rings before it answers, lately."""
    works_for: frozenset[CampaignId] = frozenset()
    """Those and the ones whose people they get only by overflow, or by name."""
    state: AgentState = AgentState.LOGGED_OUT
    reason: str = ""
    since_ns: int = 0
    session_id: str = ""
    leg_id: LegId | None = None
    leg_up: bool = False
    wants_ready: bool = False
    """Goes to READY when the softphone is (back) up."""
    after_call: AgentCue | None = None
    """PAUSE or LOGOUT asked for during a conversation."""
    after_reason: str = ""
    attempt_id: AttemptId | None = None
    campaign_id: CampaignId | None = None
    last_attempt_id: AttemptId | None = None
    conversations: int = 0
    idle_since_ns: int = 0
    """Since when they have had no conversation: the longest idle is offered the next person."""
    redial_attempt: int = 0
    previewing: bool = False
    """They are shown a lead, or it is being dialed for them: nobody else is theirs."""
    finishing_ns: int = 0
    """Since when they are seen finishing what they do; 0 while they are not."""
    told_free: bool = True
    """Who has a source of states: it says that they are free. Everybody else always is, as far as that goes."""
    resting: bool = False
    """An agent of a PBX whose queue has just refused a call: nobody is delivered there for a moment."""

    @property
    def in_pbx(self) -> bool:
        """A PBX has them: no leg of theirs stands between conversations."""
        return bool(self.settings.queue)

    def next_state(self, cue: AgentCue) -> AgentState | AgentCell:
        """Look the cell up; changes nothing."""
        return TABLE[self.state, cue]

    @property
    def offered(self) -> bool:
        """May be given a person now (I5): nobody is shown to them, or being dialed for them, in a preview."""
        return self.reachable and not self.previewing

    @property
    def reachable(self) -> bool:
        """May be given the person who was meant for them now."""
        if self.state is not AgentState.READY or self.after_call is not None or not self.told_free:
            return False
        return not self.resting if self.in_pbx else self.leg_up or self.per_conversation

    @property
    def comes_back(self) -> bool:
        """Busy now and free for the next person afterwards."""
        return self.after_call is None and self.state in (
            AgentState.RESERVED,
            AgentState.TALKING,
            AgentState.WRAP_UP,
        )


def render_table() -> str:
    """Return the table of transitions in Markdown."""
    lines = ["| state | " + " | ".join(_CUES) + " |", "|---" * (len(_CUES) + 1) + "|"]
    lines += [
        f"| **{state}** | " + " | ".join(cell.value for cell in row) + " |" for state, row in _ROWS.items()
    ]
    return "\n".join(lines)
