"""Reading a configuration file, and telling what is wrong with it: file, key, allowed values.

It owns no setting: their shapes are `settings.py`'s and `compliance/rules.py`'s.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dialer_core.errors import ConfigError

ENVIRONMENT_PREFIX = "MARCADOR_"


def explain(file: Path, error: ValidationError) -> str:
    """Return one line per mistake: file, key, what is wrong and what would be right."""
    lines = []
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"]) or "(whole file)"
        text = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            text = "unknown setting; see the settings reference for the ones that exist"
        elif item["type"] == "missing":
            text = "is missing and has no default"
        given = item.get("input")
        shown = (
            f" (given: {given!r})"
            if isinstance(given, str | int | float | bool) and item["type"] != "extra_forbidden"
            else ""
        )
        lines.append(f"{file}: {key}: {text}{shown}")
    return "\n".join(lines)


def read_toml(file: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    ConfigError
        It cannot be read or is not TOML; names the file, and the line where the parser tells.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        hint = "'dialer init' writes a configuration to start from"
        if file.parent.name == "plugins":
            hint = "a plugin's settings are written by hand: its page in docs/ has some to start from"
        msg = f"{file}: cannot be read: {error.strerror}; {hint}"
        raise ConfigError(msg) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{file}: is not valid TOML: {error}"
        raise ConfigError(msg) from error


def with_environment(raw: dict[str, Any]) -> dict[str, Any]:
    """Return `dialer.toml` as the environment changes it."""
    merged = {section: dict(keys) if isinstance(keys, dict) else keys for section, keys in raw.items()}
    for variable, value in os.environ.items():
        section, separator, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if variable.startswith(ENVIRONMENT_PREFIX) and separator:
            merged.setdefault(section, {})[key] = (
                value.split(",") if (section, key) == ("plugins", "enabled") else value
            )
    return merged


def section_table(file: Path, raw: dict[str, Any], table: str) -> dict[str, Any]:
    """Return the tables of a file that holds `[TABLE.NAME]` only.

    Raises
    ------
    ConfigError
        It holds something else.
    """
    extra = set(raw) - {table}
    if extra:
        msg = f"{file}: {min(extra)}: unknown setting; this file holds [{table}.NAME] tables only"
        raise ConfigError(msg)
    return dict(raw.get(table, {}))


def read_secret(where: str, variable: str, file: Path | None, directory: Path) -> str:
    """Return a secret out of the environment variable or the file that holds it; an empty string where neither is named.

    Parameters
    ----------
    where
        The setting's file and key, to which `_env` and `_file` are added.
    variable, file
        As configured; a file is relative to `directory`.

    Raises
    ------
    ConfigError
        The variable or file that should hold it is missing or empty.
    """
    if variable:
        if secret := os.environ.get(variable, ""):
            return secret
        msg = f"{where}_env: the environment variable {variable} is not set or empty; export it"
        raise ConfigError(msg)
    if file is not None:
        path = directory / file
        try:
            secret = path.read_text(encoding="utf-8").strip()
        except OSError as error:
            msg = f"{where}_file: cannot read {path}: {error.strerror}"
            raise ConfigError(msg) from error
        if not secret:
            msg = f"{where}_file: {path} is empty; put the secret in it"
            raise ConfigError(msg)
        return secret
    return ""
