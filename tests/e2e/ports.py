"""Which port is whose in an end-to-end test: blocks of 24000-24989, so that what one test leaves in a socket meets no other.

Owns the layout of a block and the choice of a free one. Binds nothing for longer than the look.
"""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import ExitStack
from dataclasses import dataclass

FIRST = 24000
SIZE = 330
_bases = itertools.cycle([FIRST + SIZE * (i + os.getpid()) % (3 * SIZE) for i in range(3)])


@dataclass(frozen=True, slots=True)
class Ports:
    """One test's ports."""

    base: int

    @property
    def http(self) -> int:
        """The API's."""
        return self.base + 9

    @property
    def workers(self) -> int:
        """The first of the line workers', 20 of them."""
        return self.base + 10

    @property
    def rtp(self) -> tuple[int, int]:
        """The media plane's: 30 pairs."""
        return self.base + 80, self.base + 139

    @property
    def everything(self) -> tuple[int, int]:
        """First and last port of the block."""
        return self.base, self.base + SIZE - 1

    def carrier(self, index: int) -> int:
        """SIP port of a carrier; 0 to 2."""
        return self.base + 2 * index

    def carrier_rtp(self, index: int) -> int:
        """First of a carrier's RTP ports: SIPp takes the next pair for each call and never goes back."""
        return self.base + (140, 260, 300)[index]

    def softphone(self, index: int) -> int:
        """SIP port of a softphone; the next one is its TLS port; 0 to 4."""
        return self.base + 30 + 2 * index

    def softphone_control(self, index: int) -> int:
        """TCP port on which a softphone takes commands."""
        return self.base + 40 + index

    def softphone_rtp(self, index: int) -> tuple[int, int]:
        """A softphone's RTP ports."""
        return self.base + 50 + 6 * index, self.base + 55 + 6 * index


def free_block() -> Ports:
    """Return the next block of which nobody holds a port."""
    for base in itertools.islice(_bases, 3):
        ports = Ports(base)
        if _is_free(ports):
            return ports
    raise RuntimeError(f"every block of ports from {FIRST} has a port in use")


def _is_free(ports: Ports) -> bool:
    first, last = ports.everything
    with ExitStack() as held:
        try:
            for port in range(first, last + 1):
                udp = held.enter_context(socket.socket(type=socket.SOCK_DGRAM))
                udp.bind(("127.0.0.1", port))
            tcp = held.enter_context(socket.socket())
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.bind(("127.0.0.1", ports.http))
        except OSError:
            return False
    return True
