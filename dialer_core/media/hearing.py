"""Who hears whom where that is more than a bridge: hold, three-way, supervisors. And the one pass every 20 ms that makes it so.

It owns what `Hear` has ordered and the taps that follow from it. The arithmetic is `mixer.py`'s; what a plain bridge relays is `leg.py`'s,
untouched, and costs nothing here. It knows no conversation: the engine says for each leg whom it hears (`calls/conversation.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

import numpy as np
import structlog
from numpy.typing import NDArray

from dialer_core.ipc.messages import Hear
from dialer_core.media.leg import Leg
from dialer_core.media.mixer import Rings, encode, mix, window_of
from dialer_core.media.playback import Playback
from dialer_core.media.rtp import SAMPLE_NS
from dialer_core.vocabulary import LegId

_log = structlog.get_logger(__name__)

CHANNELS: Final = 2
"""Of a recording: what the customer says, and what they hear of people."""


class Recorder(Protocol):
    """Takes the sound of recorded conversations out of the same pass (`recording.py`)."""

    def rows(self) -> list[tuple[int, ...]]:
        """Return the sources of each channel of each recording, `CHANNELS` of them one after another."""

    def take(self, sound: NDArray[np.int16], at_ns: int) -> None:
        """Take what these rows gave: shape (n_recordings, CHANNELS, 160), spoken at `at_ns`."""


class Hearing:
    """The legs that hear a mix, or music, instead of their bridge.

    Parameters
    ----------
    legs
        Every open leg.
    rings
        Where tapped legs write.
    playback
        Begins and ends music.
    """

    def __init__(self, legs: Mapping[LegId, Leg], rings: Rings, playback: Playback) -> None:
        self._legs = legs
        self._rings = rings
        self._playback = playback
        self._sources: dict[LegId, tuple[Leg, ...]] = {}
        """By listener. A leg that is not here hears its bridge."""
        self._music: dict[LegId, str] = {}

    def order(self, command: Hear, now_ns: int) -> None:
        """Do what the engine says: all of it, or (a leg that has ended) what is left of it."""
        for leg_id in command.hears.keys() | command.music.keys():
            leg = self._legs.get(leg_id)
            if leg is None:
                _log.info("hearing_of_an_ended_leg", leg_id=leg_id)
                continue
            named = command.hears.get(leg_id, ())
            sources = tuple(self._legs[source] for source in named if source in self._legs)
            self._set(leg, sources, command.music.get(leg_id, ""), now_ns)

    def heard_by(self, leg: Leg) -> tuple[LegId, ...] | None:
        """Return whom a leg hears by the engine's word; None: its bridge."""
        sources = self._sources.get(leg.leg_id)
        return None if sources is None else tuple(source.leg_id for source in sources)

    def music_of(self, leg: Leg) -> str:
        """Return the prompt that a leg hears over and over, or nothing."""
        return self._music.get(leg.leg_id, "")

    def people_heard_by(self, leg: Leg) -> tuple[Leg, ...]:
        """Return whom a leg hears, by the engine's word or by its bridge."""
        sources = self._sources.get(leg.leg_id)
        if sources is not None:
            return sources
        return (leg.partner,) if leg.partner is not None else ()

    def part(self, leg: Leg, now_ns: int) -> None:
        """A leg's bridge has ended, or the leg itself: it hears nobody, and nobody hears it."""
        self._plain(leg, now_ns)
        for listener_id, sources in list(self._sources.items()):
            if leg in sources:
                leg.untap(self._rings)
                self._sources[listener_id] = tuple(source for source in sources if source is not leg)
                self._legs[listener_id].mixed = None  # until the next pass

    def mix(self, due_ns: int, recorder: Recorder) -> None:
        """Give every listener the frame that is due, and the recorder its own; one pass over all of them."""
        recorded = recorder.rows()
        if not len(self._rings) and not recorded:
            return
        pcm = self._rings.read(due_ns)
        listeners = [self._legs[leg_id] for leg_id in self._sources]
        heard = [tuple(leg.tap_row for leg in sources) for sources in self._sources.values()]
        if not heard and not recorded:
            return
        sound = mix(pcm, [*heard, *recorded])
        frames = encode(sound[: len(heard)], [leg.codec for leg in listeners])
        for leg, frame, sources in zip(listeners, frames, heard, strict=True):
            leg.mixed = frame if sources else None
        if recorded:
            shape = (-1, CHANNELS, pcm.shape[1])
            recorder.take(sound[len(heard) :].reshape(shape), window_of(due_ns) * SAMPLE_NS)

    def _set(self, leg: Leg, sources: tuple[Leg, ...], music: str, now_ns: int) -> None:
        if not music and leg.partner is not None and sources == (leg.partner,):
            self._plain(leg, now_ns)
            return
        for source in sources:
            source.tap_into(self._rings)
        for source in self._sources.get(leg.leg_id, ()):
            source.untap(self._rings)
        self._sources[leg.leg_id], leg.mixed = sources, None
        leg.stop_relaying()
        self._play(leg, music, now_ns)

    def _plain(self, leg: Leg, now_ns: int) -> None:
        sources = self._sources.pop(leg.leg_id, None)
        if sources is None:
            return
        for source in sources:
            source.untap(self._rings)
        leg.relay_again()
        self._play(leg, "", now_ns)

    def _play(self, leg: Leg, music: str, now_ns: int) -> None:
        if music == self._music.get(leg.leg_id, ""):
            return
        if self._music.pop(leg.leg_id, ""):
            self._playback.cut(leg, now_ns)
        if music and self._playback.begin(leg, (music,), None, now_ns, repeat=True):
            self._music[leg.leg_id] = music
