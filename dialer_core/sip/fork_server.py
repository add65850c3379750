"""The process that forks line workers: pjsua2 imported once, never created, no thread, no numpy.

It owns the workers as their parent: it reaps them and says so. It owns no decision. When the supervisor is gone (end of file on the socket it
was given), it tells its workers to end their calls, and goes: nobody would be left to watch them.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time

import structlog

from dialer_core.ipc.channel import FrameBuffer, encode_frame
from dialer_core.log_setup import configure_logging
from dialer_core.priority import come_before_others
from dialer_core.sip import worker
from dialer_core.sip.pool import (
    FromForkServer,
    ServerReady,
    ToForkServer,
    WorkerExited,
    WorkerForked,
    WorkerNotForked,
)
from dialer_core.sip.worker_config import WorkerConfig

_log = structlog.get_logger(__name__)

LAST_WORDS_S = 6.0
"""How long workers may take to end their calls after the supervisor is gone; then they are killed."""
NICENESS = -5
"""Of line workers: an INVITE is on the wire a few milliseconds after the engine's word also beside other work. They do little, and only when told."""
_PR_SET_NAME = 15


class _Server:
    def __init__(self, supervisor: socket.socket) -> None:
        self._supervisor = supervisor
        self._frames: FrameBuffer[ToForkServer] = FrameBuffer(ToForkServer)
        self._workers: dict[int, str] = {}
        self._wake_read, self._wake_write = socket.socketpair()
        for end in (self._wake_read, self._wake_write):
            end.setblocking(False)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda _signal, _frame: None)
        signal.set_wakeup_fd(self._wake_write.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # it goes with the supervisor, by the end of its socket
        self._say(ServerReady(pid=os.getpid()))
        while True:
            readable, _, _ = select.select([self._supervisor, self._wake_read], [], [])
            if self._wake_read in readable:
                self._wake_read.recv(4096)
                self._reap()
            if self._supervisor in readable:
                data = self._supervisor.recv(1 << 16)
                if not data:
                    self._end_all()
                    return
                for message in self._frames.feed(data):
                    self._start(message.config)

    def _start(self, config: WorkerConfig) -> None:
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError as error:  # no process or memory is left for it now
            self._say(WorkerNotForked(worker_id=config.worker_id, error=error.strerror or ""))
            return
        if pid == 0:
            status = 70
            try:
                self._become_worker(config)
                status = worker.serve(config)
            except BaseException:  # noqa: BLE001 - a child must never return into the server's loop
                _log.exception("worker_failed", worker=config.worker_id)
            finally:
                sys.stderr.flush()
                os._exit(status)
        self._workers[pid] = config.worker_id
        self._say(WorkerForked(worker_id=config.worker_id, pid=pid))

    def _become_worker(self, config: WorkerConfig) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        for inherited in (self._supervisor, self._wake_read, self._wake_write):
            inherited.close()
        os.setsid()
        come_before_others(NICENESS)
        title = f"line-{config.worker_id}".encode()[:15]
        ctypes.CDLL(None).prctl(_PR_SET_NAME, title, 0, 0, 0)

    def _reap(self) -> None:
        while self._workers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            worker_id = self._workers.pop(pid)
            self._say(WorkerExited(worker_id=worker_id, pid=pid, code=os.waitstatus_to_exitcode(status)))

    def _say(self, message: FromForkServer) -> None:
        with contextlib.suppress(
            BrokenPipeError, ConnectionResetError
        ):  # the end of file follows and is acted on
            self._supervisor.sendall(encode_frame(message))

    def _end_all(self) -> None:
        for pid in self._workers:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + LAST_WORDS_S
        while self._workers and time.monotonic() < deadline:
            select.select([self._wake_read], [], [], max(0.0, deadline - time.monotonic()))
            with contextlib.suppress(BlockingIOError):
                self._wake_read.recv(4096)
            self._reap()
        for pid in self._workers:
            os.kill(pid, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """Serve the supervisor; arguments are its socket's descriptor, the level and the format of logs."""
    descriptor, level, log_format = arguments
    configure_logging(level=level, log_format=log_format, process="worker")
    gc.collect()
    gc.freeze()  # what the collector does not touch, the workers go on sharing
    with socket.socket(fileno=int(descriptor)) as supervisor:
        _Server(supervisor).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
