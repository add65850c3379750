"""Words of the floor: agents, what they say of a conversation, supervisors, and how campaigns are run.

The tables of states are in `agents/state.py` and `campaigns/run.py`.
"""

from __future__ import annotations

import enum


class AgentState(enum.StrEnum):
    """What an agent is doing. The table of transitions is in `agents/state.py`."""

    LOGGED_OUT = "logged_out"
    """Not working; their softphone is not called."""
    PAUSED = "paused"
    """Logged in and not offered anyone; always with a reason."""
    READY = "ready"
    """Waiting for a person."""
    RESERVED = "reserved"
    """A person has been assigned; the bridge is being made."""
    TALKING = "talking"
    """Bridged to a person."""
    WRAP_UP = "wrap_up"
    """After-call work, ended by time or by command."""


class PauseReason(enum.StrEnum):
    """Reasons the system itself gives for a pause. Agents give their own words beside these."""

    CONNECTING = "connecting"
    """Logged in; the softphone is being called."""
    LOGIN = "login"
    """The softphone is up and the agent has not said `ready` yet."""
    LEG_LOST = "leg_lost"
    """The softphone's leg is gone; it is being called again."""
    NO_ANSWER = "no_answer"
    """Called for a conversation, the softphone did not answer: nobody more is given to it before the agent says `ready`."""
    BUSY = "busy"
    """Their source says that they are in another call, or at work after one."""
    OFFLINE = "offline"
    """Their source says that they are not there."""
    SOURCE_STALE = "source_stale"
    """Their source has said nothing for too long: what it said last is not believed any more."""


class AgentLeg(enum.StrEnum):
    """When an agent's softphone is called."""

    NAILED_UP = "nailed_up"
    """At log-in; the leg stays up from one conversation to the next."""
    PER_CONVERSATION = "per_conversation"
    """For each conversation, when a person is there; how long it rings counts towards the limit after which that person is abandoned."""


class Presence(enum.StrEnum):
    """What a source of agents' states says of one."""

    AVAILABLE = "available"
    """May be given somebody now."""
    BUSY = "busy"
    """In a call, rung, or at work after a call; free again by themselves."""
    PAUSED = "paused"
    """Logged in there, and takes nobody."""
    OFFLINE = "offline"
    """Not logged in, or their phone cannot be reached."""


class CampaignState(enum.StrEnum):
    """The life of a campaign. The table of transitions is in `campaigns/run.py`."""

    DRAFT = "draft"
    """Being made ready: it takes leads, and cannot be started before it is released."""
    STOPPED = "stopped"
    """Not dialing, and nothing unanswered is left."""
    RUNNING = "running"
    """Dialing, as pacing, agents, trunks and the gate allow."""
    PAUSED = "paused"
    """No new attempts; those alive go on."""
    FINISHED = "finished"
    """Every lead is finished."""
    ARCHIVED = "archived"
    """Over: kept for reports, takes no leads, and cannot be started before it is reopened."""


class SupervisionMode(enum.StrEnum):
    """How a supervisor is in an agent's conversations."""

    LISTEN = "listen"
    """They hear it; nobody hears them."""
    WHISPER = "whisper"
    """The agent alone hears them."""
    BARGE = "barge"
    """Everybody hears them."""


class PacingMode(enum.StrEnum):
    """How calls come to be placed: preview, and the names that `pacing.PacerConfig.mode` takes."""

    AGENTLESS = "agentless"
    """Without agents: as many as lines and calls per second allow. For campaigns whose flow speaks to people; no pacer decides."""
    PREVIEW = "preview"
    """Each agent is shown a lead, and it is dialed for them when they accept it."""
    PROGRESSIVE = "progressive"
    """One call per idle agent."""
    RATIO = "ratio"
    """A fixed number of calls per idle agent."""
    ERLANG_C = "erlang_c"
    """The rate that the Erlang-C formula allows."""
    PREDICTIVE = "predictive"
    """The residual-time rule under the ceiling."""


class Disposition(enum.StrEnum):
    """What an agent says a conversation was; a campaign may name more."""

    RIGHT_PARTY = "right_party"
    """Spoke with the debtor, nothing agreed."""
    PROMISE = "promise"
    """A promise to pay."""
    REFUSES = "refuses"
    """Refuses to pay."""
    THIRD_PARTY = "third_party"
    """Spoke with somebody else."""
    WRONG_NUMBER = "wrong_number"
    """The number is not theirs."""
    DISPUTES = "disputes"
    """Says the debt is wrong."""
    DECEASED = "deceased"
    """The debtor has died."""
    CALLBACK = "callback"
    """Wants to be called at another time."""
    MACHINE = "machine"
    """It was a machine after all."""
    DO_NOT_CALL = "do_not_call"
    """Asked not to be called again."""
    OTHER = "other"
    """Anything else."""
