"""Every domain enum and id type, each member documented. Read this first; it imports nothing of ours.

It owns the words of the system (see also the glossary in the documentation). State tables live beside their machines:
attempts in `calls/attempt.py`, agents in `agents/state.py`, campaigns in `campaigns/run.py`.
"""

from __future__ import annotations

import enum
import secrets
import threading
import time
from typing import Final, NewType

AttemptId = NewType("AttemptId", str)
LegId = NewType("LegId", str)
AccountId = NewType("AccountId", str)
PersonId = NewType("PersonId", str)
PhoneId = NewType("PhoneId", str)
LeadId = NewType("LeadId", str)
AgentId = NewType("AgentId", str)
"""The agent's name in `agents.toml`."""
CampaignId = NewType("CampaignId", str)
"""The campaign's name: the file name in `config/campaigns/` without `.toml`."""
TrunkId = NewType("TrunkId", str)
"""The trunk's name in `trunks.toml`."""
WorkerId = NewType("WorkerId", str)
"""`customers-3` or `agents-0`: the pool and the index of a line worker."""


def new_id() -> str:
    """Return a new UUIDv7 in its canonical text form: unique over nodes, and ordered by time.

    Each is above the one before it in this process, and of several processes in the order of their making, to a quarter of a
    microsecond: the twelve bits after the milliseconds hold their fraction (RFC 9562, 6.2, method 3). `verify` reads that order.
    """
    global _last_tick  # noqa: PLW0603 - the one thing that ids of a process share
    ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    tick = ms << 12 | rest_ns * 4096 // 1_000_000
    with _tick_lock:
        _last_tick = tick = max(tick, _last_tick + 1)
    value = tick >> 12 << 80 | 0x7 << 76 | (tick & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_tick_lock = threading.Lock()
_last_tick = 0


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
    CALLER_HUNG_UP = "caller_hung_up"
    """Answered, and hung up before a verdict or while waiting within the limit."""
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


CONSULTED: Final = "consulted"
"""Reason of an agent who is with another agent's customer as their third."""
INBOUND_CALL: Final = "inbound"
"""Reason of an agent who is reserved for or talks to somebody who called: there is no attempt."""


class CampaignState(enum.StrEnum):
    """The life of a campaign. The table of transitions is in `campaigns/run.py`."""

    STOPPED = "stopped"
    """Not dialing, and nothing unanswered is left."""
    RUNNING = "running"
    """Dialing, as pacing, agents, trunks and the gate allow."""
    PAUSED = "paused"
    """No new attempts; those alive go on."""
    FINISHED = "finished"
    """Every lead is finished."""


class LeadState(enum.StrEnum):
    """The states that partition a list (I18)."""

    DIALABLE = "dialable"
    """May be dialed when its `next_at_utc` has passed (the gate still decides)."""
    IN_ATTEMPT = "in_attempt"
    """It has a live attempt."""
    WAITING = "waiting"
    """Waits for something named in `waiting_for` (wrap-up, a disposition, a callback)."""
    FINISHED = "finished"
    """Done, with a reason."""


class LegKind(enum.StrEnum):
    """Whose leg it is."""

    CUSTOMER = "customer"
    """The leg to the dialed number."""
    AGENT = "agent"
    """The leg to an agent's softphone."""
    EXTENSION = "extension"
    """The leg to a named extension of the contact centre: a supervisor's phone, a colleague, a queue of the PBX."""


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


class SupervisionMode(enum.StrEnum):
    """How a supervisor is in an agent's conversations."""

    LISTEN = "listen"
    """They hear it; nobody hears them."""
    WHISPER = "whisper"
    """The agent alone hears them."""
    BARGE = "barge"
    """Everybody hears them."""


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


class Channel(enum.StrEnum):
    """By what a person is contacted."""

    VOICE = "voice"
    """A telephone call."""
    SMS = "sms"
    """A text message."""
    WHATSAPP = "whatsapp"
    """A WhatsApp message."""
    EMAIL = "email"
    """An e-mail."""
    VISIT = "visit"
    """A visit in person."""


class ContactSettlement(enum.StrEnum):
    """What became of a contact the gate reserved in the ledger. Settled once."""

    RESERVED = "reserved"
    """Allowed by the gate; the attempt is under way."""
    COUNTED = "counted"
    """It reached the number: it counts for the caps."""
    VOID = "void"
    """It never reached the number; which outcomes void is in the rule pack."""


class RestrictionKind(enum.StrEnum):
    """Why somebody may not be contacted."""

    DO_NOT_CALL = "do_not_call"
    """On a do-not-call list, or asked not to be called."""
    DISPUTE = "dispute"
    """The debt is disputed, until it is validated."""
    ATTORNEY = "attorney"
    """Represented: only the attorney may be contacted."""
    BANKRUPTCY = "bankruptcy"
    """In bankruptcy proceedings."""
    DECEASED = "deceased"
    """Has died."""
    CEASE_CONTACT = "cease_contact"
    """Asked for no more contact at all."""
    HARDSHIP = "hardship"
    """In hardship or vulnerable."""
    WORKPLACE = "workplace"
    """A number at work that may not be called."""
    REFUSED_CHANNEL = "refused_channel"
    """Does not want to be contacted by this channel."""
    INCONVENIENT_HOURS = "inconvenient_hours"
    """Does not want to be contacted at these hours."""
    WRONG_NUMBER = "wrong_number"
    """This number is not theirs."""
    ABANDONMENT_LOCK = "abandonment_lock"
    """An abandoned call: not dialed again for as long as the profile says."""


class RestrictionScope(enum.StrEnum):
    """What a restriction covers; its `scope_value` names which."""

    PERSON = "person"
    """The person, by whatever number or channel."""
    ACCOUNT = "account"
    """One debt."""
    NUMBER = "number"
    """The E.164 number, whoever it belongs to: how do-not-call lists come."""
    PHONE = "phone"
    """One phone of one person (a wrong number, a workplace)."""


class TrunkState(enum.StrEnum):
    """Whether a trunk carries calls now."""

    UP = "up"
    """It answers OPTIONS, or answered a call lately."""
    DOWN = "down"
    """It does not answer; probed again with back-off, leads wait."""
    UNKNOWN = "unknown"
    """Not probed yet."""


class PacingMode(enum.StrEnum):
    """The names that `pacing.PacerConfig.mode` takes."""

    PREVIEW = "preview"
    """The agent decides when to dial; not available yet."""
    PROGRESSIVE = "progressive"
    """One call per idle agent."""
    RATIO = "ratio"
    """A fixed number of calls per idle agent."""
    ERLANG_C = "erlang_c"
    """The rate that the Erlang-C formula allows."""
    PREDICTIVE = "predictive"
    """The residual-time rule under the ceiling; not available yet."""


class SrtpUse(enum.StrEnum):
    """Whether a leg's sound is encrypted (SRTP, keys by RFC 4568)."""

    OFF = "off"
    """Never."""
    OPTIONAL = "optional"
    """Offered beside sound in the clear (RFC 8643); the far end chooses."""
    REQUIRED = "required"
    """Encrypted, or no call: `media_failed`."""


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


class AccountStatus(enum.StrEnum):
    """Whether a debt is still to be collected."""

    OPEN = "open"
    """It is owed."""
    PAID = "paid"
    """Paid, or settled by a promise that was kept."""
    WITHDRAWN = "withdrawn"
    """The creditor has taken it back."""


class PromiseKind(enum.StrEnum):
    """What was agreed."""

    AGREEMENT = "agreement"
    """To pay some or all of what is owed by a day."""
    SETTLEMENT = "settlement"
    """To pay less than is owed, which settles the rest."""
    RESTRUCTURING = "restructuring"
    """To pay what is owed by another plan."""


class PromiseState(enum.StrEnum):
    """What has become of a promise."""

    OPEN = "open"
    """Not due, or due and within its grace."""
    KEPT = "kept"
    """Every instalment was paid."""
    BROKEN = "broken"
    """An instalment was not paid by its day and grace."""
    REPLACED = "replaced"
    """Another was made of the same account."""
    CANCELLED = "cancelled"
    """Taken back, by whoever made it."""


class CallbackState(enum.StrEnum):
    """What has become of a call-back."""

    OPEN = "open"
    """To be made."""
    MADE = "made"
    """Somebody was called because of it."""
    CANCELLED = "cancelled"
    """Replaced by another, or the lead is finished."""
