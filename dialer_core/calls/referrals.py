"""REFER: asking the trunk to take a call over, so that our legs leave (RFC 3515; with Replaces, RFC 3891).

It owns which attempts have been referred, and the waiting for the far end's word. What follows from that word is whoever's who asked: a call whose
REFER was refused goes on where it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from dialer_core.calls.attempt import Attempt
from dialer_core.calls.machine import AttemptMachine, event_of
from dialer_core.ipc.messages import Dialog, LegReferred, Refer
from dialer_core.lines import WorkerPool
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import AttemptId
from dialer_core.voice_events import AttemptReferred

log = structlog.get_logger(__name__)

LIMIT_S: Final = 20.0
"""From the REFER to the last NOTIFY (I6): shorter than a customer stays with music, longer than most phones ring."""
NO_WORD: Final = 408


@dataclass(slots=True)
class _Referral:
    """One attempt that the far end has been asked to take over."""

    attempt: Attempt
    extension: str
    replaces: bool
    on_done: Callable[[int], None]
    timer: asyncio.TimerHandle
    accepted: bool = False


class Referrals:
    """Every REFER under way."""

    def __init__(self, runtime: Runtime, machine: AttemptMachine, workers: WorkerPool) -> None:
        self._runtime = runtime
        self._machine = machine
        self._workers = workers
        self._of: dict[AttemptId, _Referral] = {}

    def refer(
        self,
        attempt: Attempt,
        extension: str,
        to_uri: str,
        *,
        replaces: Dialog | None = None,
        on_done: Callable[[int], None],
    ) -> None:
        """Ask the far end of an attempt's leg to call an extension in our place.

        Parameters
        ----------
        extension, to_uri
            Whom.
        replaces
            The dialog of our own leg to it, where there is one: the call is to take its place.
        on_done
            Called once, with the code of the far end's last word, unless the call is over by then: 2xx is success, 408 no word in time, 0 that it
            was not asked (another REFER is on its way, or the call's worker has gone).
        """
        if attempt.worker is None or attempt.id in self._of:
            # told from the loop, as the far end's word would be: whoever asks is in the middle of a transition
            self._runtime.later(0.0, lambda: on_done(0))
            return
        timer = self._runtime.later(LIMIT_S, lambda: self._done(attempt, NO_WORD))
        self._of[attempt.id] = _Referral(attempt, extension, replaces is not None, on_done, timer)
        self._workers.send(attempt.worker, Refer(leg_id=attempt.leg_id, to_uri=to_uri, replaces=replaces))

    def heard(self, attempt: Attempt, event: LegReferred) -> None:
        """Take what the far end says of it."""
        its = self._of.get(attempt.id)
        if its is None:
            self._machine.late += 1
        elif event.final:
            self._done(attempt, event.code)
        else:
            its.accepted = True

    def over(self, attempt: Attempt) -> None:
        """The call has ended: with a REFER accepted, the far end may have hung us up before its last word."""
        its = self._of.pop(attempt.id, None)
        if its is not None:
            its.timer.cancel()
            if its.accepted:
                self._tell(its, 0)

    def _done(self, attempt: Attempt, code: int) -> None:
        its = self._of.pop(attempt.id, None)
        if its is None:
            return
        its.timer.cancel()
        self._tell(its, code)
        its.on_done(code)

    def _tell(self, its: _Referral, code: int) -> None:
        log.info(
            "referred", attempt_id=its.attempt.id, extension=its.extension, code=code, replaces=its.replaces
        )
        told = event_of(
            AttemptReferred, its.attempt, self._runtime.clock.mono_ns(), extension=its.extension, replaces=its.replaces,
            sip_code=code,
        )  # fmt: skip
        self._runtime.journal.append(told)


def succeeded(code: int) -> bool:
    """Say whether the far end has taken the call over."""
    return 200 <= code < 300
