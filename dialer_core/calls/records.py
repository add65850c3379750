"""What an attempt's changes write: one journal unit per change, state and event together.

It owns the journalling of attempts and their legs. Which change happens is `call_flow.py`'s; how a lead goes on is `campaigns/recycle.py`'s.
"""

from __future__ import annotations

from typing import Any

import msgspec

from dialer_core.calls.attempt import Attempt
from dialer_core.calls.machine import event_of
from dialer_core.events import Event, LegMeasured, LegSoundBack, LegSoundLost
from dialer_core.ipc.messages import Dialog, LegClosed, LegRtpBack, LegRtpLost
from dialer_core.runtime import Runtime
from dialer_core.store import attempts as attempt_rows
from dialer_core.store import legs as leg_rows
from dialer_core.store.tx import Tx
from dialer_core.vocabulary import LegKind, WorkerId

ONE_WAY_PACKETS = 50
"""We have spoken for a second."""


class CallRecords:
    """Writes attempts and their legs through the journal, in order, without ever waiting."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def change(self, attempt: Attempt, event: Event | None = None, **columns: Any) -> None:
        """Store the attempt's state with these columns, and the event that tells of it."""
        attempt_id, state = attempt.id, attempt.state

        def write(tx: Tx) -> None:
            attempt_rows.update(tx, attempt_id, state=state, **columns)

        self._runtime.store(write, *([event] if event else []))

    def leg_placed(self, attempt: Attempt, worker: WorkerId) -> None:
        """Store the leg that a worker has just been asked to place; a second worker (the first was full) only changes its name."""
        leg_id, attempt_id, again, state = attempt.leg_id, attempt.id, attempt.placements > 1, attempt.state
        row = leg_rows.NewLeg(
            id=leg_id, kind=LegKind.CUSTOMER, attempt_id=attempt_id, node=self._runtime.node, worker=worker,
            media_port=attempt.media_port, opened_at_utc=self._runtime.clock.utc(),
        )  # fmt: skip

        def write(tx: Tx) -> None:
            attempt_rows.update(tx, attempt_id, state=state, worker=worker)
            if again:
                leg_rows.update(tx, leg_id, worker=worker)
            else:
                leg_rows.insert(tx, row)

        self._runtime.store(write)

    def sent(self, attempt: Attempt, event: Event) -> None:
        """Store the Call-ID and when the INVITE left."""
        attempt_id, leg_id, call_id, state, sent_ns = (
            attempt.id,
            attempt.leg_id,
            attempt.call_id,
            attempt.state,
            attempt.sent_ns,
        )

        def write(tx: Tx) -> None:
            attempt_rows.update(tx, attempt_id, state=state, call_id=call_id, sent_mono_ns=sent_ns)
            leg_rows.update(tx, leg_id, call_id=call_id)

        self._runtime.store(write, event)

    def leg_pending(self, attempt: Attempt, pending: Dialog) -> None:
        """Store what a CANCEL can be built from when the leg's worker is dead."""
        leg_id, row = attempt.leg_id, msgspec.to_builtins(pending)
        self._runtime.store(lambda tx: leg_rows.update(tx, leg_id, dialog=row))

    def answered(self, attempt: Attempt, dialog: Dialog, event: Event) -> None:
        """Store the answer and the dialog, from which a BYE can be built when its worker is dead."""
        attempt_id, leg_id, state, answered_ns = (
            attempt.id,
            attempt.leg_id,
            attempt.state,
            attempt.answered_ns,
        )
        codec = attempt.negotiated.codec if attempt.negotiated else None
        row = msgspec.to_builtins(dialog)

        def write(tx: Tx) -> None:
            attempt_rows.update(tx, attempt_id, state=state, answered_mono_ns=answered_ns)
            leg_rows.update(tx, leg_id, dialog=row, codec=codec)

        self._runtime.store(write, event)

    def sound_changed(self, attempt: Attempt, event: LegRtpLost | LegRtpBack) -> None:
        """Tell that nothing is heard of a bridged customer, or that they are heard again."""
        if isinstance(event, LegRtpLost):
            told = event_of(
                LegSoundLost, attempt, event.at_ns, leg_id=event.leg_id, silent_s=event.silent_s, agent_id=attempt.agent_id
            )  # fmt: skip
        else:
            told = event_of(LegSoundBack, attempt, event.at_ns, leg_id=event.leg_id)
        self._runtime.journal.append(told)

    def leg_closed(self, closed: LegClosed, attempt: Attempt | None) -> None:
        """Store a closed leg's totals, and tell of its sound if there was any.

        Parameters
        ----------
        closed
            What the media plane says.
        attempt
            Whose customer it was; None: an agent's leg, or a call that came in.
        """
        leg_id, totals = closed.leg_id, closed.statistics
        sound = _sound_of(closed)
        told: list[Event] = []
        if totals.rx_packets or totals.tx_packets:
            told.append(
                event_of(LegMeasured, attempt, closed.at_ns, **sound)
                if attempt is not None
                else LegMeasured(at_mono_ns=closed.at_ns, **sound)
            )
        elif attempt is None:
            return  # it was kept ready and never used, or never answered
        row = msgspec.to_builtins(totals)
        self._runtime.store(lambda tx: leg_rows.set_statistics(tx, leg_id, row), *told)


def _sound_of(closed: LegClosed) -> dict[str, Any]:
    totals = closed.statistics
    return {
        "leg_id": closed.leg_id,
        "kind": closed.kind,
        "rx_packets": totals.rx_packets,
        "rx_lost": totals.rx_lost,
        "rx_jitter_ms": round(totals.jitter_ms, 2),
        "tx_packets": totals.tx_packets,
        "one_way": not totals.rx_packets and totals.tx_packets >= ONE_WAY_PACKETS,
        "far_reports": totals.far_reports,
        "far_lost": totals.far_lost,
        "far_jitter_ms": round(totals.far_jitter_ms, 2),
        "round_trip_ms": None if totals.round_trip_ms is None else round(totals.round_trip_ms, 2),
    }
