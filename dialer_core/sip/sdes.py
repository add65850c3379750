"""Keys of encrypted sound in session descriptions: `a=crypto` (RFC 4568). Pure.

It owns reading them and finding the pair that an offer and its answer agree on. Making keys and choosing a suite is pjsip's business, using them
the media plane's.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Final

from dialer_core.ipc.messages import SrtpKeys

SUITES: Final = ("AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32")
"""Offered in this order."""
KEY_OCTETS: Final = 30
"""AES-128 master key and 112 bits of salt."""
_LONGEST_LIFETIME: Final = 48
"""2 to this many packets: more than one key may protect anyway (RFC 3711, 9.2)."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """One `a=crypto` line of an audio section. `key` is empty where the line asks for what we do not do (MKI, other suites, session parameters)."""

    tag: str
    suite: str
    key: bytes

    def __repr__(self) -> str:
        """Hide the key."""
        return f"Crypto(tag={self.tag!r}, suite={self.suite!r})"


def read_crypto(text: str) -> tuple[Crypto, ...]:
    """Return the `a=crypto` lines of the first live audio section, in order. Nothing in `text` is trusted."""
    found: list[Crypto] = []
    inside = False
    for line in text.replace("\r\n", "\n").split("\n"):
        if line.startswith("m="):
            if inside:
                break
            fields = line.split()
            inside = fields[0] == "m=audio" and len(fields) > 3 and fields[1] != "0"
        elif inside and line.startswith("a=crypto:"):
            parts = line.removeprefix("a=crypto:").split()
            if len(parts) >= 3:
                tag, suite, key, *session = parts
                usable = suite.upper() in SUITES and not session
                found.append(Crypto(tag, suite.upper(), _key(key) if usable else b""))
    return tuple(found)


def agreed(*, ours: tuple[Crypto, ...], theirs: tuple[Crypto, ...], we_answered: bool) -> SrtpKeys | None:
    """Return the keys that both descriptions agree on; None where the answer has no key, so that sound goes in the clear.

    Raises
    ------
    ValueError
        The answer has keys that cannot be used.
    """
    answer, offer = (ours, theirs) if we_answered else (theirs, ours)
    if not answer:
        return None
    chosen = answer[0]
    match = next((line for line in offer if (line.tag, line.suite) == (chosen.tag, chosen.suite)), None)
    if len(answer) > 1 or match is None or not chosen.key or not match.key:
        msg = "the answer's keys are not among those offered, or of a kind that is not supported"
        raise ValueError(msg)
    send, receive = (chosen, match) if we_answered else (match, chosen)
    return SrtpKeys(suite=chosen.suite, send=send.key, receive=receive.key)


def _key(text: str) -> bytes:
    """Return the key of `inline:KEY[|LIFETIME]`; empty where there is an MKI, several keys, or nonsense."""
    method, colon, value = text.partition(":")
    key, *limits = value.split("|")
    if method.lower() != "inline" or not colon or len(limits) > 1 or ";" in value:
        return b""
    if limits and not _is_lifetime(limits[0]):
        return b""
    try:
        octets = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return octets if len(octets) == KEY_OCTETS else b""


def _is_lifetime(text: str) -> bool:
    number = text.removeprefix("2^")
    if not (number.isascii() and number.isdigit() and len(number) <= 15):
        return False
    return number is text or int(number) <= _LONGEST_LIFETIME
