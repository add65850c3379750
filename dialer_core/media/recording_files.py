"""Finished recordings: a spooled one turned into Opus or FLAC, sealed, and opened again.

It owns the sealed file: its own key, wrapped by the master key, then the sound. When it is made, and its row, is `archive.py`'s.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import struct
from pathlib import Path
from typing import Final, Literal

import msgspec
import numpy as np
import soundfile

from amd import g711
from dialer_core.errors import SoundFileError
from dialer_core.media.sealing import KEY_BYTES, seal, unseal
from dialer_core.media.spool import CHANNELS, read_spooled

SUFFIX: Final = ".rec"
RATE_HZ: Final = 8000
Container = Literal["opus", "flac"]
_FORMATS: Final[dict[str, tuple[str, str]]] = {"opus": ("OGG", "OPUS"), "flac": ("FLAC", "PCM_16")}
_MAGIC: Final = b"MARC1\n"
_HEAD: Final = struct.Struct("!H")


class Finished(msgspec.Struct, frozen=True, kw_only=True):
    """What a sealed recording is."""

    seconds: float
    size: int
    sha256: str


def finish(
    parts: list[Path], folder: Path, recording_id: str, master: bytes, container: Container
) -> Finished:
    """Turn the spooled parts of a recording (several where a media plane died) into its sealed file.

    Raises
    ------
    SoundFileError
        A part cannot be read, or there is no sound in them.
    OSError
        The disk does not take it; the parts are still there.
    """
    sound = (
        np.concatenate([read_spooled(part, master) for part in parts])
        if parts
        else np.zeros((0, CHANNELS), np.uint8)
    )
    if not len(sound):
        raise SoundFileError(f"recording {recording_id}: holds no sound")
    plain = io.BytesIO()
    kind, subtype = _FORMATS[container]
    soundfile.write(
        plain, g711.decode_pcmu(np.ascontiguousarray(sound)), RATE_HZ, format=kind, subtype=subtype
    )
    key, bound = secrets.token_bytes(KEY_BYTES), _MAGIC + recording_id.encode()
    wrapped = seal(master, key, bound)
    content = _MAGIC + _HEAD.pack(len(wrapped)) + wrapped + seal(key, plain.getvalue(), bound)
    file = folder / f"{recording_id}{SUFFIX}"
    half = file.with_suffix(".half")
    descriptor = os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    half.replace(file)
    return Finished(
        seconds=len(sound) / RATE_HZ, size=len(content), sha256=hashlib.sha256(content).hexdigest()
    )


def open_recording(folder: Path, recording_id: str, master: bytes, sha256: str) -> bytes:
    """Return a recording's sound as its container holds it.

    Raises
    ------
    SoundFileError
        The file is gone, is not the one that was stored (checksum), or was sealed by another key.
    """
    file = folder / f"{recording_id}{SUFFIX}"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise SoundFileError(f"recording {recording_id}: cannot be read: {error.strerror}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise SoundFileError(f"recording {recording_id}: is not what was stored: its checksum differs")
    at = len(_MAGIC) + _HEAD.size
    (length,) = _HEAD.unpack_from(content, len(_MAGIC))
    bound = _MAGIC + recording_id.encode()
    try:
        key = unseal(master, content[at : at + length], bound)
        return unseal(key, content[at + length :], bound)
    except SoundFileError as error:
        raise SoundFileError(f"recording {recording_id}: {error}") from error
