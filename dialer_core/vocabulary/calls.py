"""Words of calls: attempts, legs, verdicts, conversations, recordings, trunks.

The table of an attempt's states is in `calls/attempt.py`.
"""

from __future__ import annotations

import enum
from typing import Final


class AttemptState(enum.StrEnum):
    """Where one attempt is. The table of transitions is in `calls/attempt.py`."""

    COMMITTED = "committed"
    """The row is in the store; nothing has been sent."""
    PLACING = "placing"
    """Media leg and worker have been asked; the INVITE may leave at any moment."""
    DIALING = "dialing"
    """The INVITE has left; nothing but 100 has come back."""
    RINGING = "ringing"
    """180, or 181/182/183 without sound."""
    EARLY_MEDIA = "early_media"
    """183 or 180 with SDP: we listen to what the network plays."""
    LISTENING = "listening"
    """Answered; the detector is listening."""
    WAITING = "waiting"
    """A live answer; no agent yet. The media plane's deadline runs."""
    BRIDGING = "bridging"
    """An agent is reserved and the media plane has been asked to bridge."""
    BRIDGED = "bridged"
    """Customer and agent hear each other."""
    TRANSFERRING = "transferring"
    """The agent has handed them on to an extension and left: it is being called, and they hear music."""
    TRANSFERRED = "transferred"
    """Customer and extension hear each other; no agent is with them any more."""
    IN_FLOW = "in_flow"
    """A live answer hears the campaign's flow: no agent is needed, until they ask for one."""
    LEAVING_MESSAGE = "leaving_message"
    """A machine: waiting for its beep, or the end of its greeting, and then speaking."""
    ABANDONING = "abandoning"
    """A live answer got no agent in time: the abandonment message is playing."""
    RELEASING = "releasing"
    """We have sent BYE or CANCEL and wait for the leg's end."""
    ENDED = "ended"
    """One outcome is stored. Nothing more happens."""


class Outcome(enum.StrEnum):
    """How an attempt ended; exactly one each. `calls/outcome.py` maps SIP and Q.850 to these."""

    CONNECTED = "connected"
    """A live answer was bridged to an agent."""
    ABANDONED = "abandoned"
    """A live answer, and no agent within the profile's limit (the message was played, or they hung up while it was)."""
    SELF_SERVED = "self_served"
    """A live answer was served by a flow, and by no agent: what it was for was said or done."""
    UNIDENTIFIED = "unidentified"
    """A live answer heard a flow to its end, and did not say that they are the person."""
    CALLER_HUNG_UP = "caller_hung_up"
    """Answered, and hung up before a verdict, while waiting within the limit, or before a flow had served them."""
    MACHINE = "machine"
    """An answering machine or voicemail."""
    MESSAGE_LEFT = "message_left"
    """A machine, and our message was spoken to its end after the beep."""
    FAX = "fax"
    """A fax or modem tone."""
    SIT = "sit"
    """Special information tone: the number is out of service or the network intercepted the call."""
    ANNOUNCEMENT = "announcement"
    """A recorded announcement of a carrier."""
    SCREENING = "screening"
    """A phone's call-screening assistant."""
    NETWORK_TONE = "network_tone"
    """Answered or early media with a busy, reorder or ringback tone and nothing more."""
    BUSY = "busy"
    """486 or 600: the line is busy."""
    NO_ANSWER = "no_answer"
    """Rang until our ring limit, or 408/480 after ringing."""
    DECLINED = "declined"
    """603 or 403 by the called party: they rejected the call."""
    INVALID_NUMBER = "invalid_number"
    """404, 410, 484, 604 or Q.850 1, 3, 22, 28: the number does not exist."""
    UNAVAILABLE = "unavailable"
    """480 without ringing, Q.850 20/27: the phone is off or out of coverage."""
    CONGESTION = "congestion"
    """5xx or Q.850 34/38/41/42/47: the trunk or the network could not carry the call."""
    TRUNK_FAILED = "trunk_failed"
    """No answer from the trunk, or it refuses us (401, 407, 403 without a callee): never reached the number."""
    MEDIA_FAILED = "media_failed"
    """488, no common codec, unusable SDP, or an answered call that never got sound negotiated."""
    REDIRECTED = "redirected"
    """302 and kin: we do not follow redirects."""
    CANCELLED = "cancelled"
    """We stopped it before the answer: a restriction, a payment, a paused campaign, a drain."""
    RELEASED = "released"
    """The pacer let a long-ringing attempt go before it could become an abandoned call."""
    INTERRUPTED = "interrupted"
    """A part of ours died and cut it off. Counts for caps."""
    INTERNAL = "internal"
    """A bug cell of a state table was hit. Counts for caps."""
    REJECTED = "rejected"
    """Any other final response."""


class Verdict(enum.StrEnum):
    """What the detector heard. The labels of `amd`, under the same names."""

    HUMAN = "human"
    """A person."""
    MACHINE = "machine"
    """An answering machine or voicemail."""
    SCREENING = "screening"
    """A phone's assistant that asks who is calling."""
    IVR = "ivr"
    """An automatic menu."""
    FAX = "fax"
    """A fax or modem: CED or CNG."""
    SIT = "sit"
    """Special information tone."""
    BUSY = "busy"
    """A busy tone."""
    REORDER = "reorder"
    """A reorder (congestion) tone."""
    RINGBACK = "ringback"
    """A ringback tone: it still rings."""
    ANNOUNCEMENT = "announcement"
    """A recorded announcement of a carrier."""
    MUSIC = "music"
    """Music."""
    SILENCE = "silence"
    """No voice by the limit: routed as a person, marked."""
    UNKNOWN = "unknown"
    """Undecided at the limit: routed as a person, marked."""


LIVE_VERDICTS = frozenset({Verdict.HUMAN, Verdict.SILENCE, Verdict.UNKNOWN})
"""Verdicts routed as a person: a human, and whatever is undecided at the limit (marked)."""
SPEAKING_MACHINES = frozenset({Verdict.MACHINE, Verdict.IVR, Verdict.MUSIC})
"""Verdicts that a person may have been taken for: evidence is gathered of these. Tones and faxes are not doubted."""


class DetectionMode(enum.StrEnum):
    """What a campaign does with the detector."""

    OFF = "off"
    """No listening: every answered call is connected as a person."""
    MONITOR = "monitor"
    """Listen and record the verdict, but connect every answered call as a person."""
    FAST = "fast"
    """Act on the verdict; decide early."""
    STRICT = "strict"
    """Act on the verdict; wait longer to be surer that a machine is a machine."""


CONSULTED: Final = "consulted"
"""Reason of an agent who is with another agent's customer as their third."""
INBOUND_CALL: Final = "inbound"
"""Reason of an agent who is reserved for or talks to somebody who called: there is no attempt."""


class LegKind(enum.StrEnum):
    """Whose leg it is."""

    CUSTOMER = "customer"
    """The leg to the dialed number."""
    AGENT = "agent"
    """The leg to an agent's softphone."""
    EXTENSION = "extension"
    """The leg to a named extension of the contact centre: a supervisor's phone, a colleague, a queue of the PBX."""


class LegPurpose(enum.StrEnum):
    """What an extension is called for."""

    THIRD = "third"
    """An agent asks somebody, beside their customer."""
    TRANSFER = "transfer"
    """An agent hands their customer on, and leaves."""
    SUPERVISION = "supervision"
    """A supervisor's phone, from one conversation to the next."""
    DELIVERY = "delivery"
    """A live answer goes into a queue of a PBX."""


class TalkState(enum.StrEnum):
    """Where an agent's conversation is. The table of transitions is in `calls/conversation.py`."""

    TOGETHER = "together"
    """Agent and customer hear each other."""
    HELD = "held"
    """The customer hears music, the agent nobody."""
    CALLING = "calling"
    """The customer hears music while the agent calls a third."""
    CONSULTING = "consulting"
    """The customer hears music; agent and third speak alone."""
    THREE_WAY = "three_way"
    """All three hear each other."""


class RecordSwitch(enum.StrEnum):
    """What is to become of a recording."""

    ON = "on"
    """Record, or go on after a pause."""
    PAUSE = "pause"
    """Silence on both channels from now on: a card's number is being said."""
    OFF = "off"
    """End it; what was recorded is kept."""
    DISCARD = "discard"
    """End it and delete it: they do not want to be recorded."""


class RecordPolicy(enum.StrEnum):
    """Which conversations of a campaign are recorded."""

    NEVER = "never"
    """None, and nobody can switch it on."""
    ON_DEMAND = "on_demand"
    """Those for which the agent, a supervisor or the API says so."""
    ALWAYS = "always"
    """Every one, from its bridge on."""


class EndedBy(enum.StrEnum):
    """Who ended a leg."""

    FAR = "far"
    """The far end: BYE or a final response."""
    US = "us"
    """We did, by command."""
    LIMIT = "limit"
    """The worker's own timer for that phase."""
    WORKER = "worker"
    """The worker could not place it (no slot, bad address), or died."""


class TrunkState(enum.StrEnum):
    """Whether a trunk carries calls now."""

    UP = "up"
    """It answers OPTIONS, or answered a call lately."""
    DOWN = "down"
    """It does not answer; probed again with back-off, leads wait."""
    UNKNOWN = "unknown"
    """Not probed yet."""


class SrtpUse(enum.StrEnum):
    """Whether a leg's sound is encrypted (SRTP, keys by RFC 4568)."""

    OFF = "off"
    """Never."""
    OPTIONAL = "optional"
    """Offered beside sound in the clear (RFC 8643); the far end chooses."""
    REQUIRED = "required"
    """Encrypted, or no call: `media_failed`."""
