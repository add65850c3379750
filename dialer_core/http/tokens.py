"""Secrets of this node in files: its bearer token, and the key that signs cookies.

It owns making and reading the files. It imports nothing of the web framework: the command line reads the same token.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from dialer_core.errors import NotRunningError, StartError

MIN_TOKEN_CHARS = 32


def _check_private(file: Path) -> None:
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        raise StartError(f"{file} can be read by others (mode {mode:04o}): run chmod 600 {file}")


def _read(file: Path) -> str:
    token = file.read_text(encoding="ascii", errors="replace").strip()
    if len(token) < MIN_TOKEN_CHARS or not token.isprintable() or " " in token:
        raise StartError(
            f"{file} holds no token of {MIN_TOKEN_CHARS} characters or more: delete it for a new one"
        )
    return token


def ensure_token(file: Path) -> str:
    """Return the token in the file; make file (mode 0600) and token where there is none.

    Raises
    ------
    StartError
        Others may read the file, it holds no token, or it cannot be made.
    """
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            fresh = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_urlsafe(32) + "\n")
            try:
                # a link: of two processes that start at once one makes the token, and both read the same
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, file)
            finally:
                fresh.unlink()
        _check_private(file)
        return _read(file)
    except OSError as error:
        raise StartError(f"cannot make or read the API token {file}: {error.strerror}") from error


def read_token(file: Path) -> str:
    """Return the token for a client on this machine.

    Raises
    ------
    NotRunningError
        There is no such file: nothing has run with this configuration yet.
    StartError
        The file cannot be read or holds no token.
    """
    try:
        return _read(file)
    except FileNotFoundError as error:
        raise NotRunningError(f"there is no API token at {file}: start the dialer (dialer run)") from error
    except OSError as error:
        raise StartError(f"cannot read the API token {file}: {error.strerror}") from error
