"""The BPF program that discards strangers, on sockets of the test."""

from __future__ import annotations

import socket

import pytest

from dialer_core.sip.source_filter import attach, build_program, discard_waiting

pytestmark = pytest.mark.sip


def _heard(sources: tuple[str, ...], senders: list[str]) -> list[str]:
    with socket.socket(type=socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        attach(build_program(sources), listener.fileno())
        for sender in senders:
            with socket.socket(type=socket.SOCK_DGRAM) as stranger:
                stranger.bind((sender, 0))
                stranger.sendto(b"hello", listener.getsockname())
        heard = []
        listener.setblocking(False)
        for _ in senders:
            try:
                heard.append(listener.recvfrom(100)[1][0])
            except BlockingIOError:
                break
        return heard


@pytest.mark.parametrize(
    ("sources", "heard"),
    [
        ((), []),
        (("127.0.0.1",), ["127.0.0.1"]),
        (("127.0.0.2", "127.9.0.0/16"), ["127.0.0.2", "127.9.9.9"]),
        (("127.0.0.0/8",), ["127.0.0.1", "127.0.0.2", "127.9.9.9"]),
        (("0.0.0.0/0",), ["127.0.0.1", "127.0.0.2", "127.9.9.9"]),
        ((*(f"10.0.{n // 250}.{n % 250}" for n in range(1000)), "127.0.0.2"), ["127.0.0.2"]),
    ],
)
def test_only_named_sources_are_heard(sources: tuple[str, ...], heard: list[str]) -> None:
    """Addresses and networks pass, all else is gone before the socket, with a thousand names in the list too."""
    assert _heard(sources, ["127.0.0.1", "127.0.0.2", "127.9.9.9"]) == heard


@pytest.mark.parametrize("sources", [("host",), ("1.2.3.4.5",), ("::1",), tuple(["10.0.0.1"] * 1024)])
def test_a_list_that_is_none_is_refused(sources: tuple[str, ...]) -> None:
    """Names, IPv6 and more than a filter can hold raise ValueError."""
    with pytest.raises(ValueError):
        build_program(sources)


def test_what_came_before_the_filter_can_be_thrown_away() -> None:
    """Datagrams that were already waiting are gone afterwards."""
    with socket.socket(type=socket.SOCK_DGRAM) as listener, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        listener.bind(("127.0.0.1", 0))
        stranger.sendto(b"early", listener.getsockname())
        discard_waiting(listener.fileno())
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.recv(10)
