"""Events of what happens on the line between bridge and end: flows, hold, thirds, transfers, supervision, recordings.

It owns these classes; `events.py`, which imports them, says what an event is.
"""

from __future__ import annotations

from dialer_core.event_base import Event, event_named
from dialer_core.vocabulary import AgentId, LegId


@event_named("talk.state_changed")
class TalkStateChanged(Event, frozen=True, kw_only=True):
    """An agent's conversation went on or off hold, to a third or to three: `state` as in `TalkState`."""

    agent_id: AgentId
    leg_id: LegId
    """The customer's."""
    state: str
    muted: bool = False
    third: str = ""
    """The extension or agent beside them."""


@event_named("talk.digits_sent")
class TalkDigitsSent(Event, frozen=True, kw_only=True):
    """The agent had so many digits sent to the far end; which ones is not kept."""

    agent_id: AgentId
    leg_id: LegId
    count: int
    method: str
    """`rfc4733` or `info`."""


@event_named("attempt.handed_on")
class AttemptHandedOn(Event, frozen=True, kw_only=True):
    """Their agent has transferred them, `blind` or `attended`: to another agent, who is bridged next, or to an extension."""

    agent_id: AgentId
    to_agent: AgentId | None = None
    to_extension: str = ""
    attended: bool = False


@event_named("attempt.transferred")
class AttemptTransferred(Event, frozen=True, kw_only=True):
    """Customer and extension hear each other; no agent is with them."""

    extension: str
    leg_id: LegId
    """The extension's."""


@event_named("attempt.transfer_failed")
class AttemptTransferFailed(Event, frozen=True, kw_only=True):
    """The extension did not answer, or was lost before it did: the customer waits for an agent again."""

    extension: str
    """Empty: a former engine had called it."""
    sip_code: int


@event_named("attempt.delivery_began")
class AttemptDeliveryBegan(Event, frozen=True, kw_only=True):
    """A live answer is being delivered into a queue of a PBX: it is called, and until one of its agents is there the person waits."""

    extension: str
    leg_id: LegId
    agent_id: AgentId
    """For whom of its agents; which of them takes it the PBX decides."""


@event_named("attempt.delivered")
class AttemptDelivered(Event, frozen=True, kw_only=True):
    """One of the queue's agents is there: the bridge follows."""

    extension: str
    leg_id: LegId
    agent_id: AgentId
    by: str
    """What said so: `answer`, `told`, `update`."""
    waited_ms: int
    """Since the queue was called."""


@event_named("attempt.delivery_failed")
class AttemptDeliveryFailed(Event, frozen=True, kw_only=True):
    """The queue did not take the call, or let it go before any agent was there: the person waits for another agent, up to the same deadline."""

    extension: str
    leg_id: LegId
    agent_id: AgentId
    sip_code: int
    reason: str
    """`refused`, `no_answer`, `not_acknowledged`, `lost`."""


@event_named("attempt.referred")
class AttemptReferred(Event, frozen=True, kw_only=True):
    """The far end was asked by REFER to take the call over, and said how that went: 2xx, and our legs leave; anything else, and they stay."""

    extension: str
    replaces: bool
    """The leg to the extension was to be replaced."""
    sip_code: int
    """Of the last NOTIFY, or of the refusal; 408: no word in time."""


@event_named("agent_source.changed")
class AgentSourceChanged(Event, frozen=True, kw_only=True):
    """A source of agents' states is heard again (`fresh`), or has been silent for too long: its agents take nobody meanwhile."""

    source: str
    fresh: bool
    agents: int
    """Whom it speaks of, in `agents.toml`."""
    stale_after_s: float


@event_named("recording.changed")
class RecordingChanged(Event, frozen=True, kw_only=True):
    """A conversation's recording began or went on (`on`), was paused, ended (`off`) or was refused (`discard`); it ends with the call by itself."""

    recording_id: str
    agent_id: AgentId
    switch: str
    basis: str | None = None
    """Why it could begin: `announced`, `consent` (their key), `agent` (their word to the agent); empty: the law asks for nothing."""


@event_named("recording.stored")
class RecordingStored(Event, frozen=True, kw_only=True):
    """A recording is sealed and can be played."""

    recording_id: str
    seconds: float


@event_named("recording.expired")
class RecordingExpired(Event, frozen=True, kw_only=True):
    """A recording's time is over: it has been deleted."""

    recording_id: str


@event_named("agent.noted")
class AgentNoted(Event, frozen=True, kw_only=True):
    """A supervisor has written a note to an agent."""

    agent_id: AgentId
    note_id: str


@event_named("agent.wrap_up_extended")
class AgentWrapUpExtended(Event, frozen=True, kw_only=True):
    """The agent's wrap-up goes on for `seconds` from now."""

    agent_id: AgentId
    seconds: float


@event_named("agent.supervision_changed")
class AgentSupervisionChanged(Event, frozen=True, kw_only=True):
    """A supervisor's phone is with an agent: `listen`, `whisper`, `barge`; or (`none`) no longer."""

    agent_id: AgentId
    supervisor: str
    mode: str
    actor: str = ""


@event_named("flow.started")
class FlowStarted(Event, frozen=True, kw_only=True):
    """A live answer, or somebody who has called, hears the first of a flow."""

    flow: str
    language: str
    leg_id: str | None = None
    """Of a call that came in."""


@event_named("flow.step_entered")
class FlowStepEntered(Event, frozen=True, kw_only=True):
    """A flow has come to a step; what it says is heard after this. `sensitive`: it tells of the debt."""

    flow: str
    step: str
    sensitive: bool
    leg_id: str | None = None
    """Of a call that came in."""


@event_named("flow.lookup_asked")
class FlowLookupAsked(Event, frozen=True, kw_only=True):
    """A flow wants the account read again: the host answers by preparing the call anew."""

    flow: str
    step: str
    leg_id: str | None = None
    """Of a call that came in."""


@event_named("flow.ended")
class FlowEnded(Event, frozen=True, kw_only=True):
    """A flow is over: `finished`, `to_agent`, `hung_up`, `not_a_person`, `not_ready` or `cut_off`."""

    flow: str
    step: str
    """The last one."""
    result: str
    steps: int
    seconds: float
    identified: bool
    keys_ignored: int = 0
    """Pressed where they meant nothing."""
    leg_id: str | None = None
    """Of a call that came in."""


@event_named("identity.verified")
class IdentityVerified(Event, frozen=True, kw_only=True):
    """From here on a debt may be spoken of in this conversation.

    `by`: `confirmation` (they said so), `digits` (they knew them) or `agent` (who made sure; `step` is whose name).
    """

    by: str
    step: str = ""
    chat_id: str | None = None
    """Of a conversation by message: its chat."""
    leg_id: str | None = None
    """Of a call that came in."""


@event_named("statement.requested")
class StatementRequested(Event, frozen=True, kw_only=True):
    """They want a statement of the account: for whoever sends documents."""

    flow: str = ""
    leg_id: str | None = None
    """Of a call that came in."""
    chat_id: str | None = None


@event_named("evidence.requested")
class EvidenceRequested(Event, frozen=True, kw_only=True):
    """They say that they have paid, and were asked for what shows it: for whoever looks for the payment."""

    flow: str = ""
    chat_id: str | None = None
