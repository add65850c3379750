"""The RTP of the simulated far ends: one leg's stream both ways.

Owns headers (RFC 3550), what is sent when, and the counts. A leg sends one continuous stream: one SSRC, sequence and
timestamp without a jump, the marker on its first packet, silence when there is nothing to say. It records
every packet it receives, whoever sent it. Knows neither SIP nor what the sound means.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dialer_core.sim import g711
from dialer_core.sim.keypad import press_payloads
from dialer_core.sim.pacer import FRAME_NS, Pacer
from dialer_core.sim.recording import Recorder
from dialer_core.sim.rtp_ports import PortPairs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

STOPPED_NS = 500_000_000

_HEADER = struct.Struct(">BBHII")
_SO_TIMESTAMPNS = 35  # Linux; Python's socket module does not name it
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_RTCP_TYPES = range(200, 208)
_MAX_DATAGRAM = 2048


class LegClosedError(Exception):
    """The leg ended while something was still to be played on it; never leaves the simulator."""


@dataclass(slots=True)
class _Playing:
    frames: Sequence[bytes]
    done: asyncio.Future[int]
    on_start: Callable[[int], None] | None
    next_index: int = 0


@dataclass(slots=True)
class _Pressing:
    payload_type: int
    payloads: Iterator[tuple[bytes, ...]]
    done: asyncio.Future[int]
    began_at: int | None = None
    """RTP timestamp of all its packets."""


@dataclass(frozen=True, slots=True)
class Received:
    """One received RTP packet of sound, as told to a leg's listener."""

    arrival_ns: int
    payload_type: int
    payload: bytes


@dataclass(slots=True)
class LegCounts:
    """What a leg counted beside its recording."""

    sent: int = 0
    send_errors: int = 0
    not_rtp: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    rtcp: int = 0
    rtcp_sources: Counter[str] = field(default_factory=Counter)


class RtpLeg:
    """One call's RTP: sends on the pacer's ticks, records what comes.

    Parameters
    ----------
    ports
        Where its sockets come from.
    pacer
        Who drives it.
    law
        The codec that was negotiated.
    remote
        The far end's RTP address; None while it may not be sent to (hold).
    on_packet
        Called with each packet of sound.
    on_flow
        Called with ("first" | "stopped" | "resumed", arrival in ns, source, SSRC) when the received stream begins, pauses
        for 500 ms, and goes on.
    """

    def __init__(
        self,
        *,
        ports: PortPairs,
        pacer: Pacer,
        law: g711.Law,
        remote: tuple[str, int] | None,
        on_packet: Callable[[Received], None] | None = None,
        on_flow: Callable[[str, int, str, int], None] | None = None,
    ) -> None:
        self._ports, self._pacer = ports, pacer
        self._rtp, self._rtcp = ports.open()
        self.port: int = self._rtp.getsockname()[1]
        self.law = law
        self.remote = remote
        self.recorder = Recorder()
        self.counts = LegCounts()
        self._on_packet, self._on_flow = on_packet, on_flow
        self._silence = g711.silent_frame(law)
        self._playing: deque[_Playing] = deque()
        self._pressing: _Pressing | None = None
        self._tone: bytes | None = None
        self._on_tone: Callable[[int], None] | None = None
        self._ssrc = random.getrandbits(32)
        self._sequence = random.getrandbits(16)
        self._timestamp = random.getrandbits(32)
        self._first = True
        self.last_arrival_ns = 0
        self._flowing = False
        self._sending = False
        self._has_stamps = self._ask_for_stamps()
        self._mono_minus_real_ns = time.monotonic_ns() - time.time_ns()
        self._mono_taken_ns = time.monotonic_ns()
        loop = asyncio.get_running_loop()
        loop.add_reader(self._rtp, self._read_rtp)
        loop.add_reader(self._rtcp, self._read_rtcp)
        self._loop: asyncio.AbstractEventLoop | None = loop

    def _ask_for_stamps(self) -> bool:
        """Asks the kernel for arrival times, which a busy event loop cannot make late."""
        try:
            self._rtp.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        except OSError:
            return False
        return True

    # ---- sending

    def start_sending(self) -> None:
        """Begins the stream with the next tick."""
        if not self._sending:
            self._sending = True
            self._pacer.add(self)

    def stop_sending(self) -> None:
        """Ends the stream; what was still to be played is given up. Receiving goes on."""
        self._sending = False
        self._pacer.remove(self)
        for waiting in (*self._playing, *((self._pressing,) if self._pressing else ())):
            if not waiting.done.done():
                waiting.done.set_exception(LegClosedError())
                waiting.done.exception()  # nobody may be waiting any more, and that is no fault
        self._playing.clear()
        self._pressing = None
        self._tone = None

    async def play(self, frames: Sequence[bytes], on_start: Callable[[int], None] | None = None) -> int:
        """Plays the frames after what is already queued.

        Returns
        -------
        The monotonic ns at which the last of them ends.

        Raises
        ------
        LegClosedError
            If the leg stops sending before.
        """
        if not self._sending:
            raise LegClosedError
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if not frames:
            return time.monotonic_ns()
        self._playing.append(_Playing(frames, done, on_start))
        return await done

    async def press(self, key: str, payload_type: int) -> int:
        """Presses a key: for its 160 ms telephone-events of this payload type go out in the place of sound.

        Returns
        -------
        The monotonic ns at which it is let go.

        Raises
        ------
        LegClosedError
            If the leg stops sending before.
        """
        if not self._sending:
            raise LegClosedError
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pressing = _Pressing(payload_type, press_payloads(key), done)
        return await done

    def set_tone(self, frame: bytes | None, on_start: Callable[[int], None] | None = None) -> None:
        """Sends this frame over and over whenever nothing is played (None: silence again)."""
        self._tone, self._on_tone = frame, on_start

    def set_law(self, law: g711.Law) -> None:
        """Goes on in another codec, after a re-INVITE."""
        if law is not self.law:
            self.law, self._silence = law, g711.silent_frame(law)

    def _next_payload(self, now_ns: int) -> bytes:
        if self._playing:
            playing = self._playing[0]
            if playing.next_index == 0 and playing.on_start is not None:
                playing.on_start(now_ns)
            payload = playing.frames[playing.next_index]
            playing.next_index += 1
            if playing.next_index == len(playing.frames):
                self._playing.popleft()
                if not playing.done.done():
                    playing.done.set_result(now_ns + FRAME_NS)
            return payload
        if self._tone is not None:
            if self._on_tone is not None:
                self._on_tone(now_ns)
                self._on_tone = None
            return self._tone
        return self._silence

    def _key_payloads(self, pressing: _Pressing, now_ns: int) -> tuple[bytes, ...]:
        """What the key that is down sends in this tick; nothing once it is let go."""
        payloads = next(pressing.payloads, ())
        if not payloads:
            self._pressing = None
            if not pressing.done.done():
                pressing.done.set_result(now_ns)
        return payloads

    def send_frame(self, now_ns: int) -> None:
        """20 ms of sound, or of a key (called by the pacer). While held, time passes and nothing is sent."""
        if (pressing := self._pressing) and (events := self._key_payloads(pressing, now_ns)):
            fresh = pressing.began_at is None
            began_at = self._timestamp if pressing.began_at is None else pressing.began_at
            pressing.began_at = began_at
            for event in events:
                self._send(pressing.payload_type, began_at, event, marked=fresh)
        else:
            payload = self._next_payload(now_ns)
            self._send(g711.PAYLOAD_TYPE[self.law], self._timestamp, payload, marked=self._first)
        self._timestamp = (self._timestamp + g711.FRAME_SAMPLES) & 0xFFFFFFFF
        if self._flowing and now_ns - self.last_arrival_ns > STOPPED_NS:
            self._flowing = False
            self._tell_flow("stopped", self.last_arrival_ns, "", 0)

    def _send(self, payload_type: int, timestamp: int, payload: bytes, *, marked: bool) -> None:
        if self.remote is None:
            return
        second = payload_type | (0x80 if marked else 0)
        try:
            self._rtp.sendto(
                _HEADER.pack(0x80, second, self._sequence, timestamp, self._ssrc) + payload, self.remote
            )
            self.counts.sent += 1
        except OSError:  # a full buffer or an unreachable address loses the packet; it is counted
            self.counts.send_errors += 1
        self._first = False
        self._sequence = (self._sequence + 1) & 0xFFFF

    # ---- receiving

    def _read_rtp(self) -> None:
        while True:
            try:
                data, ancillary, _, source = self._rtp.recvmsg(_MAX_DATAGRAM, _ANCILLARY_BYTES)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self._receive(data, self._arrival_ns(ancillary), source)

    def _arrival_ns(self, ancillary: list[tuple[int, int, bytes]]) -> int:
        now_ns = time.monotonic_ns()
        if not self._has_stamps or not ancillary:
            return now_ns
        if (
            now_ns - self._mono_taken_ns > 1_000_000_000
        ):  # the wall clock may be stepped; look again each second
            self._mono_minus_real_ns = now_ns - time.time_ns()
            self._mono_taken_ns = now_ns
        seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
        stamped_ns: int = seconds * 1_000_000_000 + nanoseconds + self._mono_minus_real_ns
        return min(stamped_ns, now_ns)

    def _receive(self, data: bytes, arrival_ns: int, source: tuple[str, int]) -> None:
        if len(data) >= 2 and data[1] in _RTCP_TYPES:  # rtcp-mux, never offered by us, still counted
            self._count_rtcp(source)
            return
        if len(data) < _HEADER.size or data[0] >> 6 != 2:
            self.counts.not_rtp += 1
            return
        first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        start = _HEADER.size + 4 * (first & 0x0F)
        if first & 0x10 and len(data) >= start + 4:
            start += 4 + 4 * int.from_bytes(data[start + 2 : start + 4], "big")
        end = len(data) - (data[-1] if first & 0x20 else 0)
        payload = data[start:end]
        payload_type = second & 0x7F
        head = (arrival_ns, sequence, timestamp, ssrc, bool(second & 0x80), payload_type, source[1])
        self.recorder.add(head, payload)
        where = f"{source[0]}:{source[1]}"
        self.counts.sources[where] += 1
        if not self._flowing:
            self._flowing = True
            self._tell_flow("resumed" if self.last_arrival_ns else "first", arrival_ns, where, ssrc)
        self.last_arrival_ns = arrival_ns
        if self._on_packet is not None and payload_type in g711.LAW_OF_PAYLOAD_TYPE:
            self._on_packet(Received(arrival_ns, payload_type, payload))

    def _read_rtcp(self) -> None:
        while True:
            try:
                _, source = self._rtcp.recvfrom(_MAX_DATAGRAM)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self._count_rtcp(source)

    def _count_rtcp(self, source: tuple[str, int]) -> None:
        self.counts.rtcp += 1
        self.counts.rtcp_sources[f"{source[0]}:{source[1]}"] += 1

    def _tell_flow(self, what: str, at_ns: int, source: str, ssrc: int) -> None:
        if self._on_flow is not None:
            self._on_flow(what, at_ns, source, ssrc)

    def close(self) -> None:
        """Ends both directions and gives the ports back."""
        if self._loop is None:
            return
        self.stop_sending()
        self._read_rtp()  # what the kernel still holds belongs to the recording
        self._read_rtcp()
        if self._flowing:
            self._flowing = False
            self._tell_flow("stopped", self.last_arrival_ns, "", 0)
        for sock in (self._rtp, self._rtcp):
            self._loop.remove_reader(sock)
            sock.close()
        self._loop = None
        self._ports.give_back(self.port)
