"""The RTP ports of the simulated far ends: even ports with their odd RTCP neighbours, from a range of their own.

Owns the binding of sockets and the order in which ports are used again. Sends and receives nothing.
"""

from __future__ import annotations

import errno
import socket
from collections import deque

from dialer_core.errors import StartError


class PortPairs:
    """Hands out even RTP ports with their odd RTCP ports, each pair as late as possible after its last use."""

    def __init__(self, host: str, first: int, last: int) -> None:
        self._host = host
        self._range = (first, last)
        self._free = deque(range(first + first % 2, last, 2))

    def open(self) -> tuple[socket.socket, socket.socket]:
        """Two bound sockets that do not block: RTP, RTCP.

        Raises
        ------
        StartError
            If no pair of the range is free.
        """
        for _ in range(len(self._free)):
            port = self._free.popleft()
            rtp = self._bind(port)
            if rtp is not None:
                rtcp = self._bind(port + 1)
                if rtcp is not None:
                    return rtp, rtcp
                rtp.close()
            self._free.append(port)
        first, last = self._range
        raise StartError(
            f"no free RTP port pair on {self._host} in {first}-{last}; widen the range (--rtp-ports)"
        )

    def check(self) -> None:
        """Sees that a pair can be had (StartError: none)."""
        rtp, rtcp = self.open()
        self._free.appendleft(rtp.getsockname()[1])
        rtp.close()
        rtcp.close()

    def give_back(self, port: int) -> None:
        """Returns the pair that begins with this port."""
        self._free.append(port)

    def _bind(self, port: int) -> socket.socket | None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        try:
            sock.bind((self._host, port))
        except OSError as error:
            sock.close()
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            return None
        return sock
