"""The engine process: a `CallLoop` on the real clock, store, workers and media plane, and the socket on which the host asks.

It owns the process: configuration, signals, sockets. What it runs is `call_loop.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Coroutine, Mapping
from functools import partial
from pathlib import Path

import structlog

from dialer_core import spare, steering
from dialer_core.call_loop import CallLoop
from dialer_core.campaigns import readiness
from dialer_core.clock import SystemClock, read_boot_id
from dialer_core.compliance.packs import load_packs
from dialer_core.control import Control
from dialer_core.edge_settings import INNER_HOST
from dialer_core.errors import ConfigError, DialerError
from dialer_core.events import HostLost
from dialer_core.ipc.channel import ENGINE_SOCKET, Link, listen_unix
from dialer_core.ipc.messages import (
    AllowSources,
    Dialog,
    EngineToHost,
    EventsCommitted,
    HostCommand,
)
from dialer_core.lines import Attacher, WorkerPool
from dialer_core.liveness import Heart, beat
from dialer_core.log_setup import configure_logging
from dialer_core.runtime import Runtime
from dialer_core.settings import Settings, load_settings
from dialer_core.sip.digest import Credentials
from dialer_core.sip.headers import host_of
from dialer_core.sip.orphan import end_orphan
from dialer_core.store.database import open_database
from dialer_core.store.journal import Journal
from dialer_core.store.reader import Reader
from dialer_core.vocabulary import TrunkId

log = structlog.get_logger(__name__)

JOURNAL_LIMIT_S = 20.0
"""How long an engine that stops waits for a database that is away; the next one ends what is missing as `interrupted`."""


SOURCES_WAIT_S = 1.0
"""How long a start waits for names to be looked up: calls wait for the engine."""
SOURCES_RETRY_S = 5.0


def known_sources(settings: Settings) -> AllowSources:
    """Return the IPv4 addresses SIP may come from: trunks, their proxies, softphones, and this machine. Looks names up: it may block for long."""
    if settings.dialer.edge.enabled:
        return AllowSources(addresses=(INNER_HOST,))  # everybody else is the edge's to know
    hosts = {"127.0.0.1", settings.dialer.sip.bind}
    for trunk in settings.trunks.values():
        hosts |= {trunk.host, *([trunk.proxy.partition(":")[0]] if trunk.proxy else [])}
    phones = [agent.sip for agent in settings.agents.values() if agent.sip]
    phones += [extension.sip for extension in settings.dialer.extensions.values()]
    hosts |= {sip.rpartition("@")[2].partition(";")[0].partition(":")[0] for sip in phones}
    addresses, complete = set(), True
    for host in hosts:
        try:
            addresses |= {str(info[4][0]) for info in socket.getaddrinfo(host, None, socket.AF_INET)}
        except OSError as error:
            complete = False
            log.error("host_not_resolved", host=host, error=error.strerror)  # noqa: TRY400 - the text says it all
    return AllowSources(addresses=tuple(sorted(addresses)), complete=complete)


async def allow_sources(settings: Settings, workers: WorkerPool) -> None:
    """Tell the workers whom SIP may come from, again until every name could be looked up."""
    complete = False
    while not complete:
        sources = await asyncio.to_thread(known_sources, settings)
        workers.allow(sources)
        complete = sources.complete
        if not complete:
            await asyncio.sleep(SOURCES_RETRY_S)


RECOVERY_LIMIT_S = 30.0
"""Whoever has not taken over what there is by then never will: another engine is started instead (I6)."""


async def serve(settings: Settings, heart: Heart) -> int:
    """Run a real engine until it is drained; `heart` is what its supervisor hears."""
    packs = load_packs(settings.directory / "compliance")
    if problems := readiness.check(settings, packs):
        raise ConfigError("\n".join(problems))
    passwords = {name: settings.trunk_password(name) for name in settings.trunks}
    clock, boot_id, node = SystemClock(), read_boot_id(), settings.dialer.node.name
    database = open_database(settings.store_url, node=node, clock=clock, boot_id=boot_id)
    database.require_current()
    journal, reader = Journal(database, node=node, boot_id=boot_id, clock=clock), Reader(database)
    loop = asyncio.get_running_loop()
    engine = CallLoop(
        Runtime(node=node, boot_id=boot_id, clock=clock, journal=journal, reader=reader, loop=loop),
        settings,
        packs,
        passwords,
    )
    beating = asyncio.create_task(beat(heart, engine.workers_wanted))
    allowing = asyncio.create_task(allow_sources(settings, engine.workers))
    await asyncio.wait({allowing}, timeout=SOURCES_WAIT_S)
    orphans: set[asyncio.Task[None]] = set()

    def end_soon(dialog: Dialog) -> None:
        task = loop.create_task(_end_orphan(dialog, _credentials_of(dialog, settings, passwords)))
        orphans.add(task)
        task.add_done_callback(orphans.discard)

    engine.on_orphan(end_soon)
    await engine.recover()
    await steering.take_up(engine)
    attacher = Attacher(settings.run_dir, engine.workers, engine.media)
    attacher.on_scanned = engine.recovery.scanned
    attaching = asyncio.create_task(attacher.run())
    await asyncio.wait_for(engine.recovery.done.wait(), RECOVERY_LIMIT_S)
    engine.log_in_unasked()
    control, following = Control(engine), asyncio.create_task(steering.follow(engine))
    hosts: set[Link[EngineToHost, HostCommand]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link: Link[EngineToHost, HostCommand] = Link(
            reader,
            writer,
            HostCommand,
            lambda command: control.answer(command, link.send),
            lambda: gone(link),
        )
        hosts.add(link)

    def gone(link: Link[EngineToHost, HostCommand]) -> None:
        hosts.discard(link)
        if not hosts:
            engine.host_is(there=False)
        if not hosts and not engine.dialing.draining:
            log.warning("host_lost")
            journal.append(HostLost(at_mono_ns=clock.mono_ns()))

    path = settings.run_dir / ENGINE_SOCKET
    server = await asyncio.start_unix_server(connected, sock=listen_unix(path))

    journal.on_committed(partial(_tell_hosts, hosts))
    _drain_on_signals(loop, engine)
    gc.freeze()  # what is loaded now lives for ever: collections on the call loop stay short
    log.info(
        "engine_started",
        node=node,
        campaigns=len(settings.campaigns),
        agents=len(settings.agents),
        trunks=len(settings.trunks),
    )
    try:
        await run_attached(engine.run(), attaching)
        await asyncio.sleep(0.3)  # the agents' BYEs leave before the workers are told to go
    finally:
        for task in (allowing, following, attaching):
            task.cancel()
        attacher.close()
        server.close()
        path.unlink(missing_ok=True)
        await asyncio.to_thread(
            journal.close, JOURNAL_LIMIT_S
        )  # the loop goes on: the supervisor must hear us
        reader.close()
        database.dispose()
        beating.cancel()
    log.info("engine_stopped")
    return 0


def _tell_hosts(hosts: set[Link[EngineToHost, HostCommand]], seq: int) -> None:
    """Say that there is something to read in the log; one that does not read need not hear it again."""
    for link in hosts:
        if not link.over_mark:
            link.send(EventsCommitted(seq=seq))


def _drain_on_signals(loop: asyncio.AbstractEventLoop, engine: CallLoop) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, engine.drain)


async def run_attached(work: Coroutine[None, None, None], attaching: asyncio.Task[None]) -> None:
    """Do the work while the attaching goes on; raise what ended the attaching: an engine that attaches to nobody any more is replaced."""
    working = asyncio.create_task(work)
    try:
        await asyncio.wait({working, attaching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            attaching.result()
    finally:
        if not working.done():
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
    working.result()


def _credentials_of(
    dialog: Dialog, settings: Settings, passwords: Mapping[TrunkId, str]
) -> Credentials | None:
    """Return what answers a challenge to a dead worker's BYE: of the trunk that the call was addressed to, and of no other."""
    host = host_of(dialog.remote_uri)
    return next(
        (
            Credentials(trunk.user, passwords[name])
            for name, trunk in settings.trunks.items()
            if trunk.user and passwords[name] and trunk.host == host
        ),
        None,
    )


async def _end_orphan(dialog: Dialog, credentials: Credentials | None) -> None:
    code = await end_orphan(dialog, credentials)
    log.info("orphan_ended", call_id=dialog.call_id, code=code)


def main(arguments: list[str] | None = None) -> int:
    """Run the engine as a process: `python -m dialer_core.engine --config DIR`."""
    parser = argparse.ArgumentParser(
        prog="python -m dialer_core.engine", description="The dialer's engine; started by `dialer run`."
    )
    parser.add_argument("--config", type=Path, required=True, help="configuration directory")
    parser.add_argument("--heartbeat", type=int, help="descriptor of the supervisor's pipe")
    parser.add_argument(spare.OPTION, action="store_true", help="wait for a byte of standard input first")
    options = parser.parse_args(arguments)
    heart = Heart(options.heartbeat)
    if options.spare and not spare.wait_for_the_word(heart):
        return 0
    try:
        settings = load_settings(options.config)
        configure_logging(
            level=settings.dialer.log.level, log_format=settings.dialer.log.format, process="engine"
        )
        return asyncio.run(serve(settings, heart))
    except DialerError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, ConfigError) else 1


if __name__ == "__main__":
    sys.exit(main())
