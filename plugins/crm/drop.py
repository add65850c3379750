"""`kind = "files"` and `"sftp"`: CSV files laid into folders, each complete once it has its name.

It owns what a file means: rows in, in the order of the files' names; ours out under a temporary name first. Where the folders are is a `Place`.
"""

from __future__ import annotations

import asyncio
import csv
import datetime as dt
import fnmatch
import io
import json
import os
import posixpath
from collections.abc import AsyncGenerator, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from plugins.crm.connection_settings import FilesSettings, SftpSettings
from plugins.crm.connector import OK, AwayError, MappingError, Outgoing, Page, StaleError, Written
from plugins.crm.records import as_text
from plugins.crm.settings import AccountsSettings

T = TypeVar("T")
DONE: Final = "done"
_LARGEST: Final = 512 * 1024 * 1024
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""With one of these a spreadsheet takes a cell for a formula."""


class Place(Protocol):
    """Where folders are. Every call may raise `AwayError`, and `MappingError` where a folder is not there."""

    async def names(self, folder: str) -> list[tuple[str, float, int]]:
        """Return its files: name, when written to (seconds since 1970), bytes."""

    async def get(self, path: str) -> bytes:
        """Return a file."""

    async def lay(self, path: str, content: bytes) -> None:
        """Write a file that is complete once it has its name; one of that name is replaced."""

    async def move(self, path: str, folder: str) -> None:
        """Move a file into a folder, made where it is missing; one of its name is replaced."""

    async def close(self) -> None:
        """Close what is open."""


class DropConnector:
    """Folders for files.

    Parameters
    ----------
    its
        The connection.
    place
        Where they are.
    """

    def __init__(self, its: FilesSettings | SftpSettings, place: Place) -> None:
        self._its = its
        self._place = place

    async def close(self) -> None:
        """Close the place."""
        await self._place.close()

    async def check(self) -> None:
        """Look into both folders."""
        for name in ("in_folder", "out_folder"):
            if folder := getattr(self._its, name):
                await self._place.names(folder)

    async def fields_of(self, source: str) -> set[str] | None:
        """Return the columns of the first file that waits, where one does."""
        for name in await self._waiting(source) if self._its.in_folder and "*" in source else ():
            return set(_rows(await self._place.get(self._in(name)), self._its, name)[0])
        return None

    async def read(self, its: AccountsSettings, since: Any, resume: str | None) -> AsyncGenerator[Page, None]:
        """Yield the rows of the files that wait, in the order of their names; each file is moved aside once its last page is kept."""
        del since  # a file that lies there is news
        place: dict[str, Any] = json.loads(resume) if resume else {"file": "", "row": 0}
        names = await self._waiting(its.source)
        if place["file"] and place["file"] not in names:
            raise StaleError(f"{place['file']} is not there any more")
        for index, name in enumerate(names):
            header, rows = await asyncio.to_thread(
                _rows, await self._place.get(self._in(name)), self._its, name
            )
            at = int(place["row"]) if name == place["file"] else 0
            last_file = index == len(names) - 1
            while True:
                part = rows[at : at + self._its.page_rows]
                records = [
                    _record(header, row, f"{name}:{at + offset + 2}") for offset, row in enumerate(part)
                ]
                at += len(part)
                more = at < len(rows)
                goes_on = json.dumps({"file": name, "row": at}) if more or not last_file else None
                yield Page(records, goes_on, None if more else partial(self._put_aside, name))
                if not more:
                    break

    async def write(self, batch: Sequence[Outgoing]) -> list[Written]:
        """Lay one file for each target, named by the first of its records: told again, it replaces what was laid before."""
        groups: dict[tuple[str, str], list[Outgoing]] = {}
        for one in batch:
            groups.setdefault((one.name, one.target), []).append(one)
        for (_, target), those in groups.items():
            out = io.StringIO(newline="")
            writer = csv.writer(out, delimiter=self._its.delimiter)
            key = those[0].its.key
            writer.writerow([*([key] if key else []), *those[0].fields])
            for one in those:
                writer.writerow(
                    [*([one.id] if key else []), *(_cell(value) for value in one.fields.values())]
                )
            path = posixpath.join(self._its.out_folder, f"{target}-{those[0].key}.csv")
            await self._place.lay(path, out.getvalue().encode("utf-8"))
        return [OK] * len(batch)

    async def _put_aside(self, name: str) -> None:
        await self._place.move(self._in(name), posixpath.join(self._its.in_folder, DONE))

    def _in(self, name: str) -> str:
        return posixpath.join(self._its.in_folder, name)

    async def _waiting(self, pattern: str) -> list[str]:
        if not self._its.in_folder:
            raise MappingError("in_folder is not set: there is nowhere to read from")
        settled = dt.datetime.now(dt.UTC).timestamp() - self._its.settle_s
        found = await self._place.names(self._its.in_folder)
        if large := [
            name for name, _, size in found if size > _LARGEST and fnmatch.fnmatchcase(name, pattern)
        ]:
            raise MappingError(f"{large[0]} is over 512 MB; cut it into parts")
        return sorted(
            name
            for name, at, _ in found
            if at <= settled and fnmatch.fnmatchcase(name, pattern) and not name.startswith(".")
        )


class LocalPlace:
    """Folders of this machine."""

    def __init__(self, base: Path) -> None:
        self._base = base

    async def names(self, folder: str) -> list[tuple[str, float, int]]:
        """Return a folder's files."""

        def look() -> list[tuple[str, float, int]]:
            return [
                (one.name, one.stat().st_mtime, one.stat().st_size)
                for one in (self._base / folder).iterdir()
                if one.is_file()
            ]

        return await self._do(look, folder)

    async def get(self, path: str) -> bytes:
        """Return a file."""
        return await self._do((self._base / path).read_bytes, path)

    async def lay(self, path: str, content: bytes) -> None:
        """Write a file under a hidden name, and name it."""

        def write() -> None:
            whole = self._base / path
            part = whole.with_name(f".{whole.name}.part")
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())  # what it tells is noted as told next
            part.replace(whole)

        await self._do(write, path)

    async def move(self, path: str, folder: str) -> None:
        """Move a file."""

        def go() -> None:
            (self._base / folder).mkdir(exist_ok=True)
            (self._base / path).replace(self._base / folder / posixpath.basename(path))

        await self._do(go, path)

    async def close(self) -> None:
        """Nothing is open."""

    async def _do(self, work: Callable[[], T], what: str) -> T:
        try:
            return await asyncio.to_thread(work)
        except FileNotFoundError:
            raise MappingError(f"{what} is not there") from None
        except OSError as error:
            raise AwayError(f"{what}: {error.strerror}") from None


def _rows(content: bytes, its: FilesSettings | SftpSettings, name: str) -> tuple[list[str], list[list[str]]]:
    try:
        text = content.decode(its.encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise MappingError(f"{name} is not {its.encoding}: set encoding ({error})") from None
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=its.delimiter)
    try:
        rows = [row for row in reader]  # noqa: C416 - list() would let no other thread run until the last row
    except csv.Error as error:
        raise MappingError(f"{name}: row {reader.line_num} is none: {error}") from None
    if not rows:
        return [], []
    return [one.strip() for one in rows[0]], [row for row in rows[1:] if any(cell.strip() for cell in row)]


def _record(header: list[str], row: list[str], where: str) -> dict[str, Any]:
    """Return a row by its columns; one that breaks off has what it has, and says where it stood."""
    return dict(zip(header, row, strict=False)) | {"_row": where}


def _cell(value: Any) -> str:
    text = as_text(value)
    return (
        f"'{text}"
        if text.startswith(_FORMULA) and not text.lstrip("+-").replace(".", "", 1).isdigit()
        else text
    )
