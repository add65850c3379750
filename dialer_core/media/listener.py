"""What the detector hears: packets of listened legs put in order, cut into 20 ms frames, decoded and judged in one batch per tick.

It owns the ear of each leg (a small reorder buffer) and the rows of `amd.Detector`. What a verdict leads to is `exchange.py`'s business;
what counts as a person or a machine is `amd`'s.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import structlog

from amd import AmdInputError, Detector, DetectorConfig, Label, Mark, MarkKind
from amd.g711 import decode_pcma, decode_pcmu
from dialer_core.media.prompts import SILENCE
from dialer_core.media.rtp import PCMA, PCMU, RESTARTED, SAMPLES_PER_FRAME, timestamp_delta
from dialer_core.vocabulary import DetectionMode, LegId

if TYPE_CHECKING:
    from dialer_core.media.leg import Leg

_log = structlog.get_logger(__name__)

RING_FRAMES: Final = 50
WAIT_FRAMES: Final = 2
"""A missing packet is given up when sound this many frames beyond it is here."""
STARVED_NS: Final = 60_000_000
"""Nothing has come for so long: time goes on with frames marked as not heard."""
FRAMES_PER_TICK: Final = 4
"""How many frames of one leg a tick takes: a burst after a stall is worked off, a flood is not followed."""
BEEP_WAIT_S: Final = 60
"""A machine is listened to so long after its verdict, for the beep."""
_JUMP: Final = 8000
_ROWS: Final = 64


class Ear:
    """Orders one far end's sound by its timestamps and hands it out as frames of 160 octets.

    Any packet length is taken. The frames' pace is real time: where nothing comes, frames not heard are handed out instead.
    """

    __slots__ = (
        "_arrived_ns",
        "_due",
        "_end",
        "_filled",
        "_frame_ns",
        "_next",
        "_next_timestamp",
        "_octets",
        "codec",
    )

    def __init__(self) -> None:
        self.codec = -1
        self._octets = bytearray(RING_FRAMES * SAMPLES_PER_FRAME)
        self._filled = [0] * RING_FRAMES
        self._frame_ns = [0] * RING_FRAMES
        self._next = 0
        """Position, in samples, of the next frame; always at a frame's begin."""
        self._next_timestamp = 0
        self._end = 0
        self._arrived_ns = 0
        self._due = 0
        """Frames that time has brought and that have not been handed out."""

    def push(self, arrival: int, payload_type: int, timestamp: int, payload: bytes, now_ns: int) -> None:
        """Take a packet of sound."""
        ahead = timestamp_delta(timestamp, self._next_timestamp)
        starved = now_ns - self._arrived_ns > STARVED_NS
        if (
            arrival == RESTARTED
            or payload_type != self.codec
            or not -_JUMP < ahead < (RING_FRAMES - 1) * SAMPLES_PER_FRAME - len(payload)
            or (ahead < 0 and starved)
        ):
            self.codec = payload_type
            self._next_timestamp, self._end, ahead = timestamp, self._next, 0
            self._filled = [0] * RING_FRAMES
            payload = payload[: len(self._octets) - SAMPLES_PER_FRAME]
        self._arrived_ns = now_ns
        if ahead < 0:
            payload, ahead = payload[-ahead:], 0
        at = self._next + ahead
        self._end = max(self._end, at + len(payload))
        while payload:
            slot = at // SAMPLES_PER_FRAME % RING_FRAMES
            inside = at % SAMPLES_PER_FRAME
            part = payload[: SAMPLES_PER_FRAME - inside]
            begin = slot * SAMPLES_PER_FRAME + inside
            self._octets[begin : begin + len(part)] = part
            self._filled[slot] += len(part)
            self._frame_ns[slot] = now_ns
            at += len(part)
            payload = payload[len(part) :]

    def tick(self) -> None:
        """20 ms have passed."""
        self._due = max(-RING_FRAMES, min(FRAMES_PER_TICK, self._due + 1))

    def pop(self, now_ns: int) -> tuple[bytes | None, int] | None:
        """Return (octets, when they arrived) of the next frame, (None, now) for a frame not heard, or None: wait for the next tick."""
        slot = self._next // SAMPLES_PER_FRAME % RING_FRAMES
        heard = self._filled[slot] >= SAMPLES_PER_FRAME
        if not heard:
            given_up = self._end - self._next >= (WAIT_FRAMES + 1) * SAMPLES_PER_FRAME
            starved = now_ns - self._arrived_ns > STARVED_NS and self._due > 0
            if not given_up and not starved:
                return None
        self._filled[slot] = 0
        self._next += SAMPLES_PER_FRAME
        self._next_timestamp = (self._next_timestamp + SAMPLES_PER_FRAME) & 0xFFFF_FFFF
        self._end = max(self._end, self._next)
        self._due -= 1
        if not heard:
            return None, now_ns
        begin = slot * SAMPLES_PER_FRAME
        return bytes(self._octets[begin : begin + SAMPLES_PER_FRAME]), self._frame_ns[slot]


class Heard(NamedTuple):
    """One mark of the detector, with the times its ticks arrived at (0: there is none)."""

    leg: Leg
    mark: Mark
    early: bool
    greeting_end_ns: int
    beep_end_ns: int


class _Row:
    """One leg in the detector."""

    __slots__ = ("ear", "early", "frame_ns", "leg", "until_tick")

    def __init__(self, leg: Leg, ear: Ear, *, early: bool) -> None:
        self.leg = leg
        self.ear = ear
        self.early = early
        self.frame_ns: list[int] = []
        self.until_tick: int | None = None

    def time_of(self, tick: int) -> int:
        return self.frame_ns[tick] if 0 <= tick < len(self.frame_ns) else 0


class Listener:
    """The rows of one detector and the legs they belong to."""

    def __init__(self) -> None:
        self._detector = Detector(_ROWS)
        self._rows: dict[int, _Row] = {}
        self._row_of: dict[LegId, int] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, leg_id: LegId) -> bool:
        return leg_id in self._row_of

    def listen(self, leg: Leg, mode: DetectionMode, *, early: bool, limit_s: float = 0.0) -> None:
        """Begin to hear a leg, or, when its early media was heard, begin anew at the answer.

        Mode `monitor` labels with the thresholds of `fast`. `limit_s` 0 leaves the mode's own.
        """
        row = self._row_of.get(leg.leg_id)
        if row is not None:
            if early or not self._rows[row].early:
                return
            self._detector.leave(row)
            ear = self._rows.pop(row).ear
        else:
            ear = leg.ear = Ear()
        config = DetectorConfig.preset("strict" if mode is DetectionMode.STRICT else "fast")
        if limit_s:
            try:
                config = dataclasses.replace(config, limit_s=limit_s)
            except AmdInputError as error:
                _log.warning("listen_limit_refused", leg_id=leg.leg_id, problem=str(error))
        row = self._detector.join(early=early, config=config)
        self._rows[row] = _Row(leg, ear, early=early)
        self._row_of[leg.leg_id] = row

    def forget(self, leg: Leg) -> None:
        """Stop hearing a leg. Harmless when it is not heard."""
        row = self._row_of.pop(leg.leg_id, None)
        if row is not None:
            self._detector.leave(row)
            del self._rows[row]
            leg.ear = None

    def tick(self, now_ns: int) -> list[Heard]:
        """Hand every leg's sound of the last 20 ms to the detector; return what it said."""
        said: list[Heard] = []
        for row in self._rows.values():
            row.ear.tick()
        for _ in range(FRAMES_PER_TICK):
            if not self._step(now_ns, said):
                break
        for row in [
            r for r in self._rows.values() if r.until_tick is not None and len(r.frame_ns) >= r.until_tick
        ]:
            self.forget(row.leg)
        return said

    def _step(self, now_ns: int, said: list[Heard]) -> bool:
        """One frame of each leg that has one; return whether any had."""
        rows: list[int] = []
        frames: list[bytes] = []
        valid: list[bool] = []
        a_law: list[int] = []
        for number, row in self._rows.items():
            frame = row.ear.pop(now_ns)
            if frame is None:
                continue
            octets, at_ns = frame
            row.frame_ns.append(at_ns)
            if row.ear.codec == PCMA and octets is not None:
                a_law.append(len(rows))
            rows.append(number)
            frames.append(SILENCE[PCMU] if octets is None else octets)
            valid.append(octets is not None)
        if not rows:
            return False
        octets_2d = np.frombuffer(b"".join(frames), np.uint8).reshape(-1, SAMPLES_PER_FRAME)
        pcm = decode_pcmu(octets_2d)
        if a_law:
            pcm[a_law] = decode_pcma(octets_2d[a_law])
        for mark in self._detector.step(pcm, np.array(rows, np.intp), np.array(valid, np.bool_)):
            self._take(mark, said)
        return True

    def _take(self, mark: Mark, said: list[Heard]) -> None:
        row = self._rows[mark.row]
        said.append(
            Heard(
                row.leg, mark, row.early, row.time_of(mark.greeting_end_tick), row.time_of(mark.beep_end_tick)
            )
        )
        if row.early or mark.kind is MarkKind.BEEP:
            return
        final = mark.kind is MarkKind.VERDICT and not mark.provisional and mark.label is not Label.RINGBACK
        if mark.label is Label.MACHINE and (final or mark.kind is MarkKind.REVISED):
            row.until_tick = len(row.frame_ns) + BEEP_WAIT_S * 50
        elif final or mark.kind in (MarkKind.REVISED, MarkKind.SETTLED):
            row.until_tick = len(row.frame_ns)
