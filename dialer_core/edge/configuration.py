"""The edge's configuration as text, made from the settings: what `dialer init --edge` writes and `dialer doctor` compares.

It owns the files' content. The routes are `routing.cfg`, packaged beside it and the same everywhere; before them comes what depends on the
settings. It writes nothing and starts nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path

from dialer_core.edge_settings import INNER_HOST
from dialer_core.errors import ConfigError
from dialer_core.settings import Settings, TrunkSettings

FOLDER = "edge"
"""Where the files are, within the configuration's folder."""
MAIN_FILE = "kamailio.cfg"
SECRET_FILES = frozenset({"db/subscriber", "db/uacreg"})
"""Files with secrets: readable by their owner and group alone."""
HEADER = "Written by `dialer init --edge`"
REGISTRATION_S = 300
"""How long a registration of ours at a trunk lasts before it is renewed."""

_VERSIONS = {"subscriber": 7, "uacreg": 5}
"""Table versions that Kamailio 5.6 and 5.7 ask for."""
_TABLES = {
    "version": "id(int,auto) table_name(string) table_version(int)",
    "subscriber": "id(int,auto) username(string) domain(string) password(string,null) ha1(string) ha1b(string,null)",
    "uacreg": "id(int,auto) l_uuid(string) l_username(string) l_domain(string) r_username(string) r_domain(string) realm(string,null)"
    " auth_username(string) auth_password(string) auth_ha1(string,null) auth_proxy(string) expires(int) flags(int) reg_delay(int)"
    " contact_addr(string) socket(string)",
}


def edge_folder(settings: Settings) -> Path:
    """Return where the files belong."""
    return settings.directory / FOLDER


def edge_domain(settings: Settings) -> str:
    """Return the domain of softphones' addresses."""
    return settings.dialer.edge.domain or public_host(settings)


def public_host(settings: Settings) -> str:
    """Return the edge's address as the world sees it."""
    return settings.dialer.sip.public_address or settings.dialer.edge.bind


def edge_files(settings: Settings) -> dict[str, str]:
    """Return every file of the edge: content by path relative to `edge_folder`.

    Raises
    ------
    ConfigError
        A secret is missing, or a text cannot stand in a configuration.
    """
    found = {
        MAIN_FILE: _main(settings),
        "dispatcher.list": _dispatcher(settings),
        "db/version": _table("version", [(name, str(version)) for name, version in _VERSIONS.items()]),
        "db/subscriber": _table("subscriber", _subscribers(settings)),
        "db/uacreg": _table("uacreg", _registrations(settings)),
    }
    if settings.dialer.edge.tls_certificate is not None:
        found["tls.cfg"] = _tls(settings)
    return found


def _main(settings: Settings) -> str:
    edge, public = settings.dialer.edge, public_host(settings)
    advertise = f" advertise {public}" if public != edge.bind else ""
    sockets = [("udp", edge.port), ("tcp", edge.port)]
    if edge.tls_certificate is not None:
        sockets.append(("tls", edge.tls_port))
    listens = [
        f"listen={protocol}:{edge.bind}:{port}{advertise and f'{advertise}:{port}'}"
        for protocol, port in sockets
    ]
    words = {
        "EDGE_FOLDER": str(edge_folder(settings)),
        "EDGE_CONTROL": str(edge.control_socket),
        "EDGE_DOMAIN": edge_domain(settings),
        "EDGE_INNER_HOST": INNER_HOST,
        "EDGE_INNER_PORT": str(edge.inner_port),
        "EDGE_INNER": edge.inner,
        "EDGE_OUTER": f"{edge.bind}:{edge.port}",
        "EDGE_CONTACT": f"{public}:{edge.port}",
        "EDGE_TRUNK_RATE": str(edge.inbound_calls_per_second),
    }
    for value in words.values():
        _plain(value, "!\"'\\ ")
    body = (files("dialer_core.edge") / "routing.cfg").read_text(encoding="utf-8")
    for name in sorted(words, key=len, reverse=True):
        body = body.replace(name, words[name])
    return "\n".join(
        (
            "#!KAMAILIO",
            f"# {HEADER} from dialer.toml, trunks.toml and agents.toml: change those and write it again.",
            "",
            *(["#!define WITH_TLS", "enable_tls=yes"] if edge.tls_certificate is not None else []),
            *listens,
            f"listen=udp:{edge.inner}",
            f'alias="{edge_domain(settings)}"',
            f'alias="{public}:{edge.port}"',
            "",
            body,
        )
    )


def _tls(settings: Settings) -> str:
    edge, base = settings.dialer.edge, settings.directory
    return "\n".join(
        (
            f"# {HEADER}.",
            "[server:default]",
            "method = TLSv1.2+",
            "verify_certificate = no",
            "require_certificate = no",
            f"certificate = {_plain(str(base / (edge.tls_certificate or '')))}",
            f"private_key = {_plain(str(base / (edge.tls_private_key or '')))}",
            "",
            "[client:default]",
            "method = TLSv1.2+",
            "verify_certificate = yes",
            "require_certificate = yes",
            f"ca_list = {_plain(str(base / edge.tls_ca))}",
            "",
        )
    )


def _dispatcher(settings: Settings) -> str:
    socket = f"socket=udp:{settings.dialer.edge.inner}"
    lines = [f"# {HEADER}.", "# set 1: workers that take calls"]
    ports, first = settings.dialer.edge.inbound_ports, settings.dialer.edge.inbound_workers
    lines += [f"1 sip:{INNER_HOST}:{port} 8 0 {socket}" for port in ports[:first]]
    lines += [
        f"1 sip:{INNER_HOST}:{port} 9 0 {socket}" for port in ports[first:]
    ]  # inactive until it answers
    lines.append("# set 2: trunks, and the proxies in front of them: who may send calls")
    for name, trunk in settings.trunks.items():
        lines += [f"2 sip:{_plain(place)} 0 0 trunk={name}" for place in _trunk_places(trunk)]
    return "\n".join([*lines, ""])


def _trunk_places(trunk: TrunkSettings) -> list[str]:
    return [f"{trunk.host}:{trunk.port}", *([trunk.proxy] if trunk.proxy else [])]


def _subscribers(settings: Settings) -> Iterable[tuple[str, ...]]:
    realm = edge_domain(settings)
    for name, agent in settings.agents.items():
        password = settings.agent_password(name)
        user, _, domain = agent.sip.removeprefix("sip:").partition("@")
        if not password:
            continue
        if domain.partition(";")[0] != realm:
            raise ConfigError(
                f"{settings.directory / 'agents.toml'}: agents.{name}.sip: one with a password registers at the edge: sip:{user}@{realm}"
                f" (given: {agent.sip!r})"
            )
        ha1 = hashlib.md5(f"{user}:{realm}:{password}".encode(), usedforsecurity=False).hexdigest()
        yield user, realm, "", ha1, ""


def _registrations(settings: Settings) -> Iterable[tuple[str, ...]]:
    for name, trunk in settings.trunks.items():
        if not trunk.registers:
            continue
        domain = trunk.from_domain or trunk.host
        transport = "" if trunk.transport == "udp" else f";transport={trunk.transport}"
        place = f"sip:{trunk.proxy or f'{trunk.host}:{trunk.port}'}{transport}"
        edge = settings.dialer.edge
        port = edge.tls_port if trunk.transport == "tls" else edge.port
        yield (
            name, trunk.user, edge_domain(settings), trunk.user, domain, "", trunk.user, settings.trunk_password(name), "",
            place, str(REGISTRATION_S), "0", "0", f"{public_host(settings)}:{port}{transport}", f"{trunk.transport}:{edge.bind}:{port}",
        )  # fmt: skip


def _table(name: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table as Kamailio's db_text reads it: a line of columns, a line for each row, fields apart by colons."""
    lines = [f"{_TABLES[name]} "]
    lines += [":".join((str(index), *map(_escaped, row))) for index, row in enumerate(rows, start=1)]
    return "\n".join([*lines, ""])


def _escaped(text: str) -> str:
    _plain(text, "")
    return text.replace("\\", "\\\\").replace(":", "\\:")


def _plain(text: str, forbidden: str = "\"'\\ ;") -> str:
    """Return a text that can stand in a configuration; raises ConfigError for any other."""
    if not text.isprintable() or any(char in text for char in forbidden):
        raise ConfigError(
            f"{text!r} cannot stand in the edge's configuration: no control characters, and none of {forbidden!r}"
        )
    return text


def stale_files(settings: Settings) -> dict[str, str]:
    """Return which of the edge's files are not as they would be written now, and why: `missing`, `unreadable` or `differs`.

    Raises
    ------
    ConfigError
        As `edge_files`.
    """
    wanted: Mapping[str, str] = edge_files(settings)
    folder, found = edge_folder(settings), {}
    for name, content in wanted.items():
        try:
            there = (folder / name).read_text(encoding="utf-8")
        except FileNotFoundError:
            found[name] = "missing"
        except (OSError, UnicodeDecodeError):
            found[name] = "unreadable"
        else:
            if there != content:
                found[name] = "differs"
    return found
