"""Sealing sound that is kept: AES-256-GCM, with a key read from a text. One way for clips and recordings.

It owns the cipher and the reading of keys. What is sealed, and where it lies, is `clips.py`'s and `spool.py`'s.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

from dialer_core.errors import ConfigError, SoundFileError

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


def parse_key(text: str, whose: str) -> bytes:
    """Return a key of 32 bytes, written in base64 or as 64 hexadecimal digits.

    Raises
    ------
    ConfigError
        It is neither; the text itself is not told.
    """
    bare = text.strip()
    try:
        key = bytes.fromhex(bare) if len(bare) == 2 * KEY_BYTES else base64.b64decode(bare, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        msg = f"the key of the {whose} is not 32 bytes in base64; make one with 'openssl rand -base64 32'"
        raise ConfigError(msg)
    return key


def seal(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """Return a nonce and the sealed bytes; they open only with what they are bound to."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415 - for whoever keeps sound

    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def unseal(key: bytes, sealed: bytes, bound_to: bytes) -> bytes:
    """Return what was sealed.

    Raises
    ------
    SoundFileError
        Another key was used, or it was changed, or it is bound to something else.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    except (InvalidTag, ValueError) as error:
        raise SoundFileError("another key was used, or the file was changed or renamed") from error
