"""What the detector hears: packets of listened legs put in order, cut into 20 ms frames, decoded and judged in one batch per tick.

It owns the ear of each leg (a small reorder buffer) and the rows of `amd.Detector`. What a verdict leads to is `answers.py`'s business;
what counts as a person or a machine is `amd`'s.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from amd import AmdInputError, DetectorConfig, FingerprintIndex, Mark, Recogniser
from amd.g711 import decode_pcma, decode_pcmu
from dialer_core.ipc.messages import Listen
from dialer_core.media.clips import Clip
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
QUIET_TICKS: Final = 200
"""A machine that has said nothing for so long has ended its greeting, whether or not a beep was heard: 4 s."""
_SAID: Final = ("limit_s", "cost_lost_person", "cost_passed_machine", "cost_delay_s", "cost_told_person")
_JUMP: Final = 8000
_RING_SAMPLES: Final = (RING_FRAMES - 1) * SAMPLES_PER_FRAME
_ROWS: Final = 64


class Ear:
    """Orders one far end's sound by its timestamps and hands it out as frames of 160 octets.

    Any packet length is taken. The frames' pace is real time: where nothing comes, frames not heard are handed out instead.
    """

    __slots__ = (
        "_arrived_ns",
        "_due",
        "_end",
        "_frames",
        "_next",
        "_next_timestamp",
        "_parts",
        "codec",
        "said",
    )

    def __init__(self) -> None:
        self.codec = -1
        self.said: bytes | None = None
        """What our side last said to them, in the leg's codec, until the detector is told."""
        self._frames: list[tuple[bytes, int] | None] = [None] * RING_FRAMES
        """Whole frames and when they arrived, at their number modulo the ring."""
        self._parts: dict[int, tuple[bytearray, int]] = {}
        """Frames in the making, of packets that are no frame, by number: octets, and how many of them have come."""
        self._next = 0
        """Number of the next frame to hand out."""
        self._next_timestamp = 0
        self._end = 0
        """Samples from the next frame's begin to the end of what has come."""
        self._arrived_ns = 0
        self._due = 0
        """Frames that time has brought and that have not been handed out."""

    def push(self, arrival: int, payload_type: int, timestamp: int, payload: bytes, now_ns: int) -> None:
        """Take a packet of sound."""
        ahead = timestamp_delta(timestamp, self._next_timestamp)
        if (
            arrival == RESTARTED
            or payload_type != self.codec
            or not -_JUMP < ahead < _RING_SAMPLES - len(payload)
            or (ahead < 0 and now_ns - self._arrived_ns > STARVED_NS)
        ):
            self.codec = payload_type
            self._next_timestamp, self._end, ahead = timestamp, 0, 0
            self._frames = [None] * RING_FRAMES
            self._parts.clear()
            payload = payload[:_RING_SAMPLES]
        self._arrived_ns = now_ns
        if len(payload) == SAMPLES_PER_FRAME and ahead >= 0 and ahead % SAMPLES_PER_FRAME == 0:
            self._frames[(self._next + ahead // SAMPLES_PER_FRAME) % RING_FRAMES] = payload, now_ns
        else:
            self._piece_together(ahead, payload, now_ns)
        self._end = max(self._end, ahead + len(payload))

    def _piece_together(self, ahead: int, payload: bytes, now_ns: int) -> None:
        if ahead < 0:
            payload, ahead = payload[-ahead:], 0
        while payload:
            number, inside = self._next + ahead // SAMPLES_PER_FRAME, ahead % SAMPLES_PER_FRAME
            part = payload[: SAMPLES_PER_FRAME - inside]
            octets, come = self._parts.pop(number, (bytearray(SAMPLES_PER_FRAME), 0))
            octets[inside : inside + len(part)] = part
            come += len(part)
            if come < SAMPLES_PER_FRAME:
                self._parts[number] = octets, come
            else:
                self._frames[number % RING_FRAMES] = bytes(octets), now_ns
            ahead += len(part)
            payload = payload[len(part) :]

    def tick(self) -> None:
        """20 ms have passed."""
        self._due = max(-RING_FRAMES, min(FRAMES_PER_TICK, self._due + 1))

    def pop(self, now_ns: int) -> tuple[bytes | None, int] | None:
        """Return (octets, when they arrived) of the next frame, (None, now) for a frame not heard, or None: wait for the next tick."""
        slot = self._next % RING_FRAMES
        frame = self._frames[slot]
        if frame is None:
            given_up = self._end >= (WAIT_FRAMES + 1) * SAMPLES_PER_FRAME
            if not given_up and (self._due <= 0 or now_ns - self._arrived_ns <= STARVED_NS):
                return None
            self._parts.pop(self._next, None)
        else:
            self._frames[slot] = None
        self._next += 1
        self._next_timestamp = (self._next_timestamp + SAMPLES_PER_FRAME) & 0xFFFF_FFFF
        self._end = max(0, self._end - SAMPLES_PER_FRAME)
        self._due -= 1
        return frame or (None, now_ns)


class Heard(NamedTuple):
    """One mark of the detector, with the times its ticks arrived at (0: there is none)."""

    leg: Leg
    mark: Mark | None
    """None: a machine's greeting is over, and no beep has come."""
    early: bool
    greeting_end_ns: int
    beep_end_ns: int


class _Row:
    """One leg in the detector."""

    __slots__ = (
        "clip",
        "clip_id",
        "ear",
        "early",
        "frame_ns",
        "leg",
        "quiet_ticks",
        "spoken_to",
        "until_tick",
    )

    def __init__(self, leg: Leg, ear: Ear, *, early: bool, clip_id: str = "") -> None:
        self.leg = leg
        self.clip_id = clip_id
        self.clip = bytearray()
        self.quiet_ticks = 0
        self.spoken_to = False
        """Our side has said something since the answer: from then on the detector is told of every tick."""
        self.ear = ear
        self.early = early
        self.frame_ns: list[int] = []
        self.until_tick: int | None = None

    def time_of(self, tick: int) -> int:
        return self.frame_ns[tick] if 0 <= tick < len(self.frame_ns) else 0


class Listener:
    """The rows of one detector and the legs they belong to.

    Parameters
    ----------
    known
        Recordings that are recognised by their landmarks.
    on_clip, clip_s
        Takes the first seconds of legs whose command asks for it, at most so many, once they are no longer heard. None: nothing is kept.
    """

    def __init__(
        self,
        known: FingerprintIndex | None = None,
        *,
        on_clip: Callable[[Clip], None] | None = None,
        clip_s: float = 0.0,
    ) -> None:
        self._on_clip = on_clip
        self._clip_octets = int(clip_s * 8000)
        self._detector = Recogniser(_ROWS, known=known)
        self._rows: dict[int, _Row] = {}
        self._row_of: dict[LegId, int] = {}
        self._told_quiet: set[LegId] = set()
        """Legs of which it is to be told when a machine has spoken its greeting."""
        self._greeting: dict[int, _Row] = {}
        """Rows of such legs after a machine's verdict."""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, leg_id: LegId) -> bool:
        return leg_id in self._row_of

    def listen(self, leg: Leg, command: Listen) -> None:
        """Begin to hear a leg, or, when its early media was heard, begin anew at the answer.

        Mode `monitor` labels with the thresholds of `fast`.
        """
        early = command.early
        row = self._row_of.get(leg.leg_id)
        if row is not None:
            if early or not self._rows[row].early:
                return
            self._detector.leave(row)
            ear = self._rows.pop(row).ear
        else:
            ear = leg.ear = Ear()
        row = self._detector.join(early=early, config=_config_of(command))
        if command.tell_quiet and not early:
            self._told_quiet.add(leg.leg_id)
        keep = command.clip_id if self._on_clip is not None else ""
        self._rows[row] = _Row(leg, ear, early=early, clip_id=keep)
        self._row_of[leg.leg_id] = row

    def forget(self, leg: Leg) -> None:
        """Stop hearing a leg. Harmless when it is not heard."""
        row = self._row_of.pop(leg.leg_id, None)
        if row is not None:
            self._detector.leave(row)
            self._keep(self._rows.pop(row))
            self._told_quiet.discard(leg.leg_id)
            self._greeting.pop(row, None)
            leg.ear = None

    def _keep(self, row: _Row) -> None:
        if row.clip_id and row.clip and self._on_clip is not None:
            law = "PCMA" if row.ear.codec == PCMA else "PCMU"
            self._on_clip(Clip(clip_id=row.clip_id, law=law, octets=bytes(row.clip)))

    def tick(self, now_ns: int) -> list[Heard]:
        """Hand every leg's sound of the last 20 ms to the detector; return what it said."""
        said: list[Heard] = []
        for row in self._rows.values():
            row.ear.tick()
        behind = self._rows
        for _ in range(FRAMES_PER_TICK):
            behind = self._step(behind, now_ns, said)
            if not behind:
                break
        if self._greeting:
            self._hear_greetings_end(said)
        for row in [
            r for r in self._rows.values() if r.until_tick is not None and len(r.frame_ns) >= r.until_tick
        ]:
            self.forget(row.leg)
        return said

    def _step(self, rows: dict[int, _Row], now_ns: int, said: list[Heard]) -> dict[int, _Row]:
        """Judge one frame of each of these rows that has one; return the rows that had."""
        taken: dict[int, _Row] = {}
        frames: list[bytes] = []
        valid: list[bool] = []
        a_law: list[int] = []
        near: dict[int, float] = {}
        spoken_to = False
        for number, row in rows.items():
            frame = row.ear.pop(now_ns)
            if frame is None:
                continue
            octets, at_ns = frame
            row.frame_ns.append(at_ns)
            if row.ear.codec == PCMA and octets is not None:
                a_law.append(len(taken))
            said_to_them, row.ear.said = row.ear.said, None
            if said_to_them and not row.early and said_to_them is not SILENCE[row.leg.codec]:
                near[len(taken)] = level_dbfs(said_to_them, row.leg.codec)
                row.spoken_to = True
            spoken_to |= row.spoken_to
            taken[number] = row
            if row.clip_id and len(row.clip) < self._clip_octets:
                row.clip += octets or SILENCE[PCMA if row.ear.codec == PCMA else PCMU]
            frames.append(octets or SILENCE[PCMU])
            valid.append(octets is not None)
        if taken:
            coded = np.frombuffer(b"".join(frames), np.uint8).reshape(-1, SAMPLES_PER_FRAME)
            pcm = decode_pcmu(coded)
            if a_law:
                pcm[a_law] = decode_pcma(coded[a_law])
            numbers = np.fromiter(taken, np.intp, len(taken))
            near_dbfs = None
            if spoken_to:
                near_dbfs = np.full(len(taken), -np.inf, np.float32)
                near_dbfs[list(near)] = list(near.values())
            for mark in self._detector.step(pcm, numbers, np.array(valid, np.bool_), near_dbfs):
                self._take(mark, said)
        return taken

    def _take(self, mark: Mark, said: list[Heard]) -> None:
        row = self._rows[mark.row]
        said.append(
            Heard(
                row.leg, mark, row.early, row.time_of(mark.greeting_end_tick), row.time_of(mark.beep_end_tick)
            )
        )
        if row.early:
            return
        on = mark.listens_on_ticks
        if on is not None:
            row.until_tick = len(row.frame_ns) + on
            if on and row.leg.leg_id in self._told_quiet:
                self._greeting[mark.row] = row

    def _hear_greetings_end(self, said: list[Heard]) -> None:
        """Tell once of each machine that has said nothing for a while: it listens, with or without a beep."""
        voices = self._detector.evidence(np.fromiter(self._greeting, np.intp, len(self._greeting))).voice
        for (number, row), voice in zip(list(self._greeting.items()), voices, strict=True):
            row.quiet_ticks = 0 if voice else row.quiet_ticks + 1
            if row.quiet_ticks >= QUIET_TICKS:
                del self._greeting[number]
                said.append(Heard(row.leg, None, early=False, greeting_end_ns=0, beep_end_ns=0))


def _loudness(value_of: Callable[[NDArray[np.uint8]], NDArray[np.int16]]) -> bytes:
    # magnitudes of all octets in steps of 16: a mean over a frame is a matter of a microsecond, and exact enough for "somebody speaks"
    magnitude = np.abs(value_of(np.arange(256, dtype=np.uint8)).astype(np.int32))
    return bytes(np.minimum(magnitude // 16, 255).astype(np.uint8))


_LOUDNESS: Final = {PCMU: _loudness(decode_pcmu), PCMA: _loudness(decode_pcma)}


def level_dbfs(payload: bytes, codec: int) -> float:
    """Return the mean magnitude of coded sound in dB of full scale; minus infinity where there is none."""
    total = sum(payload.translate(_LOUDNESS[codec]))
    return 20.0 * math.log10(total * 16.0 / (len(payload) * 32768.0)) if total else -math.inf


def _config_of(command: Listen) -> DetectorConfig:
    """Return the thresholds of a command: its mode's, with what it says beside it."""
    config = DetectorConfig.preset("strict" if command.mode is DetectionMode.STRICT else "fast")
    said = {name: value for name in _SAID if (value := getattr(command, name))}
    try:
        return dataclasses.replace(config, **said)
    except AmdInputError as error:
        _log.warning("listen_thresholds_refused", leg_id=command.leg_id, problem=str(error))
        return config
