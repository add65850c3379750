"""UDP port pairs: RTP on an even port, RTCP on the next. It owns binding and closing, not what goes through.

Ports are taken round the range in turn, so that a late packet of an ended call does not meet a new one on its port.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from dataclasses import dataclass

from dialer_core.errors import StartError

_RECEIVE_BUFFER_BYTES = 256 * 1024
_EXPEDITED_FORWARDING = 0xB8
"""DSCP 46 in the TOS byte: voice, for networks that care (RFC 4594)."""
_SOCKADDR_BYTES = 16
_LIBC = ctypes.CDLL(None, use_errno=True)
_SO_MEMINFO = 55
_SK_MEMINFO_DROPS = 8
_MEMINFO = struct.Struct("=9I")


@dataclass(frozen=True, slots=True)
class PortPair:
    """Two bound, non-blocking sockets; `port` is the even one."""

    rtp: socket.socket
    rtcp: socket.socket
    port: int

    def overrun(self) -> int:
        """Return how many RTP packets the kernel threw away because they were not read in time (0 where it does not tell)."""
        try:
            info = self.rtp.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        except OSError:
            return 0
        return int(_MEMINFO.unpack(info)[_SK_MEMINFO_DROPS]) if len(info) == _MEMINFO.size else 0

    def close(self) -> None:
        """Free both ports."""
        self.rtp.close()
        self.rtcp.close()


def release(one: socket.socket) -> None:
    """Let a connected socket take packets of anybody again; its port stays its own. Raises OSError."""
    # connect(2) to the family AF_UNSPEC, which Python's own does not offer; a port bound by bind stays bound
    unspecified = ctypes.create_string_buffer(bytes(_SOCKADDR_BYTES))
    if _LIBC.connect(one.fileno(), unspecified, _SOCKADDR_BYTES):
        raise OSError(ctypes.get_errno(), "connect to nobody")


class PortPool:
    """Hands out port pairs of one address.

    Parameters
    ----------
    host
        IPv4 address to bind.
    first, last
        The range, inclusive; the pair (p, p + 1) is used for every even p with p + 1 <= last.

    Raises
    ------
    StartError
        The range holds no pair, or the address is not this machine's.
    """

    def __init__(self, host: str, first: int, last: int) -> None:
        self.host = host
        self._first = first + first % 2
        self._pairs = (last - self._first + 1) // 2
        self._next = 0
        if not 1024 <= first < last <= 65535 or self._pairs < 1:
            raise StartError(f"RTP port range {first}-{last} holds no even/odd pair between 1024 and 65535")
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind((host, 0))
        except OSError as error:
            raise StartError(f"RTP sockets cannot be bound: {host} is no address of this machine") from error

    def open(self, port: int = 0) -> PortPair | None:
        """Bind a pair, `port` itself where given; None when it, or every pair of the range, is taken.

        Raises
        ------
        OSError
            Something else than a port in use: no such local address, no more file descriptors.
        """
        if port:
            return self._bind(port) if port % 2 == 0 else None
        for _ in range(self._pairs):
            candidate = self._first + 2 * self._next
            self._next = (self._next + 1) % self._pairs
            if (pair := self._bind(candidate)) is not None:
                return pair
        return None

    def _bind(self, port: int) -> PortPair | None:
        opened: list[socket.socket] = []
        try:
            for number in (port, port + 1):
                one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                opened.append(one)
                one.setblocking(False)
                one.bind((self.host, number))
                one.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED_FORWARDING)
            opened[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        except OSError as error:
            for one in opened:
                one.close()
            if error.errno == errno.EADDRINUSE:
                return None
            raise
        return PortPair(opened[0], opened[1], port)
