"""One conversation of an agent: its table of transitions, and who hears whom in each state. Pure.

It owns these two. What agents ask for, and the third's leg, are `desk.py`'s; supervisors are `supervision.py`'s; the sound is the media plane's.
The conversation's life is the attempt's: it begins and ends with the bridge.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dialer_core.agents.state import Agent
from dialer_core.calls.attempt import Attempt
from dialer_core.calls.inbound_call import InboundCall
from dialer_core.vocabulary import CampaignId, LegId, SupervisionMode, TalkState


class TalkCue(enum.StrEnum):
    """What can happen to a conversation."""

    HOLD = "hold"
    RESUME = "resume"
    CONSULT = "consult"
    """The agent calls a third."""
    THIRD_ANSWERED = "third_answered"
    THIRD_LOST = "third_lost"
    """It did not answer, hung up, or its leg is gone."""
    JOIN = "join"
    """The agent brings customer and third together."""
    DISMISS = "dismiss"
    """The agent lets the third go."""


class TalkCell(enum.Enum):
    """What a cell holds besides a next state."""

    LATE = "late"
    """A legitimate race: ignored."""
    REFUSED = "refused"
    """A command that makes no sense now: told to whoever gave it."""


S = TalkState
_LATE: Final = TalkCell.LATE
_NO: Final = TalkCell.REFUSED
_CUES: Final = tuple(TalkCue)
_ROWS: Final[dict[TalkState, tuple[TalkState | TalkCell, ...]]] = {
    # state       hold    resume      consult    third answered third lost  join         dismiss
    S.TOGETHER:   (S.HELD, _NO,        S.CALLING, _LATE,         _LATE,      _NO,         _NO),
    S.HELD:       (_NO,    S.TOGETHER, S.CALLING, _LATE,         _LATE,      _NO,         _NO),
    S.CALLING:    (_NO,    _NO,        _NO,       S.CONSULTING,  S.HELD,     _NO,         S.TOGETHER),
    S.CONSULTING: (_NO,    _NO,        _NO,       _LATE,         S.HELD,     S.THREE_WAY, S.TOGETHER),
    S.THREE_WAY:  (_NO,    _NO,        _NO,       _LATE,         S.TOGETHER, _NO,         S.TOGETHER),
}  # fmt: skip
TABLE: Final[dict[tuple[TalkState, TalkCue], TalkState | TalkCell]] = {
    (state, cue): cell for state, row in _ROWS.items() for cue, cell in zip(_CUES, row, strict=True)
}
"""Every state and cue. A third that is lost leaves the customer on hold: the agent, whom the status tells, takes them back. Rendered into the
documentation."""


@dataclass(slots=True)
class Third:
    """Whom an agent has called beside their customer: an extension, or another agent."""

    leg_id: LegId
    extension: str = ""
    agent: Agent | None = None

    @property
    def name(self) -> str:
        """How the status names them."""
        return self.extension or (self.agent.id if self.agent else "")


@dataclass(slots=True)
class Talk:
    """An agent and their customer, from the bridge to its end."""

    agent: Agent
    customer: LegId
    campaign_id: CampaignId
    attempt: Attempt | None = None
    """None: somebody who called."""
    number: str = ""
    """The customer's, E.164; empty: a caller's that is not known."""
    region: str | None = None
    """The customer's, where it is known."""
    state: TalkState = TalkState.TOGETHER
    muted: bool = False
    """Nobody hears the agent."""
    third: Third | None = None

    def next_state(self, cue: TalkCue) -> TalkState | TalkCell:
        """Look the cell up; changes nothing."""
        return TABLE[self.state, cue]


def talk_of(agent: Agent, attempt: Attempt) -> Talk:
    """Return an agent's conversation with somebody who was dialed."""
    return Talk(
        agent, attempt.leg_id, attempt.campaign_id, attempt, number=attempt.number, region=attempt.region
    )


def caller_talk(agent: Agent, call: InboundCall) -> Talk:
    """Return an agent's conversation with somebody who called."""
    region = call.caller.region if call.caller is not None else None
    return Talk(agent, call.leg_id, call.campaign_id, number=call.number, region=region)


@dataclass(frozen=True, slots=True)
class Hearing:
    """Whom each leg hears, and who hears music instead."""

    hears: dict[LegId, tuple[LegId, ...]]
    music: frozenset[LegId] = field(default_factory=frozenset)


def hearing(
    agent: LegId,
    talk: Talk | None,
    supervisors: Sequence[tuple[LegId, SupervisionMode]] = (),
    thirds: Sequence[tuple[LegId, SupervisionMode]] = (),
) -> Hearing:
    """Return whom every leg around an agent hears.

    Parameters
    ----------
    agent
        The agent's leg.
    talk
        Their conversation; None: they have none, and a supervisor who only listens hears nothing.
    supervisors
        Each one's leg, and how they are in it.
    thirds
        The same of those who are with the third, where that is an agent.
    """
    room, music = [agent], set[LegId]()
    if talk is not None:
        if talk.state in (TalkState.TOGETHER, TalkState.THREE_WAY):
            room.append(talk.customer)
        else:
            music.add(talk.customer)
        if talk.third is not None:
            room.append(talk.third.leg_id)
    room += [leg for leg, mode in (*supervisors, *thirds) if mode is SupervisionMode.BARGE]
    speak = [leg for leg in room if not (talk is not None and talk.muted and leg == agent)]
    hears = {leg: tuple(other for other in speak if other != leg) for leg in room}
    hears |= dict.fromkeys(music, ())
    beside = talk.third.leg_id if talk is not None and talk.third is not None else agent
    for leg, mode, whom in (*((*one, agent) for one in supervisors), *((*one, beside) for one in thirds)):
        if mode is not SupervisionMode.BARGE:
            alone = talk is None and mode is SupervisionMode.LISTEN
            hears[leg] = () if alone else tuple(speak)
        if mode is SupervisionMode.WHISPER:
            hears[whom] += (leg,)
    return Hearing(hears, frozenset(music))


def render_table() -> str:
    """Return the table of transitions in Markdown."""
    lines = ["| state | " + " | ".join(_CUES) + " |", "|---" * (len(_CUES) + 1) + "|"]
    lines += [
        f"| **{state}** | " + " | ".join(cell.value for cell in row) + " |" for state, row in _ROWS.items()
    ]
    return "\n".join(lines)
