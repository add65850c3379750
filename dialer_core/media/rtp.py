"""RTP (RFC 3550): reading and writing packets, what was received, and where an outgoing stream stands.

Pure: no sockets, no clock; every time is handed in as monotonic nanoseconds. RTCP is `rtcp.py`; which packet goes where is `relay.py`.
Timestamps count 8 kHz samples throughout: both codecs, PCMU and PCMA, have that clock.
"""

from __future__ import annotations

import struct
from typing import Final

SAMPLES_PER_FRAME: Final = 160
FRAME_NS: Final = 20_000_000
SAMPLE_NS: Final = 125_000
PCMU: Final = 0
PCMA: Final = 8
COMFORT_NOISE: Final = 13
OUR_EVENT_PT: Final = 120
"""The telephone-event payload type of our own offers (`sip-split.md`, rule 10)."""

_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
_VERSION_2 = 0x80
_MARKER = 0x80

# RFC 3550 appendix A.1
MAX_DROPOUT: Final = 3000
MAX_MISORDER: Final = 100

NEWEST: Final = 0
"""The packet follows all before it, perhaps after a gap."""
REORDERED: Final = 1
"""It was overtaken, and is here for the first time."""
DUPLICATE: Final = 2
"""It was here before, or is too old to tell."""
RESTARTED: Final = 3
"""The stream begins anew here: the first packet, another SSRC, or a sequence jump that a second packet confirmed."""
WILD: Final = 4
"""A sequence number far off, unless the next packet confirms it. To be discarded."""

_WINDOW = (1 << MAX_MISORDER) - 1


def sequence_delta(later: int, earlier: int) -> int:
    """Return how far `later` is ahead of `earlier` on the 16-bit circle, in [-32768, 32767]."""
    return ((later - earlier + 0x8000) & 0xFFFF) - 0x8000


def timestamp_delta(later: int, earlier: int) -> int:
    """Return how far `later` is ahead of `earlier` on the 32-bit circle, in samples, negative when behind."""
    return ((later - earlier + 0x8000_0000) & 0xFFFF_FFFF) - 0x8000_0000


def build(second_byte: int, sequence: int, timestamp: int, ssrc: int, payload: bytes) -> bytes:
    """Return a packet without CSRCs or extension. `second_byte` is the payload type, plus 128 for the marker."""
    return _HEADER.pack(_VERSION_2, second_byte, sequence, timestamp, ssrc) + payload


def parse(data: bytes) -> tuple[int, int, int, int, bytes] | None:
    """Return (second byte, sequence, timestamp, SSRC, payload), or None when `data` is not a well-formed RTP packet.

    CSRCs, the header extension and padding are removed. The second byte is the payload type, plus 128 for the marker.
    """
    if len(data) <= _HEADER.size:
        return None
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first == _VERSION_2:
        return second, sequence, timestamp, ssrc, data[12:]
    if first & 0xC0 != _VERSION_2:
        return None
    begin, end = 12 + 4 * (first & 0x0F), len(data)
    if first & 0x10:
        if begin + _EXTENSION.size > end:
            return None
        begin += _EXTENSION.size + 4 * _EXTENSION.unpack_from(data, begin)[1]
    if first & 0x20:
        padding = data[-1]
        if padding == 0:
            return None
        end -= padding
    return (second, sequence, timestamp, ssrc, data[begin:end]) if begin < end else None


class ReceiveStatistics:
    """What has arrived from one far end: order, loss and jitter (RFC 3550 A.1, A.3, A.8).

    Unlike A.3, a duplicate is not counted as received, so that it cannot hide a loss.
    """

    __slots__ = (
        "_bad_sequence",
        "_base",
        "_expected_before",
        "_expected_reported",
        "_highest",
        "_received_reported",
        "_seen",
        "_stream_received",
        "_transit",
        "duplicate",
        "jitter",
        "received",
        "reordered",
        "ssrc",
        "wild",
    )

    def __init__(self) -> None:
        self.ssrc = -1
        self.received = 0
        self.reordered = 0
        self.duplicate = 0
        self.wild = 0
        self.jitter = 0.0
        """Interarrival jitter in samples."""
        self._bad_sequence = -1
        self._base = 0
        self._highest = 0
        self._stream_received = 0
        self._expected_before = 0
        self._seen = 0
        self._transit: int | None = None
        self._expected_reported = 0
        self._received_reported = 0

    def update(self, sequence: int, timestamp: int, ssrc: int, at_ns: int) -> int:
        """Take note of one packet; return NEWEST, REORDERED, DUPLICATE, RESTARTED or WILD."""
        if ssrc != self.ssrc:
            self.ssrc = ssrc
            self._restart(sequence, timestamp, at_ns)
            return RESTARTED
        ahead = (sequence - self._highest) & 0xFFFF
        if 0 < ahead < MAX_DROPOUT:
            self._highest += ahead
            self._seen = (self._seen << ahead | 1) & _WINDOW
            self.received += 1
            self._bad_sequence = -1
            # A.8: the difference of relative transit times, smoothed by 1/16
            transit = at_ns // SAMPLE_NS - timestamp
            if self._transit is not None:
                difference = abs(timestamp_delta(transit, self._transit))
                # A packet of the same instant (telephone-event) or after a clock jump says nothing of the network.
                if difference < 8000:
                    self.jitter += (difference - self.jitter) / 16
            self._transit = transit
            return NEWEST
        behind = -ahead & 0xFFFF
        if behind < MAX_MISORDER:
            if self._seen >> behind & 1 or self._highest - behind < self._base:
                self.duplicate += 1
                return DUPLICATE
            self._seen |= 1 << behind
            self.received += 1
            self.reordered += 1
            return REORDERED
        if sequence == self._bad_sequence:
            self._restart(sequence, timestamp, at_ns)
            return RESTARTED
        self._bad_sequence = (sequence + 1) & 0xFFFF
        self.wild += 1
        return WILD

    def _restart(self, sequence: int, timestamp: int, at_ns: int) -> None:
        self._expected_before = self.expected
        self._base = self._highest = sequence
        self._stream_received += 1
        self.received += 1
        self._seen = 1
        self._bad_sequence = -1
        self._transit = at_ns // SAMPLE_NS - timestamp

    @property
    def expected(self) -> int:
        """Packets the far end has sent, as far as the sequence numbers tell, over all its streams."""
        if not self._stream_received:
            return 0
        return self._expected_before + self._highest - self._base + 1

    @property
    def lost(self) -> int:
        """Packets sent and never received."""
        return max(0, self.expected - self.received)

    @property
    def extended_highest_sequence(self) -> int:
        """Highest sequence number with its count of cycles, as an RTCP report block wants it."""
        return self._highest & 0xFFFF_FFFF

    def fraction_lost(self) -> float:
        """Return the loss in [0, 1] since this was last called (A.3: the interval between two reports)."""
        expected = self.expected - self._expected_reported
        received = self.received - self._received_reported
        self._expected_reported += expected
        self._received_reported += received
        return max(0.0, (expected - received) / expected) if expected > 0 else 0.0


class OutgoingStream:
    """One continuous stream: who it is, what comes next, and where the sample clock stands.

    `next_timestamp` is kept unwrapped, so that it can be compared; `number` masks. The sample clock (`position`) says which timestamp
    belongs to a moment; paced frames follow it exactly, relayed packets lead it slowly (`relay.py`).
    """

    __slots__ = (
        "_event_timestamp",
        "epoch_ns",
        "marker",
        "next_sequence",
        "next_timestamp",
        "octets",
        "packets",
        "ssrc",
    )

    def __init__(self, ssrc: int, sequence: int, timestamp: int, now_ns: int) -> None:
        self.ssrc = ssrc
        self.next_sequence = sequence
        self.next_timestamp = timestamp
        self.marker = True
        """The next packet begins a talkspurt."""
        self.packets = 0
        self.octets = 0
        self._event_timestamp = 0
        self.epoch_ns = now_ns - timestamp * SAMPLE_NS

    def position(self, now_ns: int) -> int:
        """Return the timestamp, unwrapped, that belongs to this moment."""
        return (now_ns - self.epoch_ns) // SAMPLE_NS

    def number(self, payload_type: int, sequence: int, timestamp: int, payload: bytes) -> bytes:
        """Return a packet of this stream with the given place in it; the pending marker goes with it."""
        if self.marker:
            payload_type |= _MARKER
            self.marker = False
        self.packets += 1
        self.octets += len(payload)
        return (
            _HEADER.pack(_VERSION_2, payload_type, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, self.ssrc)
            + payload
        )

    def event(self, payload_type: int, payload: bytes, now_ns: int, *, first: bool) -> bytes:
        """Return this tick's packet of a press of our own: all packets of one bear its first timestamp, while time goes on beneath."""
        if first:
            behind = (now_ns - self.epoch_ns) // SAMPLE_NS - self.next_timestamp
            self.next_timestamp += max(0, behind)
            self._event_timestamp = self.next_timestamp
        self.marker = first
        packet = self.number(payload_type, self.next_sequence, self._event_timestamp, payload)
        self.next_sequence += 1
        self.next_timestamp += SAMPLES_PER_FRAME
        return packet

    def paced(self, payload_type: int, payload: bytes, now_ns: int) -> bytes | None:
        """Return the next 20 ms frame of our own, or None while the stream is a frame ahead of its clock.

        After a pause of two frames or more (a hold, a partner that fell silent) the timestamp goes on where the clock is, with a marker.
        """
        behind = (now_ns - self.epoch_ns) // SAMPLE_NS - self.next_timestamp
        if behind <= -SAMPLES_PER_FRAME:
            return None
        if behind >= 2 * SAMPLES_PER_FRAME:
            self.next_timestamp += behind // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
            self.marker = True
        packet = self.number(payload_type, self.next_sequence, self.next_timestamp, payload)
        self.next_sequence += 1
        self.next_timestamp += SAMPLES_PER_FRAME
        return packet
