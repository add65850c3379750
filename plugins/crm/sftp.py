"""Folders of an SFTP server, by asyncssh (the extra `sftp`). It owns the session; what files mean is `drop.py`'s."""

from __future__ import annotations

import posixpath
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypeVar, cast

import asyncssh

from plugins.crm.connection_settings import SftpSettings
from plugins.crm.connector import AwayError, LoginError, MappingError

T = TypeVar("T")


class SftpPlace:
    """An SFTP server's folders.

    Parameters
    ----------
    its
        The connection.
    directory
        What files of keys are relative to.
    password
        Empty: the key opens.
    """

    def __init__(self, its: SftpSettings, directory: Path, password: str) -> None:
        self._its = its
        self._directory = directory
        self._password = password
        self._stack = AsyncExitStack()
        self._client: asyncssh.SFTPClient | None = None

    async def names(self, folder: str) -> list[tuple[str, float, int]]:
        """Return a folder's files."""

        async def look(client: asyncssh.SFTPClient) -> list[tuple[str, float, int]]:
            found = await client.readdir(folder)
            return [
                (str(one.filename), float(one.attrs.mtime or 0), int(one.attrs.size or 0))
                for one in found
                if one.attrs.type == asyncssh.FILEXFER_TYPE_REGULAR
            ]

        return await self._do(look, folder)

    async def get(self, path: str) -> bytes:
        """Return a file."""

        async def read(client: asyncssh.SFTPClient) -> bytes:
            async with client.open(path, "rb") as file:
                return cast(bytes, await file.read())  # opened for bytes, which its types do not say

        return await self._do(read, path)

    async def lay(self, path: str, content: bytes) -> None:
        """Write a file under a hidden name, and name it."""

        async def write(client: asyncssh.SFTPClient) -> None:
            folder, name = posixpath.split(path)
            part = posixpath.join(folder, f".{name}.part")
            async with client.open(part, "wb") as file:
                await file.write(content)
            await client.posix_rename(part, path)

        await self._do(write, path)

    async def move(self, path: str, folder: str) -> None:
        """Move a file."""

        async def go(client: asyncssh.SFTPClient) -> None:
            await client.makedirs(folder, exist_ok=True)
            await client.posix_rename(path, posixpath.join(folder, posixpath.basename(path)))

        await self._do(go, path)

    async def close(self) -> None:
        """End the session."""
        self._client = None
        await self._stack.aclose()
        self._stack = AsyncExitStack()

    async def _do(self, work: Callable[[asyncssh.SFTPClient], Awaitable[T]], what: str) -> T:
        try:
            return await work(self._client or await self._open())
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPNoSuchPath):
            raise MappingError(f"{what} is not there") from None
        except asyncssh.SFTPPermissionDenied:
            raise MappingError(f"{what}: we may not") from None
        except asyncssh.HostKeyNotVerifiable as error:
            raise LoginError(f"the server's key is not the one in known_hosts: {error.reason}") from None
        except asyncssh.PermissionDenied as error:
            raise LoginError(f"the server does not let {self._its.user!r} in: {error.reason}") from None
        except (asyncssh.Error, OSError) as error:
            await self.close()
            raise AwayError(f"{self._its.host}:{self._its.port}: {error}") from None

    async def _open(self) -> asyncssh.SFTPClient:
        its = self._its
        known = self._directory / its.known_hosts
        if not known.exists():
            raise LoginError(
                f"known_hosts: there is no {known}; 'ssh-keyscan -p {its.port} {its.host}' prints what belongs there"
            )
        connection = await self._stack.enter_async_context(
            asyncssh.connect(
                its.host, its.port, username=its.user, password=self._password or None, known_hosts=str(known), config=None,
                client_keys=[str(self._directory / its.key_file)] if its.key_file else None, agent_path=None,
                connect_timeout=its.timeout_s, login_timeout=its.timeout_s, keepalive_interval=its.timeout_s,
            )
        )  # fmt: skip
        self._client = await self._stack.enter_async_context(connection.start_sftp_client())
        return self._client
