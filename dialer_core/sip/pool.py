"""The supervisor's hold on the line workers: a fork server and the workers it makes, in asyncio.

It owns starting them, ending them, and telling who has gone. It owns no decision to replace one: that is the supervisor's. It imports no
pjsua2, so whoever imports it may still fork.

A worker is watched and signalled by its pidfd, so that neither a lost fork server nor a reused process id confuses anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from dialer_core.errors import StartError
from dialer_core.ipc.channel import Link
from dialer_core.sip.worker_config import WorkerConfig
from dialer_core.vocabulary import WorkerId

_log = structlog.get_logger(__name__)

START_LIMIT_S = 20.0
"""How long the fork server may take to import pjsua2, and then each worker to be forked."""


class StartWorker(msgspec.Struct, frozen=True, kw_only=True, tag="start_worker"):
    """Supervisor → fork server: fork a worker; answered by `WorkerForked`."""

    config: WorkerConfig


class ServerReady(msgspec.Struct, frozen=True, kw_only=True, tag="server_ready"):
    """Fork server → supervisor: pjsua2 is imported."""

    pid: int


class WorkerForked(msgspec.Struct, frozen=True, kw_only=True, tag="worker_forked"):
    """Fork server → supervisor: it runs."""

    worker_id: str
    pid: int


class WorkerExited(msgspec.Struct, frozen=True, kw_only=True, tag="worker_exited"):
    """Fork server → supervisor: it is gone. `code` as in `subprocess`: negative is the signal that killed it."""

    worker_id: str
    pid: int
    code: int


class WorkerNotForked(msgspec.Struct, frozen=True, kw_only=True, tag="worker_not_forked"):
    """Fork server → supervisor: the system gave no process for it."""

    worker_id: str
    error: str


ToForkServer = StartWorker
FromForkServer = ServerReady | WorkerForked | WorkerExited | WorkerNotForked


def worker_socket_path(run_dir: Path, worker_id: WorkerId) -> Path:
    """Return where a worker listens for the engine."""
    return run_dir / f"worker-{worker_id}.sock"


OnExit = Callable[[WorkerId, int | None], None]
"""The code is as in `subprocess`: negative is the signal that killed it. None: the fork server died before."""


@dataclass(frozen=True, slots=True)
class ForkServerSettings:
    """What is the same for all workers of a node."""

    log_level: str = "info"
    log_format: str = "json"
    public_host: str = ""
    """See `WorkerConfig`."""
    user_agent: str = "Marcador"
    outbound_proxy: str = ""


@dataclass(slots=True)
class _Running:
    pid: int
    pidfd: int


@dataclass(slots=True, eq=False)
class _Forking:
    """A worker that has been asked for, and the descriptor kept for watching it: one that cannot be watched is never made."""

    done: asyncio.Future[int]
    reserve: int

    def give_up_reserve(self) -> None:
        if self.reserve >= 0:
            os.close(self.reserve)
            self.reserve = -1


class ForkServer:
    """The fork server's process and its workers, seen from the supervisor. Made by `start`."""

    def __init__(self, run_dir: Path, on_exit: OnExit, settings: ForkServerSettings) -> None:
        self._run_dir = run_dir
        self._on_exit = on_exit
        self._settings = settings
        self._workers: dict[WorkerId, _Running] = {}
        self._forking: dict[WorkerId, _Forking] = {}
        self._link: Link[ToForkServer, FromForkServer] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready: asyncio.Future[int] | None = None
        self._stopping = False
        self._last_gone: asyncio.Future[None] | None = None
        self._starting = asyncio.Lock()

    @classmethod
    async def start(
        cls,
        run_dir: Path,
        *,
        on_exit: OnExit,
        settings: ForkServerSettings | None = None,
    ) -> ForkServer:
        """Start the process and wait until it can fork.

        Parameters
        ----------
        run_dir
            Folder of the workers' sockets.
        on_exit
            Called on the loop once per worker that ran, with its id and exit code.
        settings
            What is the same for all workers.

        Raises
        ------
        StartError
            pjsua2 cannot be imported, or the process does not come up.
        """
        server = cls(run_dir, on_exit, settings or ForkServerSettings())
        await server._ensure_server()
        return server

    @property
    def pid(self) -> int | None:
        """Process id of the fork server; None while there is none."""
        return self._process.pid if self._process is not None and self._link is not None else None

    @property
    def workers(self) -> dict[WorkerId, int]:
        """Running workers and their process ids."""
        return {worker_id: running.pid for worker_id, running in self._workers.items()}

    async def spawn(
        self,
        worker_id: WorkerId,
        *,
        sip_host: str,
        sip_port: int,
        media_host: str,
        successor: bool = False,
    ) -> int:
        """Start a worker and return its process id. It listens at `worker_socket_path` shortly after.

        A fork server that has died is started anew first.

        Raises
        ------
        StartError
            One of this id runs already, `stop` has been called, or nothing could be forked.
        OSError
            No descriptor is left to watch it by.
        """
        if worker_id in self._workers or worker_id in self._forking:
            raise StartError(f"worker {worker_id} runs already")
        if self._stopping:
            raise StartError("the line workers are being stopped")
        await self._ensure_server()
        if self._link is None:
            raise StartError("the fork server went away")
        config = WorkerConfig(
            worker_id=worker_id,
            socket_path=str(worker_socket_path(self._run_dir, worker_id)),
            sip_host=sip_host,
            sip_port=sip_port,
            media_host=media_host,
            successor=successor,
            public_host=self._settings.public_host,
            user_agent=self._settings.user_agent,
            outbound_proxy=self._settings.outbound_proxy,
        )
        forking = _Forking(
            asyncio.get_running_loop().create_future(), os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        )
        self._forking[worker_id] = forking
        self._link.send(StartWorker(config=config))
        try:
            return int(await asyncio.wait_for(forking.done, START_LIMIT_S))
        except TimeoutError as error:
            self._kill_server()  # it hangs: the next worker gets a new one, and those it made live on
            raise StartError(f"worker {worker_id} was not forked within {START_LIMIT_S:g} s") from error
        finally:
            self._forking.pop(worker_id, None)
            forking.give_up_reserve()

    def terminate(self, worker_id: WorkerId) -> None:
        """Tell a worker to end its calls and go (SIGTERM); `on_exit` follows within a few seconds. Unknown: nothing."""
        self._signal(worker_id, signal.SIGTERM)

    def drain(self, worker_id: WorkerId) -> None:
        """Tell a worker to take nothing new and to go when its last call has ended (SIGUSR1). Unknown: nothing."""
        self._signal(worker_id, signal.SIGUSR1)

    def kill(self, worker_id: WorkerId) -> None:
        """Kill a worker that hangs (SIGKILL): its calls are left to the journal. Unknown: nothing."""
        self._signal(worker_id, signal.SIGKILL)

    async def stop(self, patience_s: float = 5.0) -> None:
        """Terminate all workers, kill those that stay longer than `patience_s`, then end the fork server."""
        self._stopping = True
        for worker_id in self._workers:
            self.terminate(worker_id)
        await self._all_gone(patience_s)
        for worker_id in self._workers:
            self.kill(worker_id)
        await self._all_gone(patience_s)
        if self._link is not None:
            self._link.close()
        if self._process is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), patience_s)

    async def _all_gone(self, patience_s: float) -> None:
        if self._workers:
            self._last_gone = asyncio.get_running_loop().create_future()
            await asyncio.wait([self._last_gone], timeout=patience_s)

    async def _ensure_server(self) -> None:
        async with self._starting:
            if self._link is not None:
                return
            ours, theirs = socket.socketpair()
            with theirs:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "dialer_core.sip.fork_server",
                    str(theirs.fileno()),
                    self._settings.log_level,
                    self._settings.log_format,
                    pass_fds=[theirs.fileno()],
                    stdin=asyncio.subprocess.DEVNULL,
                    start_new_session=True,  # a Ctrl-C at the supervisor's terminal is the supervisor's to act on
                )
            reader, writer = await asyncio.open_unix_connection(sock=ours)
            self._ready = asyncio.get_running_loop().create_future()
            self._link = Link(reader, writer, FromForkServer, self._take, self._server_lost)
            try:
                await asyncio.wait_for(self._ready, START_LIMIT_S)
            except (TimeoutError, ConnectionError) as error:
                self._kill_server()
                raise StartError(
                    "the fork server of the line workers does not start: can pjsua2 be imported?"
                    " (python -c 'import pjsua2')"
                ) from error

    def _kill_server(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _take(self, message: FromForkServer) -> None:
        match message:
            case ServerReady():
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(message.pid)
            case WorkerForked():
                self._forked(WorkerId(message.worker_id), message.pid)
            case WorkerNotForked():
                waiting = self._forking.get(WorkerId(message.worker_id))
                if waiting is not None and not waiting.done.done():
                    waiting.done.set_exception(
                        StartError(f"worker {message.worker_id} cannot be forked: {message.error}")
                    )
            case WorkerExited():
                running = self._workers.get(WorkerId(message.worker_id))
                if running is not None and running.pid == message.pid:
                    self._gone(WorkerId(message.worker_id), message.code)

    def _forked(self, worker_id: WorkerId, pid: int) -> None:
        waiting = self._forking.get(worker_id)
        if waiting is not None:
            waiting.give_up_reserve()
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            pidfd = -1  # it has gone already; its `WorkerExited` is on the way
        self._workers[worker_id] = _Running(pid=pid, pidfd=pidfd)
        if waiting is not None and not waiting.done.done():
            waiting.done.set_result(pid)

    def _gone(self, worker_id: WorkerId, code: int | None) -> None:
        running = self._workers.pop(worker_id)
        # one that was killed, or told to go before it listened to signals, has left it behind
        worker_socket_path(self._run_dir, worker_id).unlink(missing_ok=True)
        if running.pidfd >= 0:
            asyncio.get_running_loop().remove_reader(running.pidfd)
            os.close(running.pidfd)
        if not self._workers and self._last_gone is not None and not self._last_gone.done():
            self._last_gone.set_result(None)
        self._on_exit(worker_id, code)

    def _signal(self, worker_id: WorkerId, number: signal.Signals) -> None:
        running = self._workers.get(worker_id)
        if running is not None and running.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(running.pidfd, number)

    def _server_lost(self) -> None:
        """Watch the workers by ourselves: they live on, and nobody reaps them for us any more."""
        self._link = None
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(ConnectionError("fork server ended"))
        for waiting in self._forking.values():
            if not waiting.done.done():
                waiting.done.set_exception(StartError("the fork server ended while it started a worker"))
        _log.error("fork_server_lost", workers=len(self._workers))
        loop = asyncio.get_running_loop()
        for worker_id, running in list(self._workers.items()):
            if running.pidfd < 0:
                self._gone(worker_id, None)
            else:
                loop.add_reader(running.pidfd, self._gone, worker_id, None)
