"""Recordings in the media plane: what the customer says and what they hear of people, in two channels of one clock.

It owns which legs are recorded and the pieces that go to the spool. The sound comes out of the mixer's one pass (`hearing.py`), so both
channels are aligned to the sample; writing is `spool.py`'s, in a thread of its own. Nothing here can hold up or end a call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import structlog
from numpy.typing import NDArray

from amd import g711
from dialer_core.ipc.messages import Record, RecordingEnded, SourcedEvent
from dialer_core.media.leg import Leg
from dialer_core.media.mixer import Rings
from dialer_core.media.rtp import SAMPLE_NS, SAMPLES_PER_FRAME
from dialer_core.media.spool import Spool
from dialer_core.vocabulary import LegId, RecordSwitch

_log = structlog.get_logger(__name__)

PIECE_FRAMES: Final = 50
"""A second: what a process that dies may cost."""


class _Recording:
    """One leg being recorded."""

    __slots__ = (
        "began_ns",
        "frames",
        "leg",
        "lost",
        "paused",
        "recording_id",
        "sample",
        "sources",
        "written",
    )

    def __init__(self, leg: Leg, recording_id: str) -> None:
        self.leg = leg
        self.recording_id = recording_id
        self.paused = False
        self.began_ns = 0
        """When its first sample was spoken."""
        self.frames: list[bytes] = []
        self.sample = 0
        """Place of the first of `frames`."""
        self.written = 0
        self.lost = 0
        self.sources: tuple[Leg, ...] = ()
        """Every leg tapped for it."""


class Recordings:
    """Every recording that goes on.

    Parameters
    ----------
    rings
        Where tapped legs write.
    people_heard_by
        Whom a leg hears; nobody while it hears music.
    emit
        Takes each event.
    spool
        None: nothing can be recorded here.
    """

    def __init__(
        self,
        rings: Rings,
        people_heard_by: Callable[[Leg], tuple[Leg, ...]],
        emit: Callable[[SourcedEvent], None],
        spool: Spool | None,
    ) -> None:
        self._rings = rings
        self._people_heard_by = people_heard_by
        self._emit = emit
        self._spool = spool
        self._going_on: dict[LegId, _Recording] = {}

    def order(self, leg: Leg, command: Record, now_ns: int) -> None:
        """Begin, pause, go on, end or discard a leg's recording. Harmless where it is so already."""
        held = self._going_on.get(leg.leg_id)
        match command.switch:
            case RecordSwitch.ON if self._spool is None:
                _log.error(
                    "recording_impossible", leg_id=leg.leg_id, problem="no folder or key for recordings"
                )
            case RecordSwitch.ON if held is None:
                self._going_on[leg.leg_id] = _Recording(leg, command.recording_id)
            case RecordSwitch.ON | RecordSwitch.PAUSE:
                if held is not None:
                    held.paused = command.switch is RecordSwitch.PAUSE
            case RecordSwitch.OFF | RecordSwitch.DISCARD:
                self.end(leg, now_ns, discard=command.switch is RecordSwitch.DISCARD)

    def of(self, leg: Leg) -> str:
        """Return the id of a leg's recording, or nothing."""
        held = self._going_on.get(leg.leg_id)
        return held.recording_id if held is not None else ""

    def is_paused(self, leg: Leg) -> bool:
        """Whether a leg's recording is paused."""
        held = self._going_on.get(leg.leg_id)
        return held is not None and held.paused

    def end(self, leg: Leg, now_ns: int, *, discard: bool = False) -> None:
        """End a leg's recording, and tell. Harmless when there is none."""
        held = self._going_on.pop(leg.leg_id, None)
        if held is None or self._spool is None:
            return
        self._tap(held, ())
        self._flush(held)
        self._spool.close_file(held.recording_id, discard=discard)
        self._emit(
            RecordingEnded(
                at_ns=now_ns, leg_id=leg.leg_id, recording_id=held.recording_id, began_ns=held.began_ns,
                seconds=(held.sample + len(held.frames) * SAMPLES_PER_FRAME) / 8000, lost_pieces=held.lost,
                discarded=discard,
            )
        )  # fmt: skip

    def rows(self) -> list[tuple[int, ...]]:
        """Return the sources of both channels of each recording; paused, or on hold: of nothing."""
        rows: list[tuple[int, ...]] = []
        for held in self._going_on.values():
            others = () if held.paused else self._people_heard_by(held.leg)
            self._tap(held, (held.leg, *others) if others else ())
            rows.append((held.leg.tap_row,) if others else ())
            rows.append(tuple(other.tap_row for other in others))
        return rows

    def take(self, sound: NDArray[np.int16], at_ns: int) -> None:
        """Take the 20 ms that these rows gave: shape (n_recordings, 2, 160), spoken at `at_ns`."""
        coded = g711.encode_pcmu(np.ascontiguousarray(sound.swapaxes(1, 2)))
        for held, block in zip(self._going_on.values(), coded, strict=True):
            held.began_ns = held.began_ns or at_ns
            place = (at_ns - held.began_ns) // SAMPLE_NS
            if (
                place != held.sample + len(held.frames) * SAMPLES_PER_FRAME
            ):  # ticks were left out: so is their sound
                self._flush(held)
                held.sample = place
            held.frames.append(block.tobytes())
            if len(held.frames) >= PIECE_FRAMES:
                self._flush(held)

    def _flush(self, held: _Recording) -> None:
        if held.frames and self._spool is not None:
            written = self._spool.write(held.recording_id, held.sample, b"".join(held.frames))
            held.lost += not written
            held.sample += len(held.frames) * SAMPLES_PER_FRAME
            held.frames = []

    def _tap(self, held: _Recording, sources: tuple[Leg, ...]) -> None:
        """Tap what is to be heard now, and no longer what was."""
        if sources == held.sources:
            return
        for leg in sources:
            leg.tap_into(self._rings)
        for leg in held.sources:
            leg.untap(self._rings)
        held.sources = sources
