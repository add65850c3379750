"""What `dialer doctor` looks at, a function for each concern: what is so, and what to do about it.

It owns the checks. It owns neither their order nor their printing (`doctor.py`), and changes nothing on the
machine.
"""

from __future__ import annotations

import asyncio
import ctypes
import datetime as dt
import enum
import os
import shutil
import socket
import subprocess
import sys
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

import msgspec

from dialer_core.campaigns import readiness
from dialer_core.commands.plugins_apart import plugins_apart
from dialer_core.commands.sip_options import ask_options
from dialer_core.compliance.packs import load_packs
from dialer_core.edge_settings import INNER_HOST
from dialer_core.errors import DialerError
from dialer_core.open_files import files_allowed, files_needed
from dialer_core.plugin_api import PluginFailed
from dialer_core.settings import Settings, TrunkSettings
from dialer_core.store.database import open_database
from dialer_core.vocabulary import SrtpUse, TrunkId

LONGEST_SOCKET_PATH_BYTES = 100
"""What `ipc.channel.listen_unix` accepts."""


class Grade(enum.StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    """It will run, and something may surprise you."""
    FAIL = "fail"
    """It will not run, or not dial."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor's report."""

    check: str
    grade: str
    found: str
    advice: str = ""


def ok(check: str, found: str) -> Finding:
    """Return that something is as it should be."""
    return Finding(check=check, grade=Grade.OK, found=found)


def warn(check: str, found: str, advice: str) -> Finding:
    """Return that something may surprise, and what to do."""
    return Finding(check=check, grade=Grade.WARN, found=found, advice=advice)


def fail(check: str, found: str, advice: str) -> Finding:
    """Return that something will not work, and what to do."""
    return Finding(check=check, grade=Grade.FAIL, found=found, advice=advice)


_PROBE_PJSUA2 = """
import os, pjsua2
from dialer_core.sip.pjsua import PjLibrary
endpoint = pjsua2.Endpoint()
endpoint.libCreate()
settings = pjsua2.EpConfig()
settings.logConfig.consoleLevel = 0
settings.logConfig.level = 0
endpoint.libInit(settings)
print(endpoint.libVersion().full, PjLibrary().slots_max(), flush=True)
os._exit(0)
"""


def check_pjsua2(settings: Settings) -> Iterator[Finding]:
    """The calls that pjsua2 takes, asked in a process of its own, as the line workers have it."""
    run = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", _PROBE_PJSUA2], capture_output=True, text=True, timeout=30, check=False
    )
    words = (run.stdout.splitlines() or [""])[-1].split()  # pjsip says what it likes before
    if run.returncode != 0 or len(words) != 2:
        last = (run.stderr.strip().splitlines() or [f"ended with status {run.returncode}"])[-1]
        yield fail(
            "pjsua2",
            last,
            "install it with the package: pip install marcador (Linux on x86-64, Python 3.11 or 3.12)",
        )
        return
    version, capacity = words[0], int(words[1])
    lines = sum(trunk.lines for trunk in settings.trunks.values())
    workers = -(-lines * 5 // (4 * capacity))
    yield ok(
        "pjsua2", f"{version}, {capacity} calls a worker: about {workers} line workers for {lines} lines"
    )


def _can_bind(kind: socket.SocketKind, host: str, port: int) -> str:
    """Return why this address cannot be bound, or an empty text."""
    try:
        with socket.socket(socket.AF_INET, kind) as probe:
            if kind is socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        return error.strerror or str(error)
    return ""


def check_ports(settings: Settings) -> Iterator[Finding]:
    """The API's port, the first SIP port, and both ends of the RTP range."""
    if runs_already(settings):
        yield warn(
            "ports",
            "a dialer runs with this configuration",
            "its ports are in use by itself, and not checked",
        )
        return
    dialer = settings.dialer
    http = dialer.http
    if error := _can_bind(socket.SOCK_STREAM, http.bind, http.port):
        yield fail(
            "API port", f"{http.bind}:{http.port}: {error}", "set http.port in dialer.toml to a free port"
        )
    else:
        yield ok("API port", f"{http.bind}:{http.port} is free")
    sip = dialer.sip
    if error := _can_bind(socket.SOCK_DGRAM, sip.bind, sip.first_port):
        yield fail(
            "SIP ports",
            f"{sip.bind}:{sip.first_port}: {error}",
            "set sip.first_port (or sip.bind) in dialer.toml",
        )
    else:
        yield ok("SIP ports", f"{sip.bind}:{sip.first_port} is free")
    low, _, high = dialer.media.rtp_ports.partition("-")
    for port in (int(low), int(high)):
        if error := _can_bind(socket.SOCK_DGRAM, dialer.media.bind, port):
            yield fail(
                "RTP ports",
                f"{dialer.media.bind}:{port}: {error}",
                "set media.rtp_ports (or media.bind) in dialer.toml",
            )
            return
    pairs = (int(high) - int(low) + 1) // 2
    needed = sum(trunk.lines for trunk in settings.trunks.values()) + len(settings.agents)
    if pairs < needed:
        yield fail(
            "RTP ports",
            f"{pairs} pairs for {needed} lines and agents",
            "widen media.rtp_ports in dialer.toml",
        )
    else:
        yield ok("RTP ports", f"{pairs} pairs for {needed} lines and agents")


def runs_already(settings: Settings) -> bool:
    """Say whether an engine listens with this configuration."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(settings.run_dir / "engine.sock"))
        except OSError:
            return False
    return True


def check_database(settings: Settings) -> Iterator[Finding]:
    """The store: reachable, and at this program's revision. A file that is not there is not made."""
    kind, _, file = settings.store_url.partition(":///")
    if kind == "sqlite" and file and _can_be_made(Path(file)):
        yield warn(
            "database", f"{settings.store_url} is not there yet",
            "nothing to do: 'dialer run' and 'dialer leads import' make it",
        )  # fmt: skip
        return
    database = open_database(settings.store_url, node=settings.dialer.node.name)
    try:
        database.require_current()
    except DialerError as error:
        if "migration" in str(error):
            yield warn(
                "database", str(error), "nothing to do: 'dialer run' and 'dialer leads import' migrate it"
            )
        else:
            yield fail(
                "database",
                str(error),
                "see store.url in dialer.toml; is the server up, and its password right?",
            )
    else:
        yield ok("database", f"{database.place}: reachable and current")
    finally:
        database.dispose()


def _can_be_made(file: Path) -> bool:
    """Say whether a file is absent, and the first of its folders that is there can be written to."""
    there = next(folder for folder in file.absolute().parents if folder.exists())
    return not file.exists() and there.is_dir() and os.access(there, os.W_OK)


def check_campaigns(settings: Settings) -> Iterator[Finding]:
    """What `dialer run` would refuse."""
    try:
        problems = readiness.check(settings, load_packs(settings.directory / "compliance"))
    except DialerError as error:
        problems = str(error).splitlines()
    for problem in problems:
        yield fail("campaigns", problem, "'dialer run' refuses until this is settled")
    if not settings.campaigns:
        yield warn(
            "campaigns",
            f"there is none in {settings.directory / 'campaigns'}",
            "'dialer init' writes one to start from",
        )
    elif not problems:
        yield ok(
            "campaigns", ", ".join(f"{name} ({its.rule_pack})" for name, its in settings.campaigns.items())
        )
    if not settings.agents:
        yield warn(
            "agents", "there is none in agents.toml", "nobody can be bridged: add an [agents.NAME] table"
        )


def check_trunks(settings: Settings) -> Iterator[Finding]:
    """Each trunk's secret, and its answer to OPTIONS."""
    for name, trunk in settings.trunks.items():
        yield from _check_trunk(settings, name, trunk)
        if trunk.srtp is not SrtpUse.OFF and trunk.transport != "tls":
            yield warn(
                f"trunk {name}",
                f"srtp = {trunk.srtp}, and its keys travel in the clear by {trunk.transport}",
                'transport = "tls" (by the edge), or whoever reads the SIP can hear the calls',
            )
    if not settings.trunks:
        yield fail("trunks", "there is none in trunks.toml", "add a [trunks.NAME] table")


def _check_trunk(settings: Settings, name: TrunkId, trunk: TrunkSettings) -> Iterator[Finding]:
    check = f"trunk {name}"
    try:
        settings.trunk_password(name)
    except DialerError as error:
        yield fail(check, str(error), "give the secret in the place that trunks.toml names")
    host, port = trunk.host, trunk.port
    if trunk.proxy:
        host, _, proxy_port = trunk.proxy.partition(":")
        port = int(proxy_port or 5060)
    edge = settings.dialer.edge
    by = (INNER_HOST, edge.inner_port) if edge.enabled else None
    answer = ask_options(host, port, transport=trunk.transport, bind=settings.dialer.sip.bind, by=by)
    where = f"{host}:{port} ({trunk.transport}{', by the edge' if by else ''})"
    if answer.code:
        yield ok(check, f"{where} answered OPTIONS with {answer.code} in {answer.elapsed_ms:g} ms")
    elif trunk.options_interval_s == 0:
        yield warn(
            check, f"{where}: {answer.error}", "options_interval_s = 0: it is taken for up all the same"
        )
    else:
        yield fail(
            check,
            f"{where}: {answer.error}",
            f"check host, port and transport in trunks.toml, the firewall, and that {edge.bind if by else settings.dialer.sip.bind}"
            f" ({'edge' if by else 'sip'}.bind) leads there",
        )


_ADJTIMEX_STATUS_OFFSET = 40
_STA_UNSYNC = 0x0040


def _kernel_says_synchronised() -> bool | None:
    """Ask the kernel by `adjtimex(2)` in its reading form; None where it does not tell."""
    try:
        buffer = ctypes.create_string_buffer(256)
        if ctypes.CDLL(None, use_errno=True).adjtimex(buffer) < 0:
            return None
    except (OSError, AttributeError):
        return None
    status = int.from_bytes(buffer.raw[_ADJTIMEX_STATUS_OFFSET : _ADJTIMEX_STATUS_OFFSET + 4], sys.byteorder)
    return not status & _STA_UNSYNC


def check_clock(settings: Settings) -> Iterator[Finding]:
    """The wall clock decides when people may be called: its year, its synchronisation, and the zones."""
    del settings
    now = dt.datetime.now(dt.UTC)
    if now.year < 2025:
        yield fail(
            "clock", f"it says {now:%Y-%m-%d %H:%M} UTC", "set the clock: calling hours are decided by it"
        )
        return
    if _kernel_says_synchronised() is False:
        yield warn(
            "clock",
            f"{now:%Y-%m-%d %H:%M:%S} UTC, and the kernel says that nothing keeps it right",
            "compare it with a clock you trust, and run chrony or systemd-timesyncd",
        )
    else:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")
    try:
        zoneinfo.ZoneInfo("America/Tijuana")
    except zoneinfo.ZoneInfoNotFoundError:
        yield fail("time zones", "America/Tijuana is unknown here", "install the tzdata package")


def check_folders(settings: Settings) -> Iterator[Finding]:
    """State and run folders: writable, room left, and socket paths short enough."""
    state = settings.state_dir
    existing = next(folder for folder in (state, *state.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        yield fail(
            "state folder", f"{existing} is not writable", "set node.state_dir in dialer.toml, or its owner"
        )
    else:
        free_mb = shutil.disk_usage(existing).free // 1_000_000
        if free_mb < 200:
            yield fail(
                "disk",
                f"{free_mb} MB free at {existing}",
                "free some space: nothing is dialed that cannot be stored",
            )
        elif free_mb < 2_000:
            yield warn(
                "disk",
                f"{free_mb} MB free at {existing}",
                "watch it: nothing is dialed that cannot be stored",
            )
        else:
            yield ok("disk", f"{free_mb / 1000:.0f} GB free at {existing}")
    longest = settings.run_dir / "worker-customers-9999.sock"
    if len(os.fsencode(longest)) > LONGEST_SOCKET_PATH_BYTES:
        yield fail(
            "run folder",
            f"{settings.run_dir} is too long for a socket's path",
            "set node.run_dir to a shorter folder",
        )
    else:
        yield ok("run folder", str(settings.run_dir))


def check_limits(settings: Settings) -> Iterator[Finding]:
    """Open files: the media plane holds two sockets a leg."""
    needed = files_needed(settings)
    soft, hard = files_allowed()
    if hard < needed:
        yield fail(
            "open files",
            f"{hard} allowed, {needed} needed",
            f"LimitNOFILE={needed} in the service, or a higher 'ulimit -Hn'",
        )
    elif soft < needed:
        yield ok("open files", f"{soft} allowed, {needed} needed: 'dialer run' raises it by itself")
    else:
        yield ok("open files", f"{soft} allowed, {needed} needed")


def check_plugins(settings: Settings) -> Iterator[Finding]:
    """Each enabled plugin: installed, it loads, and its settings are right as far as it can say."""

    async def unheard(event: PluginFailed) -> None:
        del event  # the outcome has the words

    with plugins_apart(settings, unheard) as host:
        outcomes = asyncio.run(host.observe("dialer_check_settings"))
        views = host.views()
    wrong = {one.plugin: one.error for one in outcomes if one.error}
    for view in views:
        if told := wrong.get(view.name) or view.reason:
            yield warn(f"plugin {view.name}", told, "everything else runs without it")
        else:
            yield ok(f"plugin {view.name}", view.package)


CHECKS = (
    check_pjsua2,
    check_campaigns,
    check_trunks,
    check_ports,
    check_database,
    check_folders,
    check_limits,
    check_clock,
    check_plugins,
)
