"""One direction of a bridge: which numbers a far end's packets get when they go on in the partner's outgoing stream.

Pure. It decides sequence, timestamp and marker of each packet, and which packets go on at all; sockets and payloads are `leg.py`.

The source's order, gaps and spacing are kept, so that the receiving end's jitter buffer and loss concealment see what happened; its
absolute numbers are replaced, so that the receiving end sees one stream for the whole call. Both are tied together by two offsets, which
are taken anew ("anchored") where the source restarts, jumps, or was silent so long that we filled in.
"""

from __future__ import annotations

from typing import Final

from dialer_core.media.rtp import (
    REORDERED,
    RESTARTED,
    SAMPLE_NS,
    SAMPLES_PER_FRAME,
    OutgoingStream,
    timestamp_delta,
)

FILL_AFTER_NS: Final = 200_000_000
"""The partner has sent nothing for so long: silence of our own goes out until it sends again.

Long enough that a sender which stalls for a moment and catches up in a burst keeps its place in time: filling at once would put our
silence before its late packets and leave the stream ahead for the rest of the call.
"""
MAX_AHEAD: Final = 1600
"""Samples (200 ms) a relayed timestamp may be ahead of the sample clock. A backlog that arrives in one burst after a network stall would
otherwise stay in the receiving end's jitter buffer as delay for the rest of the call."""
_CLOCK_GAIN_NS: Final = SAMPLE_NS // 500
"""Per packet, the sample clock follows the source by 1/500 of the distance: over 10 s at 50 packets/s. Sound-card clocks differ by up to
some 100 ppm; the stream's clock must go with the one that speaks."""


class Relay:
    """Numbers the packets of one source for one outgoing stream."""

    __slots__ = (
        "_event_out",
        "_event_source",
        "_floor",
        "_resume",
        "_sequence_offset",
        "_stream",
        "_timestamp_offset",
        "last_ns",
        "skipped",
    )

    def __init__(self, stream: OutgoingStream) -> None:
        self._stream = stream
        self._resume = True
        """The next packet takes the stream's next sequence number, whatever its own."""
        self._timestamp_offset: int | None = None
        self._sequence_offset = 0
        self._floor = 0
        """First source sequence number of the present anchor: what was overtaken from before it has no place left."""
        self._event_source = -1
        self._event_out = 0
        self.last_ns = 0
        """When a packet last went on."""
        self.skipped = 0
        """Packets not sent on because they came too late or too far ahead."""

    def resume(self) -> None:
        """Somebody else has used the stream: the source's next packet goes on where it stands, as a talkspurt."""
        self._resume, self._timestamp_offset = True, None

    def filling(self, now_ns: int) -> bool:
        """Return whether the stream needs frames of our own now; if so the next packet of the source begins a talkspurt."""
        if now_ns - self.last_ns <= FILL_AFTER_NS and not self._resume:
            return False
        self._resume = True
        return True

    def audio(
        self, arrival: int, sequence: int, timestamp: int, samples: int, now_ns: int
    ) -> tuple[int, int] | None:
        """Return (sequence, timestamp) under which a packet of sound goes on, or None when it must not.

        `arrival` is what `ReceiveStatistics.update` said: NEWEST, REORDERED or RESTARTED. The timestamp is unwrapped.
        """
        if arrival == REORDERED:
            return self._overtaken(sequence, timestamp)
        stream = self._stream
        if arrival == RESTARTED:
            self._resume, self._timestamp_offset = True, None
        expected = stream.next_timestamp
        offset = self._timestamp_offset
        gap = 0 if offset is None else timestamp_delta(timestamp + offset, expected)
        clock = (now_ns - stream.epoch_ns) // SAMPLE_NS
        if self._resume:
            self._anchor(sequence)
        # A source clock that jumped back or far forward, or sound that is behind what we filled in: it goes on where the stream is.
        if gap < 0 or (gap > 0 and expected + gap - clock > MAX_AHEAD):
            stream.marker = True
            gap, offset, self._floor = 0, None, sequence
        if offset is None:
            self._timestamp_offset = expected - timestamp
        ahead = expected + gap - clock
        if ahead > MAX_AHEAD:
            self._timestamp_offset = expected - timestamp - samples
            self._close_up(sequence)
            self.skipped += 1
            return None
        stream.epoch_ns -= ahead * _CLOCK_GAIN_NS
        stream.next_sequence = number = self._follow(sequence)
        stream.next_sequence += 1
        stream.next_timestamp = expected + gap + samples
        self.last_ns = now_ns
        return number, expected + gap

    def event(self, arrival: int, sequence: int, timestamp: int, now_ns: int) -> tuple[int, int] | None:
        """Return (sequence, timestamp) under which a telephone-event packet goes on, or None when it must not.

        All packets of one press keep one timestamp, also over a fill. The stream's own next timestamp is left where it is: what follows
        the press brings its own, and a source may send sound beside it.
        """
        if arrival == REORDERED:
            place = self._overtaken(sequence, timestamp)
            return (place[0], self._event_out) if place and timestamp == self._event_source else place
        stream = self._stream
        if arrival == RESTARTED:
            self._resume, self._timestamp_offset = True, None
        if self._resume:
            self._anchor(sequence)
        if self._timestamp_offset is None:
            self._timestamp_offset = stream.next_timestamp - timestamp
        if timestamp != self._event_source:
            self._event_source = timestamp
            gap = timestamp_delta(timestamp + self._timestamp_offset, stream.next_timestamp)
            begin = stream.next_timestamp + (gap if 0 < gap <= MAX_AHEAD else 0)
            # Two presses under one timestamp would be one press to the receiving end.
            self._event_out = max(begin, self._event_out + SAMPLES_PER_FRAME)
        stream.next_sequence = number = self._follow(sequence)
        stream.next_sequence += 1
        self.last_ns = now_ns
        return number, self._event_out

    def withhold(self, arrival: int, sequence: int) -> None:
        """Take note of a packet that is not for this leg (it has no telephone-event): its place in the sequence is closed up."""
        if arrival == RESTARTED:
            self._resume, self._timestamp_offset = True, None
        elif arrival != REORDERED and not self._resume:
            self._follow(sequence)
            self._close_up(sequence)

    def _anchor(self, sequence: int) -> None:
        self._resume = False
        self._sequence_offset = self._stream.next_sequence - sequence
        self._floor = sequence
        self._stream.marker = True

    def _follow(self, sequence: int) -> int:
        """Return the unwrapped outgoing number of a source number that is the newest, and move the offset over a wrap."""
        number = sequence + self._sequence_offset
        while number < self._stream.next_sequence - 0x8000:
            number += 0x10000
            self._sequence_offset += 0x10000
        return number

    def _close_up(self, sequence: int) -> None:
        self._sequence_offset -= 1
        self._floor = (sequence + 1) & 0xFFFF

    def _overtaken(self, sequence: int, timestamp: int) -> tuple[int, int] | None:
        if self._resume or self._timestamp_offset is None or (sequence - self._floor) & 0xFFFF >= 0x8000:
            self.skipped += 1
            return None
        number = sequence + self._sequence_offset
        if number >= self._stream.next_sequence:
            number -= 0x10000
        return number, timestamp + self._timestamp_offset
