"""`dialer init`: writes the packaged configuration."""

from __future__ import annotations

import os
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from dialer_core.commands.invocation import Invocation, example, printing
from dialer_core.errors import ConfigError


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


@click.command(epilog=example("dialer init", "dialer init /etc/marcador"))
@click.argument(
    "directory", type=click.Path(path_type=Path, file_okay=False), default=Path("config"), required=False
)
@click.option("--force", is_flag=True, help="Overwrite files that are there.")
@printing
def init(call: Invocation, directory: Path, *, force: bool) -> None:
    """Write a commented configuration to DIRECTORY (./config by default).

    It dials a SIP peer on this machine, and says in each place what to change.
    Files that are there are left alone, and nothing is written, unless --force is given.
    """
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
