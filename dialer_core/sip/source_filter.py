"""Discarding SIP from strangers in the kernel: a classic BPF program on pjsua2's socket (socket(7), SO_ATTACH_FILTER; needs no privilege).

It owns the program and its attachment. It owns no list of trunks: that is the engine's `AllowSources`.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator

_SO_ATTACH_FILTER = 26
_NET_HEADER = -0x100000 & 0xFFFFFFFF
"""SKF_NET_OFF: loads relative to the IP header, wherever the socket's own data begin."""
_SOURCE_OFFSET = 12
_LOAD_WORD, _AND, _JUMP_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_PASS = 0xFFFFFFFF
_MAX_INSTRUCTIONS = 4096
LOOPBACK = ("127.0.0.0/8",)
"""What a worker accepts before it is told anything."""


def build_program(sources: Iterable[str]) -> bytes:
    """Return the BPF program that passes packets from `sources` and discards all others.

    Parameters
    ----------
    sources
        IPv4 addresses, or networks as `10.1.0.0/16`.

    Raises
    ------
    ValueError
        One of them is neither, or there are more than a filter can hold (1,023).
    """
    code = bytearray()
    for source in sources:
        network = ipaddress.IPv4Network(source, strict=False)
        code += _step(_LOAD_WORD, _NET_HEADER + _SOURCE_OFFSET & 0xFFFFFFFF)
        code += _step(_AND, int(network.netmask))
        code += _step(_JUMP_EQUAL, int(network.network_address), if_false=1)
        code += _step(_RETURN, _PASS)
    code += _step(_RETURN, 0)
    if len(code) // 8 > _MAX_INSTRUCTIONS:
        raise ValueError(f"at most {(_MAX_INSTRUCTIONS - 1) // 4} SIP sources can be allowed")
    return bytes(code)


@contextlib.contextmanager
def borrowed(descriptor: int) -> Iterator[socket.socket]:
    """Lend a socket that belongs to somebody else; no descriptor is made, and none is closed.

    Raises
    ------
    OSError
        It is no socket.
    """
    target = socket.socket(fileno=descriptor)
    try:
        yield target
    finally:
        target.detach()


def attach(program: bytes, descriptor: int) -> None:
    """Attach the program to a socket in place of an earlier one."""
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a count, then (aligned) a pointer
    argument = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    with borrowed(descriptor) as target:
        target.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, argument)


def discard_waiting(descriptor: int) -> None:
    """Throw away the datagrams already waiting: they came before the filter."""
    with borrowed(descriptor) as target:
        while True:
            try:
                target.recv(1, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return


def _step(code: int, operand: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, operand)
