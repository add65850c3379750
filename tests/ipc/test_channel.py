"""The link between two processes: nothing lost, nobody waits, and a peer that does not read is noticed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from dialer_core.ipc.channel import (
    HARD_LIMIT_BYTES,
    HIGH_MARK_BYTES,
    LOW_MARK_BYTES,
    Door,
    FrameBuffer,
    Link,
    listen_unix,
)
from dialer_core.ipc.messages import EngineToHost, HostCommand, HostReply
from tests.descriptors import no_descriptors

pytestmark = pytest.mark.unit
CHUNK = "x" * 10_000


async def test_a_peer_that_does_not_read_is_told_from_one_that_is_slow(tmp_path: Path) -> None:
    """Over the high mark until under the low one, over the limit when much more waits; then everything arrives, in order."""
    listener = listen_unix(tmp_path / "peer.sock")
    link: Link[HostReply, HostCommand] = await Link.attach(
        tmp_path / "peer.sock", EngineToHost, lambda _message: None, lambda: None
    )
    # a small buffer in the kernel, so that the queue falls in small steps
    link._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    loop = asyncio.get_running_loop()
    peer, _ = await loop.sock_accept(listener)
    sent = 0

    def send() -> None:
        nonlocal sent
        link.send(HostReply(request_id=sent, result=CHUNK))
        sent += 1

    while not link.over_mark:
        send()
    assert link.queued_bytes > HIGH_MARK_BYTES
    assert not link.over_limit
    while not link.over_limit:
        send()
    assert link.queued_bytes > HARD_LIMIT_BYTES
    frames: FrameBuffer[HostReply] = FrameBuffer(EngineToHost)
    got: list[int] = []
    seen_between = 0
    while len(got) < sent:
        data = await loop.sock_recv(peer, 20_000)
        got += [message.request_id for message in frames.feed(data)]
        if LOW_MARK_BYTES < link.queued_bytes <= HIGH_MARK_BYTES:
            seen_between += 1
            assert link.over_mark
    assert seen_between
    assert not link.over_mark
    assert got == list(range(sent))
    link.close()
    peer.close()
    listener.close()


LISTENER = """
import sys, socket, pathlib
from dialer_core.ipc.channel import listen_unix
listener = listen_unix(pathlib.Path(sys.argv[1]))
print(flush=True)
listener.setblocking(True)
held = [listener.accept() for _ in range(9)]
"""


async def test_a_peer_that_hangs_can_be_ended_without_being_asked(tmp_path: Path) -> None:
    """The kernel says who listens at the other end; SIGKILL reaches it although it was stopped, and the link tells of its end."""
    path = tmp_path / "peer.sock"
    command = [sys.executable, "-c", LISTENER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220 - it is there at once
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        closed = asyncio.Event()
        link: Link[HostReply, HostCommand] = await Link.attach(path, EngineToHost, lambda _: None, closed.set)
        assert link.peer_pid == process.pid
        os.kill(process.pid, signal.SIGSTOP)
        link.kill_peer()
        await asyncio.wait_for(closed.wait(), 10)
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL


def test_a_peer_gets_in_where_no_descriptor_is_left(tmp_path: Path) -> None:
    """The first by the descriptor in reserve, the next by that of the one whose place it takes; with room again there is a reserve again."""
    door = Door(tmp_path / "peer.sock")
    callers = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
    for caller in callers:
        caller.connect(str(tmp_path / "peer.sock"))
    with no_descriptors():
        first = door.accept()
        assert first is not None
        with pytest.raises(OSError, match="Too many open files"):
            door.accept()
        first.close()
        door.restore()
        second = door.accept()
        assert second is not None
        second.close()
        door.restore()
    with no_descriptors():
        third = door.accept()
        assert third is not None
    callers[2].sendall(b"x")
    assert third.recv(1) == b"x"
    assert door.accept() is None
    third.close()
    door.close()
    for caller in callers:
        caller.close()
    assert not (tmp_path / "peer.sock").exists()
