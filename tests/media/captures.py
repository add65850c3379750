"""UDP out of classic pcap files, for tests that use captured calls, and into them, for tests that let tshark read. Nothing of ours is used."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

_LINK_HEADER_BYTES = {1: 14, 101: 0, 113: 16}


class Datagram(NamedTuple):
    """One UDP datagram: when, from where to where, and what."""

    at_ns: int
    flow: str
    """`host:port->host:port`."""
    data: bytes


def read_udp(capture: Path) -> Iterator[Datagram]:
    """Yield the UDP datagrams of a capture (Ethernet, raw IP or Linux cooked; IPv4; not fragmented)."""
    data = capture.read_bytes()
    order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
    (link,) = struct.unpack_from(order + "I", data, 20)
    at = 24
    while at + 16 <= len(data):
        second, micro, length = struct.unpack_from(order + "III", data, at)
        packet = data[at + 16 : at + 16 + length][_LINK_HEADER_BYTES[link] :]
        at += 16 + length
        if len(packet) < 28 or packet[0] != 0x45 or packet[9] != 17:
            continue
        source, target, size = struct.unpack_from("!HHH", packet, 20)
        flow = f"{socket.inet_ntoa(packet[12:16])}:{source}->{socket.inet_ntoa(packet[16:20])}:{target}"
        yield Datagram(second * 1_000_000_000 + micro * 1000, flow, packet[28 : 20 + size])


def write_udp(capture: Path, datagrams: Iterable[Datagram]) -> None:
    """Write datagrams as a capture of raw IP."""
    with capture.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for at_ns, flow, data in datagrams:
            source, target = (end.rpartition(":") for end in flow.split("->"))
            udp = struct.pack("!HHHH", int(source[2]), int(target[2]), 8 + len(data), 0) + data
            head = struct.pack(
                "!BBHHHBBH4s4s",
                0x45,
                0,
                20 + len(udp),
                0,
                0,
                64,
                17,
                0,
                socket.inet_aton(source[0]),
                socket.inet_aton(target[0]),
            )
            packet = head + udp
            file.write(
                struct.pack("<IIII", at_ns // 10**9, at_ns % 10**9 // 1000, len(packet), len(packet)) + packet
            )
