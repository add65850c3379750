"""Whose leg it is: every event of a line worker or of the media plane, handed to the part that owns its leg.

It owns the order in which owners are asked, what is kept back while an engine takes over, and the ending of legs that are nobody's. One event that
cannot be handled costs its own attempt. What events mean is their owners'.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import structlog

from dialer_core.agents.softphones import Softphones
from dialer_core.calls.call_flow import CallFlow
from dialer_core.calls.extensions import Extensions
from dialer_core.calls.inbound import InboundCalls
from dialer_core.calls.recordings import CallRecordings
from dialer_core.calls.trunk_watch import TrunkWatch
from dialer_core.events import WorkerLost
from dialer_core.ipc.messages import (
    Hangup,
    LegIncoming,
    MediaEvent,
    MediaState,
    ProbeResult,
    RecordingEnded,
    StrayAnswered,
    WorkerEvent,
    WorkerState,
)
from dialer_core.lines import WorkerPool
from dialer_core.media_presence import MediaPresence
from dialer_core.recovery import Recovery
from dialer_core.runtime import Runtime
from dialer_core.vocabulary import LegId, WorkerId

log = structlog.get_logger(__name__)
E = TypeVar("E", WorkerEvent, MediaEvent)


class LegEvents:
    """Where every event goes.

    Parameters
    ----------
    wake
        Looks whether something can be dialed.
    """

    def __init__(
        self,
        runtime: Runtime,
        workers: WorkerPool,
        watch: TrunkWatch,
        softphones: Softphones,
        extensions: Extensions,
        inbound: InboundCalls,
        flow: CallFlow,
        recordings: CallRecordings,
        recovery: Recovery,
        presence: MediaPresence,
        *,
        wake: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._workers = workers
        self._watch = watch
        self._softphones = softphones
        self._extensions = extensions
        self._inbound = inbound
        self._flow = flow
        self._recordings = recordings
        self._recovery = recovery
        self._presence = presence
        self._wake = wake

    def on_worker(self, name: WorkerId, event: WorkerEvent) -> None:
        """Take an event of a line worker; while an engine is taking over it is kept for later."""
        if self._recovery.pending:
            self._recovery.hold(name, partial(self.on_worker, name, event))
        else:
            self._guarded(partial(self._take_worker, name), event)

    def on_media(self, event: MediaEvent) -> None:
        """Take an event of the media plane, in the same way."""
        if self._recovery.pending:
            self._recovery.hold(None, partial(self.on_media, event))
        else:
            self._guarded(self._take_media, event)

    def _guarded(self, take: Callable[[E], None], event: E) -> None:
        """Handle an event; one that cannot be handled costs its own attempt, and not the link with every call behind it."""
        try:
            take(event)
        except Exception as error:
            leg_id: LegId | None = getattr(event, "leg_id", None)
            log.exception(
                "event_failed", event_type=type(event).__name__, leg_id=leg_id, error=type(error).__name__
            )
            self._flow.fail(leg_id)

    def _take_worker(self, name: WorkerId, event: WorkerEvent) -> None:
        if isinstance(event, ProbeResult):
            self._watch.probed(event)
            return
        if isinstance(event, StrayAnswered):
            self._flow.on_orphan(event.dialog)
            return
        leg_id: LegId | None = getattr(event, "leg_id", None)
        if isinstance(event, LegIncoming):
            self._inbound.arrived(name, event)
        elif leg_id is not None and self._softphones.owns(leg_id):
            self._softphones.on_worker(name, event)
        elif leg_id is not None and self._extensions.owns(leg_id):
            self._extensions.on_worker(event)
        elif leg_id is not None and self._inbound.owns(leg_id):
            self._inbound.on_worker(event)
        else:
            self._flow.on_worker(name, event)

    def _take_media(self, event: MediaEvent) -> None:
        if isinstance(event, RecordingEnded):
            self._recordings.ended(event)
            return
        leg_id: LegId | None = getattr(event, "leg_id", None)
        if leg_id is not None and self._softphones.owns(leg_id):
            self._softphones.on_media(event)
        elif leg_id is not None and self._extensions.owns(leg_id):
            self._extensions.on_media(event)
        elif leg_id is not None and self._inbound.owns(leg_id):
            self._inbound.on_media(event)
        else:
            self._flow.on_media(event)

    # --- what workers and the media plane hold -------------------------------------------------------------------------------------

    def knows(self, leg_id: LegId) -> bool:
        """Whether a leg is anybody's here."""
        owners = (self._softphones, self._flow, self._inbound, self._extensions)
        return any(owner.owns(leg_id) for owner in owners)

    def on_worker_state(self, name: WorkerId, state: WorkerState) -> None:
        """Take what a worker holds, as it says when it is attached."""
        if self._recovery.pending:
            self._recovery.worker_state(name, state)
        else:
            self.end_strays(name, state)

    def end_strays(self, name: WorkerId, state: WorkerState) -> None:
        """End a former engine's legs that nobody here knows."""
        for leg in state.legs:
            if not self.knows(leg.leg_id):
                log.warning("stray_leg", worker=name, leg_id=leg.leg_id)
                self._workers.send(name, Hangup(leg_id=leg.leg_id))

    def on_worker_lost(self, name: WorkerId) -> None:
        """A worker is gone, and every leg in it."""
        if self._recovery.pending:
            self._recovery.worker_lost(name)
            return
        owners = (self._flow, self._softphones, self._inbound, self._extensions)
        legs = sum(owner.on_worker_lost(name) for owner in owners)
        log.error("worker_lost", worker=name, legs=legs)
        self._runtime.journal.append(
            WorkerLost(worker=name, legs=legs, at_mono_ns=self._runtime.clock.mono_ns())
        )
        self._wake()

    def on_media_attached(self, state: MediaState) -> None:
        """There is a media plane, and this is what it holds."""
        if self._recovery.pending:
            self._recovery.look()
        else:
            self._presence.attached(state, self._recovery.down_ms)
