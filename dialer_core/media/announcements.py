"""The known announcements: an index of fingerprints in one file, which `dialer amd learn-announcement` writes and the media plane reads.

It owns the file. What a fingerprint is, and when it matches, is `amd.fingerprints`'.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from amd import AmdInputError, FingerprintIndex
from dialer_core.errors import SoundFileError


def load_announcements(file: Path) -> FingerprintIndex:
    """Return the index of a file; an empty one where there is no such file.

    Raises
    ------
    SoundFileError
        The file is no index.
    """
    if not file.exists():
        return FingerprintIndex.of([])
    try:
        with np.load(file, allow_pickle=False) as arrays:
            return FingerprintIndex.from_arrays(dict(arrays))
    except OSError as error:
        raise SoundFileError(f"{file}: cannot be read: {os.strerror(error.errno or 0)}") from error
    except (ValueError, EOFError, zipfile.BadZipFile, AmdInputError) as error:
        # numpy's own words are of pickles, which tell nobody anything
        raise SoundFileError(
            f"{file}: is no index of announcements; name the one that 'dialer amd learn-announcement' writes, or delete it and learn them anew"
        ) from error


def save_announcements(file: Path, index: FingerprintIndex) -> None:
    """Write an index: a reader finds the old one or the new one.

    Raises
    ------
    SoundFileError
        The file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".npz", delete=False) as half:
            np.savez_compressed(half, **index.arrays())  # type: ignore[arg-type]  # the stub takes its own switch for one of them
        Path(half.name).replace(file)
    except OSError as error:
        raise SoundFileError(f"{file}: cannot be written: {os.strerror(error.errno or 0)}") from error
