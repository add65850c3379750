"""What follows when the media plane goes, and when there is one again.

It owns the time for which nobody hears anything, its limit, and the order in which everything is brought in line. What each leg needs is
`agents/softphones.py`'s, `calls/sound.py`'s and `calls/inbound.py`'s; that one is there or not, `lines.py` says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from dialer_core.agents.roster import Roster
from dialer_core.agents.softphones import Softphones
from dialer_core.calls.call_flow import CallFlow
from dialer_core.calls.desk import Desk
from dialer_core.calls.inbound import InboundCalls
from dialer_core.calls.machine import AttemptMachine
from dialer_core.calls.sound import Sound
from dialer_core.dialing import Dialing
from dialer_core.events import MediaLost, MediaRestored
from dialer_core.ipc.messages import CloseLeg, MediaState
from dialer_core.lines import MediaLink
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import LegId

log = structlog.get_logger(__name__)

MEDIA_AWAY_LIMIT_S = 4.0
"""So long a call may be silent because the media plane is being replaced; then it is ended."""


class MediaPresence:
    """Whether there is a media plane, and what that means to calls.

    Parameters
    ----------
    knows
        Whether a leg is anybody's here.
    wake
        Looks whether something can be dialed.
    """

    def __init__(
        self,
        runtime: Runtime,
        machine: AttemptMachine,
        media: MediaLink,
        roster: Roster,
        dialing: Dialing,
        flow: CallFlow,
        softphones: Softphones,
        inbound: InboundCalls,
        sound: Sound,
        desk: Desk,
        *,
        knows: Callable[[LegId], bool],
        wake: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._machine = machine
        self._media = media
        self._roster = roster
        self._dialing = dialing
        self._flow = flow
        self._softphones = softphones
        self._inbound = inbound
        self._sound = sound
        self._desk = desk
        self._knows = knows
        self._wake = wake
        self._lost_ns = 0
        self._silence: asyncio.TimerHandle | None = None

    def attached(self, state: MediaState, engine_down_ms: int) -> None:
        """Bring together what it holds and what the calls need; then dialing goes on.

        Parameters
        ----------
        state
            What it holds.
        engine_down_ms
            How long there was no engine before this one: it may have died then.
        """
        runs = self._dialing.campaigns.values()
        wanted = {prompt for run in runs for prompt in run.prompts}
        missing = wanted - self._media.prompts.keys() - {""}
        if missing:
            log.error("prompt_missing", prompts=sorted(missing), known=sorted(self._media.prompts))
        if self._silence is not None:
            self._silence.cancel()
        self._media.attached = True
        held = {leg.leg_id: leg for leg in state.legs}
        for leg_id in held:
            if not self._knows(leg_id):
                self._media.send(CloseLeg(leg_id=leg_id))
        reopened = self._softphones.bring_in_line(held) + self._desk.reopen(
            held
        )  # first: a bridge needs both
        reopened += self._sound.bring_in_line(held) + self._inbound.bring_in_line(held)
        self._desk.bring_in_line(held)  # over the bridges
        if self._lost_ns or reopened:
            self._tell_restored(reopened, engine_down_ms)
        self._dialing.media_ready = True
        self._wake()

    def _tell_restored(self, reopened: int, engine_down_ms: int) -> None:
        now_ns = self._runtime.clock.mono_ns()
        lost_ns = self._lost_ns or now_ns - engine_down_ms * 1_000_000
        told = MediaRestored(reopened=reopened, away_ms=(now_ns - lost_ns) // 1_000_000, at_mono_ns=now_ns)
        self._lost_ns = 0
        log.info("media_restored", **told.data())
        self._runtime.journal.append(told)

    def lost(self, *, since_ms: int = 0) -> None:
        """Nobody hears anything, and nothing is dialed. Calls wait for the next media plane, but not for long."""
        self._dialing.media_ready = False
        now_ns = self._runtime.clock.mono_ns()
        self._lost_ns = now_ns - since_ms * 1_000_000
        self._flow.on_media_lost()
        self._inbound.on_media_lost()
        legs = len(self._machine.attempts) + len(self._inbound)
        legs += sum(agent.leg_up for agent in self._roster.all())
        log.error("media_lost", legs=legs)
        self._runtime.journal.append(MediaLost(legs=legs, at_mono_ns=now_ns))
        self._silence = self._runtime.later(MEDIA_AWAY_LIMIT_S, self._silent_for_too_long)

    def _silent_for_too_long(self) -> None:
        """Nobody is left on a silent line."""
        log.error("media_away_too_long", limit_s=MEDIA_AWAY_LIMIT_S, attempts=len(self._machine.attempts))
        for attempt in list(self._machine.attempts.values()):
            self._flow.cut_off(attempt)
        self._inbound.end_all()
        self._softphones.on_media_gone()
        self._desk.end_all()
