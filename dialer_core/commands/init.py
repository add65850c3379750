"""`dialer init`: writes the packaged configuration, and with `--edge` Kamailio's, made from it."""

from __future__ import annotations

import contextlib
import os
import tempfile
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from dialer_core.commands.invocation import Invocation, example, printing
from dialer_core.edge import configuration
from dialer_core.errors import ConfigError
from dialer_core.settings import load_settings


def packaged_files() -> dict[str, bytes]:
    """Return the packaged configuration: content by relative path."""
    found: dict[str, bytes] = {}

    def collect(folder: Traversable, prefix: str) -> None:
        for entry in folder.iterdir():
            if entry.is_dir():
                collect(entry, f"{prefix}{entry.name}/")
            elif entry.name.endswith(".toml"):
                found[prefix + entry.name] = entry.read_bytes()

    collect(files("dialer_core") / "config_defaults", "")
    return dict(sorted(found.items()))


@click.command(epilog=example("dialer init", "dialer init /etc/marcador", "dialer init --edge /etc/marcador"))
@click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), default=Path("config"), required=False
)
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@click.option(
    "--edge", is_flag=True, help="Write Kamailio's configuration from DIRECTORY's settings instead."
)
@printing
def init(call: Invocation, directory: Path, *, force: bool, edge: bool) -> None:
    """Write a commented configuration to DIRECTORY (./config by default).

    It dials a SIP peer on this machine, and says in each place what to change.
    Files that are there are left alone, and nothing is written, unless --force is given.

    With --edge, DIRECTORY/edge is written from the settings in DIRECTORY: the configuration of the SIP proxy
    in front of the line workers. What an earlier --edge wrote is replaced.
    """
    if edge:
        _init_edge(call, directory, force=force)
        return
    wanted = packaged_files()
    there = [name for name in wanted if (directory / name).exists()]
    if there and not force:
        raise ConfigError(
            f"{directory / there[0]} exists; nothing was written (--force overwrites, or name another folder)"
        )
    try:
        for name, content in wanted.items():
            target = directory / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
    except OSError as error:
        raise ConfigError(
            f"cannot write {error.filename or directory}: {os.strerror(error.errno or 0)}"
        ) from error
    call.give({"directory": str(directory), "files": list(wanted)})
    call.say(f"Wrote {len(wanted)} files to {directory}:")
    for name in wanted:
        call.say(f"  {directory / name}")
    call.say("Next: edit trunks.toml, agents.toml and campaigns/cobranza.toml, then run 'dialer doctor'.")


def _init_edge(call: Invocation, directory: Path, *, force: bool) -> None:
    settings = load_settings(directory)
    folder, wanted = configuration.edge_folder(settings), configuration.edge_files(settings)
    main_file = folder / configuration.MAIN_FILE
    if main_file.exists() and not force and configuration.HEADER not in main_file.read_text(errors="replace"):
        raise ConfigError(
            f"{main_file} was not written by this program; nothing was written (--force overwrites it)"
        )
    try:
        for name, content in wanted.items():
            _write_edge_file(folder / name, content, secret=name in configuration.SECRET_FILES)
    except OSError as error:
        raise ConfigError(
            f"cannot write {error.filename or folder}: {os.strerror(error.errno or 0)}"
        ) from error
    call.give({"directory": str(folder), "files": list(wanted)})
    call.say(f"Wrote {len(wanted)} files to {folder}; those in db/ hold secrets.")
    if not settings.dialer.edge.enabled:
        call.say("The workers do not use it yet: set edge.enabled = true in dialer.toml.")
    call.say(f"Next: kamailio -c -f {main_file}, start Kamailio with it, then run 'dialer doctor'.")


def _write_edge_file(target: Path, content: str, *, secret: bool) -> None:
    """Write a file whole or not at all; owner and group of one that is replaced stay, so that Kamailio can still read it."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    if target.exists() and target.read_bytes() == content.encode():
        return
    mode = 0o640 if secret else 0o644
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as fresh:
        fresh.write(content.encode())
        os.fchmod(fresh.fileno(), mode)
        if target.exists():
            was = target.stat()
            with contextlib.suppress(PermissionError):  # a plain user's files are of that user anyway
                os.fchown(fresh.fileno(), was.st_uid, was.st_gid)
        elif (folder := target.parent.stat()).st_gid != os.getegid():
            with contextlib.suppress(PermissionError):
                os.fchown(fresh.fileno(), -1, folder.st_gid)
    Path(fresh.name).replace(target)
