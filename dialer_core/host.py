"""The host process: plugins, HTTP, and everything else that must never run on the engine's loop.

It owns its composition: the link to the engine (attached again whenever it is lost), the tail of the event
log, the plugins, the HTTP server, and its own end on SIGTERM. It owns no call: a host that hangs or dies
stops nothing that is dialed or talking.

Run as `python -m dialer_core.host --config DIR`; the supervisor does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import structlog
import uvicorn

from dialer_core import agent_sources, caller_id_watch, recording_place
from dialer_core.archive import Archive
from dialer_core.campaigns import screening
from dialer_core.clock import SystemClock
from dialer_core.compliance.packs import load_packs
from dialer_core.compliance.rules import RulePack
from dialer_core.errors import CommandRefusedError, ConfigError, DialerError, NotRunningError, StartError
from dialer_core.event_tail import EventTail
from dialer_core.events import Event
from dialer_core.flow_speech import FlowSpeech
from dialer_core.http.access import KEY_FILE, Access
from dialer_core.http.answers import ApiParts
from dialer_core.http.app import create_app
from dialer_core.http.document_links import LinkPages
from dialer_core.http.oidc import Oidc
from dialer_core.http.webhooks import create_webhook_app
from dialer_core.ipc.channel import ENGINE_SOCKET, Link
from dialer_core.ipc.messages import EngineToHost, EventsCommitted, HostCommand, HostReply, HostToEngine
from dialer_core.liveness import Heart, beat
from dialer_core.log_setup import configure_logging
from dialer_core.media.sealing import parse_key
from dialer_core.messaging.bot_texts import load_usable
from dialer_core.messaging.document_links import DocumentLinks
from dialer_core.messaging.messenger import Messenger
from dialer_core.messaging.scripts import load_scripts
from dialer_core.plugin_api import EngineHandle
from dialer_core.plugin_contacts import ContactRecords
from dialer_core.plugin_host import Plugin, PluginHost, installed, load
from dialer_core.plugin_records import Records
from dialer_core.portfolio import segmenting, upkeep
from dialer_core.portfolio.strategies import Strategies
from dialer_core.pushing import Pusher
from dialer_core.settings import Settings, load_settings
from dialer_core.store.database import Database, open_database
from dialer_core.toml_files import read_secret

log = structlog.get_logger(__name__)

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 1.0
REPLY_LIMIT_S = 10.0
MAX_QUEUED_BYTES = 4 << 20
"""Commands that the engine has not read yet; beyond, it counts as away."""
CONNECTIONS = 2048
"""At once: an event stream for each of 300 agents and a thousand screens, and requests beside them; more are answered 503."""
_LINK_KEY_LENGTH = 32
WEBHOOKS_AGAIN_S = 5.0
GRACE_S = 3
"""How long requests under way may take to end when the host stops."""


class EngineLink:
    """The link to the engine: commands out, replies and wake-ups in; attached again when it is lost.

    Parameters
    ----------
    path
        The engine's socket.
    on_events
        Called when the event log has grown, and after each attachment.
    reply_limit_s
        Longest a command waits for its reply.
    """

    def __init__(
        self, path: Path, on_events: Callable[[], None], *, reply_limit_s: float = REPLY_LIMIT_S
    ) -> None:
        self._path = path
        self._on_events = on_events
        self._reply_limit_s = reply_limit_s
        self._link: Link[HostToEngine, EngineToHost] | None = None
        self.on_attached: Callable[[], None] = lambda: None
        """Called after each attachment."""
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[HostReply]] = {}

    @property
    def attached(self) -> bool:
        """An engine is there now."""
        return self._link is not None

    async def run(self) -> None:
        """Attach, and attach again whenever the engine goes away, until cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            closed = asyncio.Event()
            try:
                self._link = await Link.attach(self._path, EngineToHost, self._received, closed.set)
            except OSError:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                continue
            pause_s = FIRST_PAUSE_S
            log.info("engine_attached")
            self._on_events()
            self.on_attached()
            try:
                await closed.wait()
                log.warning("engine_detached", commands_unanswered=len(self._waiting))
            finally:
                self._link.close()
                self._link = None
                for future in self._waiting.values():
                    if not future.done():
                        future.set_exception(
                            NotRunningError(
                                "the engine went away before it answered; status says if it was done"
                            )
                        )

    async def command(self, name: str, args: dict[str, Any], *, actor: str) -> Any:
        """Send a command and return the engine's result.

        Raises
        ------
        NotRunningError
            The engine is not attached, went away, or did not answer in time.
        CommandRefusedError
            It answered with an error; `kind` says of which kind.
        """
        if self._link is None:
            raise NotRunningError(
                "the engine is not attached: it is starting, restarting or stopped; try again soon"
            )
        if self._link.queued_bytes > MAX_QUEUED_BYTES:
            raise NotRunningError("the engine does not read its commands; try again in a moment")
        number = next(self._numbers)
        future: asyncio.Future[HostReply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        self._link.send(HostCommand(request_id=number, name=name, args=args, actor=actor))
        try:
            reply = await asyncio.wait_for(future, self._reply_limit_s)
        except TimeoutError:
            raise NotRunningError(
                f"the engine did not answer within {self._reply_limit_s:g} s: status says if it was done"
            ) from None
        finally:
            del self._waiting[number]
        if reply.error:
            raise CommandRefusedError(reply.error, reply.kind or "refused")
        return reply.result

    def _received(self, message: EngineToHost) -> None:
        if isinstance(message, EventsCommitted):
            self._on_events()
        elif (future := self._waiting.get(message.request_id)) is not None and not future.done():
            future.set_result(message)


class _Server(uvicorn.Server):
    """Uvicorn, but for the signals: those are the host's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


def bind_http(host: str, port: int, section: str = "http") -> socket.socket:
    """Bind a socket for the API, or for webhooks; `section` of the settings says where, for messages.

    Raises
    ------
    StartError
        The port is in use, or the address is not this machine's.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise StartError(f"{section}.bind: {host!r} is not an address: {error.strerror}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise StartError(
            f"{section}: cannot listen on {host}:{port}: {error.strerror}; set {section}.port to a free port"
        ) from error
    return listener


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run the host until `stop` is set.

    Raises
    ------
    DialerError
        It cannot start: port in use, token readable by others, store not migrated, unknown plugin.
    """
    dialer = settings.dialer
    plugins_found = load(dialer.plugins.enabled, installed())
    packs = load_packs(settings.directory / "compliance") if settings.campaigns else {}
    with contextlib.closing(bind_http(dialer.http.bind, dialer.http.port)) as listener:
        database = open_database(settings.store_url, node=dialer.node.name)
        try:
            access = Access.open(
                database, settings.token_file, settings.state_dir / KEY_FILE, secure=dialer.http.behind_tls
            )
            await asyncio.to_thread(database.require_current)
            await _serve(
                settings,
                stop,
                plugins_found=plugins_found,
                packs=packs,
                access=access,
                listener=listener,
                database=database,
            )
        finally:
            database.dispose()


async def _serve(
    settings: Settings,
    stop: asyncio.Event,
    *,
    plugins_found: Sequence[Plugin],
    packs: Mapping[str, RulePack],
    access: Access,
    listener: socket.socket,
    database: Database,
) -> None:
    dialer = settings.dialer
    tail = EventTail(database)
    link = EngineLink(settings.run_dir / ENGINE_SOCKET, tail.wake)
    templates, flows, wrong = load_usable(settings.directory / "templates", settings.directory / "flows")
    for problem in wrong:  # `dialer run` refuses them; one that was broken since costs nobody else theirs
        log.error("template_left_out", error=str(problem))
    links = _links(settings)
    messenger = Messenger(
        database,
        templates=templates,
        flows=flows,
        agents=settings.agents,
        campaigns=settings.campaigns,
        packs=packs,
        clock=SystemClock(),
        on_written=tail.wake,
        links=links,
    )
    strategies = Strategies(database, clock=SystemClock(), node=dialer.node.name, on_written=tail.wake)
    engine = EngineHandle(
        port=link,
        tail=tail,
        clock=SystemClock(),
        actor="host",
        messenger=messenger,
        strategies=strategies,
        directory=settings.directory,
        records=Records(database, clock=SystemClock(), actor="host", on_written=tail.wake),
        state_dir=settings.state_dir,
        zone=dialer.reports.zone,
        contacts=ContactRecords(
            database, clock=SystemClock(), actor="host", campaigns=settings.campaigns, packs=packs, state_dir=settings.state_dir,
            on_written=tail.wake,
        ),
    )  # fmt: skip

    async def report(event: Event) -> None:
        await asyncio.to_thread(_write_event, database, event)
        tail.wake()

    plugins = PluginHost(
        plugins_found, engine=engine, hook_limit_s=dialer.plugins.hook_limit_s, report=report
    )
    attaching = asyncio.create_task(link.run(), name="engine-link")
    try:
        await plugins.start()
        for add, given in (
            (messenger.add_channel, await plugins.channels()),
            (strategies.add_actions, await plugins.strategy_actions()),
        ):
            for plugin, thing in given:
                try:
                    add(plugin.name, thing)
                except ValueError as error:
                    plugin.disable(str(error))
        strategies.all_added()
        parts = ApiParts(
            engine=engine, database=database, plugins=plugins.views, settings=settings, packs=packs,
            scripts=load_scripts(settings.directory / "scripts", settings.segments), choose_step=plugins.choose_next_step,
        )  # fmt: skip
        app = create_app(
            parts, access, await plugins.routes(), await plugins.pages(), _oidc(settings, access)
        )
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
                limit_concurrency=CONNECTIONS,
                proxy_headers=dialer.http.behind_tls,  # who else is on this machine names no address but their own
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
        archiving = asyncio.create_task(_archive(settings, database, tail), name="archive")
        tracking = asyncio.create_task(plugins.track(tail, dialer.node.name), name="plugin-events")
        keeping = asyncio.create_task(_keep_up(settings, database, strategies), name="portfolio-upkeep")
        messaging = asyncio.create_task(messenger.run(), name="messages")
        pages = LinkPages(database, links, settings.state_dir, SystemClock()) if links else None
        hooks = asyncio.create_task(_webhooks(settings, messenger, pages), name="webhooks")
        pushing = asyncio.create_task(Pusher(settings, database, tail, SystemClock()).run(), name="push")
        screening_leads = asyncio.create_task(
            screening.watch(database, settings.campaigns, packs), name="hopper-screening"
        )
        sourcing = asyncio.create_task(
            agent_sources.run(plugins, await plugins.agent_states()), name="agent-states"
        )
        speech = FlowSpeech(
            settings, database, tail, link, await plugins.voices(), SystemClock(), dialer.node.name
        )
        link.on_attached = speech.attached
        speaking = asyncio.create_task(speech.run(), name="flow-speech")
        stopping = asyncio.create_task(stop.wait())
        log.info(
            "host_started",
            bind=dialer.http.bind,
            port=dialer.http.port,
            plugins=[p.name for p in plugins.plugins],
        )
        working = (
            tracking, keeping, screening_leads, archiving, messaging, hooks, pushing, speaking, sourcing,
        )  # fmt: skip
        done, _ = await asyncio.wait(
            {serving, attaching, stopping, *working}, return_when=asyncio.FIRST_COMPLETED
        )
        parts.stopping.set()
        server.should_exit = True
        await serving
        stopping.cancel()
        for part in working:
            part.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        if not link.attached:  # else people may be listening to it, and another host comes
            speech.clear()
        for task in done - {stopping}:
            task.result()  # one that ended by itself failed: its error ends the host, and the supervisor starts another
    finally:
        await plugins.stop()
        attaching.cancel()
        await asyncio.gather(attaching, return_exceptions=True)
        log.info("host_stopped")


def _oidc(settings: Settings, access: Access) -> Oidc | None:
    """Return the OpenID provider of the configuration; ConfigError where our secret there is not where it should be."""
    if (its := settings.dialer.http.oidc) is None:
        return None
    where = f"{settings.directory / 'dialer.toml'}: http.oidc.client_secret"
    secret = read_secret(where, its.client_secret_env, its.client_secret_file, settings.directory)
    return Oidc(its, secret, access.key)


def _links(settings: Settings) -> DocumentLinks | None:
    """Return who signs links to documents; ConfigError where a key is not where it should be, or is too short to be one."""
    its = settings.dialer.links
    if not its.keys:
        return None
    keys = {}
    for index, one in enumerate(its.keys):
        where = f"{settings.directory / 'dialer.toml'}: links.keys.{index}.secret"
        keys[one.id] = read_secret(where, one.secret_env, one.secret_file, settings.directory)
        if len(keys[one.id]) < _LINK_KEY_LENGTH:
            raise ConfigError(
                f"{where}: the key {one.id!r} has fewer than {_LINK_KEY_LENGTH} characters; make one with: openssl rand -base64 32"
            )
    return DocumentLinks(its.base_url, keys)


async def _keep_up(settings: Settings, database: Database, strategies: Strategies) -> None:
    """Do what time alone does to the portfolio, and to how our numbers are received."""
    await asyncio.gather(
        upkeep.watch(database),
        segmenting.watch(database, settings.campaigns, settings.segments),
        strategies.run(),
        caller_id_watch.watch(database, settings.caller_ids, {}),
    )


async def _archive(settings: Settings, database: Database, tail: EventTail) -> None:
    """Look after the recordings, where there may be any."""
    if not recording_place.wanted(settings):
        await asyncio.Event().wait()
    its = settings.dialer.recordings
    archive = Archive(
        database, recording_place.folder(settings), parse_key(recording_place.key(settings), "recordings"),
        node=settings.dialer.node.name, container=its.container, retention_days=its.retention_days, clock=SystemClock(),
        on_stored=tail.wake,
    )  # fmt: skip
    await archive.run()


async def _webhooks(settings: Settings, messenger: Messenger, links: LinkPages | None) -> None:
    """Listen to providers and to who opens a link, where that is on: an address of its own that serves nothing else."""
    its = settings.dialer.webhooks
    if not its.enabled:
        await asyncio.Event().wait()
    listener = None
    while listener is None:  # whoever holds the port may let it go; everything else works meanwhile
        try:
            listener = bind_http(its.bind, its.port, section="webhooks")
        except StartError as error:
            log.error("webhooks_not_listening", error=str(error), again_s=WEBHOOKS_AGAIN_S)  # noqa: TRY400 - it says all
            await asyncio.sleep(WEBHOOKS_AGAIN_S)
    with contextlib.closing(listener):
        server = _Server(
            uvicorn.Config(
                create_webhook_app(messenger, links), log_config=None, access_log=False, lifespan="off", ws="none",
                server_header=False, timeout_graceful_shutdown=GRACE_S, limit_concurrency=64, proxy_headers=its.behind_tls,
            )
        )  # fmt: skip
        await server.serve(sockets=[listener])


def _write_event(database: Database, event: Event) -> None:
    with database.write() as tx:
        tx.emit(event)


async def _run(settings: Settings, heart: Heart) -> None:
    beating = asyncio.create_task(beat(heart))
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    await serve(settings, stop)
    beating.cancel()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the host; return its exit status: 0 stopped, 1 could not start, 2 the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="python -m dialer_core.host", description="Plugins and HTTP.")
    parser.add_argument(
        "--config", type=Path, default=Path("config"), metavar="DIR", help="configuration directory"
    )
    parser.add_argument("--heartbeat", type=int, help="descriptor of the supervisor's pipe")
    arguments = parser.parse_args(argv)
    try:
        settings = load_settings(arguments.config)
        configure_logging(
            level=settings.dialer.log.level, log_format=settings.dialer.log.format, process="host"
        )
        asyncio.run(_run(settings, Heart(arguments.heartbeat)))
    except DialerError as error:
        print(f"host: {error}", file=sys.stderr)  # noqa: T201 - the one line for whoever started it
        return 2 if isinstance(error, ConfigError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
