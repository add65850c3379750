"""The spool of recordings: sound on its way from the media plane to the archive, never in the clear on a disk.

It owns the spooled file's form, the thread that writes it, so that none is written in the packet thread, and its reading. What is recorded
is `recording.py`'s; the finished recording is `recording_files.py`'s.

A file begins with the recording's own key, wrapped by the master key, and then grows by sealed pieces, each bound to its recording and to
its place in it. A process that dies leaves whole pieces; a disk that is full costs pieces, which are counted, and never a call.
"""

from __future__ import annotations

import errno
import os
import queue
import secrets
import struct
import threading
from pathlib import Path
from typing import IO, Final

import numpy as np
import structlog
from numpy.typing import NDArray

from dialer_core.errors import SoundFileError
from dialer_core.media.sealing import KEY_BYTES, seal, unseal

_log = structlog.get_logger(__name__)

OPEN_SUFFIX: Final = ".spool"
"""Of a recording that goes on, or whose media plane died."""
CLOSED_SUFFIX: Final = ".done"
"""Of one that is to be archived."""
CHANNELS: Final = 2
MOST_WAITING: Final = 4096
"""Pieces that wait to be written; beyond, they are left out and counted: sound comes before its record."""
_MAGIC: Final = b"MREC1\n"
_PIECE: Final = struct.Struct("!IQ")
_HEAD: Final = struct.Struct("!H")


class Spool:
    """The thread that writes spooled recordings.

    Parameters
    ----------
    folder
        Where they lie; made where it is missing, for its owner alone.
    master
        The key that wraps each recording's own.
    """

    def __init__(self, folder: Path, master: bytes) -> None:
        self._folder, self._master = folder, master
        self._waiting: queue.Queue[tuple[str, str, int, bytes] | None] = queue.Queue(MOST_WAITING)
        self._files: dict[str, tuple[IO[bytes], bytes]] = {}
        self._failed: set[str] = set()
        self.left_out = 0
        """Pieces that were not written: too many waited, or the disk would not take them."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._thread = threading.Thread(target=self._run, name="spool", daemon=True)
        self._thread.start()

    def write(self, recording_id: str, sample: int, octets: bytes) -> bool:
        """Have a piece written, soon: µ-law, both channels in turns, from `sample` on. Never waits; False: it was left out."""
        return self._put("piece", recording_id, sample, octets)

    def close_file(self, recording_id: str, *, discard: bool) -> None:
        """No more of this recording will come: it is to be archived, or (discard) deleted."""
        self._put("discard" if discard else "close", recording_id, 0, b"")

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what waits, and end the thread."""
        try:
            self._waiting.put(None, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _put(self, what: str, recording_id: str, sample: int, octets: bytes) -> bool:
        try:
            self._waiting.put_nowait((what, recording_id, sample, octets))
        except queue.Full:
            self.left_out += 1
            return False
        return True

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            what, recording_id, sample, octets = item
            try:
                if what == "piece":
                    self._write(recording_id, sample, octets)
                else:
                    self._finish(recording_id, discard=what == "discard")
            except OSError as error:
                self.left_out += 1
                if recording_id not in self._failed:  # once each: a full disk is said, not shouted
                    self._failed.add(recording_id)
                    _log.error("recording_not_written", recording_id=recording_id, problem=error.strerror)
        for recording_id in list(self._files):
            self._finish(recording_id, discard=False)

    def _write(self, recording_id: str, sample: int, octets: bytes) -> None:
        file, key = self._files.get(recording_id) or self._open(recording_id)
        sealed = seal(key, octets, _bound(recording_id, sample))
        at = file.tell()
        try:
            _write_whole(file, _PIECE.pack(len(sealed), sample) + sealed)
        except OSError:
            file.truncate(at)  # no half a piece before the next
            file.seek(at)
            raise

    def _open(self, recording_id: str) -> tuple[IO[bytes], bytes]:
        key = secrets.token_bytes(KEY_BYTES)
        wrapped = seal(self._master, key, _MAGIC + recording_id.encode())
        path = self._folder / f"{recording_id}{OPEN_SUFFIX}"
        part = 1
        while path.exists():  # of a media plane that died: what it wrote stays as it is
            part += 1
            path = self._folder / f"{recording_id}.{part}{OPEN_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        file = os.fdopen(descriptor, "wb", buffering=0)
        try:
            _write_whole(file, _MAGIC + _HEAD.pack(len(wrapped)) + wrapped)
        except OSError:
            file.close()
            path.unlink()  # a part without its key would make the whole recording unreadable
            raise
        self._files[recording_id] = file, key
        return self._files[recording_id]

    def _finish(self, recording_id: str, *, discard: bool) -> None:
        held = self._files.pop(recording_id, None)
        self._failed.discard(recording_id)
        if held is not None:
            held[0].close()
        for path in self._folder.glob(f"{recording_id}*{OPEN_SUFFIX}"):
            if discard:
                path.unlink()
            else:
                path.rename(path.with_suffix(CLOSED_SUFFIX))
        if discard:  # what a media plane that died had left of it, too
            for path in self._folder.glob(f"{recording_id}*{CLOSED_SUFFIX}"):
                path.unlink(missing_ok=True)


def _write_whole(file: IO[bytes], octets: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part, and says so by the count alone."""
    if file.write(octets) < len(octets):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_spooled(file: Path, master: bytes) -> NDArray[np.uint8]:
    """Return a spooled recording's sound: µ-law, shape (n_samples, CHANNELS), what was left out as silence.

    Raises
    ------
    SoundFileError
        It cannot be read, another master key was used, or a piece was changed, moved or taken from another recording.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SoundFileError(f"{file}: cannot be read: {error.strerror}") from error
    recording_id = file.name.split(".")[0]
    if not content.startswith(_MAGIC):
        raise SoundFileError(f"{file}: is no spooled recording")
    at = len(_MAGIC) + _HEAD.size
    (length,) = _HEAD.unpack_from(content, len(_MAGIC))
    try:
        key = unseal(master, content[at : at + length], _MAGIC + recording_id.encode())
        at += length
        pieces: list[tuple[int, bytes]] = []
        while at + _PIECE.size <= len(content):
            length, sample = _PIECE.unpack_from(content, at)
            at += _PIECE.size
            if at + length > len(content):
                break  # the process died in the middle of it
            pieces.append((sample, unseal(key, content[at : at + length], _bound(recording_id, sample))))
            at += length
    except SoundFileError as error:
        raise SoundFileError(f"{file}: {error}") from error
    end = max((sample + len(octets) // CHANNELS for sample, octets in pieces), default=0)
    sound = np.full((end, CHANNELS), 0xFF, np.uint8)
    for sample, octets in pieces:
        block = np.frombuffer(octets, np.uint8).reshape(-1, CHANNELS)
        sound[sample : sample + len(block)] = block
    return sound


def _bound(recording_id: str, sample: int) -> bytes:
    return _MAGIC + recording_id.encode() + sample.to_bytes(8)
