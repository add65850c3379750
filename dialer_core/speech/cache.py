"""Rendered speech as files, named by what was said, by whom and how: rendered once, bounded in size, gone after a day without use.

It owns the folder. The files are raw PCMU, which the media plane reads (`media/speech.py`). They hold what people are told, names and amounts
too: the folder is its owner's alone, and lies beside the sockets, not with the state.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import structlog

from dialer_core.clock import Clock

log = structlog.get_logger(__name__)

SUFFIX: Final = ".ulaw"
KEEP_S: Final = 24 * 3600.0
SWEEP_EVERY: Final = 500
"""Files written between two looks at what is too old or too much."""
_SPARED_S: Final = 3600.0
"""What was used in the last hour may be in a call: it is never deleted for its size."""


def name_of(*what: str) -> str:
    """Return the name of a piece of speech: a digest of everything that changes how it sounds."""
    digest = hashlib.blake2b(digest_size=16)
    for one in what:
        digest.update(len(one).to_bytes(4) + one.encode())
    return digest.hexdigest()


class SpeechCache:
    """The files.

    Parameters
    ----------
    folder
        Made when it is needed.
    most_bytes
        Beyond, the longest unused go.
    """

    def __init__(self, folder: Path, most_bytes: int, clock: Clock) -> None:
        self._folder, self._most, self._clock = folder, most_bytes, clock
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._written = 0
        self.rendered = 0
        """Pieces made since the start."""
        self.reused = 0

    async def get(self, name: str, render: Callable[[], Awaitable[bytes]]) -> str:
        """Return the name once its file is there, rendering it where it is not; the same piece is never rendered twice at once.

        What `render` raises is raised, and OSError where the file cannot be written.
        """
        file = self._folder / f"{name}{SUFFIX}"
        if (under_way := self._under_way.get(name)) is not None:
            await asyncio.shield(under_way)
            return name
        try:
            os.utime(file)
        except OSError:
            pass
        else:
            self.reused += 1
            return name
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way[name] = future
        try:
            self._write(file, await render())
            future.set_result(None)
        except BaseException as error:
            future.set_exception(error)
            future.exception()  # seen: who waits for it gets it, and nobody may
            raise
        finally:
            del self._under_way[name]
        self.rendered += 1
        self._written += 1
        if self._written >= SWEEP_EVERY:
            self._written = 0
            await asyncio.to_thread(self.sweep)
        return name

    def _write(self, file: Path, sound: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        half = file.with_suffix(".half")
        descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            out.write(sound)
        half.replace(file)

    def clear(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def sweep(self) -> int:
        """Delete what is too old, and what is too much, the longest unused first; return how many."""
        now_s = self._clock.utc().timestamp()
        files = sorted(
            (
                (found.st_mtime, found.st_size, file)
                for file in self._folder.glob(f"*{SUFFIX}")
                if (found := _seen(file))
            ),
            key=lambda one: one[0],
        )
        size, gone = sum(one[1] for one in files), 0
        for used_s, bytes_, file in files:
            too_much = size > self._most and now_s - used_s > _SPARED_S
            if now_s - used_s > KEEP_S or too_much:
                file.unlink(missing_ok=True)
                size -= bytes_
                gone += 1
        if gone:
            log.info("speech_swept", count=gone, kept_bytes=size)
        return gone


def _seen(file: Path) -> os.stat_result | None:
    try:
        return file.stat()
    except OSError:  # swept by somebody else
        return None
