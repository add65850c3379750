"""`dialer run`: starts media plane, line workers, engine and host, watches them, starts again what dies, drains on SIGTERM.

It owns processes and nothing else: no state, no calls. Everything it starts can be started again without losing anything, because none
of it knows the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from dialer_core import recording_place
from dialer_core.campaigns import readiness
from dialer_core.children import Child, Started
from dialer_core.compliance.packs import load_packs
from dialer_core.errors import ConfigError, StartError
from dialer_core.lines import MEDIA_SOCKET
from dialer_core.liveness import BEGIN_LIMIT_S, HOST_SILENT_LIMIT_S, LOOK_INTERVAL_S, Silence
from dialer_core.media.sealing import parse_key
from dialer_core.messaging.bot_texts import load_bots
from dialer_core.messaging.templates import load_templates
from dialer_core.open_files import allow_files
from dialer_core.settings import Settings
from dialer_core.sip.crew import STEADY_S, Crew, backoff_s
from dialer_core.sip.pool import ForkServer, ForkServerSettings
from dialer_core.store.database import open_database

log = structlog.get_logger(__name__)

SPARE_AFTER_S: Final = 3.0
"""A child has begun its own work by then."""
SPARE_AGAIN_S: Final = 10.0
"""From a spare's own death to the next one."""
STOP_LIMIT_S: Final = 8.0
GAVE_UP_STARTS: Final = 3
"""The engine failing so often before it ever ran steadily means that it cannot start: the supervisor ends with its error."""


@dataclass(slots=True)
class Supervisor:
    """The processes of one node.

    Parameters
    ----------
    settings
        The configuration, checked; each child reads it again by itself.
    """

    settings: Settings
    _children: dict[str, Child] = field(default_factory=dict)
    _crew: Crew | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _draining: bool = False
    _done: asyncio.Event = field(default_factory=asyncio.Event)
    _exit_code: int = 0

    async def run(self) -> int:
        """Start everything, keep it running, and return when the engine has drained."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._drain)
        run_dir = self.settings.run_dir
        run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        dialer, config = self.settings.dialer, str(self.settings.directory)
        media = [
            "-m", "dialer_core.media.plane", "--socket", str(run_dir / MEDIA_SOCKET), "--bind", dialer.media.bind,
            "--advertise", dialer.media.public_address or dialer.media.bind, "--ports", dialer.media.rtp_ports,
            "--log-level", dialer.log.level, "--log-format", dialer.log.format,
        ]  # fmt: skip
        media += ["--announcements", str(self.settings.announcements_file)]
        if self.settings.flows:
            media += ["--speech", str(self.settings.speech_dir)]
        if self.settings.keeps_clips:
            clips = dialer.clips
            media += ["--clips", str(self.settings.clips_dir), "--clip-days", str(clips.retention_days)]
            media += ["--clip-seconds", str(clips.seconds), "--clip-key-env", clips.key_env]
            if clips.key_file is not None:
                media += ["--clip-key-file", str(self.settings.directory / clips.key_file)]
        if recording_place.wanted(self.settings):
            its = dialer.recordings
            media += [
                "--recordings",
                str(recording_place.folder(self.settings)),
                "--recording-key-env",
                its.key_env,
            ]
            if its.key_file is not None:
                media += ["--recording-key-file", str(self.settings.directory / its.key_file)]
        if dialer.media.prompts_dir is not None:
            media += ["--prompts", str(self.settings.directory.parent / dialer.media.prompts_dir)]
        try:
            self._spawn(self._kill_silent())
            await self._start(Child("media", media, spared=True))
            forks = await ForkServer.start(
                run_dir,
                on_exit=lambda name, code: crew.exited(name, code),  # noqa: PLW0108 - made below
                settings=ForkServerSettings(
                    log_level=dialer.log.level,
                    log_format=dialer.log.format,
                    public_host="" if dialer.edge.enabled else dialer.sip.public_address,
                    outbound_proxy=dialer.edge.outbound_proxy,
                ),
            )
            crew = self._crew = Crew(self.settings, forks)
            await crew.start()
            if not self._draining:
                engine = Child(
                    "engine",
                    ["-m", "dialer_core.engine", "--config", config],
                    spared=True,
                    on_beat=lambda wanted: setattr(crew, "wanted", wanted),
                )
                await self._start(engine)
                await self._start(Child("host", ["-m", "dialer_core.host", "--config", config]))
                log.info(
                    "dialer_running",
                    workers=len(crew.members),
                    api=f"http://{dialer.http.bind}:{dialer.http.port}/api/v1",
                )
                self._spawn(crew.watch())
                await self._done.wait()
        finally:
            await self._stop_all()
        return self._exit_code

    # --- children -----------------------------------------------------------------------------------------------------------------

    async def _start(self, child: Child) -> None:
        self._children[child.name] = child
        started = await child.start()
        log.info("process_started", process=child.name, pid=started.process.pid, spare=child.from_spare)
        self._spawn(self._watch(child, started))
        if child.spared:
            self._spawn(self._make_spare(child, SPARE_AFTER_S))

    async def _make_spare(self, child: Child, after_s: float) -> None:
        """Have another one ready once this one has begun its work."""
        await asyncio.sleep(after_s)
        if child.stopping or self._done.is_set():
            return
        try:
            await child.make_spare()
        except OSError as error:  # it will be started when it is needed
            log.warning("spare_not_made", process=child.name, error=error.strerror)

    async def _kill_silent(self) -> None:
        """End what hangs among our own children and their spares; from there on it has died, and is started again."""
        loop = asyncio.get_running_loop()
        silence = Silence({"host": HOST_SILENT_LIMIT_S})
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            heard: dict[str, Started] = {}
            for name, child in self._children.items():
                if child.current is not None and child.alive and not child.stopping:
                    heard[name] = child.current
                if child.spare is not None:
                    heard[f"{name}, spare"] = child.spare
            begun = {name: BEGIN_LIMIT_S for name, child in self._children.items() if child.from_spare}
            overdue = silence.look(loop.time(), {name: its.beats for name, its in heard.items()}, begun)
            for name in overdue:
                log.error("process_hangs", process=name, pid=heard[name].process.pid)
                with contextlib.suppress(ProcessLookupError):
                    heard[name].process.kill()
            for child in self._children.values():
                if child.spare is not None and not child.spare.alive:
                    child.spare.dismiss()
                    child.spare = None
                    self._spawn(self._make_spare(child, SPARE_AGAIN_S))

    async def _watch(self, child: Child, started: Started) -> None:
        code = await started.process.wait()
        lived_s = asyncio.get_running_loop().time() - child.started_s
        if child.stopping or self._done.is_set():
            return
        if child.name == "engine" and (self._draining or code == 0):
            # an engine ends by itself only when drained; by our SIGTERM where it had not begun to listen to it, or had ended listening
            self._exit_code = 0 if code in (0, -signal.SIGTERM) else 1
            self._done.set()
            return
        log.error("process_died", process=child.name, code=code, lived_s=round(lived_s, 1))
        child.was_steady = child.was_steady or lived_s > STEADY_S
        child.short_lives = 0 if lived_s > STEADY_S else child.short_lives + 1
        if (
            child.name == "engine"
            and not child.was_steady
            and (code == 2 or child.short_lives >= GAVE_UP_STARTS)
        ):
            log.error("engine_cannot_start", code=code)
            self._exit_code = code if code in (1, 2) else 1
            self._done.set()
            return
        while not self._done.is_set():
            await asyncio.sleep(backoff_s(child.short_lives))
            if self._done.is_set():
                return
            try:
                await self._start(child)
            except OSError as error:  # no descriptor, process or memory is left for it now
                child.short_lives += 1
                log.error("process_not_started", process=child.name, error=error.strerror)  # noqa: TRY400 - the text says it all
            else:
                return

    # --- the end --------------------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        self._draining = True
        if self._crew is not None:
            self._crew.stopping = True  # what leaves now is not replaced
        engine = self._children.get("engine")
        if engine is None or engine.current is None or not engine.alive:
            self._done.set()
            return
        log.info("draining")
        with contextlib.suppress(ProcessLookupError):
            engine.current.process.send_signal(signal.SIGTERM)

    async def _stop_all(self) -> None:
        """Host first, the engine if it still lives, then workers and media plane: nobody is left talking to a dead part."""
        self._draining = True
        self._done.set()
        for name in ("host", "engine"):
            await self._stop(name)
        if self._crew is not None:
            await self._crew.stop()
        await self._stop("media")
        await self._dismiss_spares()
        for task in self._tasks:
            task.cancel()
        if self.settings.dialer.node.run_dir is None:
            with contextlib.suppress(OSError):  # somebody else's file is in it
                self.settings.run_dir.rmdir()
        log.info("dialer_stopped", code=self._exit_code)

    async def _dismiss_spares(self) -> None:
        for child in self._children.values():
            spare, child.spare = child.spare, None
            if spare is not None:
                spare.dismiss()
                await spare.process.wait()

    async def _stop(self, name: str) -> None:
        child = self._children.get(name)
        if child is None or child.current is None or not child.alive:
            return
        child.stopping = True
        process = child.current.process
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_LIMIT_S)
        except TimeoutError:
            log.error("process_killed", process=name)  # noqa: TRY400 - a time-out has no trace worth reading
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        discard: Callable[[asyncio.Task[None]], None] = self._tasks.discard
        task.add_done_callback(discard)


def check_start(settings: Settings) -> None:
    """Refuse to start what cannot or must not run, before any process is made.

    Raises
    ------
    ConfigError
        Rule packs, caller IDs or creditors are not settled: a line each. A template of messages is wrong: its file.
    StartError
        A port is in use, or the system allows too few open files.
    StoreError
        The database cannot be opened or migrated.
    """
    problems = readiness.check(settings, load_packs(settings.directory / "compliance"))
    if problems:
        raise ConfigError("\n".join(problems))
    templates = load_templates(settings.directory / "templates")
    load_bots(settings.directory / "flows", templates)  # the host would refuse them, again and again
    for name in settings.trunks:
        settings.trunk_password(name)
    if recording_place.wanted(settings):
        parse_key(recording_place.key(settings), "recordings")
    allow_files(settings)
    dialer, file = settings.dialer, settings.directory / "dialer.toml"
    for kind, host, port, key in (
        (socket.SOCK_STREAM, dialer.http.bind, dialer.http.port, "http.port"),
        (socket.SOCK_DGRAM, dialer.sip.bind, dialer.sip.first_port, "sip.first_port"),
    ):
        with contextlib.closing(socket.socket(socket.AF_INET, kind)) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                msg = f"{file}: {key}: {host}:{port} cannot be used: {error.strerror}; stop what uses it or set another"
                raise StartError(msg) from error
    database = open_database(settings.store_url, node=dialer.node.name)
    try:
        database.migrate()
    finally:
        database.dispose()


def run(settings: Settings) -> int:
    """Run a node in the foreground until it is drained; returns the exit code. Raises what `check_start` raises."""
    check_start(settings)
    return asyncio.run(_run(settings))


async def _run(settings: Settings) -> int:
    code = await Supervisor(settings).run()
    # Everything has ended in good order: nothing is left to hurry, and the loop's handlers are about to go.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    return code
