"""What strangers send at a node: things that are almost SIP, and RTP that nobody asked for.

Owns the traffic, seeded. It listens to nothing that comes back.
"""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Sequence

_INVITE = (
    "{method} sip:{user}@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.9:5060;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n"
    "From: <sip:{user}@127.0.0.9>;tag={branch}\r\nTo: <sip:{user}@127.0.0.1>\r\nCall-ID: {branch}\r\nCSeq: {cseq} {method}\r\n"
    "Contact: <sip:{user}@127.0.0.9:5060>\r\nContent-Length: {length}\r\n\r\n"
)
METHODS = (
    "INVITE",
    "OPTIONS",
    "REGISTER",
    "SUBSCRIBE",
    "BYE",
    "CANCEL",
    "MESSAGE",
    "NOTIFY",
    "PRACK",
    "X" * 40,
)


def sip_garbage(rng: random.Random, port: int) -> bytes:
    """Return one datagram: whole, cut short, with bytes changed, or none of SIP's at all."""
    text = _INVITE.format(
        method=rng.choice(METHODS), user="x" * rng.choice((0, 1, 8, 300)), port=port, branch=rng.getrandbits(64),
        cseq=rng.choice((0, 1, 2**31, -1)), length=rng.choice((0, 5, -1, 10**9)),
    ).encode()  # fmt: skip
    match rng.randrange(4):
        case 0:
            return text
        case 1:
            return text[: rng.randrange(1, len(text))]
        case 2:
            changed = bytearray(text)
            for _ in range(rng.randrange(1, 30)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            return bytes(changed)
        case _:
            return rng.randbytes(rng.randrange(1, 1200))


def rtp_noise(rng: random.Random, _port: int) -> bytes:
    """Return one packet: RTP of a codec in use with a stranger's SSRC, or random bytes."""
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(1, 400))
    head = bytes((0x80, rng.choice((0, 8, 101)))) + rng.randbytes(10)
    return head + rng.randbytes(160)


class Flood:
    """Sends until told to stop, from a thread of its own."""

    def __init__(
        self,
        make: Callable[[random.Random, int], bytes],
        ports: Sequence[int],
        *,
        rate_hz: float,
        source: str,
        seed: int,
    ) -> None:
        self.sent = 0
        self._stop = threading.Event()
        self._work = threading.Thread(
            target=self._send, args=(make, ports, rate_hz, source, seed), daemon=True
        )
        self._work.start()

    def _send(
        self,
        make: Callable[[random.Random, int], bytes],
        ports: Sequence[int],
        rate_hz: float,
        source: str,
        seed: int,
    ) -> None:
        rng = random.Random(seed)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((source, 0))
            while not self._stop.wait(0.02):
                for _ in range(max(1, round(rate_hz * 0.02))):
                    port = rng.choice(ports)
                    try:
                        sender.sendto(make(rng, port), ("127.0.0.1", port))
                    except OSError:  # nobody listens there now, or the datagram is too long
                        continue
                    self.sent += 1

    def stop(self) -> int:
        """End it; returns how many datagrams left."""
        self._stop.set()
        self._work.join(5.0)
        return self.sent
