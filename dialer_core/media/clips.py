"""Clips: the first seconds of calls, kept encrypted where a campaign opted in, for retraining the detector; and their end.

It owns the files (AES-256-GCM, one a call, named by its attempt), the thread that writes them, so that none is written in the packet
thread, and their purging after the time of retention. What was said of a call is in the store; joining the two is `dialer amd
export`'s.
"""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path
from typing import Final

import msgspec
import structlog

from dialer_core.clock import Clock
from dialer_core.errors import SoundFileError
from dialer_core.media.sealing import seal, unseal

_log = structlog.get_logger(__name__)

SUFFIX: Final = ".clip"
PURGE_INTERVAL_S: Final = 3600.0
MOST_WAITING: Final = 256
"""Clips that wait to be written; beyond, they are left out and counted: sound comes before evidence."""
_MAGIC: Final = b"MCLIP1\n"
_DAY_S: Final = 86_400.0


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """The first seconds of one answered call."""

    clip_id: str
    """Its attempt's id."""
    law: str
    """`PCMU` or `PCMA`."""
    octets: bytes


def write_clip(folder: Path, key: bytes, clip: Clip) -> Path:
    """Encrypt a clip into a file of its own; a reader finds all of it or none. Raises OSError."""
    sealed = seal(key, msgspec.msgpack.encode(clip), _MAGIC + clip.clip_id.encode())
    file = folder / f"{clip.clip_id}{SUFFIX}"
    half = file.with_suffix(".half")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(_MAGIC + sealed)
    half.replace(file)
    return file


def read_clip(file: Path, key: bytes) -> Clip:
    """Return what a file holds.

    Raises
    ------
    SoundFileError
        It cannot be read, was encrypted with another key or for another call, or has been changed.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SoundFileError(f"{file}: cannot be read: {error.strerror}") from error
    magic, sealed = content[: len(_MAGIC)], content[len(_MAGIC) :]
    try:
        return msgspec.msgpack.decode(unseal(key, sealed, magic + file.stem.encode()), type=Clip)
    except (SoundFileError, msgspec.DecodeError) as error:
        msg = f"{file}: is no clip of this key: another key was used, or the file was changed or renamed"
        raise SoundFileError(msg) from error


def purge(folder: Path, older_than_s: float, now_s: float) -> int:
    """Delete the clips that were written more than so long ago; return how many. What cannot be deleted is logged."""
    gone = 0
    for file in folder.glob(f"*{SUFFIX}"):
        try:
            if now_s - file.stat().st_mtime > older_than_s:
                file.unlink()
                gone += 1
        except OSError as error:
            _log.error("clip_not_deleted", clip_id=file.stem, problem=error.strerror)
    return gone


class ClipWriter:
    """The thread that writes clips and purges old ones.

    Parameters
    ----------
    folder
        Where they are kept; made where it is missing, for its owner alone.
    key
        Of 32 bytes.
    retention_days
        They are deleted after so many.
    """

    def __init__(self, folder: Path, key: bytes, retention_days: float, clock: Clock) -> None:
        self._folder, self._key, self._clock = folder, key, clock
        self._keep_s = retention_days * _DAY_S
        self._waiting: queue.Queue[Clip | None] = queue.Queue(MOST_WAITING)
        self.left_out = 0
        """Clips that were not written, because too many waited."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._thread = threading.Thread(target=self._run, name="clips", daemon=True)
        self._thread.start()

    def keep(self, clip: Clip) -> None:
        """Have a clip written, soon. Never waits."""
        try:
            self._waiting.put_nowait(clip)
        except queue.Full:
            self.left_out += 1
            _log.warning("clip_left_out", clip_id=clip.clip_id, so_far=self.left_out)

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, and end the thread."""
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _purge(self, now_s: float) -> None:
        try:
            if gone := purge(self._folder, self._keep_s, now_s):
                _log.info("clips_purged", count=gone)
        except OSError as error:  # the folder cannot be listed just now: looked at again in an hour
            _log.error("clips_not_purged", problem=error.strerror)

    def _run(self) -> None:
        purged_s = float("-inf")
        while True:
            now_s = self._clock.utc().timestamp()
            if now_s - purged_s >= PURGE_INTERVAL_S:
                purged_s = now_s
                self._purge(now_s)
            try:
                clip = self._waiting.get(timeout=60.0)
            except queue.Empty:
                continue
            if clip is None:
                return
            try:
                write_clip(self._folder, self._key, clip)
            except OSError as error:
                _log.error("clip_not_written", clip_id=clip.clip_id, problem=error.strerror)
