"""What a fake worker and a fake media plane hold of a call, and what each dialed number does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from dialer_core.ipc.messages import (
    ConnectLeg,
    Dialog,
    LegEnded,
    LegNegotiated,
    LegSnapshot,
    LegVerdict,
    MediaLegSnapshot,
    Place,
)
from dialer_core.vocabulary import LegId, LegKind, Verdict, WorkerId


@dataclass
class Behaviour:
    """What one dialed number does. Times in seconds; None: it never comes to that."""

    progress_s: float | None = 0.1
    early: bool = False
    code: int = 200
    final_s: float | None = 1.0
    """After the INVITE; None: it rings for ever."""
    q850: int = 0
    verdict: Verdict | None = Verdict.HUMAN
    verdict_s: float = 1.0
    silence_s: float = 0.5
    """Silence between the greeting's end and the verdict; a verdict of silence has no greeting."""
    revised: Verdict | None = None
    revised_s: float = 1.5
    second_verdict: Verdict | None = None
    """When it is listened to again, after our answer to a phone's assistant."""
    beep_s: float | None = None
    """A recording beep so long after a machine's verdict."""
    quiet_s: float | None = None
    """The greeting's end is told so long after it, without a beep."""
    talk_s: float = 30.0
    """From the bridge to their BYE."""
    patience_s: float | None = None
    """Hangs up so long after the answer, unless bridged by then."""


@dataclass
class HeldCall:
    """What a worker holds of a leg."""

    place: Place
    worker: WorkerId
    behaviour: Behaviour
    timers: list[asyncio.TimerHandle] = field(default_factory=list)
    fallback_timer: asyncio.TimerHandle | None = None
    talking: bool = False
    sent_ns: int = 0
    ringing_ns: int = 0
    answered_ns: int = 0
    negotiated: LegNegotiated | None = None
    dialog: Dialog | None = None

    def snapshot(self, ended: LegEnded | None = None) -> LegSnapshot:
        """Say what a worker says of it."""
        place, early = self.place, self.behaviour.early
        return LegSnapshot(
            leg_id=place.leg_id, kind=place.kind, owner=place.owner, purpose=place.purpose, about=place.about,
            call_id=place.leg_id if self.sent_ns else "",
            state="confirmed" if self.answered_ns else "early" if self.ringing_ns else "calling", media_port=place.media_port,
            sent_ns=self.sent_ns, ringing_ns=self.ringing_ns, ringing_code=(183 if early else 180) if self.ringing_ns else 0,
            early_sdp=early and bool(self.ringing_ns), answered_ns=self.answered_ns, negotiated=self.negotiated, dialog=self.dialog, ended=ended,
        )  # fmt: skip


@dataclass
class HeldSound:
    """What the media plane holds of an open leg."""

    kind: LegKind
    port: int
    connected: ConnectLeg | None = None
    bridged_to: LegId | None = None
    bridged_ns: int = 0
    listening: bool = False
    wait_until_ns: int = 0
    fallback_ns: int = 0
    play_id: str = ""
    playing: bool = False
    verdict: LegVerdict | None = None

    def snapshot(self, leg_id: LegId) -> MediaLegSnapshot:
        """Say it."""
        return MediaLegSnapshot(leg_id=leg_id, host="127.0.0.1", **vars(self))
