"""One leg's life in a worker as a table, and the limits of its phases. Pure: no pjsua2, no clock of its own.

It owns when a leg is over and that this is said once. It owns no SIP: what pjsua2 reported comes in as a `Signal`, what to do about a limit
goes out as one. Times are CLOCK_MONOTONIC nanoseconds, handed in.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from dialer_core.ipc.messages import Dialog, LegEnded, LegIncoming, LegNegotiated, LegSnapshot, Place
from dialer_core.vocabulary import EndedBy, LegId, LegKind, LegPurpose, SrtpUse

RELEASE_LIMIT_S = 2.0
"""How long a CANCEL may wait for the final answer of its INVITE before the leg is reported as over."""
MEDIA_LIMIT_S = 2.0
"""How long an answered leg may be without negotiated media."""
OFFER_LIMIT_S = 8.0
"""How long a call that came in may wait for the engine, and then for its ACK."""
OFFER_UNATTENDED_LIMIT_S = 45.0
"""As long as the longest message may last: a worker whose engine is dead ends the call then."""


class Phase(enum.StrEnum):
    """Where a leg is; all but `ENDED` are the states of a `LegSnapshot`."""

    CALLING = "calling"
    """The INVITE has left; at most 100 has come back."""
    EARLY = "early"
    """A 1xx above 100 has come."""
    CONFIRMED = "confirmed"
    """Answered and acknowledged."""
    RELEASING = "releasing"
    """We gave it up before the answer; the final answer to the INVITE is still out."""
    ENDED = "ended"


class Signal(enum.StrEnum):
    """What can happen to a leg."""

    PROGRESS = "progress"
    """Any 1xx, 100 included."""
    RINGING = "ringing"
    """A 1xx above 100."""
    ANSWERED = "answered"
    DISCONNECTED = "disconnected"
    """pjsua2 ended the call: a final response, a BYE, a failure."""
    FINAL_SEEN = "final_seen"
    """A final answer to the INVITE was seen on the wire after we gave the call up."""
    HANGUP = "hangup"
    """The engine's command, or our own shutdown."""
    PROGRESS_LIMIT = "progress_limit"
    RING_LIMIT = "ring_limit"
    UNATTENDED_LIMIT = "unattended_limit"
    MEDIA_LIMIT = "media_limit"
    RELEASE_LIMIT = "release_limit"


LATE = None
"""A legitimate race: ignored."""

P, S = Phase, Signal
TABLE: dict[Phase, dict[Signal, Phase | None]] = {
    P.CALLING: {
        S.PROGRESS: P.CALLING,
        S.RINGING: P.EARLY,
        S.ANSWERED: P.CONFIRMED,
        S.DISCONNECTED: P.ENDED,
        S.FINAL_SEEN: LATE,
        S.HANGUP: P.RELEASING,
        S.PROGRESS_LIMIT: P.ENDED,  # nothing has ever come back: there is nobody whose answer to wait for
        S.RING_LIMIT: P.RELEASING,
        S.UNATTENDED_LIMIT: LATE,
        S.MEDIA_LIMIT: LATE,
        S.RELEASE_LIMIT: LATE,
    },
    P.EARLY: {
        S.PROGRESS: P.EARLY,
        S.RINGING: P.EARLY,
        S.ANSWERED: P.CONFIRMED,
        S.DISCONNECTED: P.ENDED,
        S.FINAL_SEEN: LATE,
        S.HANGUP: P.RELEASING,
        S.PROGRESS_LIMIT: LATE,
        S.RING_LIMIT: P.RELEASING,
        S.UNATTENDED_LIMIT: LATE,
        S.MEDIA_LIMIT: LATE,
        S.RELEASE_LIMIT: LATE,
    },
    P.CONFIRMED: {
        S.PROGRESS: LATE,
        S.RINGING: LATE,  # a provisional that overtook nothing: reordered by UDP after the 200
        S.ANSWERED: P.CONFIRMED,
        S.DISCONNECTED: P.ENDED,
        S.FINAL_SEEN: LATE,
        S.HANGUP: P.ENDED,  # the BYE has left; its answer decides nothing
        S.PROGRESS_LIMIT: LATE,
        S.RING_LIMIT: LATE,
        S.UNATTENDED_LIMIT: P.ENDED,
        S.MEDIA_LIMIT: P.ENDED,
        S.RELEASE_LIMIT: LATE,
    },
    P.RELEASING: {
        S.PROGRESS: LATE,
        S.RINGING: LATE,
        S.ANSWERED: LATE,  # pjsua2 says nothing more of a call given up; FINAL_SEEN does
        S.DISCONNECTED: LATE,  # said by hangup() itself, at once
        S.FINAL_SEEN: P.ENDED,
        S.HANGUP: LATE,
        S.PROGRESS_LIMIT: LATE,
        S.RING_LIMIT: LATE,
        S.UNATTENDED_LIMIT: LATE,
        S.MEDIA_LIMIT: LATE,
        S.RELEASE_LIMIT: P.ENDED,
    },
    P.ENDED: dict.fromkeys(Signal, LATE),
}
"""Every phase and signal: the next phase, or `LATE`. There is no `bug` cell: whatever pjsua2 reports, a leg can go on or end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A call that comes in: what a `Place` says of one that goes out."""

    leg_id: LegId
    kind: LegKind = LegKind.CUSTOMER
    owner: str = ""
    purpose: LegPurpose | None = None
    about: str = ""
    media_host: str
    media_port: int
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    srtp: SrtpUse = SrtpUse.OFF
    progress_limit_s: float = OFFER_LIMIT_S
    ring_limit_s: float = OFFER_LIMIT_S
    unattended_limit_s: float = OFFER_UNATTENDED_LIMIT_S


@dataclass(slots=True)
class Leg:
    """One `Place` or `Offer` and what has become of it.

    Parameters
    ----------
    order
        The command that made it, or the call that came in.
    sent_ns
        When its INVITE was handed to pjsua2, or came from it.
    """

    order: Place | Offer
    sent_ns: int
    phase: Phase = Phase.CALLING
    call_id: str = ""
    left_ns: int = 0
    """When its INVITE was on the wire."""
    ringing_ns: int = 0
    ringing_code: int = 0
    early_sdp: bool = False
    progressed: bool = False
    attended: bool = False
    answered_ns: int = 0
    released_ns: int = 0
    ended_by: EndedBy = EndedBy.FAR
    dialog: Dialog | None = None
    negotiated: LegNegotiated | None = None
    arrival: LegIncoming | None = None
    """What the engine was told when it came in."""
    accepted: bool = False
    """Its 200 has been sent."""

    def apply(self, signal: Signal, now_ns: int) -> bool:
        """Take a signal; return whether it counted (False: late)."""
        following = TABLE[self.phase][signal]
        if following is None:
            return False
        self.progressed = self.progressed or signal in {Signal.PROGRESS, Signal.RINGING}
        if following is Phase.CONFIRMED and self.phase is not Phase.CONFIRMED:
            self.answered_ns = now_ns
        if following is Phase.RELEASING:
            self.released_ns = now_ns
            self.ended_by = EndedBy.US if signal is Signal.HANGUP else EndedBy.LIMIT
        self.phase = following
        return True

    @property
    def incoming(self) -> bool:
        """Whether the far end called."""
        return isinstance(self.order, Offer)

    def next_limit(self) -> tuple[int, Signal] | None:
        """Return when the next limit of this phase passes, and which; None when none runs."""
        limits: list[tuple[int, Signal]] = []
        order = self.order
        if self.phase in {Phase.CALLING, Phase.EARLY}:
            limits.append((self.sent_ns + _ns(order.ring_limit_s), Signal.RING_LIMIT))
            if not self.progressed:
                limits.append((self.sent_ns + _ns(order.progress_limit_s), Signal.PROGRESS_LIMIT))
        elif self.phase is Phase.CONFIRMED:
            if not self.attended:
                limits.append((self.answered_ns + _ns(order.unattended_limit_s), Signal.UNATTENDED_LIMIT))
            if self.negotiated is None:
                limits.append((self.answered_ns + _ns(MEDIA_LIMIT_S), Signal.MEDIA_LIMIT))
        elif self.phase is Phase.RELEASING:
            limits.append((self.released_ns + _ns(RELEASE_LIMIT_S), Signal.RELEASE_LIMIT))
        return min(limits, default=None)

    def snapshot(self, ended: LegEnded | None = None) -> LegSnapshot:
        """Return the leg as `DumpState` shows it."""
        return LegSnapshot(
            leg_id=self.order.leg_id,
            kind=self.order.kind,
            owner=self.order.owner,
            purpose=self.order.purpose,
            about=self.order.about,
            call_id=self.call_id,
            state=self.phase.value,
            media_port=self.order.media_port,
            sent_ns=self.left_ns,
            ringing_ns=self.ringing_ns,
            ringing_code=self.ringing_code,
            early_sdp=self.early_sdp,
            answered_ns=self.answered_ns,
            negotiated=self.negotiated,
            dialog=self.dialog,
            arrival=self.arrival,
            ended=ended,
        )


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


def render_table() -> str:
    """Return the table of phases in Markdown: one row per phase, one column per signal."""
    lines = ["| phase | " + " | ".join(Signal) + " |", "|---" * (len(Signal) + 1) + "|"]
    lines += [
        f"| **{phase}** | " + " | ".join(following or "late" for following in row.values()) + " |"
        for phase, row in TABLE.items()
    ]
    return "\n".join(lines)
