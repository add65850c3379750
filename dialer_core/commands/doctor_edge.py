"""What `dialer doctor` looks at in front of the workers: the edge, or what does not work without one.

It owns those checks, as `doctor_checks.py` owns the others.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from dialer_core.commands.doctor_checks import Finding, fail, ok, warn
from dialer_core.commands.sip_options import ask_options
from dialer_core.edge import configuration, control
from dialer_core.edge_settings import INNER_HOST
from dialer_core.errors import ConfigError
from dialer_core.settings import Settings

WITHOUT = "no inbound calls, no trunk that wants registration or TLS, no softphone that registers or stands behind NAT"


def check_edge(settings: Settings) -> Iterator[Finding]:
    """Kamailio: there, configured as the settings say, answering, and registered where it should be."""
    edge = settings.dialer.edge
    if not edge.enabled:
        yield ok("edge", f"none: {WITHOUT}")
        for name in settings.agents:
            if settings.agents[name].password_env or settings.agents[name].password_file:
                yield warn(
                    f"agent {name}",
                    "has a password, and no edge to register at",
                    "set edge.enabled = true, then 'dialer init --edge'",
                )
        return
    if shutil.which("kamailio", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin") is None:
        yield fail(
            "edge",
            "kamailio is not installed",
            "apt-get install kamailio kamailio-tls-modules, or unset edge.enabled",
        )
    try:
        stale = configuration.stale_files(settings)
    except ConfigError as error:
        yield fail("edge files", str(error), "settle this, then 'dialer init --edge'")
        return
    if stale:
        told = ", ".join(f"{name} {why}" for name, why in sorted(stale.items()))
        yield fail("edge files", told, "'dialer init --edge', then restart Kamailio")
    else:
        yield ok("edge files", f"{configuration.edge_folder(settings)}: as the settings say")
    answer = ask_options(INNER_HOST, edge.inner_port, transport="udp", bind=INNER_HOST)
    if not answer.code:
        main_file = configuration.edge_folder(settings) / configuration.MAIN_FILE
        yield fail(
            "edge", f"{edge.inner}: {answer.error}", f"start it: kamailio -f {main_file} (or by systemd)"
        )
        return
    yield ok("edge", f"{edge.inner} answered OPTIONS with {answer.code} in {answer.elapsed_ms:g} ms")
    yield from _check_registrations(settings)


def _check_registrations(settings: Settings) -> Iterator[Finding]:
    wanted = [name for name, trunk in settings.trunks.items() if trunk.registers]
    try:
        rows = control.ask(settings.dialer.edge.control_socket, "uac.reg_dump") if wanted else []
    except (OSError, ValueError) as error:
        yield warn(
            "registrations",
            f"{settings.dialer.edge.control_socket}: {error}",
            "run doctor as Kamailio's user or group, or set edge.control_socket",
        )
        return
    flags = {row["l_uuid"]: int(row["flags"]) for row in rows}
    for name in wanted:
        if flags.get(name, 0) & control.REGISTERED:
            yield ok(f"registration at {name}", "stands")
        else:
            yield fail(
                f"registration at {name}",
                "does not stand",
                "check user and password in trunks.toml, 'dialer init --edge', restart Kamailio, and give it ten seconds",
            )
